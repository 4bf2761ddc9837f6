//! Which containers belong to dkr, and which of their labels to trust.
//!
//! A container inherits the labels of its image, and whoever runs one by hand can add any. So a
//! container belongs to dkr only if this machine has a record of its start (see `channel`) or if its
//! image is one of dkr's. Its own labels are not trusted for its repository and for where its work may
//! go: these come from the record, or else from the image and this machine's name. All code that lists
//! containers goes through here.

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
    /// Those of dkr, the newest first, with untrusted `dkr.` labels removed.
    pub own: Vec<ListedContainer>,
    /// All others, unchanged.
    pub foreign: Vec<ListedContainer>,
}

impl Containers {
    /// Lists them. Images are listed only if a container has no complete record.
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
        let images = if labelled.all(is_recorded) {
            Vec::new()
        } else {
            list(engine).await?.own
        };
        Ok(Self::sort(all, &images, &records))
    }

    /// Sorts containers into own and foreign; `images` are those of dkr.
    pub fn tell_apart(all: Vec<ListedContainer>, images: &[BakedImage], env: &Env) -> Self {
        Self::sort(all, images, &channel::records(env))
    }

    /// The container with that id, own or foreign. A foreign one loses its `dkr.` labels, so that all
    /// of its work counts as unsaved.
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

/// The labels of a container that dkr started here. dkr set them itself, but the repository and the
/// prefix come from the record, even if the image names others.
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

/// The labels of a container of `image` without a record: one that `docker run` or a dkr on another
/// machine started. Labels that it inherited are read from the image.
fn of_image(container: &ListedContainer, image: &BakedImage) -> BTreeMap<String, String> {
    let own = |name: &str| {
        let value = container.labels.get(name);
        value.filter(|value| image.of_containers.get(name) != Some(value))
    };
    let is_branch = |name: &&String| check_working_branch(name, "").is_ok();
    // `--keep never` is trusted only with a record: it discards work.
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

/// Inspects a container of dkr; the labels are the trusted ones.
///
/// # Errors
/// When it no longer exists.
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
        // No label of a foreign one is trusted.
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
        // dkr set these when it started the container.
        assert_eq!(working_branch(found), "fix");
        assert_eq!(label(found, KEEP), Some("never"));
        // An earlier version did not record the repository.
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
