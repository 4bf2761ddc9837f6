//! What a container may use of the machine: by flag, variable and configuration, up to the engine.

use std::fs;

use serde_json::{Value, json};

use super::containers::baked;
use super::create_image::two_commits;
use super::start_image::start;
use super::stocked;
use super::unattended::wait_for_watchers;
use crate::support::{Answer, Api, FakeEngine, Repo, Request, Sandbox};

/// Writes the user's configuration.
fn configure(t: &Sandbox, text: &str) {
    let folder = t.path().join("config/dkr");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("dkr.conf"), text).unwrap();
}

#[test]
fn limits_are_the_engines_own() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("limited");
    let limits = |options: &[&str], variables: &[(&str, &str)]| {
        let options = [&["--name", &name, "--detach"], options].concat();
        let mut run = start(&t, &repo, &options, &["sleep", "1000"]);
        for (variable, value) in variables {
            run = run.env(variable, value);
        }
        run.success();
        let path = format!("/containers/{name}/json");
        let config = Api::of_machine().get(&path)["HostConfig"].clone();
        t.dkr(["rm", "--force", &name]).success();
        ["NanoCpus", "Memory", "PidsLimit"].map(|field| config[field].clone())
    };
    let flags = ["--cpus", "1.5", "--memory", "512m", "--pids-limit", "100"];
    let variables = [
        ("DKR_CPUS", "0.5"),
        ("DKR_MEMORY", "256m"),
        ("DKR_PIDS_LIMIT", "200"),
    ];
    configure(&t, "cpus = 1\nmemory = 1g\npids_limit = 300\n");
    let of = |nano_cpus: u64, memory: u64, pids: u64| [nano_cpus, memory, pids].map(Value::from);
    assert_eq!(limits(&[], &[]), of(1_000_000_000, 1 << 30, 300));
    assert_eq!(limits(&[], &variables), of(500_000_000, 256 << 20, 200));
    assert_eq!(
        limits(&flags, &variables),
        of(1_500_000_000, 512 << 20, 100)
    );

    for (option, value) in [("--cpus", "many"), ("--memory", "1k"), ("--gpus", "-1")] {
        let option = format!("{option}={value}");
        let refused = start(&t, &repo, &[&option], &["true"]).failure(2);
        refused.stderr_has(&format!("invalid value `{value}`"));
    }
    start(&t, &repo, &[], &["true"])
        .env("DKR_MEMORY", "much")
        .failure(2)
        .stderr_has("`memory` in the variable `DKR_MEMORY`");
}

/// An engine without graphics processors, as it answers when it is asked for some.
fn without_gpus(t: &Sandbox, repo: &Repo) -> FakeEngine {
    let id = stocked::container_id(0);
    let container = |action: &str| format!("POST /containers/{id}/{action}");
    let refusal = json!({
        "message": "could not select device driver \"\" with capabilities: [[gpu]]"
    });
    let state = json!({
        "Id": id, "Name": "/x", "Image": stocked::image_id(0), "Config": {},
        "State": {"Running": false, "FinishedAt": "0001-01-01T00:00:00Z"},
    });
    let made = json!({"Id": id, "Warnings": []});
    stocked::engine(t, repo, &["main"], &[])
        .route(
            "POST /containers/create",
            Answer::Json(201, made.to_string()),
        )
        .route(
            &container("attach"),
            Answer::Upgrade(std::time::Duration::ZERO),
        )
        .route(
            &container("wait"),
            Answer::Json(200, json!({"StatusCode": 0}).to_string()),
        )
        .route(&container("start"), Answer::Json(500, refusal.to_string()))
        .route(
            &format!("GET /containers/{id}/json"),
            Answer::Json(200, state.to_string()),
        )
        .route(
            &format!("DELETE /containers/{id}"),
            Answer::Json(204, String::new()),
        )
}

#[test]
fn graphics_processors_are_asked_for_and_a_refusal_leaves_nothing() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let gpus = |options: &[&str], variable: Option<&str>, detach: bool| {
        let engine = without_gpus(&t, &repo);
        let options = match detach {
            true => [&["--detach"], options].concat(),
            false => options.to_vec(),
        };
        let mut run = start(&t, &repo, &options, &["true"]).env("DOCKER_HOST", engine.host());
        if let Some(value) = variable {
            run = run.env("DKR_GPUS", value);
        }
        let output = run.failure(1);
        output.stderr_has("error: cannot start container `");
        output.stderr_has("caused by: could not select device driver");
        output.stderr_has("hint: install the NVIDIA Container Toolkit");
        // The process that waits for the container needs the engine to see that there is nothing.
        wait_for_watchers(&t);
        let requests = engine.requests();
        let removed = format!("/containers/{}", stocked::container_id(0));
        let is_removal =
            |request: &Request| request.method == "DELETE" && request.path.starts_with(&removed);
        assert!(requests.iter().any(is_removal), "{requests:?}");
        let made = requests
            .iter()
            .find(|request| request.path.starts_with("/containers/create"));
        let body: Value = serde_json::from_slice(&made.unwrap().body).unwrap();
        body["HostConfig"]["DeviceRequests"].clone()
    };
    let asked = |count: Value, ids: Value| {
        let mut request = json!({"Capabilities": [["gpu"]]});
        for (name, value) in [("Count", count), ("DeviceIDs", ids)] {
            if !value.is_null() {
                request[name] = value;
            }
        }
        json!([request])
    };
    configure(&t, "gpus = 3\n");
    assert_eq!(gpus(&[], None, false), asked(json!(3), Value::Null));
    assert_eq!(gpus(&[], Some("all"), false), asked(json!(-1), Value::Null));
    let two = ["--gpus", "device=0,GPU-3a"];
    let ids = json!(["0", "GPU-3a"]);
    assert_eq!(gpus(&two, Some("all"), true), asked(Value::Null, ids));
}
