//! The arguments of `start-image`.

use std::path::PathBuf;

use clap::Args;

use super::{SearchArgs, SshArgs};

pub(super) const START_EXAMPLES: &str = "Examples:
  dkr start-image                        a tmux session in the newest image of all
  dkr start-image . main -- make test    run a command and pass on its status
  dkr start-image --name fix-parser      on a branch of that name; come back to it if it exists
  dkr start-image --detach -- make       leave it running: `dkr attach` shows what it prints
  dkr start-image --cpus 4 --memory 8g   with so much of the machine at most
  dkr start-image --stale fail -- make   only if the image is fresh enough

In the container `git push` writes to the branch <hostname>/<working branch> of your repository.
A container that has ended is removed, unless it holds work that is nowhere else.";

/// What a container may use of the machine, as `docker run` has it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Processors, such as 1.5 [default: all]
    #[arg(long, value_name = "N")]
    pub cpus: Option<String>,
    /// Memory, such as 512m or 8g [default: all]
    #[arg(long, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Processes; -1 for no limit [default: the engine's]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub pids_limit: Option<String>,
    /// Graphics processors: all, a number, or device=ID [default: none]
    #[arg(long, value_name = "GPUS")]
    pub gpus: Option<String>,
}

/// Arguments of `start-image`.
#[derive(Debug, Clone, Args)]
pub struct StartImageArgs {
    /// Which image [default: the newest of all]
    #[command(flatten)]
    pub target: SearchArgs,
    /// Name of the working branch and the container [default: two random words]
    #[arg(long, value_name = "BRANCH", allow_hyphen_values = true)]
    pub name: Option<String>,
    /// Leave the container running, and print its name
    #[arg(short, long)]
    pub detach: bool,
    /// Whether to keep the container when it has ended: auto (if it holds work that is nowhere
    /// else), always or never [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub keep: Option<String>,
    /// The same as `--keep never`
    #[arg(long, conflicts_with = "keep")]
    pub rm: bool,
    /// File with an Anthropic API key, mounted read-only
    #[arg(long, value_name = "FILE")]
    pub anthropic_key: Option<PathBuf>,
    /// What to do with a stale image: ask, update, proceed or fail
    #[arg(long, value_name = "ANSWER")]
    pub stale: Option<String>,
    /// How many commits an image may be behind before that is asked [default: 50]
    #[arg(long, value_name = "N")]
    pub max_behind: Option<u64>,
    /// How the container reaches your repository: auto or session (a channel, no key), or ssh (your
    /// key is mounted) [default: auto]
    #[arg(long, value_name = "WAY")]
    pub transport: Option<String>,
    /// Let the container use your SSH agent, for pushing to the repository's `origin`
    #[arg(long)]
    pub forward_agent: bool,
    /// Network of the container; not that of another one (`container:NAME`) [default: bridge; with
    /// SSH host]
    #[arg(long, value_name = "MODE")]
    pub network: Option<String>,
    /// Mount a volume or a host path: SOURCE:TARGET[:ro]
    #[arg(short, long = "volume", value_name = "VOLUME")]
    pub volumes: Vec<String>,
    /// Set a variable; without a value, pass on yours
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Publish a port: [[IP:]HOST_PORT:]PORT[/tcp|udp]
    #[arg(short, long = "publish", value_name = "PORT")]
    pub ports: Vec<String>,
    /// Let `.dkr.conf` name host paths in `volumes`
    #[arg(long)]
    pub allow_host_volumes: bool,
    /// What it may use of the machine.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// How to reach the repository.
    #[command(flatten)]
    pub ssh: SshArgs,
    /// Command to run [default: a tmux session]
    #[arg(last = true, value_name = "CMD", help_heading = "Command")]
    pub command: Vec<String>,
}
