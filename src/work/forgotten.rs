//! What a dkr that was killed left half done about containers, found and mended whenever containers are
//! listed.
//!
//! - One that was started to be looked into is stopped (`awake`).
//! - One that was made and not written down gets its record, and so its channel.
//! - One that was made for a moment, to read an image, is removed.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::awake::stop_forgotten;
use crate::channel;
use crate::engine::containers::force_remove;
use crate::engine::{Engine, ListedContainer};
use crate::env::Env;
use crate::error::Result;
use crate::start::labels::{IMAGE, RECORD};

/// The label of a container that dkr makes for a moment and removes itself. Its value is the id of the
/// container's image, which no image can hand on as a label of its own.
const TEMPORARY: &str = "dkr.temporary";
/// How old one may be that does not run.
const AT_REST: TimeDelta = TimeDelta::minutes(1);
/// How old one may be in any case.
const AT_MOST: TimeDelta = TimeDelta::minutes(15);

/// The labels of a container of `image` that is made for a moment.
pub fn temporary(image: &str) -> HashMap<String, String> {
    HashMap::from([(TEMPORARY.to_owned(), image.to_owned())])
}

fn is_temporary(container: &ListedContainer) -> bool {
    container.labels.get(TEMPORARY) == Some(&container.image)
}

/// Lists every container of an engine, once what was left half done is mended.
///
/// # Errors
/// When the engine does not answer.
pub async fn containers(engine: &Engine, env: &Env) -> Result<Vec<ListedContainer>> {
    stop_forgotten(engine, env).await;
    let mut all = engine.containers().await?;
    complete_records(&all, engine, env);
    let now = Utc::now();
    for container in all.iter().filter(|container| is_forgotten(container, now)) {
        // Somebody else may be at it.
        let _ = force_remove(engine, &container.id).await;
    }
    all.retain(|container| !is_temporary(container));
    Ok(all)
}

/// Completes the records of containers whose dkr was killed when it had just made them.
fn complete_records(all: &[ListedContainer], engine: &Engine, env: &Env) {
    let name = engine.endpoint().resolved().to_string();
    for folder in channel::orphans(env) {
        let name_of_record = folder.name();
        let is_its = |container: &&ListedContainer| is_made_for(container, &name_of_record);
        if let Some(container) = all.iter().find(is_its) {
            // What cannot be written stays as it is, for the next one.
            let _ = folder.give_to(&container.id.0, &name);
        }
    }
}

/// Whether dkr made a container for the record of that name. An image that `docker commit` made of one
/// hands on its labels, but is not the image that they name.
fn is_made_for(container: &ListedContainer, record: &str) -> bool {
    let has = |label: &str, value: &str| container.labels.get(label).is_some_and(|v| v == value);
    has(RECORD, record) && has(IMAGE, &container.image)
}

/// Whether nobody will remove a container that was made for a moment.
fn is_forgotten(container: &ListedContainer, now: DateTime<Utc>) -> bool {
    let limit = if container.is_alive() {
        AT_MOST
    } else {
        AT_REST
    };
    is_temporary(container) && now - container.created > limit
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn only_what_was_made_for_a_moment_long_ago_is_forgotten() {
        let now = DateTime::from_timestamp(100_000, 0).unwrap();
        let forgotten = |state: &str, age: i64, labels: HashMap<String, String>| {
            let container = ListedContainer {
                state: state.to_owned(),
                created: now - TimeDelta::seconds(age),
                ..container("sha256:a", labels)
            };
            is_forgotten(&container, now)
        };
        let own = || temporary("sha256:a");
        assert!(forgotten("created", 61, own()));
        assert!(!forgotten("created", 59, own()));
        assert!(!forgotten("running", 61, own()));
        assert!(forgotten("running", 901, own()));
        assert!(!forgotten("exited", 9999, HashMap::new()));
        assert!(!forgotten("exited", 9999, temporary("sha256:b")));
    }
}
