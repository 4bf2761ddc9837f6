//! Runs a container to its end through the API, as `docker run --rm` does: made, attached, started,
//! removed by the engine.

use std::io::Read as _;

use serde_json::{Value, json};
use testkit::Api;

use crate::Result;
use crate::meter::go_on;
use crate::store::text;

/// The network: that of dkr's own containers.
const NETWORK: &str = "bridge";

/// What is run.
#[derive(Default)]
pub struct Run<'a> {
    pub image: &'a str,
    /// Instead of the image's entrypoint.
    pub entrypoint: &'a [&'a str],
    pub command: &'a [&'a str],
    pub env: Vec<String>,
    pub init: bool,
}

impl<'a> Run<'a> {
    /// A shell script without the image's entrypoint.
    pub fn script(image: &'a str, script: &'a [&'a str; 1]) -> Self {
        Run {
            image,
            entrypoint: &["sh", "-c"],
            command: script,
            ..Run::default()
        }
    }

    /// What it wrote to stdout, and what to stderr.
    pub fn run(&self, api: &Api) -> Result<(String, String)> {
        go_on()?;
        let mut body = json!({
            "Image": self.image, "Cmd": self.command, "Env": self.env,
            "AttachStdout": true, "AttachStderr": true,
            "HostConfig": {"AutoRemove": true, "NetworkMode": NETWORK, "Init": self.init},
        });
        if !self.entrypoint.is_empty() {
            body["Entrypoint"] = json!(self.entrypoint);
        }
        let made = api.post("/containers/create", &body);
        let id = text(&made["Id"]);
        let mut attached = api.follow(&format!(
            "/containers/{id}/attach?stream=1&stdout=1&stderr=1"
        ));
        let removed = api.follow(&format!("/containers/{id}/wait?condition=removed"));
        api.post(&format!("/containers/{id}/start"), &Value::Null);
        let mut output = Vec::new();
        attached.read_to_end(&mut output)?;
        let ended: Value = serde_json::from_reader(removed)?;
        let (stdout, stderr) = testkit::streams(&output);
        if ended["StatusCode"] != 0 {
            return Err(format!("a container of {} failed: {stderr}", self.image).into());
        }
        Ok((stdout, stderr))
    }
}
