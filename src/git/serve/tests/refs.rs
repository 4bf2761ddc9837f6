//! Dangling refs, and refs that point to hidden ones.

use std::os::unix::fs::symlink;

use super::alternates::hello;
use super::*;

/// Breaks refs in a folder such as `refs/heads/box`, in every way.
fn break_refs(t: &Sandbox, folder: &str) {
    let path = t.git_dir().join(folder);
    fs::create_dir_all(&path).unwrap();
    let main = t.host(&["rev-parse", "main"]);
    let gone = format!("{}\n", "1".repeat(40));
    for (name, text) in [
        ("empty", ""),
        ("garbage", "what is that?"),
        ("short", &main[..39]),
        ("gone", &gone),
        ("main (conflicted copy)", &main),
        ("dangling", &format!("ref: {folder}/nothing\n")),
        ("loop", &format!("ref: {folder}/loop\n")),
    ] {
        fs::write(path.join(name), text).unwrap();
    }
    symlink("nothing", path.join("link")).unwrap();
    let packed = t.git_dir().join("packed-refs");
    let mut text = fs::read_to_string(&packed).unwrap_or_default();
    text += &format!("{} {folder}/packed\n", "2".repeat(40));
    fs::write(packed, text).unwrap();
}

fn names(listed: &str) -> Vec<&str> {
    let names = listed.lines().map(|line| line.split('\t').nth(1).unwrap());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_that_lead_nowhere_keep_nothing_in_and_nothing_out() {
    let t = served(3);
    let before = t.ok(&["ls-remote", "host"]);
    for folder in [
        "refs/heads",
        "refs/tags",
        "refs/remotes/space",
        "refs/heads/box",
    ] {
        break_refs(&t, folder);
    }
    assert_eq!(t.ok(&["ls-remote", "host"]), before);
    let tree = t.host(&["rev-parse", "main^{tree}"]);
    let new = t.host(&["commit-tree", "-p", "main", "-m", "new", &tree]);
    fs::write(t.git_dir().join("refs/heads/main"), &new).unwrap();
    t.ok(&["fetch", "-q", "--prune", "host"]);
    assert_eq!(t.ok(&["rev-parse", "host/main"]), new);
    t.commit("work");
    t.ok(&["push", "-q", "host", "HEAD:refs/heads/box/a"]);
    let pushed = fs::read_to_string(t.git_dir().join("refs/heads/box/a")).unwrap();
    assert_eq!(pushed.trim(), t.ok(&["rev-parse", "HEAD"]));
    break_refs(&t, "refs/dkr/taken");
    let pack = t.feed(&["pack-objects", "--stdout", "-q"], b"");
    let update = RefUpdate {
        name: "refs/dkr/taken/a".into(),
        commit: new,
    };
    let program = Program::Deliver {
        refs: vec![update.name.clone()],
        force: false,
    };
    let service = Service::new(&t.git_dir(), program).unwrap();
    service.deliver(&[update], &*pack, &t.env()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symbolic_ref_tells_nothing_of_what_is_hidden() {
    let t = served(3);
    let before = t.ok(&["ls-remote", "host"]);
    for (name, to) in [
        ("refs/heads/saved", "refs/stash"),
        ("refs/tags/x", "refs/dkr/x"),
        ("refs/remotes/space/other", "refs/remotes/other/main"),
        ("refs/heads/far", "refs/heads/saved"),
    ] {
        t.host(&["symbolic-ref", name, to]);
    }
    symlink("refs/stash", t.git_dir().join("refs/heads/link")).unwrap();
    assert_eq!(
        t.ok(&["ls-remote", "--symref", "host"])
            .replace("ref: refs/heads/main\tHEAD\n", ""),
        before
    );
    // One that points to a ref that is shown remains, and so does a detached HEAD.
    t.host(&[
        "symbolic-ref",
        "refs/remotes/space/HEAD",
        "refs/remotes/space/main",
    ]);
    t.host(&["symbolic-ref", "refs/heads/alias", "refs/heads/topic"]);
    t.host(&["switch", "-q", "--detach"]);
    let listed = t.ok(&["ls-remote", "host"]);
    for name in ["HEAD", "refs/heads/alias", "refs/remotes/space/HEAD"] {
        assert!(names(&listed).contains(&name), "{listed}");
    }
    t.host(&["symbolic-ref", "HEAD", "refs/dkr/x"]);
    let listed = t.ok(&["ls-remote", "--symref", "host"]);
    assert!(
        !listed.contains("refs/dkr/x") && !names(&listed).contains(&"HEAD"),
        "{listed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_told_of_no_ref_but_its_own() {
    let t = Sandbox::new(3);
    t.host(&["branch", "box/a"]);
    let hello = hello(receive_pack(&t, MAX_PUSH_BYTES), &t).await;
    let id = t.host(&["rev-parse", "main"]);
    assert_eq!(hello.matches(&id).count(), 1, "{hello}");
    let stash = t.host(&["rev-parse", "refs/stash"]);
    assert!(
        !hello.contains(&stash) && !hello.contains(".have"),
        "{hello}"
    );
}
