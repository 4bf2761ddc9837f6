//! The engine's images, containers and build cache, as far as they are the benchmark's.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Result;
use crate::api::{Api, query};

/// What all arms are built on.
pub use testkit::BASE_IMAGE;
/// The repository of the tags that the benchmark gives.
pub const TAGS: &str = "dkr-bench";
/// The label of its images; its value is the run.
pub const LABEL: &str = "dkr-bench.run";
/// The volume that dkr's containers share.
const VOLUME: &str = "bazel-cache";
/// How often records of the build cache that others were made of are tried again.
const PASSES: usize = 8;

/// One layer, as the history of an image has it.
#[derive(Clone, PartialEq, Debug)]
struct Layer {
    created: i64,
    by: String,
    size: f64,
}

/// An image.
#[derive(Clone, Debug)]
pub struct Image {
    pub id: String,
    /// From the base upwards.
    layers: Vec<Layer>,
}

impl Image {
    /// How many layers hold something.
    pub fn depth(&self) -> usize {
        self.layers.iter().filter(|layer| layer.size > 0.0).count()
    }

    /// The bytes of the layers above those that it shares with `other`.
    pub fn own_bytes(&self, other: &Image) -> f64 {
        let both = self.layers.iter().zip(&other.layers);
        let shared = both.take_while(|(a, b)| a == b).count();
        self.layers[shared..].iter().map(|layer| layer.size).sum()
    }
}

/// The images, containers and build cache.
pub struct Store {
    pub api: Api,
    pub info: Value,
    /// A folder on the engine's disk, and whether it is there.
    pub disk: (PathBuf, bool),
    /// Distinguishes this run's tags from those of another.
    pub run: String,
    /// dkr's images of repositories below this folder are ours.
    folder: PathBuf,
    cache: HashSet<String>,
    had_volume: bool,
}

impl Store {
    /// Looks at what is there, so that it can be left as it was.
    pub async fn new(api: Api, folder: PathBuf) -> Result<Self> {
        let info = api.get("/info").await?;
        let root = info["DockerRootDir"].as_str().unwrap_or_default();
        let root = Path::new(root);
        let here = root.is_dir() && tempfile::tempdir_in(root).is_ok();
        let disk = if here { root } else { &folder };
        let volume = format!("/volumes/{VOLUME}");
        let store = Store {
            had_volume: api.get(&volume).await.is_ok(),
            disk: (disk.to_owned(), here),
            run: format!("{:08x}", rand::random::<u32>()),
            cache: HashSet::new(),
            info,
            folder,
            api,
        };
        let base = store.image(BASE_IMAGE).await;
        base.map_err(|e| format!("{e}: run `sh fixtures/setup.sh`"))?;
        let cache = store.cache().await?;
        Ok(Store { cache, ..store })
    }

    /// A tag for an image of the benchmark.
    pub fn tag(&self, name: &str) -> String {
        format!("{TAGS}:{}-{name}", self.run)
    }

    pub async fn image(&self, reference: &str) -> Result<Image> {
        let details = self.api.get(&format!("/images/{reference}/json")).await?;
        let history = self
            .api
            .get(&format!("/images/{reference}/history"))
            .await?;
        let layers = history.as_array().into_iter().flatten().map(|layer| Layer {
            created: layer["Created"].as_i64().unwrap_or_default(),
            by: layer["CreatedBy"].as_str().unwrap_or_default().to_owned(),
            size: layer["Size"].as_f64().unwrap_or_default(),
        });
        let mut layers: Vec<Layer> = layers.collect();
        layers.reverse();
        Ok(Image {
            id: text(&details["Id"]),
            layers,
        })
    }

    /// The id of the newest of dkr's images of a branch.
    pub async fn newest(&self, repo: &Path, branch: &str) -> Result<String> {
        let images = self.of_dkr().await?;
        let label = |image: &Value, name: &str| text(&image["Labels"][name]);
        let images = images.into_iter().filter(|image| {
            label(image, "dkr.repo_path") == repo.to_string_lossy()
                && label(image, "dkr.branch") == branch
                && label(image, "dkr.type") != "objects"
        });
        let newest = images.max_by_key(|image| label(image, "dkr.created_at"));
        let newest = newest.ok_or("dkr made no image")?;
        Ok(text(&newest["Id"]))
    }

    /// dkr's images of the benchmark's repositories, object images included.
    async fn of_dkr(&self) -> Result<Vec<Value>> {
        let images = self.labelled().await?.into_iter();
        let ours = |image: &Value| {
            let path = text(&image["Labels"]["dkr.repo_path"]);
            Path::new(&path).starts_with(&self.folder)
        };
        Ok(images.filter(ours).collect())
    }

    /// Every image that dkr made.
    pub async fn labelled(&self) -> Result<Vec<Value>> {
        let filters = json!({"label": ["dkr.type"]}).to_string();
        let query = query(&[("filters", &filters)]);
        let images = self.api.get(&format!("/images/json?{query}")).await?;
        Ok(images.as_array().cloned().unwrap_or_default())
    }

    /// Removes dkr's images of the benchmark's repositories.
    pub async fn remove_of_dkr(&self) -> Result<()> {
        for image in self.of_dkr().await? {
            self.remove(&text(&image["Id"])).await?;
        }
        Ok(())
    }

    pub async fn remove(&self, image: &str) -> Result<()> {
        self.api.delete(&format!("/images/{image}?force=1")).await
    }

    /// The records of the build cache.
    pub async fn cache(&self) -> Result<HashSet<String>> {
        // Engines since 23 answer only what is asked for, since 29 under another name.
        let usage = self.api.get("/system/df?type=build-cache").await?;
        let records = match &usage["BuildCache"] {
            Value::Array(records) => records,
            _ => match &usage["BuildCacheUsage"]["Items"] {
                Value::Array(records) => records,
                _ => return Ok(HashSet::new()),
            },
        };
        let idle = records.iter().filter(|record| record["InUse"] != true);
        Ok(idle.map(|record| text(&record["ID"])).collect())
    }

    /// Removes the records that were not there `before`, so that the next build finds nothing.
    pub async fn forget(&self, before: &HashSet<String>) -> Result<()> {
        let mut left = usize::MAX;
        for _ in 0..PASSES {
            let cache = self.cache().await?;
            let new: Vec<&String> = cache.difference(before).collect();
            if new.is_empty() || new.len() >= left {
                break;
            }
            left = new.len();
            for id in new {
                let filters = json!({"id": [id]}).to_string();
                let query = query(&[("all", "1"), ("filters", &filters)]);
                let path = format!("/build/prune?{query}");
                self.api.post(&path, &Value::Null).await?;
            }
        }
        Ok(())
    }

    /// Leaves the engine as it was, as far as it lets us.
    pub async fn clean_up(&self) -> Result<()> {
        let mut images = self.of_dkr().await?;
        let filters = json!({"label": [format!("{LABEL}={}", self.run)]}).to_string();
        let ours = format!("/images/json?{}", query(&[("filters", &filters)]));
        let ours = self.api.get(&ours).await?;
        images.extend(ours.as_array().cloned().unwrap_or_default());
        let ids: HashSet<String> = images.iter().map(|image| text(&image["Id"])).collect();
        let containers = self.api.get("/containers/json?all=1").await?;
        for container in containers.as_array().into_iter().flatten() {
            if ids.contains(&text(&container["ImageID"])) {
                let id = text(&container["Id"]);
                let path = format!("/containers/{id}?force=1&v=1");
                self.api.delete(&path).await?;
            }
        }
        for id in &ids {
            self.remove(id).await?;
        }
        if !self.had_volume {
            self.api.delete(&format!("/volumes/{VOLUME}")).await?;
        }
        self.forget(&self.cache).await
    }
}

/// A text of JSON, empty if it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
