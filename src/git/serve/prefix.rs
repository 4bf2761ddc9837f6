//! The part of the branch namespace that one container may push to.

use std::fmt;

use crate::error::{Error, Result};

/// A single path component of a branch name, made from a hostname: a container pushes to
/// `refs/heads/<prefix>/*`.
///
/// It holds only `A-Z a-z 0-9 . _ -`, so that it means the same in a refspec, a `hideRefs`
/// pattern and a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushPrefix(String);

impl PushPrefix {
    /// The prefix for `hostname`. A name that git allows as a branch component is unchanged;
    /// otherwise every other character becomes `-`, `.` and `-` at the start and `.` at the end
    /// are dropped, `..` becomes `.`, a final `.lock` becomes `-lock`, and an empty name becomes
    /// `host`. The container must use this same value, not its own hostname.
    pub fn of_hostname(hostname: &str) -> Self {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let mut name = hostname.replace(|c| !known(c), "-");
        while name.contains("..") {
            name = name.replace("..", ".");
        }
        let mut name = name
            .trim_start_matches(['.', '-'])
            .trim_end_matches('.')
            .to_string();
        name.truncate(MAX_LENGTH);
        if let Some(stem) = name.strip_suffix(".lock") {
            name = format!("{stem}-lock");
        }
        let name = name.trim_end_matches('.');
        PushPrefix(if name.is_empty() { "host" } else { name }.to_string())
    }

    /// Checks a prefix that was made before.
    ///
    /// # Errors
    /// When [`PushPrefix::of_hostname`] cannot have made it.
    pub fn parse(text: &str) -> Result<Self> {
        let prefix = Self::of_hostname(text);
        if prefix.0 != text {
            let message = format!("invalid push prefix `{}`", text.escape_debug());
            return Err(Error::usage(message).cause(format!("expected `{prefix}`")));
        }
        Ok(prefix)
    }

    /// The prefix itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the refs that may be pushed begin with.
    pub fn namespace(&self) -> String {
        format!("refs/heads/{}/", self.0)
    }

    /// The branch that, if it exists, makes any ref below the prefix impossible.
    pub fn blocking_ref(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

/// Linux allows host names of 64 bytes.
const MAX_LENGTH: usize = 64;

impl fmt::Display for PushPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_ordinary_hostname_is_its_own_prefix() {
        for name in ["box", "build-7.example.org", "A_b", "x"] {
            assert_eq!(PushPrefix::of_hostname(name).as_str(), name);
            assert!(PushPrefix::parse(name).is_ok());
        }
    }

    #[test]
    fn a_hostname_that_would_change_a_pattern_is_mapped() {
        let cases = [
            ("a*b", "a-b"),
            ("..", "host"),
            ("", "host"),
            ("!box", "box"),
            ("^box", "box"),
            ("box/", "box-"),
            ("-rf", "rf"),
            ("a..b", "a.b"),
            ("box.lock", "box-lock"),
            ("box.", "box"),
            ("bücher", "b-cher"),
            ("a\nb", "a-b"),
        ];
        for (hostname, expected) in cases {
            assert_eq!(PushPrefix::of_hostname(hostname).as_str(), expected);
            assert!(PushPrefix::parse(hostname).is_err(), "{hostname:?}");
        }
    }

    proptest! {
        #[test]
        fn every_prefix_is_one_branch_component_and_maps_to_itself(hostname in ".{0,80}") {
            let prefix = PushPrefix::of_hostname(&hostname);
            let name = format!("refs/heads/{prefix}");
            prop_assert!(git2::Reference::is_valid_name(&name), "{}", name);
            prop_assert!(!prefix.as_str().contains('/'));
            prop_assert!(PushPrefix::parse(prefix.as_str()).is_ok());
        }
    }
}
