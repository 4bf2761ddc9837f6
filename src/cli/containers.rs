//! The arguments of the commands on containers.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::completion::Offer;

pub(super) const LIST_CONTAINERS_EXAMPLES: &str = "Examples:
  dkr list-containers            every container, newest first
  dkr ps .                       those of the current repository
  dkr ps --json                  the same for programs

FILES and UNPUSHED count what is only in the container; `?` is one that was killed and did not say.";

pub(super) const ATTACH_EXAMPLES: &str = "Examples:
  dkr attach fix-parser          come back to its session, or to the command that runs in it
  dkr attach fix                 a prefix will do, if no other container has it

A container that has ended is started again, on its branch and with all that is in it, for a session.
`Ctrl-b d` leaves a session, which goes on.";

pub(super) const EXEC_EXAMPLES: &str = "Examples:
  dkr exec fix-parser -- git status           run a command beside what runs there
  dkr exec fix-parser -- bash                 a shell
  tar c data | dkr exec fix-parser -- tar x   its input and output are yours

The exit status is the command's.";

pub(super) const STOP_EXAMPLES: &str = "Examples:
  dkr stop fix-parser            end what runs in it; the container stays, with all that is in it
  dkr stop $(dkr ps -q)          every container";

pub(super) const REMOVE_CONTAINER_EXAMPLES: &str = "Examples:
  dkr remove-container fix-parser          unless it runs or holds work that is nowhere else
  dkr rm --force fix-parser                whatever it holds; one that runs is killed";

pub(super) const TAKE_EXAMPLES: &str = "Examples:
  dkr take fix-parser            bring its work to your repository, whether it runs or not
  git log laptop/fix-parser      its commits
  git show refs/dkr/wip/fix-parser
                                 what was not committed, new files included, as one commit
  git cherry-pick --no-commit refs/dkr/wip/fix-parser
                                 the same in your work tree

What was taken counts as safe: the container can be removed.";

pub(super) const DIFF_EXAMPLES: &str = "Examples:
  dkr diff fix-parser            all changes since its branch point, in your pager
  dkr diff fix-parser --stat     only which files, and how much
  dkr diff fix-parser | git apply --check";

/// Arguments of `list-containers`.
#[derive(Debug, Clone, Args)]
pub struct ListContainersArgs {
    /// Path of a repository [default: all]
    #[arg(value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
    /// Print JSON
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Print container ids only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Which container.
#[derive(Debug, Clone, Args)]
pub struct ContainerArg {
    /// Working branch of the container, the beginning of it, or an id
    #[arg(allow_hyphen_values = true, add = Offer::Containers)]
    pub name: String,
}

/// Which containers.
#[derive(Debug, Clone, Args)]
pub struct ContainersArg {
    /// Working branches of containers, the beginnings of them, or ids
    #[arg(value_name = "NAME", required = true, add = Offer::Containers)]
    pub names: Vec<String>,
}

/// Arguments of `attach`.
#[derive(Debug, Clone, Args)]
pub struct AttachArgs {
    /// Which container.
    #[command(flatten)]
    pub container: ContainerArg,
}

/// Arguments of `exec`.
#[derive(Debug, Clone, Args)]
pub struct ExecArgs {
    /// Which container.
    #[command(flatten)]
    pub container: ContainerArg,
    /// Set a variable; without a value, pass on yours
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Command to run
    #[arg(
        last = true,
        value_name = "CMD",
        required = true,
        help_heading = "Command"
    )]
    pub command: Vec<String>,
}

/// Arguments of `stop`.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// Which containers.
    #[command(flatten)]
    pub containers: ContainersArg,
    /// Seconds that it may take to end before it is killed
    #[arg(short, long, value_name = "SECONDS", default_value_t = 30)]
    pub time: u16,
}

/// Arguments of `remove-container`.
#[derive(Debug, Clone, Args)]
pub struct RemoveContainerArgs {
    /// Which containers.
    #[command(flatten)]
    pub containers: ContainersArg,
    /// Also if it runs, or holds work that is nowhere else
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `take`.
#[derive(Debug, Clone, Args)]
pub struct TakeArgs {
    /// Which container.
    #[command(flatten)]
    pub container: ContainerArg,
    /// Also if its branch on the host has commits that the container does not have
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// Which container.
    #[command(flatten)]
    pub container: ContainerArg,
    /// Show only which files changed, and how much
    #[arg(long)]
    pub stat: bool,
}
