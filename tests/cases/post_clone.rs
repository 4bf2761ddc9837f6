//! What `[post_clone]` may leave: an image that it made unusable is never called good, and what can be
//! mended is.

use super::create_image::conf;
use super::entrypoint::in_image;
use super::start_image::start;
use crate::support::{Repo, Sandbox};

/// A repository whose `[post_clone]` is that script.
fn with(t: &Sandbox, name: &str, script: &str) -> Repo {
    let repo = t.repo(name).file("README", "hello\n");
    let section = format!("[post_clone]\n{script}\n");
    repo.file(".dkr.conf", conf(&section)).commit("initial")
}

/// Prepares what a step of the build finds; `check` is the one that follows `[post_clone]`.
const STEP: &str = r#"
mkdir /run/dkr /run/dkr-runtime
cp "$ASSETS/step.sh" "$ASSETS/baseline.sh" "$ASSETS/gitconfig" "$ASSETS/environment.sh" /run/dkr
cp "$ASSETS/session.sh" /run/dkr/reach.sh
echo 'ext::x %S' >/run/dkr/url
git rev-parse HEAD >/run/dkr/commit
cp -r "$lib" /run/dkr-runtime/lib
check() { sh -c '. /run/dkr/environment.sh' && env -i PATH="$PATH" HOME="$HOME" sh /run/dkr/baseline.sh; }
"#;

#[test]
fn what_no_container_could_start_from_is_told_by_its_name() {
    for (left, words) in [
        ("rm -r .git", "left no git repository in /workspace"),
        ("rm .git/HEAD", "left no git repository in /workspace"),
        (
            "mv .git /git; echo 'gitdir: /git' >.git",
            "left /workspace/.git as something other than a directory",
        ),
        (
            "mv .git /git; ln -s /git .git",
            "left /workspace/.git as something other than a directory",
        ),
        (
            "git config core.worktree /tmp",
            "left a git repository in /workspace whose work tree is elsewhere",
        ),
        (
            "git config core.bare true",
            "left a git repository in /workspace whose work tree is elsewhere",
        ),
        (
            "git checkout -q --orphan other",
            "left HEAD of /workspace without a commit",
        ),
        (
            "printf '%040d\n' 1 >.git/HEAD",
            "left HEAD of /workspace without a commit",
        ),
        (
            "rm -r .git/objects; mkdir .git/objects",
            "left HEAD of /workspace without a commit",
        ),
        (
            "lost=$(git rev-parse HEAD:other); rm -f .git/objects/$(echo $lost | sed 's|..|&/|')",
            "left /workspace without objects of its commit",
        ),
        (
            "echo broken >.git/index",
            "left a broken index in /workspace",
        ),
        (
            "cd /; mv /workspace /elsewhere; ln -s /elsewhere /workspace",
            "left no directory /workspace",
        ),
    ] {
        let printed = in_image(&format!("{STEP}\n{left}\ncheck 2>&1 || echo $?"));
        let expected = format!("dkr: [post_clone] {words}\n1\n");
        assert!(printed.ends_with(&expected), "{left}: {printed}");
    }
    assert_eq!(in_image(&format!("{STEP}\ncheck")), "");
}

#[test]
fn names_that_no_ref_may_have_are_dropped() {
    let printed = in_image(&format!(
        "{STEP}
git tag -m x v1
git pack-refs --all
tag=$(git rev-parse v1) main=$(git rev-parse main)
git for-each-ref >/outside/good
echo \"$tag refs/tags/v1 (copy)\" >>.git/packed-refs
echo \"^$main\" >>.git/packed-refs
echo \"$main refs/tags/v1~\" >>.git/packed-refs
echo \"$main refs/tags/v2\" >>.git/packed-refs
check
git update-ref -d refs/tags/v2
git for-each-ref 2>&1 | diff /outside/good -
"
    ));
    assert_eq!(printed, "");
}

#[test]
fn an_image_that_could_not_start_is_not_made() {
    let t = Sandbox::new();
    let repo = with(&t, "linux", "RUN true");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let old = "RUN printf '#!/bin/sh\\necho git version 2.17.1\\n' >/usr/local/bin/git && \
               chmod +x /usr/local/bin/git";
    for (command, script, words) in [
        (
            "create-image",
            old,
            "cannot use the image's git 2.17.1: 2.25 or newer is needed",
        ),
        (
            "create-image",
            "ENV PATH=/opt/tool",
            "the image has no `git` on PATH (/opt/tool)",
        ),
        (
            "update-image",
            "RUN rm -r .git",
            "left no git repository in /workspace",
        ),
    ] {
        repo.file(".dkr.conf", conf(&format!("[post_clone]\n{script}\n")));
        repo.commit(script);
        let output = t.dkr([command]).in_dir(&repo).failure(1);
        output.stderr_has("error: cannot check what [post_clone] left\n");
        output.stderr_has(words);
    }
    assert_eq!(t.branch_images(&repo).len(), 1);
}

#[test]
fn what_post_clone_gave_away_removed_or_left_locked_works_all_the_same() {
    let t = Sandbox::new();
    let repo = with(
        &t,
        "linux",
        "RUN git update-ref -d refs/dkr/baked && git config --system --unset-all safe.directory ; \\\n  \
         touch .git/index.lock .git/refs/heads/main.lock && rm -r /usr/local/lib/dkr/entrypoint.sh /tmp && \\\n  \
         echo local >>README && chown -R 1000:1000 /workspace\n\
         ENV HOME=/home/nobody",
    );
    for command in ["create-image", "update-image"] {
        repo.file("new", command).commit(command);
        let output = t.dkr([command]).in_dir(&repo).success();
        for lock in [".git/index.lock", ".git/refs/heads/main.lock"] {
            let removed = format!("dkr: warning: [post_clone] left the lock {lock}: removing it");
            output.stderr_has(&removed);
        }
        output.stderr_has("changed dkr's own file /usr/local/lib/dkr/entrypoint.sh: restoring it");
        let image = t.image(&repo, "main");
        let script = "git status --short; git log -1 --format=%s";
        let printed = image.run(["sh", "-ec", script]);
        assert_eq!(printed, format!(" M README\n{command}\n"));
    }
    repo.file("newer", "x").commit("newer");
    let name = t.unique("work");
    let script = "git log -1 --format=%s; git status --short; git fetch; \
                  git commit -qam work && git push -q && stat -c %u README";
    let options = ["--name", &name, "--transport", "session"];
    let output = start(&t, &repo, &options, &["sh", "-ec", script]).success();
    assert_eq!(output.stdout, "newer\n M README\n1000\n", "{output}");
    let pushed = format!("{}/{name}", super::start_image::hostname());
    assert_eq!(repo.output(["log", "-1", "--format=%s", &pushed]), "work");
}
