//! Containers through their life: listed, left and come back to, stopped and removed.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::create_image::two_commits;
use super::start_image::start;
use crate::support::{Api, Invocation, Output, Repo, Sandbox};

pub fn baked(t: &Sandbox) -> Repo {
    let repo = two_commits(t, &t.unique("linux"));
    t.dkr(["create-image"]).in_dir(&repo).success();
    repo
}

/// Leaves a container of that name running, which does nothing.
pub fn detached(t: &Sandbox, repo: &Repo, name: &str) -> Output {
    let options = ["--name", name, "--detach"];
    start(t, repo, &options, &["sleep", "1000"]).success()
}

/// Runs a script in the container.
pub fn inside(t: &Sandbox, name: &str, script: &str) -> Output {
    t.dkr(["exec", name, "--", "sh", "-ec", script]).success()
}

/// What `list-containers --json` says of the container.
pub fn row(t: &Sandbox, name: &str) -> Value {
    let output = t.dkr(["list-containers", "--json"]).success();
    let rows: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    let mut rows = rows.into_iter();
    rows.find(|row| row["name"] == name).unwrap_or(Value::Null)
}

pub fn state(name: &str) -> Option<String> {
    let found = Api::of_machine().find(&format!("/containers/{name}/json"));
    found.map(|container| container["State"]["Status"].as_str().unwrap().to_owned())
}

#[test]
fn a_command_waits_until_the_working_branch_is_there() {
    let t = Sandbox::new();
    let repo = baked(&t);
    repo.file("later", "later").commit("later");
    let name = t.unique("early");
    detached(&t, &repo, &name);
    let script = "echo x >new; git commit -q --allow-empty -m early; git log --format=%s -n 2";
    let early = inside(&t, &name, script);
    assert_eq!(early.stdout, "early\nlater\n");
    let stopped = t.dkr(["stop", &name]).success();
    stopped.stderr_has("it has unsaved work (1 commit and 1 untracked file)");
}

#[test]
fn a_container_is_left_listed_watched_and_stopped() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("loop");
    let script = "i=0; while sleep 0.2; do i=$((i+1)); echo tick $i; done";
    let left = start(
        &t,
        &repo,
        &["--name", &name, "--detach"],
        &["sh", "-c", script],
    )
    .success();
    assert_eq!(left.stdout, format!("{name}\n"));
    left.stderr_has(&format!("hint: attach to it with `dkr attach {name}`"));
    inside(
        &t,
        &name,
        "echo x >new; git commit -q --allow-empty -m work",
    );
    repo.file("later", "later").commit("later");

    let mut listed = row(&t, &name);
    for (field, key) in [("id", 64), ("created_at", 20)] {
        let text = listed[field].take();
        assert_eq!(text.as_str().unwrap().len(), key, "{field}");
    }
    let image = t.image(&repo, "main");
    assert_eq!(
        listed,
        json!({
            "id": null, "created_at": null, "name": name, "container": name,
            "state": "running", "image": image.id(),
            "repo_path": repo.path(), "branch_from": "main", "commit": image.label("dkr.commit"),
            "keep": "auto", "runs": "command", "programs": [],
            "work": {
                "branch": name, "ahead": 1, "behind": 1, "operation": null,
                "changed": 0, "untracked": 1, "nested": 0, "staged": 0, "worktrees": 0, "stashed": 0,
                "only_there": {
                    "commits": 1, "changed": 0, "untracked": 1, "nested": 0, "staged": 0, "worktrees": 0, "unsaved": 0, "stashed": 0,
                    "operation": null,
                },
                "safe": false,
            },
        })
    );
    let ids = t.dkr(["ps", "-q", "."]).in_dir(&repo).success();
    assert_eq!(ids.stdout.trim().len(), 64);
    let table = t.dkr(["ps", "."]).in_dir(&repo).success().stdout;
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        header,
        [
            "NAME", "REPO", "BRANCH", "COMMIT", "STATE", "CREATED", "AHEAD", "BEHIND", "FILES",
            "UNPUSHED", "RUNS"
        ]
    );
    assert!(table.contains("sh -c 'i=0;"), "{table}");
    for width in [40, 200] {
        let terminal = t.dkr(["ps", "."]).in_dir(&repo).terminal(width, 60);
        assert_eq!(terminal.exit_code(), 0);
        let screen = terminal.wait_for("UNPUSHED");
        let expected = if width == 40 {
            "UNPUSHED  1"
        } else {
            "running"
        };
        assert!(screen.contains(expected), "{screen}");
    }
    let status = t.dkr(["status"]).in_dir(&repo).success().stdout;
    assert!(
        status.contains("1 commit and 1 untracked file")
            && status.contains("1 container (1 with unsaved work)"),
        "{status}"
    );

    // Watching it shows what it wrote, and Ctrl-C leaves it alone.
    let mut watching = t.dkr(["attach", &name]).spawn();
    watching.wait_for_stderr("Working copy updated");
    watching.wait_for_stdout("tick 1\n");
    watching.signal(Signal::INT);
    let watched = watching.wait();
    assert_eq!(watched.code, Some(0), "{watched}");
    assert!(watched.stdout.starts_with("tick 1\n"), "{watched}");
    watched.stderr_has(&format!("container `{name}` is still running"));

    let stopped = t.dkr(["stop", &name]).success();
    assert_eq!(stopped.stdout, format!("{name}\n"));
    stopped.stderr_has("it has unsaved work (1 commit and 1 untracked file)");
    assert_eq!(row(&t, &name)["work"]["only_there"]["commits"], 1);
    t.dkr(["stop", &name])
        .success()
        .stderr_has("is not running");
    let refused = t.dkr(["exec", &name, "--", "true"]).failure(1);
    refused.stderr_has(&format!("hint: start it with `dkr attach {name}`"));

    let refused = t.dkr(["rm", &name]).failure(1);
    refused.stderr_has("has unsaved work (1 commit and 1 untracked file)");
    refused.stderr_has(&format!("`dkr take {name}`"));
    assert_eq!(state(&name).as_deref(), Some("exited"));
    t.dkr(["rm", "--force", &name]).success();
    assert_eq!(state(&name), None);
}

#[test]
fn a_command_is_run_in_a_container_as_if_it_were_here() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("busy");
    detached(&t, &repo, &name);
    let exec =
        |command: &[&str]| -> Invocation { t.dkr([&["exec", &name, "--"], command].concat()) };
    let script = "cat; pwd; echo error >&2; exit 7";
    let ended = exec(&["sh", "-c", script]).stdin("hello\n").failure(7);
    assert_eq!(
        (&*ended.stdout, &*ended.stderr),
        ("hello\n/workspace\n", "error\n")
    );
    exec(&["sh", "-c", "kill -9 $$"]).failure(137);
    exec(&["no-such-command"]).failure(127);
    let env = t
        .dkr(["exec", "-e", "A=b c", &name, "--", "sh", "-c", "echo $A"])
        .success();
    assert_eq!(env.stdout, "b c\n");
    let mut sleeping = exec(&[
        "sh",
        "-c",
        "trap 'exit 9' TERM; echo on >&2; sleep 100 & wait",
    ])
    .spawn();
    sleeping.wait_for_stderr("on");
    sleeping.signal(Signal::TERM);
    let ended = sleeping.wait();
    assert_eq!(ended.code, Some(9), "{ended}");

    // A prefix and an id are names, too, and a near miss is helped.
    let id = row(&t, &name)["id"].as_str().unwrap()[..12].to_owned();
    for short in [&name[..name.len() - 2], &id] {
        t.dkr(["exec", short, "--", "true"]).success();
    }
    // No name of a test ends so.
    let wrong = format!("{}_", &name[..name.len() - 1]);
    let missed = t.dkr(["exec", &wrong, "--", "true"]).failure(3);
    missed.stderr_has(&format!("did you mean `{name}`?"));
    let running = t.dkr(["rm", &name]).failure(1);
    running.stderr_has(&format!("container `{name}` is running"));
    running.stderr_has(&format!("`dkr stop {name}`"));
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn a_session_is_left_at_once_and_its_name_is_taken() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let path = repo.path().to_str().unwrap();
    let name = t.unique("session");
    let arguments = ["start-image", path, "main", "--name", &name, "--detach"];
    t.dkr(arguments).success();
    assert_eq!(row(&t, &name)["runs"], "session");
    t.dkr(arguments).success().stderr_has("is already running");
    let back = format!("hint: reattach to it with `dkr attach {name}`");
    let asked = [&arguments[..], &["--network", "none", "--rm"]].concat();
    let refused = t.dkr(asked).failure(1);
    refused.stderr_has("`--rm`, `--network` have no effect on an existing container");
    refused.stderr_has(&back);
    repo.git(["branch", "topic"]);
    let asked = ["start-image", path, "topic", "--name", &name, "--detach"];
    let refused = t.dkr(asked).failure(1);
    refused.stderr_has("it was started from an image of `main`");
    refused.stderr_has(&back);
    t.dkr(["stop", &name]).success();
    assert_eq!(state(&name).as_deref(), Some("exited"));
    t.dkr(arguments).success();
    assert_eq!(state(&name).as_deref(), Some("running"));
    t.dkr(["stop", &name]).success();
    t.dkr(["rm", &name]).success();
}

#[test]
fn attaching_brings_the_channel_back() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("channel");
    let path = repo.path().to_str().unwrap();
    t.dkr(["start-image", path, "main", "--name", &name, "--detach"])
        .success();
    inside(&t, &name, "git fetch -q host");
    let servers = crate::support::processes_mentioning(t.path()).into_iter();
    let servers: Vec<u32> = servers
        .filter(|(_, text)| text.contains("channel-server"))
        .map(|(pid, _)| pid)
        .collect();
    let [server] = *servers else {
        panic!("{servers:?}");
    };
    let server = rustix::process::Pid::from_raw(i32::try_from(server).unwrap()).unwrap();
    rustix::process::kill_process(server, Signal::KILL).unwrap();

    // The same engine by another name.
    let link = t.path().join("engine.sock");
    std::os::unix::fs::symlink(Api::of_machine().socket(), &link).unwrap();
    let host = format!("unix://{}", link.display());
    let attach = t.dkr(["attach", &name]).env("DOCKER_HOST", host);
    let terminal = attach.terminal(100, 30);
    terminal.wait_for("/workspace#");
    terminal.send_keys(&[
        "clear; git commit -q --allow-empty -m x; git push -q && echo pus''hed",
        "Enter",
    ]);
    terminal.wait_for("pushed");
    terminal.send_keys(&["C-b", "d"]);
    assert_eq!(terminal.exit_code(), 0);
    t.dkr(["stop", &name]).success();
    t.dkr(["rm", &name]).success();
}

#[test]
fn a_branch_has_one_container_and_none_that_git_could_not_have_beside_it() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("branch");
    detached(&t, &repo, &name);
    let renamed = format!("{name}-renamed");
    let path = format!("/containers/{name}/rename?name={renamed}");
    Api::of_machine().post(&path, &Value::Null);
    let path = repo.path().to_str().unwrap();
    let arguments = ["start-image", path, "main", "--name", &name, "--detach"];
    t.dkr(arguments).success().stderr_has("is already running");
    for name in [&name, &renamed] {
        t.dkr(["exec", name, "--", "true"]).success();
    }
    let below = format!("{name}/below");
    let refused = start(&t, &repo, &["--name", &below], &["true"]).failure(2);
    refused.stderr_has(&format!("`{below}` cannot be a working branch"));
    refused.stderr_has(&format!("a container works on `{name}`"));
    t.dkr(["rm", "--force", &renamed]).success();
}
