//! The dkr images of an engine, each with its layers, its parents and its containers.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::try_join_all;

use super::layers::{Layers, bytes_only_in};
use crate::bake::moving_tags::list_mended;
use crate::container::{Containers, forgotten};
use crate::engine::{Engine, ImageDetails, ListedContainer};
use crate::env::Env;
use crate::error::{Kind, Result};
use crate::image::dkr_conf::ConfLabel;
use crate::image::{BakedImage, Images};

/// How many images to inspect at once.
const AT_ONCE: usize = 8;

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogImage {
    /// The image.
    pub image: BakedImage,
    /// Its layers.
    pub layers: Layers,
    /// Its architecture as Go names it, e.g. `amd64`.
    pub architecture: String,
    /// Bytes that it adds to its parent, if they come from a listing and its layers
    /// are not known.
    pub own_bytes: Option<u64>,
}

impl CatalogImage {
    /// The tag to display, or its id.
    pub fn name(&self) -> &str {
        self.image.shown_tag().unwrap_or(&self.image.id)
    }
}

/// All dkr images and dkr containers of an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The images as they were listed, including those that only carry dkr's labels.
    pub listed: Images,
    /// The dkr images, including object images.
    pub images: Vec<CatalogImage>,
    /// The dkr containers.
    pub containers: Vec<ListedContainer>,
    /// The layers of the base images that still exist.
    bases: Vec<Vec<String>>,
}

impl Catalog {
    /// Reads everything from the engine. What is removed meanwhile is left out.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn read(engine: &Engine, env: &Env) -> Result<Self> {
        let mut stock = Catalog::default();
        let listed = list_mended(engine, env).await?;
        let names: BTreeSet<String> = listed.own.iter().filter_map(base_image).collect();
        for some in listed.own.chunks(AT_ONCE) {
            let stocked = try_join_all(some.iter().map(|image| look_into(engine, image))).await?;
            stock.images.extend(stocked.into_iter().flatten());
        }
        for name in names {
            let base = existing(engine.image(&name).await)?;
            stock.bases.extend(base.map(|base| base.layer_digests));
        }
        let containers = forgotten::containers(engine, env).await?;
        stock.containers = Containers::tell_apart(containers, &listed.own, env).own;
        stock.listed = listed;
        Ok(stock)
    }

    /// Reads only what a listing shows: two requests, and one for each base image. Falls back to
    /// [`Catalog::read`] if the parent of an image no longer exists.
    ///
    /// # Errors
    /// As [`Catalog::read`].
    pub async fn overview(engine: &Engine, env: &Env) -> Result<Self> {
        let (listed, containers) =
            tokio::try_join!(list_mended(engine, env), forgotten::containers(engine, env))?;
        let names: BTreeSet<String> = listed.own.iter().filter_map(base_image).collect();
        let mut below = HashMap::new();
        for name in names {
            if let Some(base) = existing(engine.image(&name).await)? {
                below.insert(name, base.size);
            }
        }
        for image in &listed.own {
            let tags = image.tags.iter();
            below.extend(tags.map(|tag| (tag.clone(), image.size)));
        }
        let own_bytes = |image: &BakedImage| {
            let parent = match &image.labels.parent {
                Some(tag) => *below.get(tag)?,
                None => base_image(image).map_or(0, |name| below.get(&name).copied().unwrap_or(0)),
            };
            u64::try_from(image.size.saturating_sub(parent)).ok()
        };
        let stocked = |image: &BakedImage| {
            Some(CatalogImage {
                own_bytes: Some(own_bytes(image)?),
                image: image.clone(),
                layers: Layers::default(),
                architecture: String::new(),
            })
        };
        match listed.own.iter().map(stocked).collect() {
            Some(images) => Ok(Catalog {
                images,
                containers: Containers::tell_apart(containers, &listed.own, env).own,
                bases: Vec::new(),
                listed,
            }),
            None => Catalog::read(engine, env).await,
        }
    }

    /// The image that `image` was built on, if it still exists.
    pub fn parent(&self, image: &CatalogImage) -> Option<&CatalogImage> {
        let tag = image.image.labels.parent.as_ref()?;
        self.images
            .iter()
            .find(|other| other.image.tags.contains(tag))
    }

    /// The images that `image` was built on, the nearest first, as far as they still exist.
    pub fn chain(&self, image: &CatalogImage) -> Vec<&CatalogImage> {
        let mut chain: Vec<&CatalogImage> = Vec::new();
        let mut next = self.parent(image);
        while let Some(parent) = next {
            // Tags that were moved by hand can form a cycle.
            if chain.contains(&parent) || parent.image.id == image.image.id {
                break;
            }
            chain.push(parent);
            next = self.parent(parent);
        }
        chain
    }

    /// The images that were built on `image`.
    pub fn children(&self, image: &CatalogImage) -> Vec<&CatalogImage> {
        let is_child = |other: &&CatalogImage| {
            let parent = other.image.labels.parent.as_ref();
            parent.is_some_and(|tag| image.image.tags.contains(tag))
        };
        self.images.iter().filter(is_child).collect()
    }

    /// The containers of the image with this id.
    pub fn containers_of(&self, id: &str) -> Vec<&ListedContainer> {
        let all = self.containers.iter();
        all.filter(|container| container.image == id).collect()
    }

    /// The image with this id.
    pub fn image(&self, id: &str) -> Option<&CatalogImage> {
        self.images.iter().find(|image| image.image.id == id)
    }

    /// Bytes of the layers of `image` that are in neither its base image nor another dkr image
    /// that it is built on.
    pub fn own_bytes(&self, image: &CatalogImage) -> u64 {
        if let Some(bytes) = image.own_bytes {
            return bytes;
        }
        let images = self.images.iter().map(|other| other.layers.digests());
        let bases = self.bases.iter().map(Vec::as_slice);
        image.layers.own_bytes(images.chain(bases))
    }

    /// Bytes of the layers of `images`, each counted once, excluding those of base images.
    pub fn bytes_of<'a>(&'a self, images: impl IntoIterator<Item = &'a CatalogImage>) -> u64 {
        let layers = images.into_iter().map(|image| &image.layers);
        bytes_only_in(layers, self.bases.iter().map(Vec::as_slice))
    }
}

async fn look_into(engine: &Engine, image: &BakedImage) -> Result<Option<CatalogImage>> {
    let asked = async {
        let details = engine.image(&image.id).await?;
        Ok((details, engine.history(&image.id).await?))
    };
    let Some((details, history)) = existing(asked.await)? else {
        return Ok(None);
    };
    let ImageDetails {
        layer_digests,
        architecture,
        ..
    } = details;
    Ok(Some(CatalogImage {
        image: image.clone(),
        layers: Layers::new(layer_digests, &history),
        architecture,
        own_bytes: None,
    }))
}

fn base_image(image: &BakedImage) -> Option<String> {
    let config = ConfLabel::parse(image.labels.config.as_deref()?).ok()?;
    Some(config.base_image)
}

/// Turns `NotFound` into `None`.
fn existing<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
