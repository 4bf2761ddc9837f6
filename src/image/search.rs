//! Finds images in a listing, and how a listing shows them (pure). Only dkr's own are ever found.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde::Serialize;

use super::labels::{ImageType, Labels, OF_IMAGES};
use super::own::Images;
use super::reference::{is_own_tag, moving_tag, moving_tag_disambiguated, objects_tag};

/// An image with dkr's labels, as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BakedImage {
    /// Its id on the engine.
    pub id: String,
    /// All its tags.
    pub tags: Vec<String>,
    /// Bytes of all its layers.
    pub size: i64,
    /// When it was built according to the engine, in seconds since 1970.
    pub made: i64,
    /// Its labels.
    pub labels: Labels,
    /// Its labels that belong to a container: `docker commit` copies them.
    pub of_containers: BTreeMap<String, String>,
}

/// The prefixes under which git looks up a short name (`gitrevisions`).
const PREFIXES: [&str; 5] = ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"];

impl BakedImage {
    /// An image as the engine lists it; `None` if its labels are not dkr's.
    pub fn new(
        id: impl Into<String>,
        tags: Vec<String>,
        size: i64,
        made: i64,
        labels: &BTreeMap<String, String>,
    ) -> Option<Self> {
        let of_dkr = labels.iter().filter(|(name, _)| name.starts_with("dkr."));
        let others = of_dkr.filter(|(name, _)| !OF_IMAGES.contains(&name.as_str()));
        Some(BakedImage {
            id: id.into(),
            tags,
            size,
            made,
            of_containers: others.map(|(k, v)| (k.clone(), v.clone())).collect(),
            labels: Labels::from_map(labels)?,
        })
    }

    /// The moving tag, if the image has it: the newest image of its branch does.
    pub fn moving_tag(&self) -> Option<&str> {
        let possible = self.possible_moving_tags();
        self.tag(|tag| possible.iter().any(|moving| tag == moving))
    }

    /// A tag of the image that never moves: what a build on it names in `FROM`.
    pub fn own_tag(&self) -> Option<&str> {
        let possible = self.possible_moving_tags();
        self.tag(|tag| possible.iter().any(|moving| is_own_tag(tag, moving)))
    }

    /// Whether it has a tag that dkr did not give it.
    pub fn has_given_name(&self) -> bool {
        let possible = self.possible_moving_tags();
        let of_dkr = |tag: &str| {
            let mut possible = possible.iter();
            possible.any(|moving| tag == moving || is_own_tag(tag, moving))
        };
        !self.tags.iter().all(|tag| of_dkr(tag))
    }

    /// The tag to show: the moving tag, otherwise the own tag, otherwise any other.
    pub fn shown_tag(&self) -> Option<&str> {
        let tag = self.moving_tag().or_else(|| self.own_tag());
        tag.or_else(|| self.tag(|_| true))
    }

    /// The first tag in order that `matches`.
    fn tag(&self, matches: impl Fn(&str) -> bool) -> Option<&str> {
        let tags = self.tags.iter().map(String::as_str);
        tags.filter(|tag| matches(tag)).min()
    }

    fn possible_moving_tags(&self) -> Vec<String> {
        let l = &self.labels;
        match l.image_type {
            ImageType::Objects => vec![objects_tag(&l.repo_name)],
            ImageType::Base | ImageType::Update => vec![
                moving_tag(&l.repo_name, &l.branch),
                moving_tag_disambiguated(&l.repo_name, &l.branch, &l.repo_path, &l.ref_name),
            ],
        }
    }

    /// Whether it is an image of a branch that `query` describes.
    pub(super) fn is_meant(&self, query: Query<'_>) -> bool {
        let l = &self.labels;
        let is_exact = || query.ref_name == Some(&l.ref_name);
        l.image_type != ImageType::Objects
            && query.repo_path.is_none_or(|path| l.repo_path == path)
            && (is_exact() || query.reference.is_none_or(|name| self.is_of(name)))
    }

    /// Whether it is an image of the same branch of the same repository.
    pub(super) fn is_of_branch(&self, labels: &Labels) -> bool {
        let l = &self.labels;
        l.image_type != ImageType::Objects
            && l.repo_path == labels.repo_path
            && l.ref_name == labels.ref_name
    }

    fn is_of(&self, reference: &str) -> bool {
        let l = &self.labels;
        // HEAD may have changed since the image was built.
        let typed = !matches!(l.branch_from.rsplit('/').next(), Some("HEAD"));
        l.branch == reference || typed && l.branch_from == reference || {
            let stripped = PREFIXES
                .iter()
                .filter_map(|prefix| l.ref_name.strip_prefix(prefix));
            stripped.into_iter().any(|short| short == reference)
        }
    }
}

/// What to look for. An empty query finds every branch image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query<'a> {
    /// The repository's `dkr.repo_path`.
    pub repo_path: Option<&'a str>,
    /// A ref as the user typed it: `main`, `space/main`, `refs/heads/main`, a commit, `HEAD`.
    pub reference: Option<&'a str>,
    /// Its full name in the repository, where it is known (`dkr.ref`).
    pub ref_name: Option<&'a str>,
}

/// The images that `query` describes, the newest first. Object images are never among them.
pub fn find<'i>(images: &'i Images, query: Query<'_>) -> Vec<&'i BakedImage> {
    let meant = images.own.iter().filter(|image| image.is_meant(query));
    let mut found: Vec<&BakedImage> = meant.collect();
    found.sort_by_key(|image| (Reverse(image.labels.created_at), &image.id));
    found
}

/// The image to use for `query`: the newest whose `dkr.ref` is exactly the one that it names, otherwise
/// the newest of all that it describes.
pub fn best<'i>(images: &'i Images, query: Query<'_>) -> Option<&'i BakedImage> {
    let found = find(images, query);
    let exact = found
        .iter()
        .find(|image| query.ref_name == Some(&image.labels.ref_name));
    exact.or(found.first()).copied()
}

/// The newest image of exactly this ref of this repository: what an update may be built on.
pub fn newest_of_exact_ref<'i>(
    images: &'i Images,
    repo_path: &str,
    ref_name: &str,
) -> Option<&'i BakedImage> {
    let query = Query {
        repo_path: Some(repo_path),
        ..Query::default()
    };
    let mut found = find(images, query).into_iter();
    found.find(|image| image.labels.ref_name == ref_name)
}

/// The object images of a repository, the newest first.
pub fn object_images<'i>(images: &'i Images, repo_path: &str) -> Vec<&'i BakedImage> {
    let mut found: Vec<&BakedImage> = images
        .own
        .iter()
        .filter(|image| image.labels.image_type == ImageType::Objects)
        .filter(|image| image.labels.repo_path == repo_path)
        .collect();
    found.sort_by_key(|image| (Reverse(image.labels.created_at), &image.id));
    found
}

/// An image by its labels and tags, as the images are listed that another one was built on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "parent-image"))]
pub struct Row<'a> {
    /// Its id on the engine.
    pub id: &'a str,
    /// The tag it is shown under; `<none>` when it has none.
    pub tag: &'a str,
    /// All its tags.
    pub tags: &'a [String],
    /// Path of the repository.
    pub repo_path: &'a str,
    /// Name of the repository.
    pub repo_name: &'a str,
    /// Short name of the branch.
    pub branch: &'a str,
    /// The ref as it was typed.
    pub branch_from: &'a str,
    /// Full name of the ref in the host repository.
    #[serde(rename = "ref")]
    pub ref_name: &'a str,
    /// The baked commit, in full.
    pub commit: &'a str,
    /// When it was made; the start of 1970 if that is not known or not possible.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// `base` or `update`.
    #[serde(rename = "type")]
    pub image_type: &'static str,
    /// The own tag of the image that it was built on; null without such a label.
    pub parent: Option<&'a str>,
    /// Bytes of all its layers.
    pub size: i64,
}

impl<'a> From<&'a BakedImage> for Row<'a> {
    fn from(image: &'a BakedImage) -> Self {
        let l = &image.labels;
        Row {
            id: &image.id,
            tag: image.shown_tag().unwrap_or("<none>"),
            tags: &image.tags,
            repo_path: &l.repo_path,
            repo_name: &l.repo_name,
            branch: &l.branch,
            branch_from: &l.branch_from,
            ref_name: &l.ref_name,
            commit: &l.commit,
            created_at: l.created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            image_type: l.image_type.as_str(),
            parent: l.parent.as_deref(),
            size: image.size,
        }
    }
}

#[cfg(test)]
mod tests;
