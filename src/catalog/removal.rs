//! Removing images together with the build cache that only they used: as long as that exists, their
//! layers stay on the disk.

use std::collections::{BTreeMap, BTreeSet};

use super::images::{Catalog, CatalogImage};
use super::layers::bytes_only_in;
use crate::engine::{CacheRecord, Engine};
use crate::error::{Kind, Result};

/// What a removal did besides removing images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// Moving tags that were moved to an older image of their branch: the tag and that image's id.
    pub moved: Vec<(String, String)>,
}

/// Bytes that removing `images` frees: those of the layers that no other image on the engine
/// has.
///
/// # Errors
/// When the engine does not answer.
pub async fn freed_bytes(
    engine: &Engine,
    stock: &Catalog,
    images: &[&CatalogImage],
) -> Result<u64> {
    let mut kept: Vec<Vec<String>> = Vec::new();
    for id in engine.image_ids().await? {
        if images.iter().any(|image| image.image.id == id) {
            continue;
        }
        match stock.image(&id) {
            Some(image) => kept.push(image.layers.digests().to_vec()),
            None => match engine.image(&id).await {
                Ok(details) => kept.push(details.layer_digests),
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => return Err(error),
            },
        }
    }
    let layers = images.iter().map(|image| &image.layers);
    Ok(bytes_only_in(layers, kept.iter().map(Vec::as_slice)))
}

/// Removes `images` with all their tags and calls `on_removed` after each. A moving tag is moved to the
/// newest remaining image of its branch.
///
/// # Errors
/// When the engine refuses to remove one; those before it are already removed.
pub async fn remove(
    engine: &Engine,
    stock: &Catalog,
    images: &[&CatalogImage],
    force: bool,
    mut on_removed: impl FnMut(&CatalogImage) -> Result<()>,
) -> Result<Removed> {
    let before = engine.build_cache().await?;
    let mut removed = Removed::default();
    for image in images {
        remove_image(engine, image, force).await?;
        on_removed(image)?;
    }
    for image in images {
        let Some(tag) = image.image.moving_tag() else {
            continue;
        };
        if let Some(next) = successor(stock, images, image) {
            engine.tag_image(&next.image.id, tag).await?;
            removed.moved.push((tag.to_owned(), next.image.id.clone()));
        }
    }
    let cleared = remove_unshared(engine, &before).await;
    cleared.map_err(|e| {
        e.context("removed the images, but cannot remove the build cache that only they used")
    })?;
    Ok(removed)
}

/// Removes one image: its own tag last, so that it has a name as long as it exists.
async fn remove_image(engine: &Engine, image: &CatalogImage, force: bool) -> Result<()> {
    let image = &image.image;
    let removed = if force || image.tags.is_empty() {
        if force {
            engine.force_remove_image(&image.id).await
        } else {
            engine.remove_image(&image.id).await
        }
    } else {
        let own = image.own_tag();
        let mut tags: Vec<&str> = image.tags.iter().map(String::as_str).collect();
        tags.sort_by_key(|tag| Some(*tag) == own);
        let mut removed = Ok(());
        for tag in tags {
            removed = engine.remove_image(tag).await;
            if removed.is_err() {
                break;
            }
        }
        removed
    };
    match removed {
        // It is already removed.
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        other => other,
    }
}

/// The newest remaining image of the same branch.
fn successor<'a>(
    stock: &'a Catalog,
    going: &[&CatalogImage],
    image: &CatalogImage,
) -> Option<&'a CatalogImage> {
    let labels = &image.image.labels;
    let staying = stock.images.iter().filter(|other| {
        let others = &other.image.labels;
        others.repo_path == labels.repo_path
            && others.ref_name == labels.ref_name
            && others.image_type != crate::image::ImageType::Objects
            && !going.contains(other)
    });
    staying.max_by_key(|other| other.image.labels.created_at)
}

/// Removes the build cache records that were layers of images `before` and no longer are, the topmost
/// first.
async fn remove_unshared(engine: &Engine, before: &[CacheRecord]) -> Result<()> {
    let now = engine.build_cache().await?;
    let was_shared: BTreeSet<&str> = shared(before).collect();
    let is_shared: BTreeSet<&str> = shared(&now).collect();
    let mut unshared: Vec<&CacheRecord> = now
        .iter()
        .filter(|record| was_shared.contains(&*record.id) && !is_shared.contains(&*record.id))
        .collect();
    let heights = heights(&now);
    unshared.sort_by_key(|record| std::cmp::Reverse(heights.get(&*record.id)));
    for record in unshared {
        engine.remove_cache_record(&record.id).await?;
    }
    Ok(())
}

fn shared(records: &[CacheRecord]) -> impl Iterator<Item = &str> {
    let shared = records.iter().filter(|record| record.shared);
    shared.map(|record| record.id.as_str())
}

/// The height of each record in its stack of records.
fn heights(records: &[CacheRecord]) -> BTreeMap<&str, usize> {
    let mut heights: BTreeMap<&str, usize> = BTreeMap::new();
    // Each round settles at least one record of every stack; there are no cycles.
    for _ in 0..records.len() {
        let mut changed = false;
        for record in records {
            let below = record.parents().filter_map(|id| heights.get(id));
            let height = below.max().map_or(0, |below| below + 1);
            changed |= heights.insert(&record.id, height) != Some(height);
        }
        if !changed {
            break;
        }
    }
    heights
}
