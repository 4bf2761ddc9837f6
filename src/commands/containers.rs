//! What the commands on containers share: which container a name means.

use crate::container::Containers;
use crate::container::lookup::find;
use crate::engine::ListedContainer;
use crate::error::{Error, Kind, Result};
use crate::image::labels::REPO_PATH;

/// The container that a name means.
///
/// # Errors
/// `NotFound` if there is none of dkr's; `Usage` if there are several.
pub fn choose<'a>(containers: &'a Containers, name: &str) -> Result<&'a ListedContainer> {
    find(&containers.own, name).map_err(|error| match error.kind {
        Kind::NotFound => explained(error, containers, name),
        _ => error,
    })
}

/// Says why a container that looks like dkr's is not, if that is what was named.
fn explained(error: Error, containers: &Containers, name: &str) -> Error {
    let mut foreign = containers.foreign.iter();
    let labelled = |one: &&ListedContainer| one.labels.contains_key(REPO_PATH);
    let named = foreign.find(|one| (one.name == name || one.id.0 == name) && labelled(one));
    let Some(container) = named else {
        return error;
    };
    let id = &container.id;
    let hint = format!("`docker cp {id}:/workspace FOLDER` copies all that is in it");
    Error {
        hints: vec![hint],
        ..error.cause(format!(
            "container `{id}` has dkr's labels, but dkr has no record of its start, and its image is gone \
             or not dkr's own"
        ))
    }
}

/// The containers that names mean, each once.
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
