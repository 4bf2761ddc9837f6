//! Parsing the command line, with the user's settings as the defaults of its arguments.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::{Command, Internal};
use crate::cli::{Settings, documented};
use crate::env::Env;
use crate::error::Error;
use crate::ui::progress::ProgressMode;

/// The version for `--version`, with the commit if `build.rs` knows it. Labels have only the version.
const VERSION: &str = env!("DKR_VERSION");
/// The date of that commit, or an empty string.
pub const DATE: &str = env!("DKR_DATE");

/// Bakes a huge git repository into a Docker image and works on it in containers.
#[derive(Debug, Parser)]
#[command(name = "dkr", version = VERSION, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  dkr create-image                     bake the current repository (once)
  dkr start-image . -- make test       run a command in a container, on a new working branch
  dkr start-image . --name fix-parser  work in a session that you can detach from and reattach to
  dkr update-image                     later: add the newest commits as one thin layer
  dkr status                           show its images, its containers and their unsaved work

Most flags have a variable (`--ssh-port` is `DKR_SSH_PORT`) and a key in the \
user configuration (`ssh_port` in `~/.config/dkr/dkr.conf`).")]
pub struct Cli {
    /// How to show progress: auto (live on a terminal, elsewhere only the lines of a build), plain, tty
    /// or quiet
    #[arg(long, value_name = "MODE", global = true, default_value = "auto")]
    pub progress: ProgressMode,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The command line of a command that nobody types.
#[derive(Debug, Parser)]
#[command(name = "dkr")]
struct InternalCli {
    #[command(subcommand)]
    command: Internal,
}

/// What to print instead of running a command.
pub enum Instead {
    /// Help or the version, which are data, or clap's own error message.
    Text {
        /// The text.
        text: String,
        /// Whether it is an error.
        is_error: bool,
    },
    /// An error of dkr itself.
    Error(Error),
}

/// Parses the command line, whose first argument is the program's name, and reads the user's settings.
/// Errors on the command line come before errors in the user configuration, and help before both.
///
/// # Errors
/// What to print instead of running a command.
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
        // Completion prints no errors.
        Err(error) if !matches!(cli.command, Command::Internal(Internal::Complete(_))) => {
            Err(Instead::Error(error))
        }
        _ => Ok((cli, settings)),
    }
}

/// Parses the command line with these settings.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_with(
    settings: &Settings,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Cli, Instead> {
    let args: Vec<OsString> = args.into_iter().collect();
    let name = args.get(1).and_then(|name| name.to_str());
    let read = if name.is_some_and(Internal::has_subcommand) {
        InternalCli::try_parse_from(args).map(|cli| Cli {
            progress: ProgressMode::default(),
            command: Command::Internal(cli.command),
        })
    } else {
        let matches = settings
            .as_defaults(description())
            .try_get_matches_from(args);
        matches.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches))
    };
    read.map_err(|error| match settings.explain(&error) {
        Some(error) => Instead::Error(error),
        None => Instead::Text {
            text: error.render().to_string(),
            is_error: error.use_stderr(),
        },
    })
}

/// The description of the whole command line, also for what is generated from it.
pub fn description() -> clap::Command {
    Cli::command()
        .mut_args(documented)
        .mut_subcommands(|command| command.mut_args(documented))
}

#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;
