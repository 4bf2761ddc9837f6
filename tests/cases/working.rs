//! Working in containers: what the channel lets through, and the whole loop.

use serde_json::json;

use super::create_image::{conf, two_commits};
use crate::support::{Repo, Sandbox};

/// What a script prints in a container of the newest image of `repo`.
fn start(t: &Sandbox, repo: &Repo, arguments: &[&str], script: &str) -> String {
    let arguments = [
        &["start-image", "."],
        arguments,
        &["--", "sh", "-c", script],
    ]
    .concat();
    t.dkr(arguments).in_dir(repo).success().stdout
}

fn branches(repo: &Repo) -> Vec<String> {
    let names = repo.output(["for-each-ref", "--format=%(refname)", "refs/heads"]);
    names.lines().map(str::to_owned).collect()
}

/// Of the host's files, only branches below the host's name, and their logs.
fn assert_only_own_branches_changed(changed: &[String]) {
    let own = format!("refs/heads/{}", hostname());
    let others = changed.iter().filter(|path| !path.contains(&own));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&String>::new());
}

fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[test]
fn the_channel_lets_nothing_else_be_written() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").branch("topic", "main").tag("v1");
    let canary = t.path().join("canary");
    for hook in [
        "pre-receive",
        "update",
        "post-receive",
        "reference-transaction",
    ] {
        let script = format!("#!/bin/sh\ntouch {canary:?}\n");
        repo.executable(&format!(".git/hooks/{hook}"), &script);
    }
    t.dkr(["create-image"]).in_dir(&repo).success();
    let before = repo.state();
    let script = "git commit --quiet --allow-empty -m x
        for ref in refs/heads/main refs/heads/new refs/tags/v1 refs/notes/x refs/dkr/x \
            refs/heads/${HOSTNAME:-x}x/y refs/remotes/a/b; do
            git push --force host HEAD:$ref 2>/dev/null && echo written $ref
        done
        git push host :refs/heads/topic 2>/dev/null && echo deleted
        git push --mirror \"$(git remote get-url host)\" 2>/dev/null && echo mirrored
        echo git-upload-archive | socat - UNIX-CONNECT:/run/dkr/git-receive-pack >/dev/null
        git push --quiet && echo pushed";
    let own = t.unique("own");
    assert_eq!(start(&t, &repo, &["--name", &own], script), "pushed\n");
    let pushed = format!("refs/heads/{}/{own}", hostname());
    assert_eq!(
        branches(&repo),
        ["refs/heads/main", "refs/heads/topic", &pushed]
    );
    assert_only_own_branches_changed(&repo.state().changed_since(&before));
    assert!(!canary.exists(), "a hook ran");
}

#[test]
fn the_newest_commits_are_fetched_and_what_post_clone_made_stays() {
    let t = Sandbox::new();
    let sections = "[post_clone]\nRUN echo built > built && echo changed >> README && \
        git config user.email a@b && git config user.name n && \
        echo made > made && git add made && git commit --quiet -m made made\n";
    let repo = t.repo("linux").file("README", "hello\n");
    repo.file(".dkr.conf", conf(sections)).commit("initial");
    t.dkr(["create-image"]).in_dir(&repo).success();
    repo.file("new", "new\n").commit("newer");
    let script = "git log --format=%s; cat README new made built";
    let output = start(&t, &repo, &[], script);
    assert_eq!(
        output,
        "made\nnewer\ninitial\nhello\nchanged\nnew\nmade\nbuilt\n"
    );
}

#[test]
fn an_image_works_without_dkr() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let ended = t
        .image(&repo, "main")
        .run_with(&["git", "status", "-sb"], json!({}));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("...host/main"), "{ended:?}");
    assert!(ended.stderr.contains("warning: cannot fetch"), "{ended:?}");
}

#[test]
fn the_whole_loop_needs_no_ssh_server_and_no_key() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let dkr = |arguments: &[&str]| {
        let run = t.dkr(arguments).in_dir(&repo);
        run.env("DKR_TRANSPORT", "session").success()
    };
    dkr(&["create-image"]);
    repo.file("new", "new\n").commit("newer");
    dkr(&["update-image"]);
    let image = t.image(&repo, "main");
    assert_eq!(image.label("dkr.type"), "update");
    let script = "cat new && git commit --quiet --allow-empty -m x && git push --quiet && \
        git fsck --connectivity-only 2>&1";
    let name = t.unique("free");
    let output = dkr(&[
        "start-image",
        ".",
        "--name",
        &name,
        "--",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(output.stdout, "new\n");
    assert!(branches(&repo).contains(&format!("refs/heads/{}/{name}", hostname())));
}
