//! The arguments of the two commands of completion, and what completes an argument beside the words
//! that clap knows.

use std::ffi::OsString;

use clap::builder::ArgExt;
use clap::{Args, ValueEnum};

pub(super) const COMPLETIONS_EXAMPLES: &str = "Examples:
  dkr completions bash > ~/.local/share/bash-completion/completions/dkr
  dkr completions zsh > ~/.zfunc/_dkr          (a folder of your `fpath`)
  dkr completions fish > ~/.config/fish/completions/dkr.fish";

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// The shells that dkr completes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

/// Arguments of `complete`.
#[derive(Debug, Clone, Args)]
pub struct CompleteArgs {
    /// The shell that asks
    pub shell: Shell,
    /// The words of the command line up to the cursor; for bash the line itself, and the part of its last
    /// word that bash will replace
    #[arg(last = true)]
    pub words: Vec<OsString>,
}

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
