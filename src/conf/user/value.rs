//! A setting's value together with where it comes from, which `show-config` tells and errors
//! name.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// The setting's `DKR_*` variable.
    Variable,
    /// A line of the user's configuration, counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line in it.
        line: usize,
    },
    /// Nothing set it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("flag"),
            Source::Variable => f.write_str("variable"),
            Source::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Source::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Valued<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

impl<T> Valued<T> {
    /// Another value from the same place.
    pub(super) fn with<U>(self, value: U) -> Valued<U> {
        Valued {
            value,
            source: self.source,
        }
    }
}

/// Which host paths a repository's `volumes` may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Allowance {
    /// None.
    #[default]
    Nothing,
    /// Any.
    Everything,
    /// These and what is below them.
    Paths(Vec<PathBuf>),
}
