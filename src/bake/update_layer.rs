//! A newer image of a branch: one layer on one that exists, with what changed.

use super::create::{Baked, Create};
use super::job::BakeJob;
use super::spec::build_spec;
use super::transport::TransportOptions;
use crate::app::Context;
use crate::engine::Engine;
use crate::error::Result;
use crate::image::dkr_conf::{ConfLabel, Drift, drift};
use crate::image::dockerfile::{BuildSpec, Dockerfile};
use crate::image::{BakedImage, ImageType, Labels};

/// What an update starts from.
pub struct Update<'a> {
    /// The image to bake.
    pub create: &'a Create<'a>,
    /// The image to build on.
    pub image: &'a BakedImage,
    /// How `.dkr.conf` differs from what that image was built with.
    pub drift: Drift,
}

impl<'a> Update<'a> {
    /// Compares `create` with `image`. One whose label cannot be read counts as built with the
    /// current configuration.
    pub fn new(create: &'a Create<'a>, image: &'a BakedImage) -> Self {
        let baked = image.labels.config.as_deref();
        let baked = baked.and_then(|text| ConfLabel::parse(text).ok());
        let now = create.conf.label();
        Update {
            create,
            image,
            drift: baked.map(|baked| drift(&baked, &now)).unwrap_or_default(),
        }
    }

    /// Whether the image holds the commit and was built with the current configuration.
    pub fn is_current(&self) -> bool {
        self.image.labels.commit == self.create.target.commit.to_string() && self.drift.is_empty()
    }

    /// The Dockerfile of the layer; `None` if the image has no tag to build on.
    pub fn dockerfile(&self) -> Option<Dockerfile> {
        let spec = BuildSpec {
            packages: self.drift.added_packages.clone(),
            pre_packages: None,
            pre_clone: None,
            ..build_spec(&self.create.conf, self.image.own_tag()?)
        };
        Some(Dockerfile::update(&spec))
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// As [`Create::run`].
    pub async fn run(
        &self,
        dockerfile: &Dockerfile,
        engine: &Engine,
        options: &TransportOptions,
        cx: &Context,
    ) -> Result<Baked> {
        let job = BakeJob::open(engine, self.create.repo, &self.create.target, options, cx).await?;
        self.create.build(&job, cx, dockerfile, self.labels()).await
    }

    /// The labels of the updated image.
    pub fn labels(&self) -> Labels {
        Labels {
            image_type: ImageType::Update,
            parent: self.image.own_tag().map(str::to_owned),
            config: Some(self.config().to_json()),
            ..self.create.labels()
        }
    }

    /// The configuration of the updated image: a layer cannot undo what came before the repository, so a
    /// drift that was ignored remains.
    fn config(&self) -> ConfLabel {
        let now = self.create.conf.label();
        let baked = self.image.labels.config.as_deref();
        let Some(baked) = baked.and_then(|text| ConfLabel::parse(text).ok()) else {
            return now;
        };
        let mut packages = [baked.packages, now.packages].concat();
        packages.sort_unstable();
        packages.dedup();
        ConfLabel {
            packages,
            base_image: baked.base_image,
            pre_packages: baked.pre_packages,
            pre_clone: baked.pre_clone,
            ..now
        }
    }
}
