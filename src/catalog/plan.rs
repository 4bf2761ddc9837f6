//! Which images can be removed (pure).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::images::{Catalog, CatalogImage};
use crate::error::Error;
use crate::image::ImageType;

/// What `dkr prune` keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave<'a> {
    /// Everything of other repositories than this one, if given.
    pub other_than: Option<&'a str>,
    /// This many of the newest images of each branch.
    pub newest: usize,
    /// Everything created after this.
    pub since: Option<DateTime<Utc>>,
}

/// The images that `prune` removes, the oldest first. It keeps an image if a container uses it, if an
/// image that is kept was built on it, or if it has a tag that dkr did not set.
pub fn prunable<'a>(stock: &'a Catalog, leave: &Leave<'_>) -> Vec<&'a CatalogImage> {
    let newest = newest_of_branches(stock, leave.newest);
    let stays = |image: &&CatalogImage| {
        let labels = &image.image.labels;
        image.image.has_given_name()
            || leave
                .other_than
                .is_some_and(|path| labels.repo_path != path)
            || leave.since.is_some_and(|since| labels.created_at > since)
            || newest.contains(image)
            || !stock.containers_of(&image.image.id).is_empty()
    };
    let mut staying: Vec<&CatalogImage> = stock.images.iter().filter(stays).collect();
    let chains: Vec<&CatalogImage> = staying
        .iter()
        .flat_map(|image| stock.chain(image))
        .collect();
    staying.extend(chains);
    let mut going: Vec<&CatalogImage> = stock.images.iter().collect();
    going.retain(|image| !staying.contains(image));
    going.sort_by_key(|image| image.image.labels.created_at);
    going
}

/// The newest images of each branch. Object images belong to no branch.
fn newest_of_branches(stock: &Catalog, count: usize) -> Vec<&CatalogImage> {
    let mut branches: BTreeMap<(&str, &str), Vec<&CatalogImage>> = BTreeMap::new();
    for image in &stock.images {
        let labels = &image.image.labels;
        if labels.image_type != ImageType::Objects {
            let branch = (&*labels.repo_path, &*labels.ref_name);
            branches.entry(branch).or_default().push(image);
        }
    }
    let newest = branches.into_values().flat_map(|mut images| {
        images.sort_by_key(|image| Reverse(image.image.labels.created_at));
        images.truncate(count);
        images
    });
    newest.collect()
}

/// Why `images` cannot be removed together: containers use them, or images that are kept were built on
/// one of them. With `force` only what the engine itself refuses counts.
///
/// # Errors
/// The refusal, with all reasons.
pub fn check_removal(
    stock: &Catalog,
    images: &[&CatalogImage],
    force: bool,
) -> std::result::Result<(), Error> {
    let mut reasons = Vec::new();
    let (mut alive, mut others) = (Vec::new(), false);
    for image in images {
        let name = image.name();
        for container in stock.containers_of(&image.image.id) {
            let using = &container.name;
            if container.is_alive() {
                reasons.push(format!("container `{using}` is running on `{name}`"));
                alive.push(using.as_str());
            } else if !force {
                reasons.push(format!("stopped container `{using}` uses `{name}`"));
                others = true;
            }
        }
        let children = stock.children(image).into_iter();
        for child in children.filter(|child| !force && !images.contains(child)) {
            reasons.push(format!("`{}` was built on `{name}`", child.name()));
            others = true;
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let what = if images.len() == 1 {
        "the image"
    } else {
        "the images"
    };
    let mut error = Error::failed(format!("cannot remove {what}"));
    error.causes = reasons;
    if !alive.is_empty() {
        let names = alive.join(" ");
        error = error.hint(format!("run `dkr stop {names}` first"));
    }
    if others {
        error = error.hint(
            "`--force` removes images that stopped containers or other images use, and keeps those",
        );
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{container, image};
    use super::*;
    use chrono::TimeDelta;

    /// The own tag of the image `id`.
    fn tag(id: &str) -> String {
        let number: u32 = id.bytes().map(u32::from).sum();
        format!("dkr:linux-main-{number:06x}")
    }

    /// `names` are images of `main`, the oldest first, each with its own tag.
    fn stock(names: &[&str]) -> Catalog {
        let mut stock = Catalog::default();
        for (age, name) in names.iter().rev().enumerate() {
            let mut image = image(name, &[&tag(name)]);
            image.image.labels.created_at -= TimeDelta::hours(i64::try_from(age).unwrap());
            stock.images.insert(0, image);
        }
        stock
    }

    fn set(stock: &mut Catalog, id: &str, change: impl FnOnce(&mut CatalogImage)) {
        let mut images = stock.images.iter_mut();
        change(images.find(|image| image.image.id == id).unwrap());
    }

    fn built_on(stock: &mut Catalog, id: &str, parent: &str) {
        let mut images = stock.images.iter();
        let parent = images.find(|image| image.image.id == parent).unwrap();
        let parent = parent.image.own_tag().map(str::to_owned);
        set(stock, id, |image| image.image.labels.parent = parent);
    }

    fn gone(stock: &Catalog, newest: usize) -> Vec<&str> {
        let leave = Leave {
            other_than: None,
            newest,
            since: None,
        };
        let going = prunable(stock, &leave).into_iter();
        going.map(|image| &*image.image.id).collect()
    }

    #[test]
    fn the_newest_of_each_branch_stay() {
        let mut stock = stock(&["a", "b", "c", "d"]);
        assert_eq!(gone(&stock, 2), ["a", "b"]);
        assert_eq!(gone(&stock, 9), [""; 0]);
        set(&mut stock, "a", |image| {
            image.image.labels.ref_name = "refs/heads/x".into()
        });
        assert_eq!(gone(&stock, 2), ["b"]);
        assert_eq!(gone(&stock, 0), ["a", "b", "c", "d"]);
    }

    #[test]
    fn what_is_needed_stays() {
        let mut stock = stock(&["a", "b", "c", "d", "e"]);
        built_on(&mut stock, "e", "b");
        stock.containers.push(container("work", "c", "exited"));
        assert_eq!(gone(&stock, 1), ["a", "d"]);
        built_on(&mut stock, "b", "a");
        assert_eq!(gone(&stock, 1), ["d"]);
        // A cycle of tags that were moved by hand is no endless loop.
        built_on(&mut stock, "a", "e");
        assert_eq!(gone(&stock, 1), ["d"]);
    }

    #[test]
    fn an_object_image_goes_with_the_last_image_on_it() {
        let mut stock = stock(&["objects", "old", "unused", "a", "b"]);
        for id in ["objects", "unused"] {
            set(&mut stock, id, |image| {
                image.image.labels.image_type = ImageType::Objects;
                image.image.tags = vec![tag(id).replace("main", "objects")];
            });
        }
        built_on(&mut stock, "old", "unused");
        built_on(&mut stock, "b", "objects");
        assert_eq!(gone(&stock, 1), ["old", "unused", "a"]);
    }

    #[test]
    fn what_somebody_gave_a_name_stays() {
        let mut stock = stock(&["a", "b", "c", "d"]);
        for (id, name) in [("a", "mine:1"), ("b", "dkr:mine")] {
            set(&mut stock, id, |image| image.image.tags.push(name.into()));
        }
        assert_eq!(gone(&stock, 1), ["c"]);
    }

    #[test]
    fn an_age_and_a_repository_narrow_it_down() {
        let stock = stock(&["a", "b", "c"]);
        let going = |other_than, since| {
            let leave = Leave {
                other_than,
                newest: 0,
                since,
            };
            prunable(&stock, &leave).len()
        };
        let middle = stock.images[1].image.labels.created_at;
        assert_eq!(going(None, Some(middle)), 2);
        assert_eq!(going(Some("/r/linux"), None), 3);
        assert_eq!(going(Some("/r/other"), None), 0);
    }

    #[test]
    fn a_removal_is_refused_with_all_reasons() {
        let mut stock = stock(&["a", "b"]);
        built_on(&mut stock, "b", "a");
        stock.containers.push(container("stopped", "a", "exited"));
        stock.containers.push(container("busy", "b", "running"));
        let (a, b) = (&stock.images[0], &stock.images[1]);
        let error = check_removal(&stock, &[a], false).unwrap_err();
        assert_eq!(
            error.causes,
            [
                "stopped container `stopped` uses `dkr:linux-main-000061`",
                "`dkr:linux-main-000062` was built on `dkr:linux-main-000061`"
            ]
        );
        assert_eq!(check_removal(&stock, &[a], true), Ok(()));
        let error = check_removal(&stock, &[a, b], true).unwrap_err();
        assert_eq!(
            error.causes,
            ["container `busy` is running on `dkr:linux-main-000062`"]
        );
        let error = check_removal(&stock, &[a, b], false).unwrap_err();
        assert_eq!(error.causes.len(), 2);
        assert_eq!(error.hints.len(), 2);
    }
}
