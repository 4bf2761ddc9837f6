//! `dkr stop`: stops containers without removing them.

use clap::Args;

use super::containers::choose_all;
use crate::app::Context;
use crate::cli::ContainersArg;
use crate::container::Containers;
use crate::container::labels::working_branch;
use crate::container::work::Probe;
use crate::container::work::list::list_work;
use crate::engine::{Engine, ListedContainer, containers};
use crate::error::{Kind, Result, quoted};
use crate::text::count;

pub(super) const EXAMPLES: &str = "Examples:
  dkr stop fix-parser            stop it; the container and all its files are kept
  dkr stop $(dkr ps -q)          stop every container";

/// Arguments of `stop`.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// Which containers.
    #[command(flatten)]
    pub containers: ContainersArg,
    /// Seconds to wait before killing a container
    #[arg(short, long, value_name = "SECONDS", default_value_t = 30)]
    pub time: u16,
}

/// Runs the command.
///
/// # Errors
/// `NotFound` if a name matches no container (none is stopped then); when the engine refuses.
pub async fn run(cx: &Context, args: &StopArgs) -> Result<()> {
    let waiting = cx.ui.waiting("looking up the containers");
    let engine = Engine::connect(&cx.env).await?;
    let probe = Probe::new(&engine, cx);
    let containers = Containers::read(&engine, &cx.env).await?;
    let chosen = choose_all(&containers, &args.containers.names)?;
    drop(waiting);
    for container in chosen {
        let name = working_branch(container);
        if !container.is_alive() {
            cx.ui.message(&format!("container `{name}` is not running"));
            continue;
        }
        {
            let _waiting = cx.ui.waiting(&format!("stopping container `{name}`"));
            containers::stop(&engine, &container.id, args.time.into()).await?;
        }
        cx.ui.data(&format!("{name}\n"))?;
        say_what_it_holds(cx, &probe, container).await;
    }
    Ok(())
}

/// Reports the unsaved work of a container that was just stopped, from the report that it wrote when it
/// ended: it is not started for that.
async fn say_what_it_holds(cx: &Context, probe: &Probe<'_>, container: &ListedContainer) {
    let name = working_branch(container);
    let stopped = ListedContainer {
        state: "exited".to_owned(),
        ..container.clone()
    };
    let held = list_work(probe, &[&stopped]).await.pop().flatten();
    let take = format!("`dkr take {}`", quoted(name));
    match held {
        Some(held) if held.unsaved.is_empty() => {
            cx.ui.message(&format!("stopped container `{name}`"));
        }
        Some(held) => {
            let what = held.unsaved.describe();
            cx.ui.message(&format!(
                "stopped container `{name}`: it has unsaved work ({what})"
            ));
            let commits = count(held.unsaved.commits as u64, "commit");
            if held.unsaved.commits > 0 {
                cx.ui.hint(&format!(
                    "bring {commits} and all other work to your repository with {take}"
                ));
            }
        }
        None => match containers::inspect(probe.engine, &container.id.0).await {
            // A dkr that is attached to it removes it when it has ended.
            Err(error) if error.kind == Kind::NotFound => {
                cx.ui
                    .message(&format!("stopped container `{name}`, which is now removed"));
            }
            _ => {
                cx.ui.warning(&format!(
                    "stopped container `{name}`, which did not report its unsaved work"
                ));
                cx.ui.hint(&format!("check it with {take}"));
            }
        },
    }
}
