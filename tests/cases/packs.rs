//! Copying a repository by its packs: one object image for all its branches.

use std::fs;

use super::create_image::{conf, two_commits};
use serde_json::json;

use crate::support::{BASE_IMAGE, Image, Repo, Sandbox};

/// The object images of a repository, newest first.
pub fn object_images(t: &Sandbox, repo: &Repo) -> Vec<Image> {
    let mut images = t.images(repo);
    images.retain(|image| image.label("dkr.type") == "objects");
    images
}

/// What a script prints in `/workspace` of an image as it is: no entrypoint makes a branch.
pub fn inside(image: &Image, script: &str) -> String {
    let ended = image.run_with(&["sh", "-ec", script], json!({"Entrypoint": []}));
    assert_eq!(ended.code, 0, "{script}: {ended:?}");
    ended.stdout
}

/// What a repository in an image must be, however it got there: whole, clean, and with the host's
/// refs. What it says of itself comes back.
pub fn whole(image: &Image) -> String {
    let checked = "git fsck --connectivity-only --no-dangling && git status --porcelain";
    assert_eq!(inside(image, checked), "");
    let alternates = inside(image, "cat .git/objects/info/alternates || :");
    let shared = alternates == "/var/lib/dkr/objects\n";
    assert_eq!(shared, image.label("dkr.parent").contains("-objects-"));
    inside(
        image,
        "git for-each-ref \
            --format='%(objectname) %(*objectname) %(refname) %(symref) %(upstream)'
        git symbolic-ref HEAD
        git config --local --list
        git ls-tree -r HEAD
        git log --stat --format=fuller --all",
    )
}

/// Bytes of the layers that an image has above its object image.
fn own_bytes(image: &Image, objects: &Image) -> u64 {
    assert!(image.layers().starts_with(&objects.layers()));
    let (history, below) = (image.history(), objects.history());
    let own = &history[..history.len() - below.len()];
    own.iter().map(|(_, bytes)| bytes).sum()
}

/// Bytes that nothing makes smaller, the same each time.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        // Knuth's linear congruential generator, MMIX.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn branches_share_the_packs_and_a_plain_clone_holds_the_same() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").file("big", noise(1, 20 << 20));
    repo.commit("20 MB that do not compress").tag("v1");
    repo.git(["rm", "--quiet", "big"]).commit("remove it");
    repo.git(["gc", "--quiet"]);
    repo.switch_new("topic", "main:1")
        .file("topic.c", "int t;\n");
    repo.file(".dkr.conf", conf("packages = git\n"))
        .commit("topic");
    repo.checkout("main");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let main = t.image(&repo, "main");
    let objects = object_images(&t, &repo).remove(0);
    assert_eq!(main.label("dkr.parent"), objects.tags()[0]);
    assert_eq!(objects.label("dkr.commit"), repo.rev("main"));

    let output = t
        .dkr(["create-image", ".", "topic"])
        .in_dir(&repo)
        .success();
    assert!(!output.stderr.contains("packs"), "{output}");
    let topic = t.image(&repo, "topic");
    assert_eq!(object_images(&t, &repo).remove(0).id(), objects.id());
    assert_eq!(inside(&topic, "ls"), "README\nsrc\ntopic.c\n");
    for image in [&main, &topic] {
        let own = own_bytes(image, &objects);
        assert!(own < 2 << 20, "{own} bytes: {:?}", image.history());
    }

    // Nothing may rewrite or walk what is below, however often it is fetched into.
    let settings = "git config --get-regexp '^(gc|maintenance|fetch|core.checkstat)'";
    let calm = "core.checkstat minimal\ngc.auto 0\nmaintenance.auto false\n\
        fetch.unpacklimit 1\nfetch.recursesubmodules false\n";
    assert_eq!(inside(&main, settings), calm);

    let shared = whole(&main);
    let listed = t.dkr(["list-images", "--json"]).in_dir(&repo).success();
    assert!(!listed.stdout.contains(objects.id()), "{listed}");
    t.dkr(["create-image", "--clone", "full"])
        .in_dir(&repo)
        .success();
    let full = t.image(&repo, "main");
    assert_eq!(full.label("dkr.parent"), "");
    assert_eq!(whole(&full), shared);
    inside(&full, "test ! -e /var/lib/dkr");
}

#[test]
fn an_object_image_that_is_gone_is_made_again() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").branch("topic", "main:0");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let objects = object_images(&t, &repo).remove(0);
    objects.remove_tag(&objects.tags()[0]);
    assert!(object_images(&t, &repo).is_empty());
    t.dkr(["create-image", ".", "topic"])
        .in_dir(&repo)
        .success();
    assert_eq!(object_images(&t, &repo).len(), 1);
    whole(&t.image(&repo, "main"));
    whole(&t.image(&repo, "topic"));

    // One on another base image does not serve.
    let other = format!("dkr-test-base:{}", t.unique("other"));
    t.image_named(BASE_IMAGE).tag(&other);
    repo.file(".dkr.conf", format!("base_image = {other}\n"));
    repo.commit("another base");
    t.dkr(["create-image"]).in_dir(&repo).success();
    assert_eq!(object_images(&t, &repo).len(), 2);
    t.image_named(&other).remove_tag(&other);
}

#[test]
fn alternates_of_its_own_and_worktrees_lead_to_all_packs() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    repo.git(["repack", "-adq"]);
    // As `git repack` does not: what stands in a folder beside the objects is the repository's, too.
    let git_dir = repo.path().join(".git");
    fs::create_dir_all(git_dir.join("old")).unwrap();
    fs::rename(git_dir.join("objects/pack"), git_dir.join("old/pack")).unwrap();
    fs::create_dir_all(git_dir.join("objects/pack")).unwrap();
    repo.file(".git/objects/info/alternates", "../old\n");
    repo.file("own", "own").commit("own");
    repo.git(["repack", "-dlq"]);
    repo.file("loose", "loose").commit("loose");
    let tree = repo.branch("topic", "main").worktree("tree", "topic");
    tree.file("tree", "tree").commit("in the worktree");

    let output = t.dkr(["create-image"]).in_dir(&tree).success();
    assert!(!output.stderr.contains("borrows"), "{output}");
    let image = t.image(&repo, "topic");
    whole(&image);
    assert_eq!(inside(&image, "ls"), "README\nloose\nown\nsrc\ntree\n");
    let packs = inside(&image, "ls /var/lib/dkr/objects/pack/*.pack | wc -l");
    assert_eq!(packs, "3\n");
}

#[test]
fn two_branches_are_baked_at_the_same_time() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").branch("topic", "main:0");
    let mut first = t.dkr(["create-image"]).in_dir(&repo).spawn();
    first.wait_for_stderr("baking");
    let second = t.dkr(["create-image", ".", "topic"]).in_dir(&repo).spawn();
    for running in [first, second] {
        let output = running.wait();
        assert_eq!(output.code, Some(0), "{output}");
    }
    assert_eq!(object_images(&t, &repo).len(), 1);
    let (main, topic) = (t.image(&repo, "main"), t.image(&repo, "topic"));
    assert_eq!(main.label("dkr.parent"), topic.label("dkr.parent"));
    whole(&main);
    whole(&topic);
}

#[test]
fn what_is_new_is_fetched_until_it_is_much() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").file("big", noise(1, 40 << 20));
    repo.commit("big").git(["repack", "-adq"]);
    t.dkr(["create-image"]).in_dir(&repo).success();
    let first = object_images(&t, &repo).remove(0);

    repo.file("little", "little").commit("little");
    t.dkr(["create-image"]).in_dir(&repo).success();
    assert_eq!(object_images(&t, &repo).remove(0).id(), first.id());
    let image = t.image(&repo, "main");
    whole(&image);
    assert_eq!(image.label("dkr.commit"), repo.rev("main"));

    // A branch that nobody is on, as big as half of the rest.
    repo.switch_new("topic", "main")
        .file("more", noise(2, 20 << 20));
    repo.commit("more").git(["repack", "-dq"]);
    repo.checkout("main");
    let output = t.dkr(["create-image"]).in_dir(&repo).success();
    output.stderr_has("updating the shared object image");
    let second = object_images(&t, &repo).remove(0);
    assert_eq!(object_images(&t, &repo).len(), 1, "the old one is replaced");
    assert_eq!(second.layers().len(), first.layers().len() + 1);
    assert!(second.layers().starts_with(&first.layers()));
    let image = t.image(&repo, "main");
    whole(&image);
    assert!(own_bytes(&image, &second) < 45 << 20);
    assert_eq!(
        inside(&image, "git log -1 --format=%s host/topic"),
        "more\n"
    );

    // All in one pack again: nothing of the old layers is of use.
    repo.switch_new("third", "main")
        .file("third", noise(3, 40 << 20));
    repo.commit("third").git(["repack", "-adq"]);
    repo.checkout("main");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let third = object_images(&t, &repo).remove(0);
    assert_eq!(third.layers().len(), first.layers().len());
    whole(&t.image(&repo, "main"));
}

#[test]
fn what_does_not_fit_on_the_disk_is_refused_with_both_numbers() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let pack = repo.output(["pack-objects", "-q", ".git/objects/pack/pack"]);
    let pack = format!(".git/objects/pack/pack-{pack}.pack");
    fs::remove_file(repo.path().join(&pack)).unwrap();
    let pack = fs::File::create(repo.path().join(&pack)).unwrap();
    pack.set_len(8 << 40).unwrap();
    let output = t.dkr(["create-image"]).in_dir(&repo).failure(1);
    output.stderr_has("not enough space");
    output
        .stderr_has("it needs 8.8 TB, and `")
        .stderr_has("B left");
    output.stderr_has("--force");
    assert!(t.images(&repo).is_empty());
}

#[test]
fn force_and_no_cache_bypass_the_build_cache() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let create = |flags: &[&str]| {
        let dkr = t.dkr([&["create-image"], flags].concat());
        dkr.in_dir(&repo).success().stderr
    };
    let cached = "check out the repository] cached";
    create(&[]);
    assert!(create(&[]).contains(cached));
    for flag in ["--force", "--no-cache"] {
        let output = create(&[flag]);
        assert!(!output.contains(cached), "{output}");
        assert!(
            output.contains("check out the repository] done"),
            "{output}"
        );
    }
}
