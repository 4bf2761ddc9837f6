//! Tests of lists of refs, on real repositories.

use super::*;
use crate::git::testing::TestRepo;

const GONE: &str = "1111111111111111111111111111111111111111";

/// A repository with broken refs of each kind, between good ones.
fn broken() -> TestRepo {
    let test = TestRepo::new();
    let first = test.commit("a", "1");
    test.git(&["tag", "-m", "x", "packed"]);
    test.git(&["branch", "packed"]);
    test.git(&["pack-refs", "--all"]);
    test.git(&["tag", "-m", "x", "v1"]);
    test.git(&["tag", "light"]);
    test.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    test.git(&[
        "symbolic-ref",
        "refs/remotes/origin/HEAD",
        "refs/remotes/origin/main",
    ]);
    test.git(&["symbolic-ref", "refs/heads/dangling", "refs/heads/nowhere"]);
    let refs = test.path().join(".git/refs");
    std::os::unix::fs::symlink("nothing", refs.join("heads/danglinglink")).unwrap();
    std::fs::create_dir(refs.join("heads/folder")).unwrap();
    for (name, content) in [
        ("heads/main (conflicted copy)", first.as_str()),
        ("heads/empty", ""),
        ("heads/garbage", "garbage"),
        ("heads/gone", GONE),
        ("heads/packed.lock", ""),
        ("heads/.DS_Store", "x"),
        ("heads/zz", &format!("{first} and more")),
        ("remotes/origin/empty", ""),
        ("tags/~1", &first),
        ("tags/lost", GONE),
    ] {
        test.write(&format!(".git/refs/{name}"), content);
    }
    let packed = std::fs::read_to_string(test.path().join(".git/packed-refs")).unwrap();
    let more = format!("{packed}{GONE} refs/tags/packedgone\n{first} refs/tags/packed bad\n");
    test.write(".git/packed-refs", more);
    test
}

#[test]
fn refs_are_listed_as_git_lists_them_whichever_are_broken() {
    let test = broken();
    let list = test.open().list_refs(|_| true).unwrap();
    let listed: Vec<&str> = list.refs.iter().map(|one| one.name.as_str()).collect();
    let all = std::process::Command::new("git")
        .args(["for-each-ref", "--format=%(refname)"])
        .current_dir(test.path())
        .env("GIT_REF_PARANOIA", "0")
        .output()
        .unwrap();
    let all = String::from_utf8(all.stdout).unwrap();
    let all: Vec<&str> = all.lines().collect();
    assert_eq!(listed, all);
    let broken: Vec<_> = list
        .broken
        .iter()
        .map(|one| (&*one.name, one.fault))
        .collect();
    assert_eq!(
        broken,
        [
            ("refs/heads/dangling", Fault::Dangling),
            ("refs/heads/danglinglink", Fault::Content),
            ("refs/heads/empty", Fault::Content),
            ("refs/heads/garbage", Fault::Content),
            ("refs/heads/gone", Fault::Object),
            ("refs/heads/main (conflicted copy)", Fault::Name),
            ("refs/remotes/origin/empty", Fault::Content),
            ("refs/tags/lost", Fault::Object),
            ("refs/tags/packed bad", Fault::Name),
            ("refs/tags/packedgone", Fault::Object),
            ("refs/tags/~1", Fault::Name),
        ]
    );
}

#[test]
fn broken_refs_are_named_in_a_sentence() {
    let test = TestRepo::new();
    test.commit("a", "1");
    assert_eq!(test.open().broken_refs(), None);
    test.write(".git/refs/heads/empty", "");
    let root = test.path().display().to_string();
    let one = format!(
        "ignoring a broken ref of `{root}`: `refs/heads/empty` (does not contain an object id)"
    );
    assert_eq!(test.open().broken_refs(), Some(one));
    let many = broken().open().broken_refs().unwrap();
    assert!(many.starts_with("ignoring 11 broken refs of `/"), "{many}");
    assert!(
        many.ends_with("`refs/heads/gone` (its object is missing), 6 more"),
        "{many}"
    );
}

#[test]
fn a_broken_ref_that_is_asked_for_is_refused_by_name_and_no_branch_takes_its_place() {
    let test = broken();
    let repo = test.open();
    for name in ["empty", "garbage", "gone", "dangling"] {
        let located = repo.locate(Some(name)).unwrap();
        let error = repo.resolve(located).unwrap_err();
        let message = format!("cannot read `refs/heads/{name}` in `{}`", repo.root());
        assert_eq!(error.message, message);
        test.write(".git/HEAD", format!("ref: refs/heads/{name}\n"));
        let head = repo.locate(None).and_then(|found| repo.resolve(found));
        assert_eq!(head.unwrap_err().message, message);
    }
    test.write(".git/HEAD", "ref: refs/heads/bad name\n");
    let error = repo.locate(None).unwrap_err();
    assert_eq!(
        error.causes,
        ["`refs/heads/bad name` is not a valid ref name"]
    );
    assert!(repo.branch_names().unwrap().contains(&"garbage".to_owned()));
    test.write(".git/refs/heads/box/work", "");
    let error = repo.check_push_target("box", "work").unwrap_err();
    assert_eq!(
        error.causes,
        ["the branch `box/work` is broken (does not contain an object id)"]
    );
    let error = repo.check_push_target("gone", "work").unwrap_err();
    assert!(error.causes[0].contains("next to `gone`"), "{error}");
}

#[test]
fn what_other_refs_keep_is_known_though_some_are_broken() {
    let test = broken();
    let kept = test.head();
    let lost = test.git(&["commit-tree", "-m", "x", "HEAD^{tree}"]);
    // Also where a HEAD is at a commit that is gone.
    for head in ["ref: refs/heads/main", GONE] {
        test.write(".git/HEAD", head);
        let found = test.open().on_some_ref(&[&kept, &lost]);
        assert_eq!(found, std::collections::BTreeSet::from([kept.clone()]));
    }
}

#[test]
fn a_file_of_packed_refs_that_is_none_is_named_with_its_line() {
    let test = TestRepo::new();
    test.commit("a", "1");
    for (text, line) in [("# x\nnonsense\n", 2), ("^x\n", 1), (GONE, 1)] {
        test.write(".git/packed-refs", text);
        let error = test.open().branch_names().unwrap_err();
        let line = format!("line {line} of `");
        assert!(error.causes[0].starts_with(&line), "{error}");
    }
}

#[test]
fn a_folder_that_is_a_link_is_followed_once() {
    let test = TestRepo::new();
    test.commit("a", "1");
    let heads = test.path().join(".git/refs/heads");
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(heads.join("main"), elsewhere.path().join("x")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), heads.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../heads", heads.join("round")).unwrap();
    let names = test.open().branch_names().unwrap();
    assert_eq!(names, ["elsewhere/x", "main", "round/main"]);
}
