//! The engine's images and build cache, as far as they are the benchmark's.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{Api, Sandbox};

use crate::Result;

/// What all arms are built on.
pub use testkit::BASE_IMAGE;
/// The repository of the tags that the benchmark gives.
pub const TAGS: &str = "dkr-bench";
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

/// The images and the build cache. Images that dkr made are known by the path of their repository,
/// the others by the sandbox's label.
pub struct Store<'a> {
    pub api: Api,
    pub info: Value,
    /// A folder on the engine's disk, and whether it is there.
    pub disk: (PathBuf, bool),
    sandbox: &'a Sandbox,
    cache: HashSet<String>,
    had_volume: bool,
}

impl<'a> Store<'a> {
    /// Looks at what is there, so that it can be left as it was.
    pub fn new(sandbox: &'a Sandbox) -> Result<Self> {
        let api = Api::of_machine();
        let info = api.get("/info");
        let root = info["DockerRootDir"].as_str().unwrap_or_default();
        let root = Path::new(root);
        let here = root.is_dir() && tempfile::tempdir_in(root).is_ok();
        let disk = if here { root } else { sandbox.path() };
        let base = api.find(&format!("/images/{BASE_IMAGE}/json"));
        base.ok_or(format!(
            "no image `{BASE_IMAGE}`: run `sh fixtures/setup.sh`"
        ))?;
        let store = Store {
            had_volume: api.find(&format!("/volumes/{VOLUME}")).is_some(),
            disk: (disk.to_owned(), here),
            cache: HashSet::new(),
            info,
            sandbox,
            api,
        };
        let cache = store.cache();
        Ok(Store { cache, ..store })
    }

    /// A tag for an image of the benchmark.
    pub fn tag(&self, name: &str) -> String {
        format!("{TAGS}:{}", self.sandbox.unique(name))
    }

    pub fn image(&self, reference: &str) -> Image {
        let details = self.api.get(&format!("/images/{reference}/json"));
        let history = self.api.get(&format!("/images/{reference}/history"));
        let layers = history.as_array().into_iter().flatten().map(|layer| Layer {
            created: layer["Created"].as_i64().unwrap_or_default(),
            by: layer["CreatedBy"].as_str().unwrap_or_default().to_owned(),
            size: layer["Size"].as_f64().unwrap_or_default(),
        });
        let mut layers: Vec<Layer> = layers.collect();
        layers.reverse();
        Image {
            id: text(&details["Id"]),
            layers,
        }
    }

    /// Every image that is labelled as dkr's.
    pub fn labelled(&self) -> Vec<Value> {
        let filters = json!({"label": ["dkr.type"]}).to_string();
        let query = pairs(&[("filters", &filters)]);
        let images = self.api.get(&format!("/images/json?{query}"));
        images.as_array().cloned().unwrap_or_default()
    }

    /// Removes dkr's images of the benchmark's repositories, object images included.
    pub fn remove_of_dkr(&self) {
        for image in self.labelled() {
            let path = text(&image["Labels"]["dkr.repo_path"]);
            if Path::new(&path).starts_with(self.sandbox.path()) {
                self.remove(&text(&image["Id"]));
            }
        }
    }

    pub fn remove(&self, image: &str) {
        self.api.delete(&format!("/images/{image}?force=1"));
    }

    /// The records of the build cache.
    pub fn cache(&self) -> HashSet<String> {
        // Engines since 23 answer only what is asked for, since 29 under another name.
        let usage = self.api.get("/system/df?type=build-cache");
        let records = match &usage["BuildCache"] {
            Value::Array(records) => records,
            _ => match &usage["BuildCacheUsage"]["Items"] {
                Value::Array(records) => records,
                _ => return HashSet::new(),
            },
        };
        let idle = records.iter().filter(|record| record["InUse"] != true);
        idle.map(|record| text(&record["ID"])).collect()
    }

    /// Removes the records that were not there `before`, so that the next build finds nothing.
    pub fn forget(&self, before: &HashSet<String>) {
        let mut left = usize::MAX;
        for _ in 0..PASSES {
            let cache = self.cache();
            let new: Vec<&String> = cache.difference(before).collect();
            if new.is_empty() || new.len() >= left {
                break;
            }
            left = new.len();
            for id in new {
                let filters = json!({"id": [id]}).to_string();
                let query = pairs(&[("all", "1"), ("filters", &filters)]);
                self.api
                    .post(&format!("/build/prune?{query}"), &Value::Null);
            }
        }
    }

    /// Leaves the engine as it was, as far as it lets us.
    pub fn clean_up(&self) {
        self.sandbox.remove_images();
        if !self.had_volume {
            self.api.delete(&format!("/volumes/{VOLUME}"));
        }
        self.forget(&self.cache);
    }
}

/// A query string of these pairs.
pub fn pairs(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter();
    let pairs = pairs.map(|(name, value)| format!("{name}={}", testkit::query(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A text of JSON, empty if it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
