//! `dkr attach`: comes back to a container.

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
  dkr attach fix-parser          come back to its session, or to the command that runs in it
  dkr attach fix                 a prefix will do, if no other container has it

A container that has ended is started again, on its branch and with all that is in it, for a session.
`Ctrl-b d` leaves a session, which goes on.";

/// Arguments of `attach`.
#[derive(Debug, Clone, Args)]
pub struct AttachArgs {
    /// Which container.
    #[command(flatten)]
    pub container: ContainerArg,
}

/// Runs the command; its result is the status of what ran in the container, 0 if that goes on.
///
/// # Errors
/// `NotFound` if there is no such container; when it cannot be started or attached to.
pub async fn run(cx: &Context, args: &AttachArgs) -> Result<u8> {
    let waiting = cx.ui.waiting("look for the container");
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
