//! `dkr exec`: runs a command in a running container.

use clap::Args;
use tokio::io::{stderr, stdout};

use super::containers::choose;
use crate::app::Context;
use crate::cli::ContainerArg;
use crate::container::Containers;
use crate::container::labels::working_branch;
use crate::container::spec::environment;
use crate::container::start::terminal_variables;
use crate::container::watch;
use crate::container::work::Probe;
use crate::container::work::probe::until_prepared;
use crate::engine::stdin::Stdin;
use crate::engine::streams::Streams;
use crate::engine::{Engine, containers, exec};
use crate::error::{Error, Result, quoted};

pub(super) const EXAMPLES: &str = "Examples:
  dkr exec fix-parser -- git status           run a command in a running container
  dkr exec fix-parser -- bash                 a shell
  tar c data | dkr exec fix-parser -- tar x   stdin and stdout are passed through

The exit status is that of the command.";

/// Arguments of `exec`.
#[derive(Debug, Clone, Args)]
pub struct ExecArgs {
    /// Which container.
    #[command(flatten)]
    pub container: ContainerArg,
    /// Set an environment variable; KEY alone passes on yours
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

/// Runs the command; returns the exit status of the command in the container.
///
/// # Errors
/// `NotFound` if there is no such container; when it is not running.
pub async fn run(cx: &Context, args: &ExecArgs) -> Result<u8> {
    let own = environment(&args.env, &cx.env)?;
    let waiting = cx.ui.waiting("looking up the container");
    let engine = Engine::connect(&cx.env).await?;
    let containers = Containers::read(&engine, &cx.env).await?;
    let container = choose(&containers, &args.container.name)?;
    let name = working_branch(container);
    let id = &container.id;
    Probe::new(&engine, cx).until_left_alone(id).await?;
    let state = containers::inspect(&engine, &id.0).await?;
    if !state.running {
        return Err(
            Error::failed(format!("cannot run `{}`", args.command.join(" ")))
                .cause(format!("container `{name}` is not running"))
                .hint(format!("start it with `dkr attach {}`", quoted(name))),
        );
    }
    let _hold = watch::ensure_running(id, cx).await?;
    if let Some(began) = &state.started_at {
        until_prepared(&engine, id, began).await;
    }
    let terminal = cx.ui.terminal().stdin && cx.ui.terminal().stdout;
    let env = if terminal {
        [terminal_variables(&cx.env), own].concat()
    } else {
        own
    };
    let stdin = Stdin::open().map_err(|e| Error::failed("cannot read stdin").source(e))?;
    let streams = Streams {
        stdin: Some(stdin),
        stdout: stdout(),
        stderr: stderr(),
    };
    drop(waiting);
    let mut signals = cx.signals.hand_over()?;
    let command = &args.command;
    let ended = exec::run(&engine, id, command, env, terminal, streams, &mut signals).await?;
    Ok(ended.0)
}
