//! Tests of `locate` on real repositories.

use super::*;
use crate::error::Kind;
use crate::git::Target;
use crate::git::testing::{TestRepo, git_in};

fn target(repo: &TestRepo, spec: Option<&str>) -> Target {
    let opened = repo.open();
    let located = opened.locate(spec).unwrap_or_else(|e| panic!("{e}"));
    opened.resolve(located).unwrap_or_else(|e| panic!("{e}"))
}

fn failure(repo: &TestRepo, spec: Option<&str>) -> Error {
    let opened = repo.open();
    let resolved = opened.locate(spec).and_then(|found| opened.resolve(found));
    resolved.expect_err("it is refused")
}

/// A repository with a remote `name` whose branch `branch` is at the returned commit.
fn with_remote(name: &str, branch: &str) -> (TestRepo, String) {
    let repo = TestRepo::new();
    repo.commit("a", "theirs");
    let theirs = repo.head();
    repo.git(&["remote", "add", name, "/nonexistent"]);
    let tracking = format!("refs/remotes/{name}/{branch}");
    repo.git(&["update-ref", &tracking, &theirs]);
    repo.commit("a", "ours");
    (repo, theirs)
}

#[test]
fn without_a_ref_it_is_the_branch_that_head_is_on() {
    let repo = TestRepo::new();
    let commit = repo.commit("a", "1");
    repo.git(&["checkout", "-q", "-b", "topic/x"]);
    let found = target(&repo, None);
    assert_eq!(found.branch, "topic/x");
    assert_eq!(found.branch_from, "topic/x");
    assert_eq!(found.ref_name, "refs/heads/topic/x");
    assert_eq!(found.kind, TargetKind::Branch);
    assert_eq!(found.commit.to_string(), commit);
    assert_eq!(target(&repo, Some("HEAD")).branch_from, "HEAD");
}

#[test]
fn a_detached_head_is_its_commit() {
    let repo = TestRepo::new();
    let commit = repo.commit("a", "1");
    repo.git(&["checkout", "-q", "--detach"]);
    let found = target(&repo, None);
    assert_eq!(found.kind, TargetKind::Commit);
    for name in [&found.branch, &found.branch_from, &found.ref_name] {
        assert_eq!(name, &commit);
    }
}

#[test]
fn a_linked_worktree_has_its_own_head() {
    let repo = TestRepo::new();
    repo.commit("a", "1");
    let linked = repo.path().with_file_name("linked");
    repo.git(&[
        "worktree",
        "add",
        "-q",
        "-b",
        "side",
        linked.to_str().unwrap(),
    ]);
    let opened = Repository::discover(&linked).unwrap();
    assert_eq!(opened.locate(None).unwrap().branch, "side");
    assert_eq!(target(&repo, None).branch, "main");
}

#[test]
fn an_unborn_branch_has_no_commit_yet() {
    let error = failure(&TestRepo::new(), None);
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.message.contains("`main`"), "{error}");
    assert!(error.message.ends_with("it has no commit yet"), "{error}");
}

#[test]
fn branches_tags_and_commits_are_found_short_and_in_full() {
    let repo = TestRepo::new();
    let commit = repo.commit("a", "1");
    repo.git(&["tag", "-a", "-m", "annotated", "v1"]);
    repo.git(&["tag", "light"]);
    let tag_object = repo.git(&["rev-parse", "v1"]);
    repo.commit("a", "2");
    repo.git(&["branch", "old", &commit]);
    for (spec, branch, ref_name, kind) in [
        ("old", "old", "refs/heads/old", TargetKind::Branch),
        (
            "refs/heads/old",
            "old",
            "refs/heads/old",
            TargetKind::Branch,
        ),
        ("v1", "v1", "refs/tags/v1", TargetKind::Tag),
        (
            "refs/tags/light",
            "light",
            "refs/tags/light",
            TargetKind::Tag,
        ),
        (&commit, &commit, &commit, TargetKind::Commit),
        (&commit[..8], &commit, &commit, TargetKind::Commit),
        (
            &commit[..8].to_uppercase(),
            &commit,
            &commit,
            TargetKind::Commit,
        ),
        (&tag_object, &commit, &commit, TargetKind::Commit),
    ] {
        let found = target(&repo, Some(spec));
        assert_eq!(found.branch, branch);
        assert_eq!(found.branch_from, spec);
        assert_eq!(found.ref_name, ref_name);
        assert_eq!(found.kind, kind);
        assert_eq!(found.commit.to_string(), commit, "{spec}");
    }
}

#[test]
fn a_remotes_branch_is_not_the_local_one_of_that_name() {
    let (repo, theirs) = with_remote("space", "main");
    for spec in ["space/main", "refs/remotes/space/main"] {
        let found = target(&repo, Some(spec));
        assert_eq!(found.branch, "main");
        assert_eq!(found.branch_from, spec);
        assert_eq!(found.ref_name, "refs/remotes/space/main");
        assert_eq!(found.commit.to_string(), theirs);
        let TargetKind::RemoteBranch(branch) = found.kind else {
            panic!("{:?}", found.kind);
        };
        assert_eq!(
            (branch.remote.as_str(), branch.branch.as_str()),
            ("space", "main")
        );
        assert_eq!(branch.tracking_ref, "refs/remotes/space/main");
    }
    assert_ne!(target(&repo, Some("main")).commit.to_string(), theirs);
}

#[test]
fn the_longest_remote_name_wins() {
    let (repo, theirs) = with_remote("space/x", "main");
    repo.git(&["config", "remote.space.url", "/nonexistent"]);
    repo.git(&[
        "config",
        "remote.space.fetch",
        "+refs/heads/*:refs/remotes/space/*",
    ]);
    let found = target(&repo, Some("space/x/main"));
    assert_eq!(found.branch, "main");
    assert_eq!(found.commit.to_string(), theirs);
    let other = repo.open().locate(Some("space/y/main")).unwrap();
    assert_eq!(other.remote_branch().unwrap().branch, "y/main");
}

#[test]
fn a_remote_hides_a_local_branch_which_its_full_name_reaches() {
    let (repo, theirs) = with_remote("space", "main");
    repo.git(&["branch", "space/main"]);
    let opened = repo.open();
    let located = opened.locate(Some("space/main")).unwrap();
    let local = "refs/heads/space/main";
    assert_eq!(opened.hidden_branch(&located).as_deref(), Some(local));
    assert_eq!(opened.resolve(located).unwrap().commit.to_string(), theirs);
    let found = target(&repo, Some(local));
    assert_eq!(found.branch, "space/main");
    assert_eq!(found.commit.to_string(), repo.head());
    assert_eq!(
        opened.hidden_branch(&opened.locate(Some("main")).unwrap()),
        None
    );
}

#[test]
fn a_slash_without_such_a_remote_is_a_branch() {
    let (repo, _) = with_remote("space", "main");
    repo.git(&["branch", "team/main"]);
    assert_eq!(target(&repo, Some("team/main")).kind, TargetKind::Branch);
    let error = failure(&repo, Some("zzz/qqqqqq"));
    assert_eq!(error.kind, Kind::NotFound);
    assert_eq!(error.hints, ["the remotes are `space`"]);
}

#[test]
fn a_remotes_head_is_its_default_branch() {
    let (repo, theirs) = with_remote("origin", "main");
    let hint = &failure(&repo, Some("origin/HEAD")).hints[0];
    assert!(hint.contains("git remote set-head origin --auto"), "{hint}");
    let head = "refs/remotes/origin/HEAD";
    repo.git(&["symbolic-ref", head, "refs/remotes/origin/main"]);
    let found = target(&repo, Some("origin/HEAD"));
    assert_eq!(found.branch, "main");
    assert_eq!(found.commit.to_string(), theirs);
}

#[test]
fn the_tracking_ref_follows_the_remotes_refspecs() {
    let (repo, _) = with_remote("r", "main");
    let set = |refspec: &str| repo.git(&["config", "remote.r.fetch", refspec]);
    set("+refs/heads/*:refs/remotes/mirror/of/r/*");
    let located = repo.open().locate(Some("r/main")).unwrap();
    assert_eq!(located.ref_name, "refs/remotes/mirror/of/r/main");

    set("+refs/heads/next:refs/remotes/r/next");
    let error = failure(&repo, Some("r/main"));
    assert!(
        error.causes[0].contains("does not cover the branch `main`"),
        "{error}"
    );

    set("+refs/*:refs/*");
    let error = failure(&repo, Some("r/main"));
    assert!(error.causes[0].contains("`refs/heads/main`"), "{error}");
}

#[test]
fn a_remote_branch_that_was_never_fetched_is_not_found() {
    let (repo, _) = with_remote("space", "main");
    let error = failure(&repo, Some("space/next"));
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.message.contains("refs/remotes/space/next"), "{error}");
}

#[test]
fn a_name_that_is_a_branch_and_a_tag_is_ambiguous() {
    let repo = TestRepo::new();
    repo.commit("a", "1");
    repo.git(&["branch", "v1"]);
    repo.git(&["tag", "v1"]);
    let error = failure(&repo, Some("v1"));
    assert_eq!(error.kind, Kind::Usage);
    assert_eq!(
        error.hints,
        ["name one of them in full: `refs/heads/v1` or `refs/tags/v1`"]
    );
}

#[test]
fn a_branch_that_looks_like_an_id_is_the_branch_unless_the_id_is_full() {
    let repo = TestRepo::new();
    let first = repo.commit("a", "1");
    let second = repo.commit("a", "2");
    repo.git(&["branch", &first[..7], &second]);
    assert_eq!(target(&repo, Some(&first[..7])).commit.to_string(), second);
    repo.git(&["update-ref", &format!("refs/heads/{first}"), &second]);
    assert_eq!(target(&repo, Some(&first)).commit.to_string(), first);
}

#[test]
fn an_ambiguous_abbreviation_is_an_error() {
    let repo = TestRepo::new();
    let tree = {
        repo.commit("a", "1");
        repo.git(&["rev-parse", "HEAD^{tree}"])
    };
    let commit = |n: u32| {
        let who = format!("C <c@example.com> {n} +0000");
        format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nx\n")
    };
    // The first two whose ids begin alike.
    let mut seen = std::collections::HashMap::new();
    let (prefix, both) = (0..)
        .find_map(|n| {
            let text = commit(n);
            let id = git2::Oid::hash_object(git2::ObjectType::Commit, text.as_bytes());
            let prefix = id.unwrap().to_string()[..4].to_owned();
            let other = seen.insert(prefix.clone(), n);
            other.map(|other| (prefix, [other, n]))
        })
        .unwrap();
    let git = git2::Repository::open(repo.path()).unwrap();
    for n in both {
        let objects = git.odb().unwrap();
        let written = objects.write(git2::ObjectType::Commit, commit(n).as_bytes());
        assert!(written.unwrap().to_string().starts_with(&prefix));
    }
    let error = failure(&repo, Some(&prefix));
    assert_eq!(error.kind, Kind::Usage);
    assert!(error.hints[0].contains("more digits"), "{error}");
}

#[test]
fn what_is_no_commit_is_refused() {
    let repo = TestRepo::new();
    repo.commit("a", "1");
    let (tree, blob) = (
        repo.git(&["rev-parse", "HEAD^{tree}"]),
        repo.git(&["rev-parse", "HEAD:a"]),
    );
    repo.git(&["tag", "tree", &tree]);
    repo.git(&["tag", "-a", "-m", "m", "blob", &blob]);
    for spec in ["tree", "blob", tree.as_str(), blob.as_str()] {
        let error = failure(&repo, Some(spec));
        assert!(error.causes[0].contains("commit"), "{error}");
    }
    // So is a ref whose commit is lost.
    let lost = "0123456789abcdef0123456789abcdef01234567";
    std::fs::write(repo.path().join(".git/refs/heads/lost"), lost).unwrap();
    assert_eq!(failure(&repo, Some("lost")).kind, Kind::Failed);
}

#[test]
fn odd_names_are_just_names() {
    let repo = TestRepo::new();
    let commit = repo.commit("a", "1");
    let long = "l".repeat(250);
    for name in [
        "-x", "a$(id)", "a`id`", "a'b", "a|b", "a%b", "ü", "refs/x", &long,
    ] {
        let mut packed = format!("{commit} refs/heads/{name}\n");
        packed.insert_str(0, "# pack-refs with: peeled fully-peeled sorted \n");
        std::fs::write(repo.path().join(".git/packed-refs"), packed).unwrap();
        let found = target(&repo, Some(name));
        assert_eq!(found.branch, name);
        assert_eq!(found.commit.to_string(), commit);
    }
}

#[test]
fn names_that_are_not_utf8_disturb_nothing() {
    let repo = TestRepo::new();
    let commit = repo.commit("a", "1");
    let mut packed = format!("{commit} refs/heads/good\n{commit} refs/heads/").into_bytes();
    packed.extend(b"\xff\xfe\n");
    std::fs::write(repo.path().join(".git/packed-refs"), &packed).unwrap();
    let mut names = repo.open().branch_names().unwrap();
    names.sort();
    assert_eq!(names, ["good", "main"]);
    assert_eq!(
        failure(&repo, Some("goood")).hints,
        ["did you mean `good`?"]
    );

    std::fs::write(repo.path().join(".git/HEAD"), b"ref: refs/heads/\xff\xfe\n").unwrap();
    let error = failure(&repo, None);
    assert!(error.causes[0].contains("UTF-8"), "{error}");
}

#[test]
fn a_missing_name_gets_the_nearest_one() {
    let (repo, _) = with_remote("space", "feature");
    repo.git(&["tag", "release-1"]);
    for (spec, near) in [
        ("mian", "main"),
        ("relaese-1", "release-1"),
        ("space-feature", "space/feature"),
        ("refs/heads/mian", "refs/heads/main"),
    ] {
        let error = failure(&repo, Some(spec));
        assert_eq!(error.kind, Kind::NotFound);
        assert_eq!(error.hints, [format!("did you mean `{near}`?")], "{spec}");
    }
    for spec in [
        "", " ", "main~1", "main@{1}", "a..b", "../x", "abc", "0", "x\ny",
    ] {
        assert_eq!(failure(&repo, Some(spec)).kind, Kind::NotFound, "{spec}");
    }
    let hint = &failure(&repo, Some("main~1")).hints[0];
    assert!(hint.contains("git rev-parse 'main~1'"), "{hint}");
}

#[test]
fn reading_leaves_the_repository_bit_identical() {
    let (repo, _) = with_remote("space", "main");
    let baked = repo.head();
    repo.commit("a", "3");
    // What must not be changed: a racy index, a change, a lock, and configuration that runs.
    repo.write("a", "changed");
    std::fs::write(repo.path().join(".git/index.lock"), "").unwrap();
    let canary = repo.path().with_file_name("canary");
    let script = repo.path().with_file_name("script");
    std::fs::write(&script, format!("#!/bin/sh\ntouch {}\n", canary.display())).unwrap();
    git_in(
        repo.path(),
        &["config", "core.fsmonitor", script.to_str().unwrap()],
    );
    let before = repo.snapshot(|_| false);

    let opened = repo.open();
    for spec in [None, Some("space/main"), Some("main"), Some(baked.as_str())] {
        let found = opened.locate(spec).and_then(|l| opened.resolve(l)).unwrap();
        opened.read_file_at(&found.commit, "a", 100).unwrap();
        opened.compare(&baked, &found.ref_name, 100);
    }
    opened.locate(Some("absent")).unwrap_err();
    opened.branch_names().unwrap();
    opened.notices();
    opened.identity();
    assert!(repo.snapshot(|_| false) == before);
    assert!(!canary.exists());
}
