//! A new branch image: the whole repository at one commit.

use std::collections::HashMap;

use chrono::Utc;
use rand::RngExt;

use super::borrowed;
use super::images::{holders, list};
use super::job::BakeJob;
use super::objects::{Objects, object_image, provide};
use super::run::{Build, BuildEnd};
use super::source;
use super::spec::{branch_files, build_arguments, build_spec, runtime};
use super::transport::TransportOptions;
use crate::app::Context;
use crate::engine::Engine;
use crate::error::Result;
use crate::git::{Repository, Target};
use crate::image::dkr_conf::{Allow, DkrConf, SectionName};
use crate::image::dockerfile::{BuildSpec, Dockerfile};
use crate::image::reference::{choose_moving_tag, objects_tag, own_tag};
use crate::image::{ImageType, Images, Labels};

/// What to bake, and how.
pub struct Create<'a> {
    /// The repository.
    pub repo: &'a Repository,
    /// The commit, and the ref that it was found by.
    pub target: Target,
    /// The configuration of that commit.
    pub conf: DkrConf,
    /// Do not use the build cache.
    pub no_cache: bool,
    /// How the repository is copied.
    pub clone: CloneMode,
    /// Bake even if disk space seems too low.
    pub force: bool,
}

/// How the repository is copied (`--clone`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloneMode {
    /// By a plain clone, which leaves out what no ref reaches.
    Full,
    /// By its packs as they are, in an object image that all its branches share.
    Packs,
}

/// An image that was baked.
pub struct Baked {
    /// Its id.
    pub id: String,
    /// The tag that moves to the newest image of the branch.
    pub tag: String,
}

impl<'a> Create<'a> {
    /// Resolves REF to one commit and reads its configuration, as far as `allow` lets it; a remote branch
    /// is fetched first.
    ///
    /// # Errors
    /// As [`source::resolve`] and [`source::read_conf`].
    pub fn resolve(
        repo: &'a Repository,
        reference: Option<&str>,
        allow: &Allow,
        cx: &Context,
    ) -> Result<Self> {
        let target = source::resolve(repo, reference, &cx.env, &cx.ui)?;
        let conf = source::read_conf(repo, &target.commit, allow)?;
        Ok(Create {
            repo,
            target,
            conf,
            no_cache: false,
            clone: CloneMode::Packs,
            force: false,
        })
    }

    /// The Dockerfile of a plain clone.
    pub fn dockerfile(&self) -> Dockerfile {
        Dockerfile::create(&build_spec(&self.conf, &self.conf.base_image))
    }

    /// The Dockerfile on the object image `tag`.
    pub fn dockerfile_on(&self, tag: &str) -> Dockerfile {
        Dockerfile::create(&BuildSpec {
            on_objects: true,
            ..build_spec(&self.conf, tag)
        })
    }

    /// What would be built, given the existing `images`: the Dockerfile of the object image, if one
    /// must be built, that of the branch image, and its labels.
    pub fn plan(&self, images: &Images) -> (Vec<Dockerfile>, Labels) {
        if self.clone == CloneMode::Full || self.repo.packs().is_err() {
            return (vec![self.dockerfile()], self.labels());
        }
        let existing = object_image(self, images).filter(|_| !self.no_cache);
        let (mut dockerfiles, tag) = match existing {
            Some((_, tag)) => (Vec::new(), tag.to_owned()),
            None => {
                let tag = own_tag(&objects_tag(self.repo.name()), "<6 random hex digits>");
                (vec![Dockerfile::objects(&self.conf.base_image)], tag)
            }
        };
        dockerfiles.push(self.dockerfile_on(&tag));
        let labels = Labels {
            parent: Some(tag),
            ..self.labels()
        };
        (dockerfiles, labels)
    }

    /// The labels of the image.
    pub fn labels(&self) -> Labels {
        Labels {
            repo_path: self.repo.root().to_owned(),
            repo_name: self.repo.name().to_owned(),
            branch: self.target.branch.clone(),
            branch_from: self.target.branch_from.clone(),
            ref_name: self.target.ref_name.clone(),
            commit: self.target.commit.to_string(),
            created_at: Utc::now(),
            image_type: ImageType::Base,
            parent: None,
            config: Some(self.conf.to_label()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            source: self.repo.origin_url(),
        }
    }

    /// The moving tag, given the existing `images`.
    pub fn moving_tag(&self, images: &Images) -> String {
        let holders = holders(images);
        choose_moving_tag(
            self.repo.name(),
            &self.target.branch,
            self.repo.root(),
            &self.target.ref_name,
            |tag| holders.get(tag).cloned(),
        )
    }

    /// Bakes the image: on the object image of the repository, or as a plain clone where that is
    /// requested or nothing else is possible.
    ///
    /// # Errors
    /// When the SSH server cannot be used, or the build fails.
    pub async fn run(
        &self,
        engine: &Engine,
        options: &TransportOptions,
        cx: &Context,
    ) -> Result<Baked> {
        let job = BakeJob::open(engine, self.repo, &self.target, options, cx).await?;
        if self.clone == CloneMode::Packs {
            let reason = match provide(self, &job, cx).await? {
                Objects::Image(tag) => match self.on_objects(&tag, &job, cx).await? {
                    Ok(baked) => return Ok(baked),
                    Err(reason) => reason,
                },
                Objects::Clone(reason) => reason,
            };
            cx.ui.message(&format!(
                "cloning, because the packs cannot be copied: {reason}"
            ));
        }
        borrowed::check_clone(self, engine).await?;
        self.build(&job, cx, &self.dockerfile(), self.labels())
            .await
    }

    /// Builds on the object image `tag`; returns the reason if that is impossible.
    async fn on_objects(
        &self,
        tag: &str,
        job: &BakeJob<'_>,
        cx: &Context,
    ) -> Result<std::result::Result<Baked, String>> {
        let dockerfile = self.dockerfile_on(tag);
        let labels = Labels {
            parent: Some(tag.to_owned()),
            ..self.labels()
        };
        let build = self.prepare(job, &dockerfile, labels)?;
        Ok(match build.run_or_give_way(job.engine, cx).await? {
            BuildEnd::Built(id) => Ok(self.tagged(id, job.engine, cx).await?),
            BuildEnd::Changed(reason) | BuildEnd::Unusable(reason) => Err(reason),
        })
    }

    /// Builds `dockerfile` into an image of this branch.
    pub(super) async fn build(
        &self,
        job: &BakeJob<'_>,
        cx: &Context,
        dockerfile: &Dockerfile,
        labels: Labels,
    ) -> Result<Baked> {
        let build = self.prepare(job, dockerfile, labels)?;
        let id = build.run(job.engine, cx).await?;
        self.tagged(id, job.engine, cx).await
    }

    /// Moves the branch's tag to a new image. Not part of the build: another repository of that name
    /// may have taken the tag in the meantime.
    async fn tagged(&self, id: String, engine: &Engine, cx: &Context) -> Result<Baked> {
        let images = list(engine).await?;
        let tag = self.moving_tag(&images);
        let mut foreign = images.foreign.iter();
        if let Some(other) = foreign.find(|other| other.image.tags.contains(&tag)) {
            cx.ui.message(&format!(
                "taking the tag `{tag}` from image `{}`, which dkr did not build",
                other.short_id()
            ));
        }
        engine.tag_image(&id, &tag).await?;
        Ok(Baked { id, tag })
    }

    /// The build of an image with a tag of its own.
    fn prepare<'b>(
        &self,
        job: &'b BakeJob<'_>,
        dockerfile: &'b Dockerfile,
        labels: Labels,
    ) -> Result<Build<'b>> {
        let own_tag = own_tag(&self.moving_tag(&job.images), &random_hex());
        let refs = self.repo.exported_refs(&self.target)?;
        let followed = self.conf.section(SectionName::PostClone).is_some();
        let broken = self.repo.broken_refs().is_some();
        let files = branch_files(&self.target, &refs, broken, followed);
        Ok(Build {
            context: runtime(job.context(dockerfile, files)),
            dockerfile,
            tags: vec![own_tag],
            labels: labels.to_map(),
            arguments: build_arguments(&self.target, &job.remote, self.repo.root()),
            no_cache: self.no_cache,
            transport: &job.transport,
            streams: HashMap::new(),
        })
    }
}

/// Six random hex digits.
pub(super) fn random_hex() -> String {
    format!("{:06x}", rand::rng().random::<u32>() & 0x00ff_ffff)
}
