//! Containers that end while no dkr is attached: the process that waits for that sees to them, and
//! only to those whose command ended by itself.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::containers::{baked, inside, row, state};
use super::start_image::start;
use crate::support::{Api, PrivateEngine, Repo, Sandbox, processes_mentioning, wait_until};

/// A command that ends when [`end`] says so.
const UNTIL_TOLD: [&str; 3] = ["sh", "-c", "until [ -e /end ]; do sleep 0.1; done"];

/// Leaves a container running that [`end`] ends.
fn leave(t: &Sandbox, repo: &Repo, name: &str, options: &[&str]) {
    let options = [&["--name", name, "--detach"], options].concat();
    start(t, repo, &options, &UNTIL_TOLD).success();
}

/// Lets its command end.
fn end(t: &Sandbox, name: &str) {
    soon(t, name, "touch /end");
}

/// Runs a script in the container a second from now: what ends the container would end the command
/// that says so, too.
fn soon(t: &Sandbox, name: &str, script: &str) {
    inside(
        t,
        name,
        &format!("{{ sleep 1; {script}; }} >/dev/null 2>&1 </dev/null &"),
    );
}

/// Waits until the processes that wait for containers have done what they do.
pub fn wait_for_watchers(t: &Sandbox) {
    let watching = || {
        let all = processes_mentioning(t.path());
        all.iter().any(|(_, text)| text.contains("channel-server"))
    };
    assert!(wait_until(Duration::from_secs(300), || !watching()));
}

#[test]
fn what_ends_by_itself_is_removed_unless_it_holds_work() {
    let t = Sandbox::new();
    let repo = baked(&t);
    for transport in ["session", "ssh"] {
        let names =
            ["none", "work", "never", "always"].map(|name| t.unique(&format!("{name}{transport}")));
        let [none, work, never, always] = &names;
        let keeps = [
            (none, "auto"),
            (work, "auto"),
            (never, "never"),
            (always, "always"),
        ];
        for (name, keep) in keeps {
            leave(&t, &repo, name, &["--keep", keep, "--transport", transport]);
        }
        for name in [work, never] {
            inside(&t, name, "echo x >new");
        }
        for name in &names {
            end(&t, name);
        }
        wait_for_watchers(&t);
        assert_eq!([none, never].map(|name| state(name)), [None, None]);
        for name in [work, always] {
            assert_eq!(state(name).as_deref(), Some("exited"), "{name}");
        }
        assert_eq!(row(&t, work)["work"]["only_there"]["untracked"], 1);
        t.dkr(["rm", "--force", work, always]).success();
    }
    // Faster than anybody looks.
    let name = t.unique("fast");
    start(&t, &repo, &["--name", &name, "--detach"], &["true"]).success();
    wait_for_watchers(&t);
    assert_eq!(state(&name), None);
}

#[test]
fn what_is_stopped_or_killed_stays_whatever_was_wished() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let names = ["stopped", "docker", "killed", "session"].map(|name| t.unique(name));
    let [stopped, docker, killed, session] = &names;
    for name in [stopped, docker, killed] {
        leave(&t, &repo, name, &["--keep", "never"]);
        inside(&t, name, "true");
    }
    let path = repo.path().to_str().unwrap();
    let arguments = [
        "start-image",
        path,
        "main",
        "--name",
        session,
        "--rm",
        "--detach",
    ];
    t.dkr(arguments).success();
    t.dkr(["stop", stopped, session]).success();
    let api = Api::of_machine();
    api.post(&format!("/containers/{docker}/stop?t=30"), &Value::Null);
    api.post(&format!("/containers/{killed}/kill"), &Value::Null);
    wait_for_watchers(&t);
    for name in &names {
        assert_eq!(state(name).as_deref(), Some("exited"), "{name}");
    }
    // Whoever asks one that has stopped for its work does not end it by that.
    t.dkr(["take", stopped]).success();
    t.dkr(["diff", session]).success();
    wait_for_watchers(&t);
    assert_eq!(state(stopped).as_deref(), Some("exited"));
    for name in &names {
        t.dkr(["rm", name]).success();
    }
}

#[test]
fn a_session_that_ends_unattended_is_seen_to() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let path = repo.path().to_str().unwrap();
    let name = t.unique("session");
    let arguments = ["start-image", path, "main", "--name", &name, "--detach"];
    t.dkr(arguments).success();
    soon(&t, &name, "tmux send-keys -t main 'exit' Enter");
    wait_for_watchers(&t);
    assert_eq!(state(&name), None);
}

#[test]
fn a_dkr_that_is_killed_leaves_the_end_to_another_process() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("left");
    let mut attached = start(&t, &repo, &["--name", &name], &UNTIL_TOLD).spawn();
    attached.wait_for_stderr("Working copy updated");
    attached.signal(Signal::KILL);
    assert_eq!(attached.wait().signal(), Some(9));
    assert_eq!(state(&name).as_deref(), Some("running"));

    // One that has come to it instead sees to the end by itself, and says so.
    let mut watching = t.dkr(["attach", &name]).spawn();
    watching.wait_for_stderr("Working copy updated");
    inside(&t, &name, "echo x >new");
    end(&t, &name);
    let watched = watching.wait();
    assert_eq!(watched.code, Some(0), "{watched}");
    watched.stderr_has(": it has unsaved work (1 untracked file)");
    wait_for_watchers(&t);
    assert_eq!(state(&name).as_deref(), Some("exited"));
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn what_an_engine_stops_as_it_restarts_stays() {
    let t = Sandbox::new();
    let mut engine = PrivateEngine::start(&t);
    let host = engine.host();
    let repo = super::create_image::two_commits(&t, "linux");
    let dkr = |arguments: &[&str]| t.dkr(arguments).in_dir(&repo).env("DOCKER_HOST", &host);
    dkr(&["create-image"]).success();
    let ready = "until [ \"$(wc -l <.git/dkr-started)\" = 2 ]; do sleep 0.1; done; echo x >new";
    for (name, keep) in [("work", "auto"), ("never", "never")] {
        let options = [
            "start-image",
            "--network",
            "host",
            "--detach",
            "--name",
            name,
            "--keep",
            keep,
            "--",
        ];
        dkr(&[&options, &UNTIL_TOLD[..]].concat()).success();
        dkr(&["exec", name, "--", "sh", "-c", ready]).success();
    }
    engine.stop();
    engine.start_again();
    wait_for_watchers(&t);
    let listed = dkr(&["list-containers", "--json"]).success();
    let rows: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(rows.len(), 2, "{listed}");
    for row in &rows {
        assert_eq!(row["state"], "exited", "{listed}");
    }
    dkr(&["rm", "work"])
        .failure(1)
        .stderr_has("has unsaved work (1 untracked file)");
    dkr(&["take", "work"]).success();
    dkr(&["rm", "work"]).success();
    dkr(&["rm", "--force", "never"]).success();
    dkr(&["prune", "--keep", "0", "--force"]).success();
}
