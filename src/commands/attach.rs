//! `dkr attach`: reattaches to a container.

use clap::Args;

use super::containers::choose;
use crate::app::Context;
use crate::cli::ContainerArg;
use crate::container::Containers;
use crate::container::labels::working_branch;
use crate::container::own::inspect;
use crate::container::start::{StartedContainer, keep_of, reattach};
use crate::container::watch;
use crate::container::work::Probe;
use crate::engine::Engine;
use crate::error::Result;

pub(super) const EXAMPLES: &str = "Examples:
  dkr attach fix-parser          reattach to its session, or to the command that it runs
  dkr attach fix                 a prefix is enough if it is unique

A container that has ended is restarted with a session, on its working branch and with all its files.
`Ctrl-b d` detaches from a session, which keeps running.";

/// Arguments of `attach`.
#[derive(Debug, Clone, Args)]
pub struct AttachArgs {
    /// Which container.
    #[command(flatten)]
    pub container: ContainerArg,
}

/// Runs the command; returns the exit status of the container, or 0 if it is still running.
///
/// # Errors
/// `NotFound` if there is no such container; when it cannot be started or attached to.
pub async fn run(cx: &Context, args: &AttachArgs) -> Result<u8> {
    let waiting = cx.ui.waiting("looking up the container");
    let engine = Engine::connect(&cx.env).await?;
    let containers = Containers::read(&engine, &cx.env).await?;
    let container = choose(&containers, &args.container.name)?;
    let probe = Probe::new(&engine, cx);
    probe.until_left_alone(&container.id).await?;
    let _hold = watch::ensure_running(&container.id, cx).await?;
    let state = inspect(&engine, container).await?;
    drop(waiting);
    let target = StartedContainer {
        engine: &engine,
        id: &state.id,
        name: working_branch(container),
        keep: keep_of(&state),
    };
    let terminal = cx.ui.terminal().stdin && cx.ui.terminal().stdout;
    let status = reattach(&target, &state, terminal, cx).await;
    watch::sweep(&engine, cx).await;
    status
}
