//! `dkr remove-container`: removes containers, but not with work that is nowhere else.

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
  dkr remove-container fix-parser          unless it runs or holds work that is nowhere else
  dkr rm --force fix-parser                whatever it holds; one that runs is killed";

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

/// How long a removal by force waits for another dkr that sees to the container's end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the command.
///
/// # Errors
/// `NotFound` if a name means no container; when one of them runs or holds work that is nowhere
/// else. None is removed then.
pub async fn run(cx: &Context, args: &RemoveContainerArgs) -> Result<()> {
    let waiting = cx.ui.waiting("look for work in the containers");
    let engine = Engine::connect(&cx.env).await?;
    let containers = Containers::read(&engine, &cx.env).await?;
    let chosen = choose_all(&containers, &args.containers.names)?;
    let mut holds = Vec::new();
    for container in &chosen {
        let hold = watch::hold(&container.id, cx);
        match args.force {
            // Whoever has it for long is waiting for the container.
            true => holds.extend(timeout(PATIENCE, hold).await),
            false => holds.push(Ok(hold.await?)),
        }
    }
    if !args.force {
        check(&Probe::new(&engine, cx), &chosen).await?;
    }
    drop(waiting);
    for container in chosen {
        let waiting = cx.ui.waiting("remove the container");
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

/// Refuses what must not go, with all reasons.
async fn check(probe: &Probe<'_>, chosen: &[&ListedContainer]) -> Result<()> {
    let mut reasons = Vec::new();
    let (mut running, mut working) = (Vec::new(), Vec::new());
    for container in chosen {
        let name = working_branch(container);
        if containers::inspect(probe.engine, &container.id.0)
            .await?
            .running
        {
            reasons.push(format!("container `{name}` runs"));
            running.push(name);
            continue;
        }
        match work_of(probe, container).await {
            Ok(held) if held.unsaved.is_empty() => {}
            Ok(held) => {
                let what = held.unsaved.describe();
                reasons.push(format!("only container `{name}` has {what}"));
                working.push(held.unsaved.way_out(&quoted(name)));
            }
            Err(error) => {
                reasons.push(format!("what only container `{name}` has cannot be told"));
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
        error = error.hint(format!("`dkr stop {names}` ends what runs"));
    }
    for way in working {
        error = error.hint(way);
    }
    Err(error.hint("`--force` removes it all the same, with what is in it"))
}
