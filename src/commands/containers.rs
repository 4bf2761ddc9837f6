//! What the commands on containers share: which container a name means.

use crate::bake::Context;
use crate::engine::{Engine, ListedContainer};
use crate::error::Result;
use crate::work::awake::stop_forgotten;
use crate::work::names::{find, ours};

/// dkr's containers, the newest first. What a dkr that was killed left of looking into one is ended
/// first.
///
/// # Errors
/// When the engine does not answer.
pub async fn list(engine: &Engine, cx: &Context) -> Result<Vec<ListedContainer>> {
    stop_forgotten(engine, &cx.env).await;
    let all = engine.containers().await?;
    let mut containers: Vec<ListedContainer> = ours(&all).into_iter().cloned().collect();
    containers.sort_by_key(|container| std::cmp::Reverse(container.created));
    Ok(containers)
}

/// The container that a name means.
///
/// # Errors
/// `NotFound` if there is none; `Usage` if there are several.
pub fn choose<'a>(containers: &'a [ListedContainer], name: &str) -> Result<&'a ListedContainer> {
    let all: Vec<&ListedContainer> = containers.iter().collect();
    find(&all, name)
}

/// The containers that names mean, each once.
///
/// # Errors
/// As [`choose`].
pub fn choose_all<'a>(
    containers: &'a [ListedContainer],
    names: &[String],
) -> Result<Vec<&'a ListedContainer>> {
    let mut chosen: Vec<&ListedContainer> = Vec::new();
    for name in names {
        let container = choose(containers, name)?;
        if !chosen.contains(&container) {
            chosen.push(container);
        }
    }
    Ok(chosen)
}
