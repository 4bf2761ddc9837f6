//! What images take up: the history of their layers, and the build cache that shares these.

use std::time::Duration;

use bollard::models::ImageHistoryResponseItem;
use bollard::query_parameters::ListImagesOptions;
use serde::Deserialize;
use tokio::time::Instant;

use super::connect::Engine;
use super::error::failed;
use super::images::checked;
use super::request;
use crate::error::{Reason, Result};

/// The comment of a step that BuildKit ran (BuildKit, `frontend/dockerfile/dockerfile2llb`).
const BUILDKIT: &str = "buildkit.dockerfile.v0";

/// How long to wait while another client's disk usage request is in progress.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to try again meanwhile.
const RETRY: Duration = Duration::from_millis(200);

/// One step of the history of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStep {
    /// The command, e.g. `RUN /bin/sh -c make # buildkit`.
    pub instruction: String,
    /// Whether BuildKit ran it, and not `docker commit` or an import.
    pub by_buildkit: bool,
    /// Bytes of its layer; also 0 for a step without a layer.
    pub size: u64,
}

/// A record of the engine's build cache.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CacheRecord {
    #[serde(rename = "ID")]
    pub id: String,
    /// Whether it is also a layer of an image.
    #[serde(default)]
    pub shared: bool,
    /// Its parent, before API 1.42.
    #[serde(default)]
    parent: String,
    /// Its parents, since API 1.42.
    #[serde(default)]
    parents: Option<Vec<String>>,
}

impl CacheRecord {
    /// The ids of its parents.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        let all = self.parents.iter().flatten().chain([&self.parent]);
        all.map(String::as_str).filter(|id| !id.is_empty())
    }
}

impl Engine {
    /// The history of the image `id`, the oldest step first.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::Kind::NotFound) when there is no such image.
    pub async fn history(&self, id: &str) -> Result<Vec<HistoryStep>> {
        let attempt = || format!("cannot read the history of the image `{id}`");
        let id = checked(id, attempt)?;
        let steps = self.docker().image_history(id).await;
        let steps = steps.map_err(|e| failed(attempt(), e))?;
        Ok(steps.into_iter().rev().map(HistoryStep::from).collect())
    }

    /// The ids of all images on the engine.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn image_ids(&self) -> Result<Vec<String>> {
        let images = self.docker().list_images(None::<ListImagesOptions>).await;
        let images = images.map_err(|e| failed(format!("cannot list the images of {self}"), e))?;
        Ok(images.into_iter().map(|image| image.id).collect())
    }

    /// The records of the build cache. An engine with many images takes seconds to answer.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn build_cache(&self) -> Result<Vec<CacheRecord>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Usage {
            build_cache: Option<Vec<CacheRecord>>,
        }
        let attempt = format!("cannot list the build cache of {self}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Engines before API 1.42 ignore `type` and compute everything.
            let usage = request::get(self, "/system/df?type=build-cache", &attempt).await;
            // Before API 1.42 only one such request can be in progress (moby, `daemon/disk_usage.go`).
            match usage {
                Err(error)
                    if error.reason == Some(Reason::InProgress) && Instant::now() < deadline =>
                {
                    tokio::time::sleep(RETRY).await;
                }
                usage => {
                    let usage: Usage = usage?;
                    return Ok(usage.build_cache.unwrap_or_default());
                }
            }
        }
    }

    /// Removes the record `id` of the build cache, unless it is in use. Returns the number of bytes
    /// freed.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn remove_cache_record(&self, id: &str) -> Result<u64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Pruned {
            #[serde(default)]
            space_reclaimed: u64,
        }
        let attempt = format!("cannot remove the record `{id}` of the build cache");
        let filters = serde_json::json!({ "id": { id: true } }).to_string();
        let query: String = form_urlencoded::byte_serialize(filters.as_bytes()).collect();
        let answer =
            request::post(self, &format!("/build/prune?filters={query}"), &attempt).await?;
        let pruned: Pruned = request::read(answer, &attempt).await?;
        Ok(pruned.space_reclaimed)
    }
}

impl From<ImageHistoryResponseItem> for HistoryStep {
    fn from(step: ImageHistoryResponseItem) -> Self {
        HistoryStep {
            instruction: step.created_by,
            by_buildkit: step.comment == BUILDKIT,
            size: u64::try_from(step.size).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{asked, env, fake};

    #[tokio::test]
    async fn a_history_begins_with_the_oldest_step() {
        let history = r#"[
            {"Id":"a","Created":2,"CreatedBy":"ENV A=1","Tags":null,"Size":0,"Comment":"buildkit.dockerfile.v0"},
            {"Id":"<missing>","Created":1,"CreatedBy":"","Tags":null,"Size":7,"Comment":"Imported from -"}]"#;
        let fake = fake([("GET /images/sha256:aa/history", 200, history)]);
        let engine = Engine::connect(&env(&fake)).await.unwrap();
        let steps = engine.history("sha256:aa").await.unwrap();
        assert_eq!((steps[0].size, steps[0].by_buildkit), (7, false));
        assert_eq!(
            (&*steps[1].instruction, steps[1].by_buildkit),
            ("ENV A=1", true)
        );
    }

    #[tokio::test]
    async fn the_build_cache_is_listed_and_removed_record_by_record() {
        let usage = r#"{"LayersSize":1,"BuildCache":[{"ID":"x1","Parent":"","Type":"regular",
            "InUse":false,"Shared":true,"Size":5},{"ID":"x2","Parent":"x1","Shared":false},
            {"ID":"x3","Parents":["x1","x2"]}]}"#;
        let fake = fake([
            ("GET /system/df", 200, usage),
            (
                "POST /build/prune",
                200,
                r#"{"CachesDeleted":["x1"],"SpaceReclaimed":5}"#,
            ),
        ]);
        let engine = Engine::connect(&env(&fake)).await.unwrap();
        let records = engine.build_cache().await.unwrap();
        assert_eq!((&*records[0].id, records[0].shared), ("x1", true));
        assert!(!records[1].shared && records[0].parents().next().is_none());
        assert_eq!(records[1].parents().collect::<Vec<_>>(), ["x1"]);
        assert_eq!(records[2].parents().collect::<Vec<_>>(), ["x1", "x2"]);
        assert_eq!(engine.remove_cache_record("x1").await, Ok(5));
        let asked = asked(&fake);
        assert!(
            asked[2].contains("filters=%7B%22id%22%3A%7B%22x1%22%3Atrue%7D%7D"),
            "{asked:?}"
        );
    }
}
