//! What completes an argument, in addition to the values that clap knows.

use clap::builder::ArgExt;

/// What completes an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Image tags, in addition to what the argument's value hint allows.
    Images,
    /// Working branches of containers.
    Containers,
    /// Refs of the repository given before it, or of the current directory's.
    Refs,
    /// These words; other values are accepted, too.
    Words(&'static [&'static str]),
}

impl ArgExt for Offer {}
