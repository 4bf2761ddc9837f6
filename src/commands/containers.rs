//! What the commands on containers share: finding a container by name.

use crate::container::Containers;
use crate::container::lookup::find;
use crate::engine::ListedContainer;
use crate::error::{Error, Kind, Result};
use crate::image::labels::REPO_PATH;

/// The container with this name.
///
/// # Errors
/// `NotFound` if dkr has none; `Usage` if there are several.
pub fn choose<'a>(containers: &'a Containers, name: &str) -> Result<&'a ListedContainer> {
    find(&containers.own, name).map_err(|error| match error.kind {
        Kind::NotFound => explained(error, containers, name),
        _ => error,
    })
}

/// Adds to the error why a container that has dkr's labels is not treated as dkr's own.
fn explained(error: Error, containers: &Containers, name: &str) -> Error {
    let mut foreign = containers.foreign.iter();
    let labelled = |one: &&ListedContainer| one.labels.contains_key(REPO_PATH);
    let named = foreign.find(|one| (one.name == name || one.id.0 == name) && labelled(one));
    let Some(container) = named else {
        return error;
    };
    let id = &container.id;
    let hint = format!("copy its files out with `docker cp {id}:/workspace FOLDER`");
    Error {
        hints: vec![hint],
        ..error.cause(format!(
            "container `{id}` has dkr's labels, but dkr has no record of starting it, and its image is \
             gone or was not built by dkr"
        ))
    }
}

/// The containers with these names, each once.
///
/// # Errors
/// As [`choose`].
pub fn choose_all<'a>(
    containers: &'a Containers,
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
