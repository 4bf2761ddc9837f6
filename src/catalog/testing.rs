//! Images for the unit tests of this folder.

use chrono::{TimeDelta, Utc};

use super::images::CatalogImage;
use super::layers::Layers;
use crate::engine::ListedContainer;
use crate::engine::containers::ContainerId;
use crate::image::BakedImage;
use crate::image::labels::tests::sample;

/// An image of `main` of the repository `/r/linux`, an hour old.
pub fn image(id: &str, tags: &[&str]) -> CatalogImage {
    let mut labels = sample();
    labels.created_at = Utc::now() - TimeDelta::hours(1);
    CatalogImage {
        image: BakedImage {
            id: id.to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            size: 1,
            made: 0,
            of_containers: [].into(),
            labels,
        },
        layers: Layers::default(),
        architecture: "amd64".to_owned(),
        own_bytes: None,
    }
}

/// A container of the image with that id.
pub fn container(name: &str, image: &str, state: &str) -> ListedContainer {
    ListedContainer {
        id: ContainerId(name.to_owned()),
        name: name.to_owned(),
        image: image.to_owned(),
        labels: [].into(),
        state: state.to_owned(),
        command: String::new(),
        created: chrono::DateTime::UNIX_EPOCH,
    }
}
