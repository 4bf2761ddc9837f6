//! `dkr doctor`: each check, when all is well and when something is not.

use serde_json::{Value, json};

use super::create_image::two_commits;
use crate::support::{Api, Output, Sandbox};

/// The checks that were made, by their names.
pub fn checks(output: &Output) -> Vec<(String, Value)> {
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["checks", "ok"]);
    assert_eq!(report["ok"], output.code == Some(0));
    let checks = report["checks"].as_array().unwrap().iter();
    let checks = checks.map(|check| {
        let keys: Vec<&String> = check.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["hint", "message", "name", "status"]);
        (check["name"].as_str().unwrap().to_owned(), check.clone())
    });
    checks.collect()
}

pub fn find<'a>(checks: &'a [(String, Value)], name: &str) -> &'a Value {
    let found = checks.iter().find(|(other, _)| other == name);
    &found
        .unwrap_or_else(|| panic!("no check `{name}` in {checks:?}"))
        .1
}

pub fn status<'a>(checks: &'a [(String, Value)], name: &str) -> &'a str {
    find(checks, name)["status"].as_str().unwrap()
}

#[test]
fn all_is_well_and_git_status_is_timed() {
    let t = Sandbox::new();
    let repo = two_commits(&t, &t.unique("linux"));
    t.dkr(["create-image"]).in_dir(&repo).success();
    let image = t.image(&repo, "main");
    let containers = || {
        let filter = json!({"ancestor": [image.id()]}).to_string();
        let filter = crate::support::query(&filter);
        let found = Api::of_machine().get(&format!("/containers/json?all=1&filters={filter}"));
        found.as_array().unwrap().len()
    };
    let output = t.dkr(["doctor", "--json", "--image", image.id()]).success();
    let found = checks(&output);
    for name in [
        "engine",
        "store",
        "session",
        "ssh key",
        "ssh server",
        "ssh host key",
        "transport",
    ] {
        assert_eq!(status(&found, name), "ok", "{output}");
    }
    // A machine that is slow or full is warned of.
    for name in ["disk", "escapes", "git", "git status", "ssh login"] {
        assert_ne!(status(&found, name), "fail", "{output}");
    }
    let version = Api::of_machine().get("/version")["Version"].clone();
    let engine = find(&found, "engine")["message"].as_str().unwrap();
    assert!(engine.contains(version.as_str().unwrap()), "{engine}");
    let transport = find(&found, "transport")["message"].as_str().unwrap();
    assert!(transport.contains("using SSH as"), "{transport}");
    let timed = find(&found, "git status")["message"].as_str().unwrap();
    assert!(
        timed.contains("s in a new container of `dkr:") && timed.ends_with('s'),
        "{timed}"
    );
    assert_eq!(containers(), 0);

    let text = t.dkr(["doctor"]).success();
    let words: Vec<&str> = text
        .stdout
        .lines()
        .filter_map(|line| line.get(..4))
        .collect();
    assert!(
        words
            .iter()
            .all(|word| ["ok  ", "warn", "    "].contains(word)),
        "{text}"
    );
    text.stderr_has("all checks passed");
    t.dkr(["doctor", "--image", "nothing"]).failure(3);
}

#[test]
fn what_fails_is_named_with_a_hint() {
    let t = Sandbox::new();
    let unreached = t
        .dkr(["doctor", "--json"])
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .failure(1);
    let found = checks(&unreached);
    assert_eq!(status(&found, "engine"), "fail");
    assert!(find(&found, "engine")["hint"].is_string(), "{unreached}");
    let refused = t.dkr(["doctor"]).env("DOCKER_HOST", "ftp://x").failure(1);
    assert!(refused.stdout.starts_with("fail  engine "), "{refused}");
    refused.stderr_has("1 check failed");
}

#[test]
fn without_a_server_ssh_is_a_failure_only_if_it_was_asked_for() {
    let t = Sandbox::new();
    let doctor = |transport: &str| {
        let dkr = t.dkr(["doctor", "--json"]).env("DKR_TRANSPORT", transport);
        dkr.env("DKR_SSH_PORT", "1")
    };
    let found = checks(&doctor("auto").success());
    assert_eq!(status(&found, "ssh server"), "warn");
    let transport = find(&found, "transport")["message"].as_str().unwrap();
    assert!(transport.contains("build session"), "{transport}");

    let output = doctor("ssh").failure(1);
    let found = checks(&output);
    assert_eq!(status(&found, "ssh server"), "fail");
    assert!(
        find(&found, "ssh server")["hint"]
            .as_str()
            .unwrap()
            .contains("--ssh-port")
    );

    let found = checks(&doctor("session").success());
    assert!(found.iter().all(|(name, _)| !name.starts_with("ssh")));

    t.sshd().authorize_nobody();
    let refused = t
        .dkr(["doctor", "--json"])
        .env("DKR_TRANSPORT", "ssh")
        .failure(1);
    assert_eq!(status(&checks(&refused), "ssh login"), "fail");
    let keyless = t.dkr(["doctor", "--json"]).env("HOME", t.path()).success();
    assert_eq!(status(&checks(&keyless), "ssh key"), "warn");
}
