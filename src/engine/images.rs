//! The images of an engine: list, inspect, tag, remove. Returns plain values; interpreting dkr's labels
//! is up to `image`.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{ImageInspect, ImageSummary as ApiSummary};
use bollard::query_parameters::{
    ListImagesOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
};
use chrono::{DateTime, Utc};

use super::connect::Engine;
use super::error::failed;
use crate::error::{Error, Result};

/// The tag that engines before API 1.43 list for an image without tags.
const NO_TAG: &str = "<none>:<none>";

/// An image in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The id, `sha256:` and 64 hex digits.
    pub id: String,
    /// The id of its parent, if the engine knows it; BuildKit leaves it empty.
    pub parent: String,
    /// All tags, `repository:tag`, sorted; empty for a dangling image.
    pub tags: Vec<String>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// When it was created, in seconds since 1970.
    pub created: i64,
    /// Bytes of all its layers, including shared ones.
    pub size: i64,
}

/// An inspected image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDetails {
    /// The id, `sha256:` and 64 hex digits.
    pub id: String,
    /// All tags, sorted.
    pub tags: Vec<String>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// The number of layers.
    pub layers: usize,
    /// The digests of its layers, the lowest first.
    pub layer_digests: Vec<String>,
    /// The environment, each as `NAME=value`.
    pub env: Vec<String>,
    /// The entrypoint; empty if there is none.
    pub entrypoint: Vec<String>,
    /// The command; empty if there is none.
    pub command: Vec<String>,
    /// The architecture as Go names it, e.g. `amd64`.
    pub architecture: String,
    /// Bytes of all its layers, including shared ones.
    pub size: i64,
    /// When the engine last tagged it, by the engine's clock; `None` if never.
    pub tagged_at: Option<DateTime<Utc>>,
}

impl Engine {
    /// Lists the images with the label `label` (`key` or `key=value`), including dangling ones, with
    /// one request.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn images(&self, label: &str) -> Result<Vec<ImageSummary>> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        match self.docker().list_images(Some(options)).await {
            Ok(images) => Ok(images.into_iter().map(ImageSummary::from).collect()),
            Err(e) => Err(failed(format!("cannot list the images of {self}"), e)),
        }
    }

    /// Inspects the image `reference`: an id or a tag.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Kind::NotFound) when there is no such image.
    pub async fn image(&self, reference: &str) -> Result<ImageDetails> {
        let attempt = || format!("cannot inspect the image `{reference}`");
        let reference = checked(reference, attempt)?;
        let details = self.docker().inspect_image(reference).await;
        details
            .map(ImageDetails::from)
            .map_err(|e| failed(attempt(), e))
    }

    /// Tags the image `id` as `tag` (`repository:tag`). If another image has the tag, it moves.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Kind::NotFound) when there is no such image.
    pub async fn tag_image(&self, id: &str, tag: &str) -> Result<()> {
        let attempt = || format!("cannot tag the image `{id}` as `{tag}`");
        let id = checked(id, attempt)?;
        let Some((repository, name)) = tag.rsplit_once(':').filter(|(_, t)| !t.contains('/'))
        else {
            return Err(Error::bug(attempt()).cause("the tag is not `repository:tag`"));
        };
        let options = TagImageOptionsBuilder::new()
            .repo(repository)
            .tag(name)
            .build();
        let done = self.docker().tag_image(id, Some(options)).await;
        done.map_err(|e| failed(attempt(), e))
    }

    /// Removes a tag, and with its last tag the image; or, given an id, an image with at most one
    /// tag. The images it was built on are kept.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Kind::NotFound) when there is no such tag or image;
    /// [`Failed`](crate::error::Kind::Failed) when a container uses it.
    pub async fn remove_image(&self, reference: &str) -> Result<()> {
        self.remove(reference, false).await
    }

    /// The same, even if a stopped container uses the image or it has several tags. An image that a
    /// running container uses is kept.
    ///
    /// # Errors
    /// As [`Engine::remove_image`].
    pub async fn force_remove_image(&self, reference: &str) -> Result<()> {
        self.remove(reference, true).await
    }

    async fn remove(&self, reference: &str, force: bool) -> Result<()> {
        let attempt = || format!("cannot remove the image `{reference}`");
        let reference = checked(reference, attempt)?;
        let options = RemoveImageOptions {
            noprune: true,
            force,
            ..RemoveImageOptions::default()
        };
        let done = self
            .docker()
            .remove_image(reference, Some(options), None)
            .await;
        done.map(drop).map_err(|e| failed(attempt(), e))
    }
}

/// Checks that a reference can be part of a request's path without changing its meaning.
pub(super) fn checked(reference: &str, attempt: impl Fn() -> String) -> Result<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let dots = |part: &str| part.is_empty() || part.chars().all(|c| c == '.');
    if reference.chars().all(plain) && !reference.split('/').any(dots) {
        return Ok(reference);
    }
    Err(Error::not_found(attempt()).cause("not a valid image reference"))
}

impl From<ApiSummary> for ImageSummary {
    fn from(image: ApiSummary) -> Self {
        ImageSummary {
            id: image.id,
            parent: image.parent_id,
            tags: real_tags(image.repo_tags),
            labels: image.labels.into_iter().collect(),
            created: image.created,
            size: image.size,
        }
    }
}

impl From<ImageInspect> for ImageDetails {
    fn from(image: ImageInspect) -> Self {
        let config = image.config.unwrap_or_default();
        let layers = image.root_fs.and_then(|fs| fs.layers).unwrap_or_default();
        let tagged_at = image.metadata.and_then(|metadata| metadata.last_tag_time);
        ImageDetails {
            id: image.id.unwrap_or_default(),
            tags: real_tags(image.repo_tags.unwrap_or_default()),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            layers: layers.len(),
            layer_digests: layers,
            env: config.env.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            architecture: image.architecture.unwrap_or_default(),
            size: image.size.unwrap_or_default(),
            tagged_at: tagged_at.as_deref().and_then(time),
        }
    }
}

/// A time of the engine's (RFC 3339). The year 1 means none.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    (time > DateTime::UNIX_EPOCH).then_some(time)
}

fn real_tags(mut tags: Vec<String>) -> Vec<String> {
    tags.retain(|tag| tag != NO_TAG);
    tags.sort();
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{asked, env, fake};
    use crate::error::Kind;

    async fn engine(fake: &testkit::FakeEngine) -> Engine {
        Engine::connect(&env(fake)).await.unwrap()
    }

    #[tokio::test]
    async fn images_are_listed_by_label_in_one_request() {
        let listing = r#"[
            {"Id":"sha256:aa","ParentId":"","RepoTags":["dkr:b","dkr:a"],"RepoDigests":null,
             "Created":1700000000,"Size":42,"SharedSize":-1,"Labels":{"dkr.type":"base"},"Containers":-1},
            {"Id":"sha256:bb","ParentId":"","RepoTags":["<none>:<none>"],"RepoDigests":["<none>@<none>"],
             "Created":1,"Size":7,"SharedSize":-1,"Labels":null,"Containers":-1}]"#;
        let fake = fake([("GET /images/json", 200, listing)]);
        let images = engine(&fake).await.images("dkr.type").await.unwrap();
        assert_eq!(images.len(), 2);
        assert_eq!(images[0].tags, ["dkr:a", "dkr:b"]);
        assert_eq!(images[0].labels["dkr.type"], "base");
        assert_eq!((images[0].created, images[0].size), (1_700_000_000, 42));
        assert!(images[1].tags.is_empty() && images[1].labels.is_empty());
        let asked = asked(&fake);
        assert_eq!(asked.len(), 2);
        assert!(
            asked[1].contains("filters=%7B%22label%22%3A%5B%22dkr.type%22%5D%7D"),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn an_inspection_counts_layers_and_says_when_it_was_tagged() {
        let image = r#"{"Id":"sha256:aa","RepoTags":[],"Architecture":"amd64","Size":9,
            "Metadata":{"LastTagTime":"2026-01-02T03:04:05.678901234+01:00"},
            "Config":{"Env":["A=1"],"Entrypoint":["/e"],"Cmd":null,"Labels":null},
            "RootFS":{"Type":"layers","Layers":["sha256:1","sha256:2"]}}"#;
        let fake = fake([("GET /images/dkr:a/json", 200, image)]);
        let details = engine(&fake).await.image("dkr:a").await.unwrap();
        assert_eq!((details.layers, &*details.architecture), (2, "amd64"));
        assert_eq!(details.layer_digests, ["sha256:1", "sha256:2"]);
        assert_eq!(
            (details.env, details.entrypoint),
            (vec!["A=1".into()], vec!["/e".into()])
        );
        assert!(details.command.is_empty());
        let tagged_at = details.tagged_at.unwrap();
        assert_eq!(tagged_at.timestamp_millis(), 1_767_319_445_678);
        assert_eq!(time("0001-01-01T00:00:00Z"), None);
    }

    #[tokio::test]
    async fn what_was_removed_meanwhile_is_not_found() {
        let gone = r#"{"message":"No such image: dkr:a"}"#;
        let fake = fake([
            ("GET /images/dkr:a/json", 404, gone),
            ("POST /images/dkr:a/tag", 404, gone),
            ("DELETE /images/dkr:a", 404, gone),
        ]);
        let engine = engine(&fake).await;
        let errors = [
            engine.image("dkr:a").await.unwrap_err(),
            engine.tag_image("dkr:a", "dkr:b").await.unwrap_err(),
            engine.remove_image("dkr:a").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind, Kind::NotFound, "{error}");
            assert_eq!(error.causes, ["No such image: dkr:a"]);
        }
    }

    #[tokio::test]
    async fn a_refusal_and_garbage_are_errors() {
        let fake = fake([
            ("GET /images/json", 200, "{\"a\":"),
            ("DELETE /images/dkr:a", 409, "conflict: in use"),
        ]);
        let engine = engine(&fake).await;
        assert_eq!(engine.images("l").await.unwrap_err().kind, Kind::Failed);
        let conflict = engine.remove_image("dkr:a").await.unwrap_err();
        assert_eq!(
            (conflict.kind, &*conflict.causes[0]),
            (Kind::Failed, "conflict: in use")
        );
    }

    #[tokio::test]
    async fn a_reference_cannot_become_another_path() {
        let fake = fake([]);
        let engine = engine(&fake).await;
        for reference in [
            "",
            "../info",
            "a/../../x",
            "a?force=1",
            "a#b",
            "a b",
            "%2e%2e",
        ] {
            let error = engine.remove_image(reference).await.unwrap_err();
            assert_eq!(error.kind, Kind::NotFound, "{reference}");
        }
        assert_eq!(asked(&fake), ["GET /version"]);
    }

    #[tokio::test]
    async fn a_tag_is_split_at_its_last_colon() {
        let fake = fake([("POST /images/sha256:aa/tag", 201, "")]);
        let engine = engine(&fake).await;
        engine
            .tag_image("sha256:aa", "localhost:5000/dkr:b")
            .await
            .unwrap();
        assert!(
            asked(&fake)[1].ends_with("?repo=localhost%3A5000%2Fdkr&tag=b"),
            "{:?}",
            asked(&fake)
        );
        assert_eq!(
            engine.tag_image("sha256:aa", "dkr").await.unwrap_err().kind,
            Kind::Bug
        );
    }
}
