//! The images that dkr built, as the engine lists them, and those that only look like them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;

use crate::engine::Engine;
use crate::error::{Kind, Result};
use crate::image::own::Clocks;
use crate::image::search::newest_of_exact_ref;
use crate::image::{BakedImage, Foreign, Images, labels};
use crate::text::count;
use crate::ui::Ui;

/// How many images to inspect at a time.
const AT_ONCE: usize = 8;
/// How many foreign images a warning names.
const NAMED: usize = 3;

/// Lists every image with dkr's labels, in one call, and separates dkr's own from foreign ones. Only
/// images whose labels are dated in the future are inspected one by one.
///
/// # Errors
/// When the engine does not answer.
pub async fn list(engine: &Engine) -> Result<Images> {
    let listed = engine.images(labels::TYPE).await?.into_iter();
    let labelled = listed.filter_map(|image| {
        BakedImage::new(
            image.id,
            image.tags,
            image.size,
            image.created,
            &image.labels,
        )
    });
    let mut images = Images::tell_apart(labelled.collect());
    let now = Utc::now();
    let future = images.own.iter();
    let future = future.filter(|image| image.labels.created_at > now);
    let future: Vec<String> = future.map(|image| image.id.clone()).collect();
    let mut tagged = Vec::new();
    for ids in future.chunks(AT_ONCE) {
        tagged.extend(try_join_all(ids.iter().map(|id| tagged_at(engine, id))).await?);
    }
    if tagged.is_empty() {
        return Ok(images);
    }
    // Queried again afterwards: no image can have been tagged later than that.
    let engine = engine.clock().await?;
    for (id, tagged_at) in future.iter().zip(tagged) {
        images.settle(id, Clocks { tagged_at, engine });
    }
    Ok(images)
}

/// When an image was last tagged; `None` if it was removed in the meantime.
async fn tagged_at(engine: &Engine, id: &str) -> Result<Option<DateTime<Utc>>> {
    match engine.image(id).await {
        Ok(details) => Ok(details.tagged_at),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Which repository and ref hold each tag of dkr's own images.
pub fn holders(images: &Images) -> HashMap<&str, (String, String)> {
    let holder = |image: &BakedImage| {
        let labels = &image.labels;
        (labels.repo_path.clone(), labels.ref_name.clone())
    };
    let tags = images.own.iter().flat_map(|image| {
        let tags = image.tags.iter();
        tags.map(move |tag| (tag.as_str(), holder(image)))
    });
    tags.collect()
}

/// Warns about foreign images whose labels look like dkr's.
pub fn warn_of(rivals: &[&Foreign], images: &Images, ui: &Ui) {
    for rival in rivals.iter().take(NAMED) {
        ui.warning(&format!("{}: ignoring it", rival.describe()));
        ui.hint(&way_out(rival, images));
    }
    if let Some(more) = rivals.len().checked_sub(NAMED).filter(|more| *more > 0) {
        ui.warning(&format!(
            "also ignoring {} of this kind",
            count(more as u64, "image")
        ));
    }
}

/// What to do about a foreign image.
pub fn way_out(foreign: &Foreign, images: &Images) -> String {
    let image = &foreign.image;
    let (path, reference) = (&image.labels.repo_path, &image.labels.ref_name);
    let newest = newest_of_exact_ref(images, path, reference);
    match (image.moving_tag(), newest.and_then(BakedImage::own_tag)) {
        (Some(tag), Some(own)) => {
            format!("`docker tag {own} {tag}` gives the tag back to the newest image of the branch")
        }
        _ => format!(
            "`docker rmi {}` removes it, if it is not needed",
            foreign.name()
        ),
    }
}
