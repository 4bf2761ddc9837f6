//! What completes an argument beside the words that clap knows.

use clap::builder::ArgExt;

/// What an argument is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Tags of images, and what else its hint names.
    Images,
    /// Working branches of containers.
    Containers,
    /// Refs of the repository that stands before it, or of the current directory's.
    Refs,
    /// These, though it takes others as well.
    Words(&'static [&'static str]),
}

impl ArgExt for Offer {}
