//! The end of a container: it is removed, unless it holds unsaved work.

use crate::app::Context;
use crate::container::Keep;
use crate::container::work::Probe;
use crate::container::work::list::work_in;
use crate::container::work::probe::ended_by_itself;
use crate::engine::Engine;
use crate::engine::containers::{self, ContainerId};
use crate::error::{Kind, Result, quoted};

use super::labels::WORK_BRANCH;
use super::start::keep_of;

/// Checks a container that has ended for unsaved work, and removes it if `keep` allows that.
///
/// # Errors
/// When the engine refuses to remove it.
pub async fn end(
    engine: &Engine,
    id: &ContainerId,
    name: &str,
    keep: Keep,
    cx: &Context,
) -> Result<()> {
    let mut ways = ways_on(name).to_vec();
    match keep {
        Keep::Never => {
            let _waiting = cx.ui.waiting("removing container");
            return remove(engine, id).await;
        }
        Keep::Always => {
            cx.ui.message(&format!("kept container `{name}`"));
        }
        Keep::Auto => {
            let waiting = cx.ui.waiting("checking the container for unsaved work");
            let held = work_in(&Probe::new(engine, cx), id).await;
            if let Ok(held) = &held
                && held.unsaved.is_empty()
            {
                return remove(engine, id).await;
            }
            drop(waiting);
            match held {
                Ok(held) => {
                    let what = held.unsaved.describe();
                    ways[1] = held.unsaved.way_out(&quoted(name));
                    cx.ui.warning(&format!(
                        "kept container `{name}`: it has unsaved work ({what})"
                    ));
                }
                Err(error) if error.kind == Kind::NotFound => return Ok(()),
                Err(error) => {
                    let why = error.causes.first().unwrap_or(&error.message);
                    cx.ui.warning(&format!(
                        "kept container `{name}`: cannot check it for unsaved work: {why}"
                    ));
                    if !error.hints.is_empty() {
                        // The commands of these hints check it too and would fail for the same reason.
                        ways.splice(..2, error.hints.clone());
                    }
                }
            }
        }
    }
    for line in ways {
        cx.ui.hint(&line);
    }
    Ok(())
}

/// The same for a container that ended while no dkr was attached to it. One that was stopped or
/// killed stays: whoever did that may want to resume it.
///
/// # Errors
/// When the engine does not answer, or refuses to remove it.
pub async fn end_unattended(engine: &Engine, id: &ContainerId, cx: &Context) -> Result<()> {
    let state = match containers::inspect(engine, &id.0).await {
        Ok(state) if state.running => return Ok(()),
        Err(error) if error.kind == Kind::NotFound => return Ok(()),
        state => state?,
    };
    if !ended_by_itself(engine, id).await? {
        return Ok(());
    }
    let name = state.labels.get(WORK_BRANCH).unwrap_or(&state.name);
    end(engine, id, name, keep_of(&state), cx).await
}

/// What the user can do with a kept container.
fn ways_on(name: &str) -> [String; 3] {
    let name = quoted(name);
    [
        format!("resume it with `dkr attach {name}`"),
        format!("bring its work to your repository with `dkr take {name}`"),
        format!("remove it with `dkr remove-container {name}`; `--force` discards unsaved work"),
    ]
}

/// Removes a container that has ended. One that is gone already is fine.
///
/// # Errors
/// When the engine refuses.
pub async fn remove(engine: &Engine, id: &ContainerId) -> Result<()> {
    match containers::remove(engine, id).await {
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        other => other,
    }
}
