//! Containers through their life: listed, left and come back to, stopped, kept for the work in them,
//! and removed.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::create_image::two_commits;
use super::start_image::{containers, hostname, start};
use crate::support::{Api, Invocation, Output, Repo, Sandbox, wait_until};

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
    // The entrypoint may still be at work on the branch.
    let ready = "until [ \"$(wc -l <.git/dkr-started)\" = 2 ]; do sleep 0.05; done 2>/dev/null";
    let script = format!("{ready}\n{script}");
    t.dkr(["exec", name, "--", "sh", "-ec", &script]).success()
}

/// What `list-containers --json` says of the container.
pub fn row(t: &Sandbox, name: &str) -> Value {
    let output = t.dkr(["list-containers", "--json"]).success();
    let rows: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    let mut rows = rows.into_iter();
    rows.find(|row| row["name"] == name).unwrap_or(Value::Null)
}

fn state(name: &str) -> Option<String> {
    let found = Api::of_machine().find(&format!("/containers/{name}/json"));
    found.map(|container| container["State"]["Status"].as_str().unwrap().to_owned())
}

fn kill(name: &str) {
    let api = Api::of_machine();
    api.post(&format!("/containers/{name}/kill"), &Value::Null);
    api.post(&format!("/containers/{name}/wait"), &Value::Null);
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
    left.stderr_has(&format!("hint: come to it with `dkr attach {name}`"));
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
                "changed": 0, "untracked": 1, "worktrees": 0, "stashed": 0,
                "only_there": {
                    "commits": 1, "changed": 0, "untracked": 1, "worktrees": 0, "stashed": 0,
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
            && status.contains("1 container (1 with work that is nowhere else)"),
        "{status}"
    );

    // Watching it shows what it wrote, and Ctrl-C leaves it alone.
    let mut watching = t.dkr(["attach", &name]).spawn();
    assert!(wait_until(Duration::from_secs(10), || {
        watching.wait_for_stderr("Working copy updated");
        true
    }));
    watching.signal(Signal::INT);
    let watched = watching.wait();
    assert_eq!(watched.code, Some(0), "{watched}");
    assert!(watched.stdout.starts_with("tick 1\n"), "{watched}");
    watched.stderr_has(&format!("container `{name}` goes on"));

    let stopped = t.dkr(["stop", &name]).success();
    assert_eq!(stopped.stdout, format!("{name}\n"));
    stopped.stderr_has("only there is 1 commit and 1 untracked file");
    assert_eq!(row(&t, &name)["work"]["only_there"]["commits"], 1);
    t.dkr(["stop", &name]).success().stderr_has("does not run");
    let refused = t.dkr(["exec", &name, "--", "true"]).failure(1);
    refused.stderr_has(&format!("hint: `dkr attach {name}` starts it"));

    let refused = t.dkr(["rm", &name]).failure(1);
    refused.stderr_has("has 1 commit and 1 untracked file");
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
    let wrong = format!("{}x", &name[..name.len() - 1]);
    let missed = t.dkr(["exec", &wrong, "--", "true"]).failure(3);
    missed.stderr_has(&format!("did you mean `{name}`?"));
    let running = t.dkr(["rm", &name]).failure(1);
    running.stderr_has(&format!("container `{name}` runs"));
    running.stderr_has(&format!("`dkr stop {name}`"));
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn what_is_only_there_keeps_a_container() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let cases = [
        ("dirty", "echo x >>README", "1 changed file"),
        ("new", "echo x >new", "1 untracked file"),
        ("ahead", "git commit -q --allow-empty -m x", "1 commit"),
        (
            "detached",
            "git checkout -q --detach; git commit -q --allow-empty -m x",
            "1 commit",
        ),
        (
            "stash",
            "echo x >>README; git stash -q",
            "1 entry of the stash",
        ),
        (
            "rebase",
            "git commit -q --allow-empty -m x; git push -q; \
             GIT_SEQUENCE_EDITOR='echo break >' git rebase -q -i HEAD~1 >/dev/null 2>&1",
            "a rebase in progress",
        ),
        (
            "other",
            "git branch topic; git checkout -q topic; git commit -q --allow-empty -m x; git checkout -q -",
            "1 commit",
        ),
        (
            "tag",
            "git commit -q --allow-empty -m x; git tag -m x v1; git reset -q --hard HEAD~",
            "1 commit",
        ),
        (
            "worktree",
            "git worktree add -q --detach /tmp/other; echo x >/tmp/other/new",
            "1 changed file in another worktree",
        ),
    ];
    for (name, script, only) in cases {
        let name = t.unique(name);
        let script = format!("{script}; exit 3");
        let ended = start(&t, &repo, &["--name", &name], &["sh", "-c", &script]).failure(3);
        ended.stderr_has(&format!(
            "container `{name}` is kept: only there is {only}\n"
        ));
        for command in ["attach", "take", "remove-container"] {
            ended.stderr_has(&format!("hint: `dkr {command} {name}`"));
        }
        assert_eq!(state(&name).as_deref(), Some("exited"));
        let refused = t.dkr(["remove-container", &name]).failure(1);
        refused.stderr_has(&format!("only container `{name}` has {only}\n"));
    }
    assert_eq!(containers(&repo), cases.len());

    for script in [
        "true",
        "git commit -q --allow-empty -m x; git push -q",
        "mkdir -p .git/info; echo /ignored >.git/info/exclude; echo x >ignored",
        "echo x >new; rm new",
        "git tag light; git tag -m x annotated; git worktree add -q inner",
    ] {
        let name = t.unique("safe");
        let ended = start(&t, &repo, &["--name", &name], &["sh", "-c", script]).success();
        assert_eq!(state(&name), None, "{script}: {ended}");
    }
}

#[test]
fn the_user_decides_otherwise() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let work = ["sh", "-c", "echo x >new"];
    let name = t.unique("never");
    for option in [&["--rm"][..], &["--keep", "never"]] {
        let options = [option, &["--name", &name]].concat();
        let ended = start(&t, &repo, &options, &work).success();
        assert!(!ended.stderr.contains("kept"), "{ended}");
        assert_eq!(state(&name), None);
    }
    let name = t.unique("always");
    let ended = start(&t, &repo, &["--name", &name], &["true"]).env("DKR_KEEP", "always");
    ended
        .success()
        .stderr_has(&format!("container `{name}` is kept"));
    let removed = t.dkr(["rm", &name]).success();
    removed.stderr_has(&format!("removed container `{name}`"));
    start(&t, &repo, &["--keep", "maybe"], &["true"])
        .failure(2)
        .stderr_has("`auto`, `always` or `never`");
    start(&t, &repo, &["--keep", "auto", "--rm"], &["true"]).failure(2);
}

#[test]
fn one_that_was_killed_is_asked_by_a_start_that_runs_nothing() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let (work, none) = (t.unique("work"), t.unique("none"));
    for name in [&work, &none] {
        let script = "echo ran >>/ran; sleep 1000";
        start(
            &t,
            &repo,
            &["--name", name, "--detach"],
            &["sh", "-c", script],
        )
        .success();
    }
    inside(&t, &work, "echo x >new");
    inside(&t, &none, "true");
    for name in [&work, &none] {
        kill(name);
        // A listing starts nothing.
        assert_eq!(row(&t, name)["work"], Value::Null);
    }
    let table = t.dkr(["ps", "."]).in_dir(&repo).success().stdout;
    assert!(table.contains('?'), "{table}");
    let refused = t.dkr(["rm", &work, &none]).failure(1);
    refused.stderr_has(&format!("only container `{work}` has 1 untracked file\n"));
    assert!(!refused.stderr.contains(&none), "{refused}");
    assert_eq!(state(&work).as_deref(), Some("exited"));
    assert_eq!(row(&t, &work)["work"]["untracked"], 1);
    t.dkr(["rm", &none]).success();

    // Nothing has run again.
    let ran = Api::of_machine().bytes(&format!("/containers/{work}/archive?path=/ran"));
    let text = String::from_utf8_lossy(&ran);
    assert_eq!(text.matches("ran\n").count(), 1);
}

#[test]
fn a_kept_command_is_come_back_to_in_a_session() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("kept");
    let script = "echo x >new; echo ran >>/ran";
    start(&t, &repo, &["--name", &name], &["sh", "-c", script]).success();
    t.dkr(["attach", &name])
        .failure(2)
        .stderr_has("cannot attach without a terminal");
    let terminal = t.dkr(["attach", &name]).terminal(100, 30);
    terminal.wait_for("/workspace#");
    terminal.send_keys(&["clear; cat /ran; git branch --show-current", "Enter"]);
    terminal.wait_for(&format!("ran\n{name}"));
    let programs = row(&t, &name)["programs"].clone();
    assert_eq!(programs, json!(["bash"]));
    terminal.send_keys(&[
        "git add new && git commit -qm new && git push -q; exit",
        "Enter",
    ]);
    assert_eq!(terminal.exit_code(), 0);
    assert_eq!(state(&name), None);
    assert_eq!(
        repo.output(["show", &format!("{}/{name}:new", hostname())]),
        "x"
    );
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
    t.dkr(arguments).success().stderr_has("runs already");
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

    let terminal = t.dkr(["attach", &name]).terminal(100, 30);
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
