//! `dkr completions`: what a shell needs to complete dkr's command line.

use crate::app::Context;
use crate::cli::{CompletionsArgs, Shell};
use crate::error::Result;

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
