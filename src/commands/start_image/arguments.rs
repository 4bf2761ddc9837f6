//! The arguments of `start-image`.

use std::path::PathBuf;

use clap::Args;

use crate::bake::transport::TransportMode;
use crate::cli::values::{number, own_network};
use crate::cli::{Given, HostVolumesArg, LimitArgs, Offer, SearchArgs, SshArgs};
use crate::container::Keep;
use crate::container::staleness::StaleAnswer;

pub const EXAMPLES: &str = "Examples:
  dkr start-image                        a tmux session in the newest of all images
  dkr start-image . main -- make test    run a command and return its exit status
  dkr start-image . --name fix-parser    on the branch `fix-parser`; reattach if it has a container
  dkr start-image --detach -- make       run in the background; `dkr attach` shows the output
  dkr start-image --cpus 4 --memory 8g   limit its CPUs and memory
  dkr start-image --stale fail -- make   fail if the image is stale

In the container, `git push` writes to the branch <hostname>/<working branch> of your repository.
A container that has ended is removed unless it has unsaved work.";

/// Arguments of `start-image`.
#[derive(Debug, Clone, Args)]
pub struct StartImageArgs {
    /// The flags that were given.
    #[command(flatten)]
    pub given: Given,
    /// Which image [default: the newest of all]
    #[command(flatten)]
    pub target: SearchArgs,
    /// Name of the working branch and the container [default: two random words]
    #[arg(long, value_name = "BRANCH", allow_hyphen_values = true)]
    pub name: Option<String>,
    /// Run the container in the background and print its name
    #[arg(short, long)]
    pub detach: bool,
    /// Whether to keep the container when it has ended: auto (if it has unsaved work), always or
    /// never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub keep: Keep,
    /// The same as `--keep never`
    #[arg(long, conflicts_with = "keep")]
    pub rm: bool,
    /// File with an Anthropic API key, mounted read-only
    #[arg(long, value_name = "FILE")]
    pub anthropic_key: Option<PathBuf>,
    /// What to do with a stale image: ask, update, proceed or fail
    #[arg(long, value_name = "ANSWER", default_value = "ask")]
    pub stale: StaleAnswer,
    /// How many commits an image may be behind before it counts as stale
    #[arg(long, value_name = "N", default_value = "50", value_parser = number::<u64>(0..=u64::MAX))]
    pub max_behind: u64,
    /// How the container reaches your repository: auto or session (the channel, without a key), or
    /// ssh (with your key mounted)
    #[arg(long, value_name = "WAY", default_value = "auto")]
    pub transport: TransportMode,
    /// Forward your SSH agent to the container, for pushing to the repository's `origin`
    #[arg(long)]
    pub forward_agent: bool,
    /// Network of the container, but not `container:NAME` [default: bridge; host with `--transport
    /// ssh`]
    #[arg(long, value_name = "MODE", value_parser = own_network)]
    #[arg(add = Offer::Words(&["bridge", "host", "none"]))]
    pub network: Option<String>,
    /// Mount a volume or a host path: SOURCE:TARGET[:ro]
    #[arg(short, long = "volume", id = "volume", value_name = "VOLUME")]
    pub volumes: Vec<String>,
    /// Set an environment variable; KEY alone passes on yours
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Publish a port: [[IP:]HOST_PORT:]PORT[/tcp|udp]
    #[arg(short, long = "publish", id = "publish", value_name = "PORT")]
    pub ports: Vec<String>,
    /// Whether to allow host paths.
    #[command(flatten)]
    pub host_volumes: HostVolumesArg,
    /// Resource limits.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// How to reach the repository.
    #[command(flatten)]
    pub ssh: SshArgs,
    /// Command to run [default: a tmux session]
    #[arg(last = true, value_name = "CMD", help_heading = "Command")]
    pub command: Vec<String>,
}
