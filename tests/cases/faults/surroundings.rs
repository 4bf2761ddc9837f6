//! Machines that are odd: a home that cannot be written, a folder for temporary files from which
//! nothing may run, a clock that goes wrong.

use serde_json::{Value, json};

use super::one_error;
use crate::cases::create_image::two_commits;
use crate::support::{Api, Invocation, Repo, Sandbox};

/// dkr where `prepare` has changed what is mounted; nobody else sees that.
fn among(t: &Sandbox, repo: &Repo, prepare: &str, arguments: &[&str]) -> Invocation {
    let script = format!("{prepare}\nexec \"$@\"");
    let dkr = env!("CARGO_BIN_EXE_dkr");
    let shell = [&["--mount", "sh", "-ec", &script, "sh", dkr], arguments].concat();
    let port = t.sshd().port().to_string();
    let run = t.command("unshare", shell).env("DKR_SSH_PORT", port);
    run.in_dir(repo)
}

const PUSH: &str = "git commit -q --allow-empty -m x && git push -q && echo pushed";

#[test]
fn a_home_that_cannot_be_written_stops_no_bake() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let read_only = "mount --bind \"$HOME\" \"$HOME\"; mount -o remount,bind,ro \"$HOME\"";
    let dkr = |arguments: &[&str]| {
        let dkr = among(&t, &repo, read_only, arguments);
        dkr.env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_DATA_HOME")
    };
    for transport in ["ssh", "session"] {
        dkr(&["create-image", "--transport", transport]).success();
    }
    let start = ["start-image", ".", "main", "--", "sh", "-c", PUSH];
    assert_eq!(dkr(&start).success().stdout, "pushed\n");
    // The channel needs a folder of its own.
    let output = dkr(&start).env_remove("XDG_STATE_HOME").failure(1);
    one_error(&output);
    output
        .stderr_has("home/.local/state")
        .stderr_has("ead-only");
    output.stderr_has("XDG_STATE_HOME");
}

#[test]
fn temporary_files_may_lie_behind_a_link_where_nothing_runs() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let link = t.path().join("link");
    std::os::unix::fs::symlink(t.path().join("tmp"), &link).unwrap();
    let no_exec = "mount -t tmpfs -o noexec dkr-test \"$TMPDIR/\"";
    let dkr = |arguments: &[&str]| {
        let dkr = among(&t, &repo, no_exec, arguments);
        dkr.env("TMPDIR", &link).success()
    };
    for transport in ["ssh", "session"] {
        dkr(&["create-image", "--transport", transport]);
        let way = ["start-image", ".", "main", "--transport", transport];
        let start = [&way[..], &["--", "sh", "-c", PUSH]].concat();
        assert_eq!(dkr(&start).stdout, "pushed\n");
    }
}

#[test]
fn an_image_from_the_future_is_as_good_as_any() {
    let t = Sandbox::new();
    let repo = two_commits(&t, &t.unique("linux"));
    t.dkr(["create-image"]).in_dir(&repo).success();
    let image = t.image(&repo, "main");
    let api = Api::of_machine();
    // What a machine whose clock was two hours ahead of the engine's made.
    let container = json!({"Image": image.id(), "Labels": {"dkr.repo_path": repo.path()}});
    let container = api.post("/containers/create", &container);
    let id = container["Id"].as_str().unwrap();
    let future = chrono::Utc::now() + chrono::TimeDelta::hours(2);
    let labels = json!({"Labels": {"dkr.created_at": future.to_rfc3339()}});
    let tag = format!("{}-main-0f0f0f", t.unique("linux"));
    let commit = format!("/commit?container={id}&repo=dkr&tag={tag}");
    let future = api.post(&commit, &labels)["Id"].clone();
    api.delete(&format!("/containers/{id}?force=1"));
    // The newest image has the tag that moves, and giving it that makes it no older.
    let moving = format!("dkr:{}-main", t.unique("linux"));
    for _ in 0..2 {
        let list = t.dkr(["list-images", "."]).in_dir(&repo).success();
        let line = list.stdout.lines().nth(1).unwrap_or_default();
        assert!(line.starts_with(&format!("{moving} ")), "{list}");
        assert!(line.contains("just now"), "{list}");
        assert_eq!(t.image_named(&moving).id(), future.as_str().unwrap());
    }
    let start = [
        "start-image",
        ".",
        "main",
        "--",
        "git",
        "log",
        "--format=%s",
        "-1",
    ];
    let started = t.dkr(start).in_dir(&repo).success();
    assert_eq!(started.stdout, "add a\n");
    started.stderr_has(&moving);
    let json = t.dkr(["status", "--json", "."]).in_dir(&repo).success();
    let status: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(status["images"].as_array().unwrap().len(), 2);
}
