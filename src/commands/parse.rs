//! Reading the command line, with the user's settings as the defaults of its arguments.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser};

use super::Command;
use crate::cli::{Settings, documented};
use crate::env::Env;
use crate::error::Error;
use crate::ui::progress::ProgressMode;

/// The version for people, with the commit if `build.rs` knows it. Labels have the version alone.
const VERSION: &str = env!("DKR_VERSION");
/// The date of that commit, or nothing.
pub const DATE: &str = env!("DKR_DATE");

/// Bakes a huge git repository into a Docker image and works on it in containers.
#[derive(Debug, Parser)]
#[command(name = "dkr", version = VERSION, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  dkr create-image                     bake the current repository, once
  dkr start-image . -- make test       run a command in it, on a branch of its own
  dkr start-image --name fix-parser    work in it, in a session that can be left and come back to
  dkr update-image                     later: add the newest commits, as one thin layer
  dkr status                           what there is of it, and what work is only in containers

Most flags have a variable (`--ssh-port` is `DKR_SSH_PORT`) and a key in the \
user's configuration (`ssh_port` in `~/.config/dkr/dkr.conf`).")]
pub struct Cli {
    /// How progress is shown: auto (on a terminal only, and lines of a build elsewhere), plain, tty
    /// or quiet
    #[arg(long, value_name = "MODE", global = true, default_value = "auto")]
    pub progress: ProgressMode,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What there is to say instead of running a command.
pub enum Instead {
    /// Help or the version, which are data, or an error in clap's words.
    Text {
        /// The text.
        text: String,
        /// Whether it is an error.
        is_error: bool,
    },
    /// An error in dkr's words.
    Error(Error),
}

/// Reads the command line, the first of `args` being the program's name, and the user's settings. What
/// is wrong on the command line comes before what is wrong in the user's configuration, and help before both.
///
/// # Errors
/// What to say instead of running a command.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: &Env,
) -> Result<(Cli, Settings), Instead> {
    let loaded = Settings::load(&description(), env);
    let without_file = || Settings::of_variables(&description(), env);
    let settings = loaded
        .as_ref()
        .map_or_else(|_| without_file(), Clone::clone);
    let cli = parse_with(&settings, args)?;
    match loaded {
        // What completes a command line says nothing.
        Err(error) if !matches!(cli.command, Command::Complete(_)) => Err(Instead::Error(error)),
        _ => Ok((cli, settings)),
    }
}

/// Reads the command line with these settings.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_with(
    settings: &Settings,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Cli, Instead> {
    let command = settings.as_defaults(description());
    let matches = command.try_get_matches_from(args);
    let read = matches.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    read.map_err(|error| match settings.explain(&error) {
        Some(error) => Instead::Error(error),
        None => Instead::Text {
            text: error.render().to_string(),
            is_error: error.use_stderr(),
        },
    })
}

/// The whole command line, for what is generated from it.
pub fn description() -> clap::Command {
    Cli::command()
        .mut_args(documented)
        .mut_subcommands(|command| command.mut_args(documented))
}

#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;
