//! The id of a commit as a type of its own, so that it cannot be mistaken for a ref name.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The full id of a commit: 40 hexadecimal digits (SHA-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(git2::Oid);

/// How many digits are shown: unambiguous even in repositories with millions of objects.
const SHORT_DIGITS: usize = 10;

impl CommitId {
    /// The first digits, for people to read.
    pub fn short(&self) -> String {
        short(&self.0.to_string()).to_owned()
    }

    pub(super) fn oid(self) -> git2::Oid {
        self.0
    }
}

/// The first digits of a commit as a label has it, for people to read.
pub fn short(commit: &str) -> &str {
    commit.get(..SHORT_DIGITS).unwrap_or(commit)
}

impl From<git2::Oid> for CommitId {
    fn from(oid: git2::Oid) -> Self {
        CommitId(oid)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CommitId {
    type Err = Error;

    /// Reads a full id; an abbreviation is not one.
    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || {
            Error::usage(format!(
                "invalid commit id `{text}`: expected 40 hexadecimal digits"
            ))
        };
        // libgit2 also accepts a shorter text, and pads it with zeros.
        if text.len() != 40 {
            return Err(invalid());
        }
        git2::Oid::from_str(text)
            .map(CommitId)
            .map_err(|_| invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_id_is_a_commit_id() {
        let full = "0123456789abcdef0123456789abcdef01234567";
        let id: CommitId = full.parse().unwrap();
        assert_eq!(id.to_string(), full);
        assert_eq!(id.short(), "0123456789");
        assert_eq!((short(full), short("main")), ("0123456789", "main"));
        for text in ["", "0123", &full[1..], &full.replace('0', "g"), "main"] {
            assert!(text.parse::<CommitId>().is_err(), "{text}");
        }
    }
}
