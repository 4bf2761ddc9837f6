//! The repository's `.dkr.conf`.
//!
//! It comes from an untrusted commit: it decides what is *in* an image and nothing
//! else, and [`parse`] rejects everything that would reach further. What the user's own `dkr.conf` sets
//! (keys, hosts, networks, permissions) is read by `cli`.
//!
//! Everything here is a function from bytes to values.

mod drift;
mod image_reference;
mod lines;
mod parse;
mod raw_section;
mod rules;
mod statement;
mod volume;

pub use drift::{ConfLabel, Drift, drift};
pub use parse::{Allow, DkrConf, parse};
pub use raw_section::{RawSection, SectionName};
pub use volume::Volume;

/// A `.dkr.conf` to start from: every line of it is a comment.
pub const TEMPLATE: &str = include_str!("../../../assets/template.dkr.conf");

#[cfg(test)]
mod tests {
    use super::parse::DEFAULT_BASE_IMAGE;
    use super::*;

    #[test]
    fn the_template_changes_nothing_and_its_examples_can_be_used() {
        let allow = Allow::default();
        assert_eq!(
            parse(TEMPLATE.as_bytes(), &allow).unwrap(),
            DkrConf::default()
        );

        let is_example = |line: &&str| {
            let keys = ["base_image =", "packages =", "volumes =", "[", "RUN "];
            keys.iter().any(|key| line.starts_with(key))
        };
        let lines = TEMPLATE.lines().filter_map(|line| line.strip_prefix("# "));
        let examples: Vec<&str> = lines.filter(is_example).collect();
        let conf = parse(examples.join("\n").as_bytes(), &allow).unwrap();
        assert_eq!(conf.base_image, DEFAULT_BASE_IMAGE);
        assert_eq!(conf.packages, ["gcc", "make"]);
        assert_eq!(conf.volumes.len(), 1);
        assert_eq!(conf.sections().count(), SectionName::ALL.len());
    }
}
