//! The command line, as clap reads it, with the user's settings as the defaults of its arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};

mod choices;
mod completion;
mod containers;
mod given;
mod look;
mod settings;
mod start;
#[cfg(test)]
mod tests;
mod user_file;
mod values;

pub use completion::*;
pub use containers::*;
pub use given::Given;
pub use look::*;
pub use settings::{Settings, Source, variable};
pub use start::*;

use crate::bake::create::CloneMode;
use crate::bake::transport::{BuildNetwork, TransportMode};
use crate::bake::update::DriftAnswer;
use crate::env::Env;
use crate::error::Error;
use crate::image::dkr_conf::Allow;
use crate::ui::progress::ProgressMode;
use values::{HostPaths, host_paths, number, switch, text};

/// Bakes a huge git repository into a Docker image and works on it in containers.
#[derive(Debug, Parser)]
#[command(name = "dkr", version, propagate_version = true, max_term_width = 100)]
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
    let loaded = Settings::load(env);
    let without_file = || Settings::of_variables(env);
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
fn parse_with(
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
        .mut_args(settings::documented)
        .mut_subcommands(|command| command.mut_args(settings::documented))
}

/// The commands of dkr.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bake a repository and its toolchain into an image
    #[command(visible_alias = "ci", after_help = CREATE_EXAMPLES)]
    CreateImage(CreateImageArgs),
    /// Add the newest commits to an image, as one thin layer
    #[command(visible_alias = "ui", after_help = UPDATE_EXAMPLES)]
    UpdateImage(UpdateImageArgs),
    /// Start a container on its own working branch
    #[command(visible_aliases = ["si", "start-container", "sc"], after_help = START_EXAMPLES)]
    StartImage(Box<StartImageArgs>),
    /// Serve the git channel of a container (started by dkr itself)
    #[command(hide = true)]
    ChannelServer {
        /// The channel's folder.
        folder: PathBuf,
    },
    /// List the containers, and what work is only in them
    #[command(visible_alias = "ps", after_help = LIST_CONTAINERS_EXAMPLES)]
    ListContainers(ListContainersArgs),
    /// Come back to a container
    #[command(after_help = ATTACH_EXAMPLES)]
    Attach(AttachArgs),
    /// Run a command in a container
    #[command(after_help = EXEC_EXAMPLES)]
    Exec(ExecArgs),
    /// End what runs in containers
    #[command(after_help = STOP_EXAMPLES)]
    Stop(StopArgs),
    /// Remove containers, but not with work that is nowhere else
    #[command(visible_alias = "rm", after_help = REMOVE_CONTAINER_EXAMPLES)]
    RemoveContainer(RemoveContainerArgs),
    /// Bring the work of a container to your repository
    #[command(after_help = TAKE_EXAMPLES)]
    Take(TakeArgs),
    /// Show what a container changed
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(DiffArgs),
    /// List the images that dkr made
    #[command(visible_alias = "ls", after_help = LIST_EXAMPLES)]
    ListImages(ListImagesArgs),
    /// Show what is known of an image
    #[command(after_help = INSPECT_EXAMPLES)]
    InspectImage(InspectImageArgs),
    /// Remove images
    #[command(after_help = REMOVE_EXAMPLES)]
    RemoveImage(RemoveImageArgs),
    /// Remove the images that newer ones have replaced, and containers that have ended
    #[command(after_help = PRUNE_EXAMPLES)]
    Prune(PruneArgs),
    /// Show a repository's images and containers on one screen
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Check everything that dkr needs
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Write a commented `.dkr.conf` to start from
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitArgs),
    /// Show every setting and where its value comes from
    #[command(after_help = SHOW_CONFIG_EXAMPLES)]
    ShowConfig(ShowConfigArgs),
    /// Print the completions of a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Say what completes a command line (asked by the shell)
    #[command(hide = true)]
    Complete(CompleteArgs),
}

const CREATE_EXAMPLES: &str = "Examples:
  dkr create-image                       the current repository, the branch that HEAD is on
  dkr create-image ~/src/linux v6.12     a tag of another repository
  dkr create-image . space/main          the branch `main` of the remote `space`, fetched first
  dkr create-image --dry-run             show the Dockerfile, labels and tags; build nothing";

const UPDATE_EXAMPLES: &str = "Examples:
  dkr update-image                       the current repository, the branch that HEAD is on
  dkr update-image . space/main          the branch `main` of the remote `space`, fetched first
  dkr update-image --drift ignore        even if `.dkr.conf` changed in a way that needs a new bake";

const LIST_EXAMPLES: &str = "Examples:
  dkr list-images                  every image, newest first
  dkr list-images . main           the images of the current repository's `main`
  dkr list-images --stale          how far each is behind its branch
  dkr list-images --json           the same for programs";

/// Which repository and which of its refs.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// Path of a repository [default: the current directory's]
    #[arg(value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
    /// Branch, `remote/branch`, tag or commit [default: the branch that HEAD is on]
    #[arg(value_name = "REF", add = Offer::Refs)]
    pub reference: Option<String>,
}

/// Which images to search.
#[derive(Debug, Clone, Args)]
pub struct SearchArgs {
    /// Path of a repository [default: any]
    #[arg(value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
    /// Branch, `remote/branch`, tag or commit [default: any]
    #[arg(value_name = "REF", add = Offer::Refs)]
    pub reference: Option<String>,
}

/// How the host's SSH server is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "SSH")]
pub struct SshArgs {
    /// Private key that the host's SSH server accepts [default: ~/.ssh/id_rsa, id_ed25519 or
    /// id_ecdsa]
    #[arg(long, value_name = "PATH")]
    pub ssh_key: Option<PathBuf>,
    /// User on the host [default: you]
    #[arg(long, value_name = "USER", value_parser = text)]
    pub ssh_user: Option<String>,
    /// The host as the build sees it [default: ::1 for an engine on this machine]
    #[arg(long, value_name = "HOST", value_parser = text)]
    pub ssh_host: Option<String>,
    /// Port of the SSH server [default: 22]
    #[arg(long, value_name = "PORT", value_parser = number::<u16>(1..=65_535))]
    pub ssh_port: Option<u16>,
    /// File with the passphrase of the key [default: asked for on a terminal]
    #[arg(long, value_name = "FILE")]
    pub ssh_passphrase_file: Option<PathBuf>,
}

/// Whether a repository may have host paths mounted.
#[derive(Debug, Clone, Args)]
pub struct HostVolumesArg {
    /// Let `.dkr.conf` name host paths in `volumes`
    #[arg(long, action = ArgAction::SetTrue, value_parser = host_paths)]
    pub allow_host_volumes: HostPaths,
}

/// How an image is built.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Build")]
pub struct BuildArgs {
    /// Print the Dockerfile, labels and tags, and build nothing
    #[arg(long, value_parser = switch)]
    pub dry_run: bool,
    /// Do not use the engine's build cache
    #[arg(long, value_parser = switch)]
    pub no_cache: bool,
    /// How the repository is copied: packs (as they are, shared by all its branches) or full (a
    /// plain clone)
    #[arg(long, value_name = "HOW", default_value = "packs")]
    pub clone: CloneMode,
    /// How the build reaches the repository: ssh, session (the build session, which needs no server and
    /// no key) or auto (SSH if the host's server takes your key, else the session)
    #[arg(long, value_name = "WAY", default_value = "auto")]
    pub transport: TransportMode,
    /// Network of the build's steps: default, host or none [default: the engine's; with SSH host]
    #[arg(long, value_name = "MODE")]
    pub build_network: Option<BuildNetwork>,
    /// Let `.dkr.conf` mount SSH agents and secrets: its steps could sign with your key
    #[arg(long, value_parser = switch)]
    pub allow_ssh_mounts: bool,
    /// Whether to allow host paths.
    #[command(flatten)]
    pub host_volumes: HostVolumesArg,
}

impl BuildArgs {
    /// What the user permits a repository's `.dkr.conf`.
    pub fn allow(&self) -> Allow {
        let host = &self.host_volumes.allow_host_volumes;
        Allow {
            ssh_mounts: self.allow_ssh_mounts,
            host_volumes: *host == HostPaths::Everything,
            host_paths: match host {
                HostPaths::These(paths) => paths.clone(),
                HostPaths::Nothing | HostPaths::Everything => Vec::new(),
            },
        }
    }
}

/// Arguments of `create-image`.
#[derive(Debug, Clone, Args)]
pub struct CreateImageArgs {
    /// The flags that were given.
    #[command(flatten)]
    pub given: Given,
    /// What to bake.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Bake even if the engine's disk seems to have too little room, without the build cache
    #[arg(long)]
    pub force: bool,
    /// How to reach the repository.
    #[command(flatten)]
    pub ssh: SshArgs,
    /// How to build.
    #[command(flatten)]
    pub build: BuildArgs,
}

/// Arguments of `update-image`.
#[derive(Debug, Clone, Args)]
pub struct UpdateImageArgs {
    /// The flags that were given.
    #[command(flatten)]
    pub given: Given,
    /// What to update.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Build a layer even if there is nothing new
    #[arg(long)]
    pub force: bool,
    /// If `.dkr.conf` changed so that only a new bake helps: ask, bake, ignore or fail
    #[arg(long, value_name = "ANSWER", default_value = "ask")]
    pub drift: DriftAnswer,
    /// How to reach the repository.
    #[command(flatten)]
    pub ssh: SshArgs,
    /// How to build.
    #[command(flatten)]
    pub build: BuildArgs,
}

/// Arguments of `list-images`.
#[derive(Debug, Clone, Args)]
pub struct ListImagesArgs {
    /// Which images [default: all]
    #[command(flatten)]
    pub target: SearchArgs,
    /// Print JSON
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Print image ids only
    #[arg(short, long)]
    pub quiet: bool,
    /// Compare each image with its branch
    #[arg(long = "stale", conflicts_with = "quiet")]
    pub compare: bool,
    /// Do not shorten anything
    #[arg(long)]
    pub no_trunc: bool,
}
