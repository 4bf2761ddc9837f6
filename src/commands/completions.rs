//! `dkr completions`: what a shell needs to complete dkr's command line.

use crate::bake::Context;
use crate::cli::{CompletionsArgs, Shell, description};
use crate::error::{Error, Result};

/// Runs the command.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(cx: &Context, args: &CompletionsArgs) -> Result<()> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut description(), "dkr", &mut script);
    let script = String::from_utf8(script);
    let script = script.map_err(|e| Error::bug("cannot make completions").because(e))?;
    cx.ui.data(&script)
}
