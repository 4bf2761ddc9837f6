//! The images that dkr made, as the engine lists them.

use std::collections::HashMap;

use crate::engine::Engine;
use crate::error::Result;
use crate::image::{BakedImage, labels};

/// Lists every image that dkr made, in one call.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn list(engine: &Engine) -> Result<Vec<BakedImage>> {
    let images = engine.images(labels::TYPE).await?.into_iter();
    let baked =
        images.filter_map(|image| BakedImage::new(image.id, image.tags, image.size, &image.labels));
    Ok(baked.collect())
}

/// Which repository and ref hold each tag.
pub fn holders(images: &[BakedImage]) -> HashMap<&str, (String, String)> {
    let holder = |image: &BakedImage| {
        let labels = &image.labels;
        (labels.repo_path.clone(), labels.ref_name.clone())
    };
    let tags = images.iter().flat_map(|image| {
        let tags = image.tags.iter();
        tags.map(move |tag| (tag.as_str(), holder(image)))
    });
    tags.collect()
}
