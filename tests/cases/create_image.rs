//! `dkr create-image`: what an image holds, whatever the repository, the ref and the key are like.

use chrono::DateTime;
use serde_json::Value;

use crate::support::{BASE_IMAGE, KeyKind, Repo, Sandbox};

/// A `.dkr.conf` on the base image that is there.
pub fn conf(rest: &str) -> String {
    format!("base_image = {BASE_IMAGE}\n{rest}")
}

/// A repository with two commits and a configuration.
pub fn two_commits(t: &Sandbox, name: &str) -> Repo {
    let repo = t.repo(name).file("README", "hello\n");
    let repo = repo.file(".dkr.conf", conf("")).commit("initial");
    repo.file("src/a.c", "int a;\n").commit("add a")
}

fn git(arguments: &[&'static str]) -> Vec<&'static str> {
    [&["git", "-C", "/workspace"], arguments].concat()
}

#[test]
fn an_image_holds_the_work_tree_the_history_and_the_labels() {
    let t = Sandbox::new();
    // Its tag must stay with it.
    let name = t.unique("linux");
    let repo = two_commits(&t, &name);
    let output = t.dkr(["create-image"]).in_dir(&repo).success();

    let image = t.image(&repo, "main");
    let tag = output.stdout.trim_end();
    assert!(image.tags().contains(&tag.to_owned()), "{output}");
    assert_eq!(image.run(["cat", "README", "src/a.c"]), "hello\nint a;\n");
    assert_eq!(image.run(git(&["log", "--format=%s"])), "add a\ninitial\n");
    assert_eq!(image.run(git(&["status", "--porcelain"])), "");
    assert_eq!(
        image.run(git(&["rev-parse", "host/main"])).trim(),
        repo.rev("main")
    );
    assert_eq!(image.run(git(&["remote"])), "host\n");
    assert!(
        image
            .run(["cat", "/root/.bazelrc"])
            .contains("--disk_cache=/bazel-cache")
    );
    let env = image.env();
    assert!(env.contains(&"LANG=C.UTF-8".to_owned()), "{env:?}");
    assert!(env.contains(&"DKR_BRANCH=main".to_owned()), "{env:?}");

    let path = repo.path().to_str().unwrap();
    let commit = repo.rev("main");
    for (label, value) in [
        ("dkr.repo_path", path),
        ("dkr.repo_name", &*name),
        ("dkr.branch", "main"),
        ("dkr.branch_from", "main"),
        ("dkr.ref", "refs/heads/main"),
        ("dkr.commit", &commit),
        ("dkr.type", "base"),
        ("dkr.version", env!("CARGO_PKG_VERSION")),
        ("org.opencontainers.image.revision", &commit),
    ] {
        assert_eq!(image.label(label), value, "{label}");
    }
    let created = DateTime::parse_from_rfc3339(&image.label("dkr.created_at")).unwrap();
    assert!(created.timestamp() > 1_700_000_000);
    let config: Value = serde_json::from_str(&image.label("dkr.config")).unwrap();
    assert_eq!(config["base_image"], BASE_IMAGE);
    assert!(output.stderr.contains(&commit[..7]), "{output}");
}

#[test]
fn an_image_has_a_moving_tag_and_one_of_its_own() {
    let t = Sandbox::new();
    let name = t.unique("tags");
    let repo = two_commits(&t, &name);
    let first = t.dkr(["create-image"]).in_dir(&repo).success();
    let moving = format!("dkr:{name}-main");
    assert_eq!(first.stdout, format!("{moving}\n"));
    let own = t.image(&repo, "main").tags();
    let own = own
        .iter()
        .find(|tag| **tag != moving)
        .expect("a tag of its own")
        .clone();

    repo.file("b", "b").commit("add b");
    t.dkr(["create-image"]).in_dir(&repo).success();
    assert_eq!(t.image_named(&own).label("dkr.commit"), repo.rev("main:1"));
    assert_eq!(t.image_named(&moving).label("dkr.commit"), repo.rev("main"));
}

#[test]
fn another_repository_of_the_same_name_gets_another_tag() {
    let t = Sandbox::new();
    let name = t.unique("same");
    let first = two_commits(&t, &format!("one/{name}"));
    let second = two_commits(&t, &format!("two/{name}"));
    let one = t.dkr(["create-image"]).in_dir(&first).success().stdout;
    let two = t.dkr(["create-image"]).in_dir(&second).success().stdout;
    assert_eq!(one, format!("dkr:{name}-main\n"));
    assert!(two.starts_with(&format!("dkr:{name}-main-")), "{two}");
    assert_eq!(
        t.image_named(one.trim()).label("dkr.repo_path"),
        first.path().to_str().unwrap()
    );
}

#[test]
fn a_branch_holds_its_own_files_and_not_the_others() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").switch_new("topic", "main:0");
    repo.file("topic.c", "topic").commit("topic");
    repo.checkout("main")
        .file("main.c", "main")
        .commit("main only");
    t.dkr(["create-image", ".", "topic"])
        .in_dir(&repo)
        .success();
    let image = t.image(&repo, "topic");
    assert_eq!(image.run(["ls"]), "README\ntopic.c\n");
    assert_eq!(image.label("dkr.branch_from"), "topic");
    assert_eq!(
        image.run(git(&["rev-parse", "host/main"])).trim(),
        repo.rev("main")
    );
}

#[test]
fn sections_run_in_their_order_with_the_arguments_they_mention() {
    let t = Sandbox::new();
    let sections = "[pre_clone]\nRUN test ! -e /workspace && echo first > /order\n\
        [post_clone]\nRUN cat README >> /order && \\\n  # a comment\n  echo \"$BRANCH $GIT_USER=x;#\" >> /order\n\
        USER nobody\nWORKDIR /tmp\n";
    let repo = t.repo("linux").file("README", "hello\n");
    repo.file(".dkr.conf", conf(sections)).commit("initial");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let image = t.image(&repo, "main");
    let user = image.run(["id", "-un"]);
    assert_eq!(user, "root\n");
    let order = image.run(["cat", "/order"]);
    assert_eq!(order, format!("first\nhello\nmain {}=x;#\n", user.trim()));
    assert_eq!(image.run(["pwd"]), "/workspace\n");
}

#[test]
fn a_failing_step_names_its_line_and_shows_its_log() {
    let t = Sandbox::new();
    let repo = t.repo("linux");
    repo.file(
        ".dkr.conf",
        conf("\n[post_clone]\nRUN true\nRUN echo broken here >&2; exit 3\n"),
    )
    .commit("initial");
    let output = t.dkr(["create-image"]).in_dir(&repo).failure(1);
    output.stderr_has("[post_clone], line 5 of `.dkr.conf`");
    output.stderr_has("exit code 3");
    output.stderr_has("broken here");
    let left = t
        .images(&repo)
        .into_iter()
        .map(|image| image.label("dkr.type"));
    assert!(left.eq(["objects"]), "no image of the branch may be left");
}

#[test]
fn a_remote_ref_is_fetched_and_is_not_the_local_branch_of_that_name() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream");
    let repo = two_commits(&t, "linux").remote("space", &upstream);
    repo.file("local.c", "local").commit("local only");
    upstream
        .file("upstream.c", "upstream")
        .commit("upstream only");
    t.dkr(["create-image", ".", "space/main"])
        .in_dir(&repo)
        .success();
    let image = t.image(&repo, "main");
    assert_eq!(image.label("dkr.ref"), "refs/remotes/space/main");
    assert_eq!(image.label("dkr.branch_from"), "space/main");
    assert_eq!(image.label("dkr.commit"), upstream.rev("main"));
    assert_eq!(image.run(["cat", "upstream.c"]), "upstream");
    assert_eq!(
        image.run(git(&["rev-parse", "host/main"])).trim(),
        upstream.rev("main")
    );
    assert_eq!(image.run(["ls"]), "README\nsrc\nupstream.c\n");
}

#[test]
fn a_remote_ref_needs_no_local_branch() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream");
    let repo = upstream.clone_to("linux", "space").checkout("main:1");
    repo.git(["branch", "--quiet", "-D", "main"]);
    t.dkr(["create-image", ".", "space/main"])
        .in_dir(&repo)
        .success();
    let image = t.image(&repo, "main");
    assert_eq!(image.label("dkr.commit"), upstream.rev("main"));
    assert_eq!(
        image.run(git(&["rev-parse", "--abbrev-ref", "main@{upstream}"])),
        "host/main\n"
    );
}

#[test]
fn a_remote_that_cannot_be_reached_is_a_warning() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream");
    let repo = upstream.clone_to("linux", "space");
    repo.git(["remote", "set-url", "space", "/nonexistent/repository"]);
    let output = t
        .dkr(["create-image", ".", "space/main"])
        .in_dir(&repo)
        .success();
    output.stderr_has("warning: cannot fetch `space/main`");
    assert_eq!(
        t.image(&repo, "main").label("dkr.commit"),
        upstream.rev("main")
    );
}

#[test]
fn a_detached_head_is_built_on_no_branch() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").checkout("main:0");
    let commit = repo.rev("main:0");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let image = t.image(&repo, &commit);
    assert_eq!(image.label("dkr.commit"), commit);
    assert_eq!(image.run(["ls"]), "README\n");
}

#[test]
fn a_commit_that_no_ref_leads_to_is_built() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").checkout("main:1");
    repo.file("lost.c", "lost").commit("on no ref");
    let commit = repo.rev("HEAD");
    repo.checkout("main");
    t.dkr(["create-image", ".", &commit])
        .in_dir(&repo)
        .success();
    assert_eq!(t.image(&repo, &commit).run(["cat", "lost.c"]), "lost");
}

#[test]
fn a_tag_is_built() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").tag("v1");
    repo.file("later", "later").commit("later");
    t.dkr(["create-image", ".", "v1"]).in_dir(&repo).success();
    let image = t.image(&repo, "v1");
    assert_eq!(image.label("dkr.ref"), "refs/tags/v1");
    let described = image.run(git(&["describe", "--tags", "host/main"]));
    assert!(described.starts_with("v1-1-g"), "{described}");
}

#[test]
fn every_kind_of_key_works() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    for kind in [KeyKind::Rsa, KeyKind::Ed25519, KeyKind::Ecdsa] {
        let key = t.key(kind, "");
        repo.file("kind", format!("{kind:?}"))
            .commit("another kind");
        let key = key.to_str().unwrap();
        t.dkr(["create-image", "--ssh-key", key])
            .in_dir(&repo)
            .success();
        assert_eq!(
            t.image(&repo, "main").run(["cat", "kind"]),
            format!("{kind:?}")
        );
    }
    // A key on the command line is for SSH, whatever a variable says.
    let none = t.dkr(["create-image", "--ssh-key", "/nonexistent/key"]);
    let none = none.env("DKR_TRANSPORT", "session").in_dir(&repo);
    none.failure(1)
        .stderr_has("cannot use the SSH key `/nonexistent/key`");
}

#[test]
fn an_encrypted_key_is_unlocked_by_a_file_or_on_a_terminal() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let key = t.key(KeyKind::Ed25519, "open sesame");
    let arguments = ["create-image", "--ssh-key", key.to_str().unwrap()];

    let output = t.dkr(arguments).in_dir(&repo).failure(4);
    output.stderr_has("--ssh-passphrase-file");

    let file = t.path().join("passphrase");
    std::fs::write(&file, "open sesame\n").unwrap();
    let run = t.dkr(arguments).env("DKR_SSH_PASSPHRASE_FILE", &file);
    run.in_dir(&repo).success();

    repo.file("b", "b").commit("add b");
    let terminal = t.dkr(arguments).in_dir(&repo).terminal(100, 30);
    terminal.wait_for("assphrase");
    terminal.send_keys(&["open sesame", "Enter"]);
    assert_eq!(terminal.exit_code(), 0, "{}", terminal.screen());
    assert_eq!(t.image(&repo, "main").run(["cat", "b"]), "b");
}

#[test]
fn the_users_repository_is_only_read() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    repo.file("README", "changed\n").file("untracked", "x");
    repo.git(["stash", "--quiet"])
        .file("README", "changed again\n");
    repo.file(".git/index.lock", "");
    for hook in [
        "post-checkout",
        "reference-transaction",
        "pre-push",
        "post-update",
    ] {
        let canary = t.path().join("canary");
        repo.executable(
            &format!(".git/hooks/{hook}"),
            &format!("#!/bin/sh\ntouch {canary:?}\n"),
        );
    }
    let before = repo.state();
    let output = t.dkr(["create-image"]).in_dir(&repo).success();
    assert_eq!(repo.state().changed_since(&before), Vec::<String>::new());
    assert!(!t.path().join("canary").exists());
    output.stderr_has("index.lock");
    assert_eq!(t.image(&repo, "main").run(["cat", "README"]), "hello\n");
}

#[test]
fn a_linked_worktree_a_subdirectory_and_a_bare_repository_are_found() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let tree = repo
        .switch_new("topic", "main:0")
        .checkout("main")
        .worktree("tree", "topic");
    t.dkr(["create-image"]).in_dir(&tree).success();
    assert_eq!(t.image(&repo, "topic").run(["ls"]), "README\n");

    t.dkr(["create-image"])
        .in_dir(repo.path().join("src"))
        .success();
    assert_eq!(t.image(&repo, "main").run(["ls"]), "README\nsrc\n");

    let bare = repo.bare_clone_to("bare.git");
    t.dkr(["create-image"]).in_dir(&bare).success();
    let image = t.image(&bare, "main");
    assert_eq!(image.label("dkr.repo_name"), "bare");
    assert_eq!(image.run(["ls"]), "README\nsrc\n");
}

#[test]
fn hostile_names_are_only_names() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "it's a $(touch canary) repo:%41~");
    let long = "b".repeat(200);
    for branch in ["-x", "a$(id)", "a`id`", "a'b", "a|b", "a%b", "ü", &long] {
        let full = format!("refs/heads/{branch}");
        repo.git(["update-ref", &full, "HEAD"]);
        t.dkr(["create-image", "--", ".", branch])
            .in_dir(&repo)
            .success();
        let image = t.image(&repo, branch);
        assert_eq!(image.run(git(&["log", "--format=%s"])), "add a\ninitial\n");
        assert!(image.env().contains(&format!("DKR_BRANCH={branch}")));
    }
}

#[test]
fn a_dry_run_shows_everything_and_builds_nothing() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let output = t.dkr(["create-image", "--dry-run"]).in_dir(&repo).success();
    assert!(
        output.stdout.contains(&format!("FROM {BASE_IMAGE}\n")),
        "{output}"
    );
    for shown in ["dkr.commit", &repo.rev("main"), "dkr:linux-main"] {
        assert!(
            output.stdout.contains(shown),
            "{shown} is missing: {output}"
        );
    }
    let by_variable = t.dkr(["create-image"]).env("DKR_DRY_RUN", "1");
    let output = by_variable.in_dir(&repo).success();
    assert!(output.stdout.starts_with("FROM "), "{output}");
    assert!(t.images(&repo).is_empty());
}
