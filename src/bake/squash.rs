//! Keeps chains of update layers short and small: measures a branch image and its updates, and decides
//! when to squash, that is, to build the next update as one layer on the branch image itself.

use super::update_layer::Update;
use crate::app::Context;
use crate::engine::Engine;
use crate::error::{Kind, Result};
use crate::image::dockerfile::Dockerfile;
use crate::image::{BakedImage, ImageType, Images};

/// The most layers that an image may have: engines run at most 127 (moby, `layer/layer_store.go`).
pub const MOST_LAYERS: usize = 100;
/// The most update layers: each costs about a millisecond at every start.
const LONG: usize = 50;
/// Fewer update layers than this are never too large.
const FEW: usize = 16;
/// Update layers of more than this share of the branch image, in percent, are too large.
const SHARE: u64 = 20;

/// A branch image and what updates added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chain {
    /// Layers of the newest image.
    layers: usize,
    /// Layers of the branch image; `None` if it was removed.
    below: Option<usize>,
    /// Bytes of each update layer; empty while they are few.
    sizes: Vec<u64>,
    /// Bytes of the branch image.
    bytes_below: u64,
}

impl Chain {
    /// Why `more` layers must not be added, as the words after the image's name.
    fn reason(&self, more: usize) -> Option<String> {
        if self.layers + more > MOST_LAYERS {
            let layers = self.layers;
            return Some(format!(
                "has {layers} layers with its update layers (at most {MOST_LAYERS} are allowed)"
            ));
        }
        let above = self.layers.saturating_sub(self.below?);
        if above + more > LONG {
            return Some(format!("has {above} update layers"));
        }
        // The squashed layer is at least as large as the largest: squashing must save more than that.
        let sum: u64 = self.sizes.iter().sum();
        let heaviest = self.sizes.iter().max().copied().unwrap_or_default();
        let share = sum.saturating_mul(100);
        let heavy = sum > 2 * heaviest && share > self.bytes_below.saturating_mul(SHARE);
        heavy.then(|| {
            let share = share / self.bytes_below.max(1);
            format!("has update layers of {share} % of the size of the image below them")
        })
    }
}

/// The update to build in place of `update`, and its Dockerfile: the same, or one on the chain's
/// branch image. `None` if it must be rebuilt from scratch; a message has then said why.
///
/// # Errors
/// When the engine does not answer.
pub async fn choose<'a>(
    update: Update<'a>,
    images: &'a Images,
    engine: &Engine,
    cx: &Context,
) -> Result<Option<(Update<'a>, Dockerfile)>> {
    let Some(dockerfile) = update.dockerfile() else {
        return Ok(None);
    };
    let newest = engine.image(&update.image.id).await?.layer_digests;
    let below = branch_image(&update, &newest, images, engine).await?;
    let mut chain = Chain {
        layers: newest.len(),
        below: below.map(|(_, layers)| layers),
        sizes: Vec::new(),
        bytes_below: below.map_or(0, |(image, _)| image.size.try_into().unwrap_or(0)),
    };
    if let Some((image, layers)) = below
        && newest.len() - layers >= FEW
    {
        chain.sizes = sizes_above(&update.image.id, &image.id, engine).await?;
    }
    let Some(reason) = chain.reason(dockerfile.layers()) else {
        return Ok(Some((update, dockerfile)));
    };
    let name = update.image.shown_tag().unwrap_or(&update.image.id);
    let folded = below.and_then(|(image, layers)| {
        let folded = Update::new(update.create, image);
        let dockerfile = folded.dockerfile()?;
        let fits = layers + dockerfile.layers() <= MOST_LAYERS;
        fits.then_some((folded, dockerfile))
    });
    let instead = match (&folded, update.image.labels.image_type) {
        (Some((folded, _)), _) => {
            let tag = folded.image.own_tag().unwrap_or_default();
            format!("squashing them into one on `{tag}`")
        }
        (None, ImageType::Update) if below.is_none() => {
            "rebuilding from scratch, because the image that its first update was built on is gone"
                .to_owned()
        }
        _ => "rebuilding from scratch".to_owned(),
    };
    cx.ui.message(&format!("`{name}` {reason}; {instead}"));
    Ok(folded)
}

/// The branch image that the chain of `update` begins with, and how many layers it has. It is identified
/// by its layers, because images between the two may have been removed.
async fn branch_image<'a>(
    update: &Update<'a>,
    newest: &[String],
    images: &'a Images,
    engine: &Engine,
) -> Result<Option<(&'a BakedImage, usize)>> {
    let labels = &update.image.labels;
    if labels.image_type != ImageType::Update {
        return Ok(None);
    }
    let of_branch = images.own.iter().filter(|image| {
        image.labels.image_type == ImageType::Base
            && image.labels.repo_path == labels.repo_path
            && image.labels.ref_name == labels.ref_name
            && image.own_tag().is_some()
    });
    for image in of_branch {
        let layers = match engine.image(&image.id).await {
            Ok(details) => details.layer_digests,
            Err(error) if error.kind == Kind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if newest.starts_with(&layers) {
            return Ok(Some((image, layers.len())));
        }
    }
    Ok(None)
}

/// Bytes of each layer of `image` above `below`.
async fn sizes_above(image: &str, below: &str, engine: &Engine) -> Result<Vec<u64>> {
    let (steps, below) = tokio::try_join!(engine.history(image), engine.history(below))?;
    let above = steps.iter().skip(below.len());
    Ok(above.map(|step| step.size).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(below: Option<usize>, updates: usize, bytes: u64) -> Chain {
        Chain {
            layers: 10 + updates,
            below,
            sizes: vec![bytes; updates],
            bytes_below: 1000,
        }
    }

    #[test]
    fn a_long_chain_is_folded() {
        assert_eq!(chain(Some(10), 48, 1).reason(2), None);
        let reason = chain(Some(10), 49, 1).reason(2).unwrap();
        assert_eq!(reason, "has 49 update layers");
        // With the branch image gone, only the total number of layers is known.
        assert_eq!(chain(None, 88, 1).reason(2), None);
        let reason = chain(None, 89, 1).reason(2).unwrap();
        assert_eq!(
            reason,
            "has 99 layers with its update layers (at most 100 are allowed)"
        );
    }

    #[test]
    fn a_heavy_chain_is_folded_if_that_makes_it_lighter() {
        assert_eq!(chain(Some(10), 20, 10).reason(2), None);
        let reason = chain(Some(10), 21, 10).reason(2).unwrap();
        let share = "has update layers of 21 % of the size of the image below them";
        assert_eq!(reason, share);
        // A squashed layer that is large by itself is not squashed again for a little more.
        let mut folded = chain(Some(10), 20, 10);
        folded.sizes[0] = 600;
        assert_eq!(folded.reason(2), None);
        folded.sizes[1] = 500;
        assert!(folded.reason(2).is_some());
    }
}
