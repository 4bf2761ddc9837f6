//! Containers that are kept for the work in them when they have ended, however that came.

use serde_json::{Value, json};

use super::containers::{baked, detached, inside, row, state};
use super::create_image::conf;
use super::start_image::{containers, hostname, start};
use crate::support::{Api, Sandbox};

fn kill(name: &str) {
    let api = Api::of_machine();
    api.post(&format!("/containers/{name}/kill"), &Value::Null);
    api.post(&format!("/containers/{name}/wait"), &Value::Null);
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
        ("stash", "echo x >>README; git stash -q", "1 stash entry"),
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
            "embedded",
            "git init -q sub; git -C sub commit -q --allow-empty -m x; git add sub 2>/dev/null; git commit -q -m x; \
             git push -q",
            "1 nested repository",
        ),
        (
            "worktree",
            "git worktree add -q --detach /tmp/other; echo x >/tmp/other/new",
            "1 changed file in another worktree",
        ),
    ];
    for (name, script, only) in cases {
        let taken = match name {
            "embedded" => "see how to copy it out",
            _ => "bring its work to your repository",
        };
        let name = t.unique(name);
        let script = format!("{script}; exit 3");
        let ended = start(&t, &repo, &["--name", &name], &["sh", "-c", &script]).failure(3);
        ended.stderr_has(&format!(
            "kept container `{name}`: it has unsaved work ({only})\n"
        ));
        for (hint, command) in [
            ("resume it", "attach"),
            (taken, "take"),
            ("remove it", "remove-container"),
        ] {
            ended.stderr_has(&format!("hint: {hint} with `dkr {command} {name}`"));
        }
        assert_eq!(state(&name).as_deref(), Some("exited"));
        let refused = t.dkr(["remove-container", &name]).failure(1);
        refused.stderr_has(&format!("container `{name}` has unsaved work ({only})\n"));
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
fn what_git_hides_keeps_a_container() {
    let t = Sandbox::new();
    let repo = t
        .repo("hidden")
        .file(".gitignore", "dep\n")
        .file("a.txt", "one\n");
    let left =
        "[post_clone]\nRUN echo built >output && echo more >>a.txt && git init -q dep/of/image\n";
    let repo = repo.file(".dkr.conf", conf(left)).commit("initial");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let cases = [
        (
            "marked",
            "git update-index --skip-worktree README; echo mine >README",
            "1 changed file",
        ),
        (
            "index",
            "git rm -q --cached README",
            "1 staged version of a file",
        ),
        (
            "ignored",
            "git init -q dep/new; git -C dep/new commit -q --allow-empty -m x",
            "1 nested repository",
        ),
        (
            "built",
            "touch -r output /tmp/t; echo Built >output; touch -r /tmp/t output",
            "1 untracked file",
        ),
    ];
    repo.file("README", "hello\n")
        .commit("the image's changes move on");
    for (name, script, only) in cases {
        let name = t.unique(name);
        let ended = start(&t, &repo, &["--name", &name], &["sh", "-c", script]).success();
        ended.stderr_has(&format!(
            "kept container `{name}`: it has unsaved work ({only})\n"
        ));
        t.dkr(["rm", &name]).failure(1);
    }
    let name = t.unique("nothing");
    let ended = start(&t, &repo, &["--name", &name], &["make", "--version"]);
    ended.failure(127);
    assert_eq!(state(&name), None);
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
        .stderr_has(&format!("kept container `{name}`\n"));
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
    refused.stderr_has(&format!(
        "container `{work}` has unsaved work (1 untracked file)\n"
    ));
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
fn what_cannot_be_looked_into_is_kept_and_said_to_be() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("broken");
    let script = "rm -r .git; echo x >new";
    let ended = start(&t, &repo, &["--name", &name], &["sh", "-c", script]).success();
    ended.stderr_has(&format!(
        "kept container `{name}`: cannot check it for unsaved work: \
         its `/workspace` is no longer a git repository"
    ));
    ended.stderr_has("hint: copy its files out with `docker cp ");
    assert!(!ended.stderr.contains("dkr take"), "{ended}");
    for command in ["take", "diff"] {
        let refused = t.dkr([command, &name]).failure(1);
        refused.stderr_has("hint: copy its files out with `docker cp ");
    }
    t.dkr(["rm", &name])
        .failure(1)
        .stderr_has(&format!("cannot check container `{name}` for unsaved work"));
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn an_image_that_is_too_old_to_be_looked_into_is_named() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("old");
    detached(&t, &repo, &name);
    inside(&t, &name, "rm /usr/local/lib/dkr/work.sh");
    let too_old = |command: &str| {
        let refused = t.dkr([command, &name]).failure(1);
        refused.stderr_has("caused by: its image was built by an older dkr\n");
        refused.stderr_has("while it is running, push its commits with `dkr exec ");
    };
    too_old("take");
    too_old("diff");
    t.dkr(["stop", &name]).success();
    too_old("take");
    too_old("diff");
    t.dkr(["rm", &name]).failure(1);
    t.dkr(["rm", "--force", &name]).success();
}
