//! The whole story, told over both transports: create, update, start, push, list. `tests/engines.sh`
//! tells it on engines of several ages.

use serde_json::Value;

use super::create_image::{conf, two_commits};
use super::start_image::hostname;
use crate::support::{Output, Repo, Sandbox};

/// dkr in a repository, over one transport.
struct Teller<'a> {
    t: &'a Sandbox,
    transport: &'static str,
}

impl Teller<'_> {
    fn dkr(&self, repo: &Repo, arguments: &[&str]) -> Output {
        let dkr = self.t.dkr(arguments).in_dir(repo);
        dkr.env("DKR_TRANSPORT", self.transport).success()
    }

    /// What a script prints in a container of the newest image of `main`.
    fn inside(&self, repo: &Repo, name: &str, script: &str) -> String {
        let start = ["start-image", ".", "main", "--name", name];
        let arguments = [&start[..], &["--", "sh", "-ec", script]].concat();
        self.dkr(repo, &arguments).stdout
    }
}

/// From the first bake to what was pushed and is listed.
fn main_story(transport: &'static str) {
    let t = Sandbox::new();
    let teller = Teller { t: &t, transport };
    let sections = "[post_clone]\nRUN cat src/*.c > built && echo local >> README\n";
    let repo = two_commits(&t, "linux").file(".dkr.conf", conf(sections));
    repo.commit("build").branch("topic", "main:0");
    let before = repo.state();
    let created = teller.dkr(&repo, &["create-image"]);
    assert_eq!(repo.state().changed_since(&before), Vec::<String>::new());
    let first = t.image(&repo, "main");
    assert_eq!(first.label("dkr.commit"), repo.rev("main"));
    assert!(first.tags().contains(&created.stdout.trim().to_owned()));

    let newer = repo.file("src/b.c", "int b;\n").commit("add b").rev("main");
    teller.dkr(&repo, &["update-image"]);
    let second = t.image(&repo, "main");
    assert_eq!(second.label("dkr.type"), "update");
    assert_eq!(second.label("dkr.commit"), newer);
    assert!(second.layers().starts_with(&first.layers()));

    repo.file("late", "late\n").commit("after the image");
    let script = "cat built late; tail -n 1 README; git log --format=%s -1
        git rev-parse --verify --quiet host/topic >/dev/null
        echo work > work && git add work && git commit --quiet -m work && git push --quiet
        git fsck --connectivity-only --no-dangling";
    let name = t.unique(transport);
    let said = teller.inside(&repo, &name, script);
    assert_eq!(said, "int a;\nint b;\nlate\nlocal\nafter the image\n");
    let pushed = format!("{}/{name}", hostname());
    let log = repo.output(["log", "--format=%s", "-2", &pushed]);
    assert_eq!(log, "work\nafter the image");

    let listed = teller.dkr(&repo, &["list-images", "--json", "--stale", "."]);
    let listed: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    let told: Vec<_> = listed.iter().map(|image| &image["type"]).collect();
    assert_eq!(told, ["update", "base"]);
    assert_eq!(listed[0]["staleness"]["behind"], 1);
    assert_eq!(listed[0]["containers"], Value::Array(Vec::new()));
}

/// Refs and bakes of other kinds than a branch by its packs.
fn other_refs(transport: &'static str) {
    let t = Sandbox::new();
    let teller = Teller { t: &t, transport };
    let upstream = two_commits(&t, "upstream");
    let repo = upstream.clone_to("linux", "space");
    upstream.file("far", "far\n").commit("far away");
    teller.dkr(&repo, &["create-image", ".", "space/main"]);
    let image = t.image(&repo, "main");
    assert_eq!(image.label("dkr.ref"), "refs/remotes/space/main");
    assert_eq!(image.run(["cat", "far"]), "far\n");
    upstream.file("far", "farther\n").commit("farther");
    teller.dkr(&repo, &["update-image", ".", "space/main"]);
    assert_eq!(t.image(&repo, "main").run(["cat", "far"]), "farther\n");

    // The branch is rewritten, and baked anew by a plain clone.
    repo.file("old", "old\n").commit("soon gone");
    teller.dkr(&repo, &["create-image"]);
    repo.reset("main:0").file("new", "new\n").commit("instead");
    teller.dkr(&repo, &["update-image"]);
    let script = "ls; git log --format=%s host/main";
    assert_eq!(
        teller.inside(&repo, &t.unique("rewritten"), script),
        "README\nnew\ninstead\ninitial\n"
    );
    teller.dkr(&repo, &["create-image", "--clone", "full"]);
    assert_eq!(t.image(&repo, "main").label("dkr.parent"), "");

    // No ref leads to this commit.
    let lost = repo.output(["commit-tree", "-m", "lost", "HEAD^{tree}"]);
    teller.dkr(&repo, &["create-image", ".", &lost]);
    let image = t.image(&repo, &lost);
    let head = image.run(["git", "-C", "/workspace", "log", "--format=%s", "-1"]);
    assert_eq!(head, "lost\n");
}

#[test]
fn told_over_ssh() {
    main_story("ssh");
}

#[test]
fn told_over_the_session() {
    main_story("session");
}

#[test]
fn other_refs_over_ssh() {
    other_refs("ssh");
}

#[test]
fn other_refs_over_the_session() {
    other_refs("session");
}
