//! The repository's `.dkr.conf`: what is in an image.
//!
//! `create-image` and `update-image` read the file from the commit that they build and call
//! [`parse`]. The text is untrusted: everything that is not allowed is rejected here, with its
//! line, before anything is built.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::image_reference::is_image_reference;
use super::lines::{Assignment, assignment, check_characters, decode, invalid, repeated, unknown};
use super::raw_section::{Joiner, RawSection, SectionName};
use super::rules;
use super::volume::Volume;
use crate::error::{Error, Result, quoted};
use crate::text::shown;

/// The base image of a repository whose `.dkr.conf` names none.
pub const DEFAULT_BASE_IMAGE: &str = "fedora:43";

const KEYS: &[&str] = &["base_image", "packages", "volumes"];

/// The longest line that BuildKit reads (Go's `bufio.MaxScanTokenSize`, less the line's end).
const MAX_LINE: usize = 64 * 1024 - 1;

/// What the user, and not the repository, permits a `.dkr.conf` to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    /// `--mount=type=ssh` and `type=secret` in raw sections.
    pub ssh_mounts: bool,
    /// Any host path in `volumes`.
    pub host_volumes: bool,
    /// These host paths, and what is below them, in `volumes`.
    pub host_paths: Vec<PathBuf>,
}

/// A parsed `.dkr.conf`; the default is what a missing file means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkrConf {
    /// The image that is built on, an image reference.
    pub base_image: String,
    /// Names of packages to install, in the order of the file, each once.
    pub packages: Vec<String>,
    /// What to mount into containers.
    pub volumes: Vec<Volume>,
    sections: BTreeMap<SectionName, RawSection>,
}

impl Default for DkrConf {
    fn default() -> Self {
        DkrConf {
            base_image: DEFAULT_BASE_IMAGE.to_owned(),
            packages: Vec::new(),
            volumes: Vec::new(),
            sections: BTreeMap::new(),
        }
    }
}

impl DkrConf {
    /// The raw section `name`, if the file has it.
    pub fn section(&self, name: SectionName) -> Option<&RawSection> {
        self.sections.get(&name)
    }

    /// The raw sections, in the order in which they take effect.
    #[cfg(test)]
    pub fn sections(&self) -> impl Iterator<Item = &RawSection> {
        self.sections.values()
    }

    fn set(&mut self, pair: &Assignment, line: usize, allow: &Allow) -> Result<()> {
        let Assignment { key, value } = pair;
        let invalid = |value: &str, expected: &str| Err(invalid(value, key, line, expected));
        match key.as_str() {
            "base_image" if is_image_reference(value) => self.base_image.clone_from(value),
            "base_image" => return invalid(value, "an image reference such as `ubuntu:24.04`"),
            "packages" => {
                for name in value.split_whitespace() {
                    if !is_package(name) {
                        return invalid(
                            name,
                            "package names made of `A-Z a-z 0-9 + . _ : @ / ~ = -`",
                        );
                    }
                    if !self.packages.iter().any(|known| known == name) {
                        self.packages.push(name.to_owned());
                    }
                }
            }
            "volumes" => {
                for text in value.split_whitespace() {
                    match Volume::read(text) {
                        Ok(volume) => self.add_volume(volume, line, allow)?,
                        Err(expected) => return invalid(text, &expected),
                    }
                }
            }
            _ => return Err(unknown("key", key, &place(line), KEYS)),
        }
        Ok(())
    }

    fn add_volume(&mut self, volume: Volume, line: usize, allow: &Allow) -> Result<()> {
        let shown = shown(&volume.to_string());
        allow.check(&volume, &place(line))?;
        if self
            .volumes
            .iter()
            .any(|other| other.target == volume.target)
        {
            let expected = format!("one volume for `{}`", volume.target);
            return Err(invalid(&shown, "volumes", line, &expected));
        }
        self.volumes.push(volume);
        Ok(())
    }
}

impl Allow {
    /// Checks that the user allows what a repository's `volumes` names; `place` says where it
    /// is.
    ///
    /// # Errors
    /// When it is a host path that the user does not allow.
    pub fn check(&self, volume: &Volume, place: &str) -> Result<()> {
        let shown = shown(&volume.to_string());
        match volume.host_path() {
            Some(path) if !self.permits(path) => Err(Error::usage(format!(
                "the host path in `{shown}` for `volumes` {place} is not allowed"
            ))
            .hint("if you trust this repository, allow it with `--allow-host-volumes`")
            .hint(format!(
                "to mount it yourself, use `-v {}` with `dkr start-image`",
                quoted(&shown)
            ))),
            _ => Ok(()),
        }
    }

    fn permits(&self, path: &Path) -> bool {
        // `/data/../etc` is not below `/data`.
        let climbs = path.components().any(|part| part == Component::ParentDir);
        let below = |root: &PathBuf| !climbs && path.starts_with(root);
        self.host_volumes || self.host_paths.iter().any(below)
    }
}

/// Parses `.dkr.conf`.
///
/// # Errors
/// If the file is not text, contains a key, section, value or instruction that is not allowed, or
/// an instruction without its end. The message names the line.
pub fn parse(bytes: &[u8], allow: &Allow) -> Result<DkrConf> {
    let text = decode(bytes)?;
    let mut conf = DkrConf::default();
    let mut key_lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut section: Option<Draft> = None;
    for (index, line_with_end) in text.split_inclusive('\n').enumerate() {
        let number = index + 1;
        let line = line_with_end.strip_suffix('\n').unwrap_or(line_with_end);
        if let Some(name) = header(line, number, section.as_ref())? {
            conf.end(section.take(), allow)?;
            if let Some(other) = conf.section(name) {
                let first = other.first_line - 1;
                return Err(repeated(&format!("[{name}]"), number, first));
            }
            section = Some(Draft::new(name, number + 1));
        } else if let Some(draft) = &mut section {
            draft.push(line, number)?;
            draft.text.push_str(line_with_end);
        } else if let Some(pair) = assignment(line, number)? {
            if let Some(first) = key_lines.insert(pair.key.clone(), number) {
                return Err(repeated(&shown(&pair.key), number, first));
            }
            conf.set(&pair, number, allow)?;
        }
    }
    conf.end(section, allow)?;
    Ok(conf)
}

/// The section that `line` begins, if it is a header; `section` is the one around it.
fn header(line: &str, number: usize, section: Option<&Draft>) -> Result<Option<SectionName>> {
    let exact = SectionName::of_header(line);
    if let Some(open) = section.and_then(|draft| draft.joiner.open()) {
        if exact.is_some() && open.after_empty_line {
            return Err(Error::usage(format!(
                "`{line}` {} would continue the instruction of line {}, whose last line ends \
                 in `\\`: expected the rest of the instruction before the header",
                place(number),
                open.line
            )));
        }
        return Ok(None);
    }
    if exact.is_none() && line.trim_start().starts_with('[') {
        // No instruction of a Dockerfile and no key begins with `[`.
        let names: Vec<String> = SectionName::ALL.map(|name| format!("[{name}]")).into();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let known = SectionName::of_header(line.trim()).is_some();
        if known {
            return Err(Error::usage(format!(
                "whitespace around the header `{}` {}: expected it alone on its line",
                line.trim(),
                place(number)
            )));
        }
        return Err(unknown("section", line.trim(), &place(number), &names));
    }
    Ok(exact)
}

fn place(line: usize) -> String {
    format!("in `.dkr.conf`, line {line}")
}

/// A raw section whose end is not reached yet.
#[derive(Debug)]
struct Draft {
    name: SectionName,
    first_line: usize,
    text: String,
    joiner: Joiner,
}

impl Draft {
    fn new(name: SectionName, first_line: usize) -> Self {
        Draft {
            name,
            first_line,
            text: String::new(),
            joiner: Joiner::default(),
        }
    }

    fn push(&mut self, line: &str, number: usize) -> Result<()> {
        check_characters(line, number)?;
        if line.len() > MAX_LINE {
            return Err(Error::usage(format!(
                "cannot parse `.dkr.conf`, line {number}: it has {} bytes, and BuildKit reads at most \
                 {MAX_LINE}",
                line.len()
            )));
        }
        self.joiner.push(line, number);
        Ok(())
    }
}

impl DkrConf {
    /// Checks the instructions of a section that has ended, and stores it.
    fn end(&mut self, section: Option<Draft>, allow: &Allow) -> Result<()> {
        let Some(draft) = section else {
            return Ok(());
        };
        let name = draft.name;
        if let Some(open) = draft.joiner.open() {
            return Err(Error::usage(format!(
                "the last instruction of [{name}] {} ends in `\\`: expected its next line",
                place(open.line)
            )));
        }
        let instructions = draft.joiner.finish();
        for instruction in &instructions {
            rules::check(name, instruction, allow.ssh_mounts)?;
        }
        let section = RawSection {
            name,
            text: draft.text,
            first_line: draft.first_line,
            instructions,
        };
        self.sections.insert(name, section);
        Ok(())
    }
}

/// Whether `name` can be a package for some package manager and is only that: no option
/// (`-y`), no removal (apt's `name-`), nothing that a shell would expand.
fn is_package(name: &str) -> bool {
    let name = name.strip_prefix('@').unwrap_or(name);
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+._:@/~=-".contains(c))
}

#[cfg(test)]
mod tests;
