//! Containers.

use std::fs;

use serde_json::{Value, json};

use super::{FUTURE, baked, commit, parsed, run};
use crate::cases::start_image::hostname;
use crate::support::{Api, Repo, SANDBOX_LABEL, Sandbox, processes_mentioning, write_program};

/// Commits in a container, as its entrypoint runs it.
const WORK: [&str; 3] = [
    "sh",
    "-c",
    "git -c user.name=A -c user.email=a@example.com commit -q --allow-empty -m work",
];

/// A container that `docker run` made of an image, with these labels; it has ended with work in it.
fn ended(t: &Sandbox, image: &str, name: &str, mut labels: Value) -> String {
    labels[SANDBOX_LABEL] = json!(t.path());
    let body = json!({
        "Image": image, "Cmd": WORK, "Labels": labels, "HostConfig": {"NetworkMode": "none", "Init": true},
    });
    run(&Api::of_machine(), name, &body)
}

/// Labels of dkr's that name another repository, and where nobody may write.
fn hostile(repo: &Repo, image: &str) -> Value {
    json!({
        "dkr.repo_path": repo.path(), "dkr.repo_name": "other", "dkr.work_branch": "fix",
        "dkr.push_prefix": "release", "dkr.keep": "never", "dkr.runs": "session", "dkr.image": image,
    })
}

fn exists(id: &str) -> bool {
    Api::of_machine()
        .find(&format!("/containers/{id}/json"))
        .is_some()
}

#[test]
fn a_container_of_a_foreign_image_is_not_dkrs() {
    let t = Sandbox::new();
    let (repo, own) = baked(&t, "linux");
    let evil = format!("evil:{}", t.unique("x"));
    let mut labels = hostile(&repo, own.id());
    labels["dkr.created_at"] = json!(FUTURE);
    let image = commit(&t, &own, Some(&evil), labels);
    let name = t.unique("fix");
    let id = ended(&t, image.id(), &name, hostile(&repo, image.id()));
    let before = repo.state();

    for command in [&["ps", "-q", "."][..], &["ps", "-q"]] {
        let ps = t.dkr(command).in_dir(&repo).success();
        assert!(!ps.stdout.contains(&id), "{ps}");
    }
    let status = t.dkr(["status", "--json"]).in_dir(&repo).success();
    assert_eq!(parsed(&status.stdout)["containers"], json!([]));
    let pruned = t.dkr(["prune", ".", "--force"]).in_dir(&repo).success();
    pruned.stderr_has("nothing to remove");
    for command in [
        &["take", &name][..],
        &["diff", &name],
        &["rm", "--force", &name],
        &["stop", &name],
        &["rm", "--force", &id],
    ] {
        let refused = t.dkr(command).in_dir(&repo).failure(3);
        refused
            .stderr_has("no dkr container named")
            .stderr_has("its image is gone or was not built by dkr");
        refused.stderr_has(&format!(
            "hint: copy its files out with `docker cp {}:/workspace FOLDER`",
            &id[..12]
        ));
    }
    for command in [&["attach", &name][..], &["exec", &name, "--", "true"]] {
        t.dkr(command)
            .in_dir(&repo)
            .failure(3)
            .stderr_has("no dkr container named");
    }
    // Its labels say that it works on this branch; but its name is free.
    let start = ["start-image", ".", "main", "--name", "fix", "--", "true"];
    t.dkr(start).in_dir(&repo).success();
    let start = ["start-image", ".", "main", "--name", &name, "--", "true"];
    let taken = t.dkr(start).in_dir(&repo).failure(1);
    taken.stderr_has("caused by: it was not created by dkr");
    assert!(exists(&id));
    assert_eq!(repo.state().changed_since(&before), [""; 0]);
}

#[test]
fn a_container_that_was_run_by_hand_belongs_to_the_repository_of_its_image() {
    let t = Sandbox::new();
    let (repo, own) = baked(&t, "linux");
    let (other, _) = baked(&t, "other");
    let name = t.unique("run");
    let id = ended(&t, own.id(), &name, hostile(&other, own.id()));
    let before = other.state();

    let ps = |repo: &Repo| {
        let ps = t.dkr(["ps", "--json", "."]).in_dir(repo).success();
        parsed(&ps.stdout)
    };
    assert_eq!(ps(&other), json!([]));
    let rows = ps(&repo);
    assert_eq!(
        (&rows[0]["id"], &rows[0]["repo_path"]),
        (&json!(id), &json!(repo.path()))
    );
    // That it may go with its work is believed of what dkr started only.
    assert_eq!(rows[0]["keep"], Value::Null);
    let pruned = t.dkr(["prune", "--yes", "."]).in_dir(&repo).success();
    pruned.stderr_has("keeping container `fix`: it has unsaved work (1 commit)");
    t.dkr(["rm", "fix"])
        .in_dir(&repo)
        .failure(1)
        .stderr_has("has unsaved work (1 commit");

    let taken = t.dkr(["take", "fix"]).in_dir(&other).success();
    let places: Vec<&str> = taken.stdout.lines().collect();
    assert!(!places.is_empty());
    let ours = [
        format!("{}/fix", hostname()),
        "refs/dkr/taken/fix/".to_owned(),
    ];
    assert!(
        places
            .iter()
            .all(|place| ours.iter().any(|ours| place.starts_with(ours))),
        "{taken}"
    );
    assert_eq!(repo.output(["log", "-1", "--format=%s", places[0]]), "work");
    assert_eq!(other.state().changed_since(&before), [""; 0]);
    t.dkr(["rm", "fix"]).in_dir(&other).success();
    assert!(!exists(&id));
}

#[test]
fn what_dkr_started_stays_dkrs_though_its_image_and_its_labels_do_not() {
    let t = Sandbox::new();
    let (repo, own) = baked(&t, "linux");
    let name = t.unique("work");
    let start = [
        "start-image",
        ".",
        "main",
        "--name",
        &name,
        "--",
        "sh",
        "-c",
    ];
    let work = "git commit -q --allow-empty -m work";
    t.dkr(start.iter().chain([&work])).in_dir(&repo).success();
    Api::of_machine().delete(&format!("/images/{}?force=1", own.id()));

    let ps = t.dkr(["ps", "--json", "."]).in_dir(&repo).success();
    let row = &parsed(&ps.stdout)[0];
    assert_eq!(
        (&row["name"], &row["repo_path"]),
        (&json!(name), &json!(repo.path()))
    );
    t.dkr(["take", &name]).success();
    let place = format!("{}/{name}", hostname());
    assert_eq!(repo.output(["log", "-1", "--format=%s", &place]), "work");
    // Neither record nor image says where it belongs: what it says itself is not enough.
    fs::remove_dir_all(t.path().join("state/dkr/channels")).unwrap();
    let refused = t.dkr(["take", &name]).failure(3);
    refused.stderr_has("docker cp");
}

#[test]
fn a_start_on_an_engine_elsewhere_is_written_down_too() {
    let t = Sandbox::new();
    let (repo, own) = baked(&t, "linux");
    let bin = t.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let socket = Api::of_machine().socket().display().to_string();
    // Once dkr has said all, socat alone would wait half a second for what the engine still answers.
    let dial = format!("#!/bin/sh\nexec socat -t 60 - UNIX-CONNECT:{socket}\n");
    write_program(&bin.join("ssh"), &dial);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let far = |arguments: &[&str]| {
        let dkr = t.dkr(arguments).in_dir(&repo).env("PATH", &path);
        dkr.env("DOCKER_HOST", "ssh://far.example")
    };
    let name = t.unique("far");
    let work = "git commit -q --allow-empty -m work";
    let start = ["start-image", ".", "main", "--name", &name];
    let ssh = ["--transport", "ssh", "--ssh-host", "::1"];
    let start = [&start[..], &ssh, &["--", "sh", "-c", work]].concat();
    far(&start)
        .success()
        .stderr_has(": it has unsaved work (1 commit)");

    let folders = || fs::read_dir(t.path().join("state/dkr/channels")).unwrap();
    let record = folders()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("channel.json");
    let record = parsed(&fs::read_to_string(record).unwrap());
    assert_eq!(record["repository"], json!(repo.path()));
    assert_eq!(
        (&record["git_dir"], &record["watched"]),
        (&Value::Null, &json!(false))
    );
    Api::of_machine().delete(&format!("/images/{}?force=1", own.id()));
    far(&["take", &name]).success();
    let place = format!("{}/{name}", hostname());
    assert_eq!(repo.output(["log", "-1", "--format=%s", &place]), "work");
    // No process holds a connection for it, not even after it was come back to.
    far(&["start-image", ".", "--detach", "--name", &name]).success();
    let watchers = processes_mentioning(t.path()).into_iter();
    assert_eq!(
        watchers
            .filter(|(_, text)| text.contains("channel-server"))
            .count(),
        0
    );
    far(&["rm", "--force", &name]).success();
    assert_eq!(folders().count(), 0);
}

#[test]
fn what_only_a_container_of_dkrs_has_is_not_handed_on_by_its_image() {
    let t = Sandbox::new();
    let (repo, _) = baked(&t, "linux");
    let api = Api::of_machine();
    let name = t.unique("work");
    let start = ["start-image", ".", "main", "--name", &name];
    let work = "git commit -q --allow-empty -m work";
    let start = [&start[..], &["--", "sh", "-c", work]].concat();
    t.dkr(start).in_dir(&repo).success();
    let ps = || {
        let ps = t.dkr(["ps", "-q", "."]).in_dir(&repo).success();
        ps.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let [id] = &ps()[..] else {
        panic!("one container is kept")
    };
    let labels = api.get(&format!("/containers/{id}/json"))["Config"]["Labels"].clone();
    let record = labels["dkr.record"].as_str().unwrap();

    // A copy of it, and one of a container that was made for a moment.
    let commit = format!("/commit?container={id}");
    let copy = api.post(&commit, &json!({"Labels": {SANDBOX_LABEL: t.path()}}));
    let copy = copy["Id"].as_str().unwrap();
    let copied = &api.get(&format!("/images/{copy}/json"))["Config"]["Labels"];
    assert_eq!(copied["dkr.record"], json!(record));
    let second = ended(&t, copy, &t.unique("copy"), json!({}));
    let moment = json!({"dkr.temporary": labels["dkr.image"]});
    let third = ended(&t, copy, &t.unique("moment"), moment);
    assert_eq!(ps(), [id.as_str()]);

    // As the record is left by a dkr that is killed when it has made the container.
    let file = t.path().join("state/dkr/channels").join(record);
    let file = file.join("channel.json");
    let container = || parsed(&fs::read_to_string(&file).unwrap())["container"].clone();
    let forget = || {
        let mut record = parsed(&fs::read_to_string(&file).unwrap());
        record["container"] = json!("");
        fs::write(&file, record.to_string()).unwrap();
    };
    forget();
    assert_eq!(ps(), [id.as_str()]);
    assert_eq!(container(), json!(id));
    api.delete(&format!("/containers/{id}?force=1"));
    forget();
    assert!(ps().is_empty());
    assert_eq!(container(), json!(""));
    t.dkr(["prune", ".", "--force"]).in_dir(&repo).success();
    t.dkr(["rm", "--force", &second]).failure(3);
    assert!(exists(&second) && exists(&third));
    assert_eq!(t.image_named(copy).id(), copy);
}
