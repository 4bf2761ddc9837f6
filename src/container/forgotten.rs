//! Repairs what a killed dkr left unfinished in containers. It runs whenever containers are listed.
//!
//! - A container that was started only to be inspected is stopped (`awake`).
//! - A container that was created but not recorded gets its record, and so its channel.
//! - A temporary container, created to read an image, is removed.

use chrono::Utc;

use super::work::awake::stop_forgotten;
use crate::container::channel;
use crate::container::labels::{IMAGE, RECORD};
use crate::engine::containers::force_remove;
use crate::engine::{Engine, ListedContainer};
use crate::env::Env;
use crate::error::Result;

/// Repairs what was left unfinished, then lists every container of an engine.
///
/// # Errors
/// When the engine does not answer.
pub async fn containers(engine: &Engine, env: &Env) -> Result<Vec<ListedContainer>> {
    stop_forgotten(engine, env).await;
    let mut all = engine.containers().await?;
    complete_records(&all, engine, env);
    let now = Utc::now();
    for container in all.iter().filter(|container| container.is_left_over(now)) {
        // Another dkr may be removing it.
        let _ = force_remove(engine, &container.id).await;
    }
    all.retain(|container| !container.is_temporary());
    Ok(all)
}

/// Completes the records of containers whose dkr was killed just after it created them.
fn complete_records(all: &[ListedContainer], engine: &Engine, env: &Env) {
    let name = engine.endpoint().resolved().to_string();
    for folder in channel::orphans(env) {
        let name_of_record = folder.name();
        let is_its = |container: &&ListedContainer| is_made_for(container, &name_of_record);
        if let Some(container) = all.iter().find(is_its) {
            // If this fails, the next command tries again.
            let _ = folder.give_to(&container.id.0, &name);
        }
    }
}

/// Whether dkr created a container for the record of that name. An image that `docker commit` made
/// of one passes its labels on, but is not the image that they name.
fn is_made_for(container: &ListedContainer, record: &str) -> bool {
    let has = |label: &str, value: &str| container.labels.get(label).is_some_and(|v| v == value);
    has(RECORD, record) && has(IMAGE, &container.image)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use std::collections::HashMap;

    use super::*;
    use crate::engine::containers::ContainerId;

    fn container(image: &str, labels: HashMap<String, String>) -> ListedContainer {
        ListedContainer {
            id: ContainerId("c".to_owned()),
            name: "c".to_owned(),
            image: image.to_owned(),
            labels: labels.into_iter().collect(),
            state: "created".to_owned(),
            command: String::new(),
            created: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_record_is_for_the_container_that_was_made_for_it_and_for_no_copy() {
        let made_for = |image: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter();
            let labels = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            is_made_for(&container(image, labels.collect()), "r")
        };
        assert!(made_for("sha256:a", &[(RECORD, "r"), (IMAGE, "sha256:a")]));
        assert!(!made_for("sha256:a", &[(RECORD, "s"), (IMAGE, "sha256:a")]));
        assert!(!made_for("sha256:b", &[(RECORD, "r"), (IMAGE, "sha256:a")]));
        assert!(!made_for("sha256:a", &[(RECORD, "r")]));
    }
}
