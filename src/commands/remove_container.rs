//! `dkr remove-container`: removes containers, unless they have unsaved work.

use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use super::containers::choose_all;
use crate::app::Context;
use crate::cli::ContainersArg;
use crate::container::Containers;
use crate::container::finish::remove;
use crate::container::labels::working_branch;
use crate::container::watch;
use crate::container::work::Probe;
use crate::container::work::list::work_of;
use crate::engine::containers::{self, force_remove};
use crate::engine::{Engine, ListedContainer};
use crate::error::{Error, Kind, Result, quoted};

pub(super) const EXAMPLES: &str = "Examples:
  dkr remove-container fix-parser          unless it is running or has unsaved work
  dkr rm --force fix-parser                even then: a running container is killed";

/// Arguments of `remove-container`.
#[derive(Debug, Clone, Args)]
pub struct RemoveContainerArgs {
    /// Which containers.
    #[command(flatten)]
    pub containers: ContainersArg,
    /// Remove even a running container, or one with unsaved work
    #[arg(long)]
    pub force: bool,
}

/// How long a forced removal waits for another dkr that handles the end of the container.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the command.
///
/// # Errors
/// `NotFound` if a name matches no container; when one of them is running or has unsaved work. None is
/// removed then.
pub async fn run(cx: &Context, args: &RemoveContainerArgs) -> Result<()> {
    let waiting = cx.ui.waiting("checking containers for unsaved work");
    let engine = Engine::connect(&cx.env).await?;
    let containers = Containers::read(&engine, &cx.env).await?;
    let chosen = choose_all(&containers, &args.containers.names)?;
    let mut holds = Vec::new();
    for container in &chosen {
        let hold = watch::hold(&container.id, cx);
        match args.force {
            // A dkr that holds the lease for long is waiting for the container.
            true => holds.extend(timeout(PATIENCE, hold).await),
            false => holds.push(Ok(hold.await?)),
        }
    }
    if !args.force {
        check(&Probe::new(&engine, cx), &chosen).await?;
    }
    drop(waiting);
    for container in chosen {
        let waiting = cx.ui.waiting("removing container");
        match args.force {
            true => match force_remove(&engine, &container.id).await {
                Err(error) if error.kind == Kind::NotFound => {}
                other => other?,
            },
            false => remove(&engine, &container.id).await?,
        }
        drop(waiting);
        cx.ui.data(&format!("{}\n", container.id.0))?;
        cx.ui.message(&format!(
            "removed container `{}`",
            working_branch(container)
        ));
    }
    watch::sweep(&engine, cx).await;
    Ok(())
}

/// Fails if a container must not be removed, with all reasons.
async fn check(probe: &Probe<'_>, chosen: &[&ListedContainer]) -> Result<()> {
    let mut reasons = Vec::new();
    let (mut running, mut working) = (Vec::new(), Vec::new());
    for container in chosen {
        let name = working_branch(container);
        if containers::inspect(probe.engine, &container.id.0)
            .await?
            .running
        {
            reasons.push(format!("container `{name}` is running"));
            running.push(name);
            continue;
        }
        match work_of(probe, container).await {
            Ok(held) if held.unsaved.is_empty() => {}
            Ok(held) => {
                let what = held.unsaved.describe();
                reasons.push(format!("container `{name}` has unsaved work ({what})"));
                working.push(held.unsaved.way_out(&quoted(name)));
            }
            Err(error) => {
                reasons.push(format!("cannot check container `{name}` for unsaved work"));
                reasons.push(error.message);
                reasons.extend(error.causes);
            }
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let what = match chosen.len() {
        1 => "the container",
        _ => "the containers",
    };
    let mut error = Error::failed(format!("cannot remove {what}"));
    error.causes = reasons;
    if !running.is_empty() {
        let names: Vec<_> = running.into_iter().map(quoted).collect();
        let names = names.join(" ");
        error = error.hint(format!("stop what is running with `dkr stop {names}`"));
    }
    for way in working {
        error = error.hint(way);
    }
    Err(error.hint("`--force` removes it anyway, with everything in it"))
}
