//! Images for tests: labels, history, layers, and what a container of one sees.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Api, query};

/// The base image of the tests, made by `fixtures/setup.sh`: git, tmux, SSH, socat, no network.
pub const BASE_IMAGE: &str = "dkr-fixtures:debian";

/// The label that says which sandbox a container belongs to.
pub const SANDBOX_LABEL: &str = "dkr-test.sandbox";

/// An image on an engine.
#[derive(Debug, Clone)]
pub struct Image {
    api: Api,
    inspected: Value,
    sandbox: PathBuf,
}

impl Image {
    /// The image with this inspection; its containers belong to `sandbox`.
    pub fn new(api: Api, inspected: Value, sandbox: &Path) -> Self {
        Image {
            api,
            inspected,
            sandbox: sandbox.to_owned(),
        }
    }

    /// The images of an engine that match a filter of its API, newest first by the time in
    /// dkr's label.
    pub fn matching(api: &Api, filter: &Value, sandbox: &Path) -> Vec<Image> {
        let filter = query(&filter.to_string());
        let found = api.get(&format!("/images/json?filters={filter}"));
        let ids = found.as_array().into_iter().flatten();
        let mut images: Vec<Image> = ids
            .filter_map(|image| api.find(&format!("/images/{}/json", image["Id"].as_str()?)))
            .map(|inspected| Image::new(api.clone(), inspected, sandbox))
            .collect();
        images.sort_by_key(|image| std::cmp::Reverse(image.label("dkr.created_at")));
        images
    }

    /// The image's id, `sha256:…`.
    pub fn id(&self) -> &str {
        self.inspected["Id"].as_str().expect("an image has an id")
    }

    /// Its tags.
    pub fn tags(&self) -> Vec<String> {
        strings(&self.inspected["RepoTags"])
    }

    /// A label; empty if it is missing.
    pub fn label(&self, name: &str) -> String {
        let value = self.inspected["Config"]["Labels"][name].as_str();
        value.unwrap_or_default().to_owned()
    }

    /// Its environment, `NAME=VALUE`.
    pub fn env(&self) -> Vec<String> {
        strings(&self.inspected["Config"]["Env"])
    }

    /// The ids of its layers, lowest first.
    pub fn layers(&self) -> Vec<String> {
        strings(&self.inspected["RootFS"]["Layers"])
    }

    /// Its history, newest step first: the instruction and the bytes it added.
    pub fn history(&self) -> Vec<(String, u64)> {
        let history = self.api.get(&format!("/images/{}/history", self.id()));
        let step = |step: &Value| {
            let instruction = step["CreatedBy"].as_str().unwrap_or_default();
            (
                instruction.to_owned(),
                step["Size"].as_u64().unwrap_or_default(),
            )
        };
        history.as_array().into_iter().flatten().map(step).collect()
    }

    /// Adds the tag `repository:tag`.
    pub fn tag(&self, tag: &str) {
        let (repository, name) = tag.rsplit_once(':').expect("a tag has a colon");
        let (repository, name) = (query(repository), query(name));
        let path = format!("/images/{}/tag?repo={repository}&tag={name}", self.id());
        self.api.post(&path, &Value::Null);
    }

    /// Removes a tag, and with its last one the image.
    pub fn remove_tag(&self, tag: &str) {
        self.api.delete(&format!("/images/{tag}?noprune=1"));
    }

    /// The output of a command in a container of it without network; it must succeed.
    pub fn run<'a>(&self, command: impl IntoIterator<Item = &'a str>) -> String {
        let command: Vec<&str> = command.into_iter().collect();
        let ended = self.run_with(&command, json!({}));
        assert_eq!(ended.code, 0, "{command:?} in {}: {ended:?}", self.id());
        ended.stdout
    }

    /// Runs a command in a container of it. `options` go into the body of the API's
    /// `/containers/create` and override its defaults: `{"Entrypoint": []}`,
    /// `{"HostConfig": {"NetworkMode": "host"}}`.
    pub fn run_with(&self, command: &[&str], options: Value) -> Ended {
        let mut body = json!({
            "Image": self.id(),
            "Cmd": command,
            "Labels": {SANDBOX_LABEL: self.sandbox},
            "HostConfig": {"NetworkMode": "none", "Init": true},
        });
        merge(&mut body, options);
        let created = self.api.post("/containers/create", &body);
        let id = created["Id"].as_str().expect("a container has an id");
        self.api
            .post(&format!("/containers/{id}/start"), &Value::Null);
        let ended = self
            .api
            .post(&format!("/containers/{id}/wait"), &Value::Null);
        let log = format!("/containers/{id}/logs?stdout=1&stderr=1");
        let (stdout, stderr) = streams(&self.api.bytes(&log));
        let ended = Ended {
            code: ended["StatusCode"].as_i64().expect("a status"),
            stdout,
            stderr,
        };
        self.api.delete(&format!("/containers/{id}?force=1&v=1"));
        ended
    }
}

/// How a command in a container ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i64,
    pub stdout: String,
    pub stderr: String,
}

/// The two streams of a container without a terminal: frames of one byte for the stream, three zero
/// bytes, four for the length (Engine API, "Attach to a container", stream format).
pub fn streams(mut bytes: &[u8]) -> (String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some((&[stream, _, _, _, a, b, c, d], rest)) = bytes.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let (frame, rest) = rest.split_at(length.min(rest.len()));
        match stream {
            2 => stderr.extend_from_slice(frame),
            _ => stdout.extend_from_slice(frame),
        }
        bytes = rest;
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(stdout), text(stderr))
}

fn strings(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts
        .filter_map(|t| t.as_str().map(str::to_owned))
        .collect()
}

/// Merges the members of `over` into `base`, recursively.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                merge(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}
