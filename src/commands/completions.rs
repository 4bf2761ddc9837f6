//! `dkr completions`: prints the completion script of a shell.

use clap::{Args, ValueEnum};

use crate::app::Context;
use crate::error::Result;

pub(super) const EXAMPLES: &str = "Examples:
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

/// Runs the command.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(cx: &Context, args: &CompletionsArgs) -> Result<()> {
    cx.ui.data(match args.shell {
        Shell::Bash => include_str!("../../assets/completion.bash"),
        Shell::Zsh => include_str!("../../assets/completion.zsh"),
        Shell::Fish => include_str!("../../assets/completion.fish"),
    })
}
