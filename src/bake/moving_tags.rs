//! Restores the moving tag of a branch where a dkr that was killed did not get to it: after a build,
//! or when the image that had it was removed.

use std::collections::BTreeMap;

use super::images::{holders, list};
use super::lock::BakeLock;
use crate::engine::Engine;
use crate::env::Env;
use crate::error::{Kind, Result};
use crate::image::reference::choose_moving_tag;
use crate::image::{BakedImage, ImageType, Images};

/// Lists the images, as [`list`] does, after giving the newest of each branch its moving tag. A branch
/// that is being baked is skipped, and so is one whose tag cannot be moved: the image may have just
/// been removed, or the lock cannot be created. No command depends on that tag.
///
/// # Errors
/// When the engine does not answer.
pub async fn list_mended(engine: &Engine, env: &Env) -> Result<Images> {
    let images = list(engine).await?;
    let mut mended = false;
    for image in bare(&images.own) {
        mended |= mend(engine, env, image).await.unwrap_or(false);
    }
    if mended {
        list(engine).await
    } else {
        Ok(images)
    }
}

/// The newest image of each branch that does not have it.
fn bare(images: &[BakedImage]) -> Vec<&BakedImage> {
    let mut newest: BTreeMap<(&str, &str), &BakedImage> = BTreeMap::new();
    for image in images {
        let labels = &image.labels;
        if labels.image_type == ImageType::Objects {
            continue;
        }
        let branch = (&*labels.repo_path, &*labels.ref_name);
        let before = newest.insert(branch, image);
        if let Some(before) = before.filter(|b| b.labels.created_at > labels.created_at) {
            newest.insert(branch, before);
        }
    }
    let newest = newest.into_values();
    newest
        .filter(|image| image.moving_tag().is_none())
        .collect()
}

/// Gives an image its moving tag, unless its branch is being baked or a foreign image has the tag.
async fn mend(engine: &Engine, env: &Env, image: &BakedImage) -> Result<bool> {
    let labels = &image.labels;
    let path = &labels.repo_path;
    let Some(_lock) = BakeLock::try_acquire(env, &engine.describe(), path)? else {
        return Ok(false);
    };
    // A bake in progress has finished by now.
    let images = list(engine).await?;
    let Some(image) = bare(&images.own).into_iter().find(|one| one.id == image.id) else {
        return Ok(false);
    };
    let holders = holders(&images);
    let held = |tag: &str| holders.get(tag).cloned();
    let (name, branch, reference) = (&labels.repo_name, &labels.branch, &labels.ref_name);
    let tag = choose_moving_tag(name, branch, path, reference, held);
    match engine.image(&tag).await {
        // A foreign image keeps it.
        Ok(holder) if !images.own.iter().any(|own| own.id == holder.id) => return Ok(false),
        Err(error) if error.kind != Kind::NotFound => return Err(error),
        _ => {}
    }
    engine.tag_image(&image.id, &tag).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::image::labels::tests::sample;

    fn image(id: &str, age: i64, reference: &str, tags: &[&str]) -> BakedImage {
        let mut labels = sample();
        labels.created_at -= TimeDelta::hours(age);
        labels.ref_name = reference.to_owned();
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        BakedImage::new(id, tags, 1, 1, &labels.to_map()).unwrap()
    }

    #[test]
    fn only_the_newest_of_a_branch_can_lack_the_tag() {
        let images = [
            image("old", 2, "refs/heads/main", &["dkr:linux-main"]),
            image("new", 1, "refs/heads/main", &["dkr:linux-main-aaaaaa"]),
            image("older", 3, "refs/heads/main", &[]),
            image("whole", 1, "refs/heads/other", &["dkr:linux-main"]),
        ];
        let ids = |images: &[BakedImage]| -> Vec<String> {
            bare(images).iter().map(|image| image.id.clone()).collect()
        };
        assert_eq!(ids(&images), ["new"]);
        assert_eq!(ids(&images[..1]), [""; 0]);
        let mut objects = image("objects", 0, "", &[]);
        objects.labels.image_type = ImageType::Objects;
        assert_eq!(ids(&[objects]), [""; 0]);
    }
}
