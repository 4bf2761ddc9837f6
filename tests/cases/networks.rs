//! The networks of builds and containers, and engines that cannot mount a socket.

use std::fs;

use serde_json::json;

use super::create_image::conf;
use crate::support::{Answer, FakeEngine, Sandbox, write_program};

/// Writes to `/net` which network namespace a step is in, and the interfaces that it sees there.
const LOOK: &str = "RUN readlink /proc/self/ns/net >/net; sed -n 's/^ *\\([^ :]*\\):.*/\\1/p' /proc/net/dev >>/net # ";

#[test]
fn a_build_has_the_network_that_was_asked_for() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("README", "hello\n");
    let built = |options: &[&str]| {
        // The engine's cache does not know the network of a step.
        let section = format!(
            "[post_clone]\n{LOOK}{}{}\n",
            options.concat(),
            t.unique("step")
        );
        repo.file(".dkr.conf", conf(&section)).commit("look");
        let arguments = [&["create-image"], options].concat();
        let output = t.dkr(arguments).in_dir(&repo).success();
        let seen = t.image(&repo, "main").run(["cat", "/net"]);
        let seen: Vec<String> = seen.lines().map(str::to_owned).collect();
        (seen, output)
    };
    let host = fs::read_link("/proc/self/ns/net").unwrap();
    let host = host.to_str().unwrap();
    let (seen, _) = built(&["--transport", "ssh"]);
    assert_eq!(seen[0], host);
    let (seen, output) = built(&["--build-network", "none"]);
    assert_eq!(seen[1..], ["lo"]);
    output.stderr_has("`--build-network` is `none`, and SSH needs `host`");
    let session = ["--transport", "session"];
    let (seen, _) = built(&session);
    assert!(
        seen[0] != host && seen.contains(&"eth0".to_owned()),
        "{seen:?}"
    );
    let (seen, _) = built(&[&session[..], &["--build-network", "host"]].concat());
    assert_eq!(seen[0], host);

    let both = [
        "create-image",
        "--transport",
        "ssh",
        "--build-network",
        "none",
    ];
    let refused = t.dkr(both).in_dir(&repo).failure(2);
    refused.stderr_has("error: cannot reach the repository over SSH");
    refused.stderr_has("hint: use `--transport session`");
}

#[test]
fn an_engine_that_cannot_mount_a_socket_is_named_with_the_way_over_ssh() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("README", "hello\n").commit("initial");
    let image = json!([{
        "Id": "sha256:3b0f6ac3a91eb7f9e8e8d4e7c8c1a5a8d9e6f7b8c9d0e1f2a3b4c5d6e7f8a9b0",
        "RepoTags": ["dkr:linux-main", "dkr:linux-main-0a1b2c"], "Created": 1, "Size": 1, "SharedSize": -1,
        "VirtualSize": 1, "Containers": -1, "ParentId": "", "RepoDigests": [],
        "Labels": {
            "dkr.repo_path": repo.path(), "dkr.repo_name": "linux", "dkr.branch": "main",
            "dkr.branch_from": "main", "dkr.ref": "refs/heads/main",
            "dkr.commit": repo.rev("main"), "dkr.created_at": "2026-01-01T00:00:00Z",
            "dkr.type": "base", "dkr.version": "0.1.0", "dkr.schema": "1",
        },
    }]);
    let engine = FakeEngine::start(t.path())
        .route("GET /images/json", Answer::Json(200, image.to_string()))
        .route("GET /containers/json", Answer::Json(200, "[]".into()))
        .route("GET /info", Answer::Json(200, "{}".into()));
    let start = |host: &str| {
        let start = ["start-image", ".", "main", "--", "true"];
        t.dkr(start).in_dir(&repo).env("DOCKER_HOST", host)
    };
    let bin = t.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let dial = format!(
        "#!/bin/sh\nexec socat -t 60 - UNIX-CONNECT:{}\n",
        engine.socket().display()
    );
    write_program(&bin.join("ssh"), &dial);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let far = start("ssh://far.example").env("PATH", path).failure(1);
    far.stderr_has("the engine on `far.example` cannot mount a socket of this machine");
    far.stderr_has("hint: use SSH instead: `--transport ssh`");

    let desktop = json!({"OperatingSystem": "Docker Desktop"}).to_string();
    let engine = engine.route("GET /info", Answer::Json(200, desktop));
    let refused = start(&engine.host()).failure(1);
    refused.stderr_has("Docker Desktop cannot mount a socket of this machine");
    let created = |path: &str| path.starts_with("/containers/create");
    assert!(
        !engine
            .requests()
            .iter()
            .any(|request| created(&request.path))
    );
}
