//! Which containers are dkr's, and which of their labels are believed.
//!
//! A container has the labels of its image, and whoever runs one by hand adds what they like. So a
//! container is dkr's if there is a record of its start on this machine (see `channel`) or if its image
//! is dkr's own, and what it says of its repository and of where its work may go is not believed: the
//! record says that, or else the image and this machine's name. Everything that asks for containers
//! goes through here.

use std::collections::BTreeMap;

use crate::bake::images::list;
use crate::container::channel::{self, Channel};
use crate::container::labels::{IMAGE, KEEP, PUSH_PREFIX, RUNS, WORK_BRANCH};
use crate::engine::containers::{self, ContainerId, ContainerState};
use crate::engine::{Engine, ListedContainer};
use crate::env::Env;
use crate::error::Result;
use crate::git::working_branch::check_working_branch;
use crate::image::BakedImage;
use crate::image::labels::REPO_PATH;

use super::work::host::prefix_of_this_machine;
use super::{Keep, forgotten};

/// The containers of an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Containers {
    /// dkr's, the newest first, with no label of dkr's that is not believed.
    pub own: Vec<ListedContainer>,
    /// All others, as they are.
    pub foreign: Vec<ListedContainer>,
}

impl Containers {
    /// Lists them. The images are asked for only if a container needs one to be known by.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn read(engine: &Engine, env: &Env) -> Result<Self> {
        let all = forgotten::containers(engine, env).await?;
        let records = channel::records(env);
        let is_recorded = |container: &ListedContainer| {
            let record = record_of(&records, container);
            record.is_some_and(|record| record.repository().is_some())
        };
        let mut labelled = all.iter().filter(|one| one.labels.contains_key(REPO_PATH));
        let images = match labelled.all(is_recorded) {
            true => Vec::new(),
            false => list(engine).await?.own,
        };
        Ok(Self::sort(all, &images, &records))
    }

    /// Tells containers apart; `images` are dkr's own.
    pub fn tell_apart(all: Vec<ListedContainer>, images: &[BakedImage], env: &Env) -> Self {
        Self::sort(all, images, &channel::records(env))
    }

    /// The container of that id, whoever made it; nothing is believed of a foreign one, so that all of
    /// its work is only there.
    pub fn any(&self, id: &ContainerId) -> Option<ListedContainer> {
        let is = |container: &&ListedContainer| container.id == *id;
        let foreign = || {
            let mut container = self.foreign.iter().find(is)?.clone();
            container.labels.retain(|name, _| !name.starts_with("dkr."));
            Some(container)
        };
        self.own.iter().find(is).cloned().or_else(foreign)
    }

    fn sort(all: Vec<ListedContainer>, images: &[BakedImage], records: &[Channel]) -> Self {
        let mut containers = Containers::default();
        for container in all {
            let image = images.iter().find(|image| image.id == container.image);
            let labels = match (record_of(records, &container), image) {
                (Some(record), _) => recorded(&container, record, image),
                (None, Some(image)) => of_image(&container, image),
                (None, None) => {
                    containers.foreign.push(container);
                    continue;
                }
            };
            containers.own.push(ListedContainer {
                labels,
                ..container
            });
        }
        let age = |container: &ListedContainer| std::cmp::Reverse(container.created);
        containers.own.sort_by_key(age);
        containers
    }
}

fn record_of<'a>(records: &'a [Channel], container: &ListedContainer) -> Option<&'a Channel> {
    let mut records = records.iter();
    records.find(|record| record.container == container.id.0)
}

/// The labels of a container that dkr started here. Its own labels are what dkr gave it then; the
/// repository and the prefix are those of the record, whatever its image says.
fn recorded(
    container: &ListedContainer,
    record: &Channel,
    image: Option<&BakedImage>,
) -> BTreeMap<String, String> {
    let mut labels = container.labels.clone();
    let of_image = || image.map(|image| image.labels.repo_path.clone());
    set(
        &mut labels,
        REPO_PATH,
        record.repository().or_else(of_image),
    );
    set(&mut labels, PUSH_PREFIX, Some(record.prefix.clone()));
    labels
}

/// The labels of a container of `image` of which there is no record: `docker run` made it, or a dkr
/// elsewhere. What it has from its image is read from there.
fn of_image(container: &ListedContainer, image: &BakedImage) -> BTreeMap<String, String> {
    let own = |name: &str| {
        let value = container.labels.get(name);
        value.filter(|value| image.of_containers.get(name) != Some(value))
    };
    let is_branch = |name: &&String| check_working_branch(name, "").is_ok();
    // That it may go whatever it holds is believed of a record only.
    let keeps = |word: &&String| Keep::of_label(word) == Keep::Always;
    let prefix = prefix_of_this_machine().to_string();
    let believed = [
        (WORK_BRANCH, own(WORK_BRANCH).filter(is_branch)),
        (KEEP, own(KEEP).filter(keeps)),
        (RUNS, own(RUNS)),
        (IMAGE, own(IMAGE)),
        (PUSH_PREFIX, Some(&prefix)),
    ];
    let mut labels = container.labels.clone();
    labels.retain(|name, _| !name.starts_with("dkr."));
    let of_image = image.labels.to_map().into_iter();
    labels.extend(of_image.filter(|(_, value)| !value.is_empty()));
    for (name, value) in believed {
        set(&mut labels, name, value.cloned());
    }
    labels
}

fn set(labels: &mut BTreeMap<String, String>, name: &str, value: Option<String>) {
    match value {
        Some(value) => labels.insert(name.to_owned(), value),
        None => labels.remove(name),
    };
}

/// What the engine knows of a container of dkr's, with the labels that are believed.
///
/// # Errors
/// When it is gone.
pub async fn inspect(engine: &Engine, container: &ListedContainer) -> Result<ContainerState> {
    let labels = container.labels.clone().into_iter().collect();
    let state = containers::inspect(engine, &container.id.0).await?;
    Ok(ContainerState { labels, ..state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::labels::working_branch;
    use crate::image::labels::tests::sample;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        owned.collect()
    }

    fn container(id: &str, image: &str, pairs: &[(&str, &str)]) -> ListedContainer {
        ListedContainer {
            id: ContainerId(id.to_owned()),
            name: format!("name-{id}"),
            image: image.to_owned(),
            labels: labels(pairs),
            state: "exited".to_owned(),
            command: String::new(),
            created: chrono::DateTime::UNIX_EPOCH,
        }
    }

    /// dkr's own image `own` of `/r/linux`, with labels of a container as `docker commit` leaves them.
    fn image(of_containers: &[(&str, &str)]) -> BakedImage {
        let mut map = sample().to_map();
        map.extend(labels(of_containers));
        BakedImage::new("own", vec![], 1, 1, &map).unwrap()
    }

    fn record(container: &str) -> Channel {
        Channel {
            container: container.to_owned(),
            engine: "e".to_owned(),
            repository: Some("/r/recorded".to_owned()),
            git_dir: None,
            prefix: "box".to_owned(),
            remotes: Vec::new(),
            watched: true,
        }
    }

    fn label<'a>(container: &'a ListedContainer, name: &str) -> Option<&'a str> {
        container.labels.get(name).map(String::as_str)
    }

    const HOSTILE: [(&str, &str); 5] = [
        (REPO_PATH, "/r/other"),
        (PUSH_PREFIX, "release"),
        (WORK_BRANCH, "fix"),
        (KEEP, "never"),
        ("vendor", "me"),
    ];

    #[test]
    fn a_record_or_an_own_image_makes_a_container_dkrs() {
        let all = vec![
            container("recorded", "gone", &[]),
            container("run", "own", &[]),
            container("foreign", "evil", &HOSTILE),
        ];
        let told = Containers::sort(all, &[image(&[])], &[record("recorded"), record("gone")]);
        let ids: Vec<&str> = told.own.iter().map(|one| &*one.id.0).collect();
        assert_eq!(ids, ["recorded", "run"]);
        assert_eq!(told.foreign[0].id.0, "foreign");
        // Of a foreign one nothing is believed.
        let foreign = told.any(&ContainerId("foreign".to_owned())).unwrap();
        assert_eq!(foreign.labels, labels(&[("vendor", "me")]));
        assert_eq!(told.any(&ContainerId("none".to_owned())), None);
    }

    #[test]
    fn where_work_goes_is_read_from_the_record() {
        let started = container("c", "own", &HOSTILE);
        let told = Containers::sort(vec![started], &[image(&[])], &[record("c")]);
        let found = &told.own[0];
        assert_eq!(label(found, REPO_PATH), Some("/r/recorded"));
        assert_eq!(label(found, PUSH_PREFIX), Some("box"));
        // These dkr gave it when it started it.
        assert_eq!(working_branch(found), "fix");
        assert_eq!(label(found, KEEP), Some("never"));
        // An earlier version wrote no repository down.
        let mut old = record("c");
        old.repository = None;
        let started = || vec![container("c", "own", &HOSTILE)];
        let told = Containers::sort(started(), &[image(&[])], &[old.clone()]);
        assert_eq!(label(&told.own[0], REPO_PATH), Some("/r/linux"));
        let told = Containers::sort(started(), &[], &[old]);
        assert_eq!(label(&told.own[0], REPO_PATH), None);
    }

    #[test]
    fn without_a_record_the_image_and_this_machine_say_where_work_goes() {
        let run = container("c", "own", &HOSTILE);
        let told = Containers::sort(vec![run], &[image(&[])], &[]);
        let found = &told.own[0];
        assert_eq!(label(found, REPO_PATH), Some("/r/linux"));
        let prefix = prefix_of_this_machine();
        assert_eq!(label(found, PUSH_PREFIX), Some(prefix.as_str()));
        assert_eq!(label(found, "vendor"), Some("me"));
        assert_eq!(working_branch(found), "fix");
        assert_eq!(label(found, KEEP), None);
        for (name, value) in [
            (KEEP, "always"),
            (WORK_BRANCH, "../main"),
            (WORK_BRANCH, "-x"),
        ] {
            let run = container("c", "own", &[(name, value)]);
            let told = Containers::sort(vec![run], &[image(&[])], &[]);
            assert_eq!(label(&told.own[0], name).is_some(), name == KEEP, "{value}");
        }
    }

    #[test]
    fn labels_of_containers_are_not_believed_from_an_image() {
        let of_image = [(WORK_BRANCH, "old"), (KEEP, "always"), (RUNS, "session")];
        let run = container("c", "own", &of_image);
        let told = Containers::sort(vec![run], &[image(&of_image)], &[]);
        let found = &told.own[0];
        assert_eq!(working_branch(found), "name-c");
        assert_eq!((label(found, KEEP), label(found, RUNS)), (None, None));
    }
}
