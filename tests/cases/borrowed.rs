//! A repository that borrows objects from another one (`git clone --shared`, `--reference`): nothing
//! of that one that its own refs do not lead to comes into an image.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use super::create_image::two_commits;
use super::packs::{inside, noise, object_images, whole};
use crate::support::{Image, Repo, Sandbox, wait_until, write_program};

/// A repository `shared` that borrows all objects of `upstream` but its own commit.
fn borrowing(t: &Sandbox, upstream: &Repo) -> Repo {
    let path = t.path().join("repos/shared");
    let from = upstream.path().to_str().unwrap();
    let clone = [
        "clone",
        "--quiet",
        "--shared",
        "--single-branch",
        "--no-tags",
    ];
    upstream.git([&clone[..], &[from, path.to_str().unwrap()]].concat());
    let repo = t.repo("shared");
    repo.file("own", "own").commit("own");
    repo.git(["repack", "-dlq"]);
    repo.file("loose", "loose").commit("loose")
}

/// What only the other repository knows: branches, a tag, a stash, a commit that was dropped; in a
/// pack and loose.
fn secrets(upstream: &Repo) {
    for branch in ["secret", "dropped"] {
        upstream.switch_new(branch, "main");
        upstream
            .file("secret.c", branch)
            .commit(branch)
            .tag(&format!("tag-{branch}"));
    }
    upstream.checkout("main").git(["branch", "-D", "dropped"]);
    upstream.file("README", "stashed").git(["stash", "--quiet"]);
    upstream.git(["repack", "-adkq"]);
    upstream
        .switch_new("later", "main")
        .file("later.c", "later")
        .commit("later");
    upstream.checkout("main");
}

/// The ids of all objects of `upstream` that no ref of `repo` leads to.
fn foreign(upstream: &Repo, repo: &Repo) -> Vec<String> {
    let list = [
        "cat-file",
        "--batch-all-objects",
        "--batch-check=%(objectname)",
    ];
    let all = upstream.output(list);
    let own = repo.output(["rev-list", "--objects", "--no-object-names", "--all"]);
    let foreign = all.lines().filter(|id| !own.contains(*id));
    foreign.map(str::to_owned).collect()
}

/// Those of the ids whose objects an image has.
fn found(image: &Image, ids: &[String]) -> String {
    let look = format!(
        "for id in {}; do ! git cat-file -e $id 2>/dev/null || echo $id; done",
        ids.join(" ")
    );
    inside(image, &look)
}

fn packs(image: &Image) -> Vec<String> {
    let listed = inside(image, "cd /var/lib/dkr/objects/pack && ls *.pack");
    listed.lines().map(str::to_owned).collect()
}

#[test]
fn only_what_its_own_refs_reach_is_baked_over_both_ways() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "it's upstream!");
    secrets(&upstream);
    let repo = borrowing(&t, &upstream);
    let tree = repo.branch("topic", "main").worktree("tree", "topic");
    tree.file("tree", "tree").commit("in the worktree");
    let foreign = foreign(&upstream, &repo);
    assert!(foreign.len() >= 10, "{foreign:?}");
    let both = [&repo, &upstream];
    let states = both.map(Repo::state);
    let objects = both.map(|repo| repo.output(["count-objects", "-v"]));

    for way in ["ssh", "session"] {
        let create = ["create-image", "--no-cache", "--transport", way];
        let output = t.dkr(create).in_dir(&tree).success();
        let said = output.stderr.matches("borrows objects from `").count();
        assert_eq!(said, 1, "{output}");
        output.stderr_has("upstream!/.git/objects`: baking only what its own refs reach");
        let image = t.image(&repo, "topic");
        whole(&image);
        assert_eq!(inside(&image, "ls"), "README\nloose\nown\nsrc\ntree\n");
        assert_eq!(found(&image, &foreign), "", "{way}");
        let own = [repo.rev("main"), tree.rev("HEAD")];
        assert_eq!(found(&image, &own).lines().count(), 2);
        let packs = packs(&image);
        assert!(
            packs.len() == 1 && packs[0].starts_with("reached-"),
            "{packs:?}"
        );
    }
    let cache = t.path().join("cache/dkr/packs");
    assert_eq!(fs::read_dir(cache).unwrap().count(), 0);
    for (repo, state) in both.iter().zip(&states) {
        assert_eq!(repo.state().changed_since(state), Vec::<String>::new());
    }
    assert_eq!(
        both.map(|repo| repo.output(["count-objects", "-v"])),
        objects
    );

    // The same state, and another branch of it, need no other pack.
    let objects = object_images(&t, &repo).remove(0);
    for branch in ["topic", "main"] {
        let output = t.dkr(["create-image", ".", branch]).in_dir(&repo).success();
        assert!(!output.stderr.contains("borrows"), "{output}");
        let image = t.image(&repo, branch);
        assert_eq!(image.label("dkr.parent"), objects.tags()[0]);
        whole(&image);
    }
    assert_eq!(object_images(&t, &repo).remove(0).id(), objects.id());

    t.dkr(["create-image", "--clone", "full"])
        .in_dir(&repo)
        .success();
    assert_eq!(found(&t.image(&repo, "main"), &foreign), "");
}

#[test]
fn what_is_new_is_a_layer_that_brings_nothing_else() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream").file("big", noise(1, 40 << 20));
    upstream.commit("big");
    let repo = borrowing(&t, &upstream);
    t.dkr(["create-image"]).in_dir(&repo).success();
    let first = object_images(&t, &repo).remove(0);
    let packs_before = packs(&t.image(&repo, "main"));

    upstream
        .switch_new("more", "main")
        .file("more", noise(2, 20 << 20));
    upstream.commit("more");
    secrets(&upstream);
    let from = upstream.path().to_str().unwrap();
    repo.git(["fetch", "--quiet", "--no-tags", from, "more:more"]);
    let foreign = foreign(&upstream, &repo);
    let output = t.dkr(["create-image", ".", "more"]).in_dir(&repo).success();
    output.stderr_has("updating the shared object image");
    let second = object_images(&t, &repo).remove(0);
    assert_eq!(second.layers().len(), first.layers().len() + 1);
    assert!(second.layers().starts_with(&first.layers()));
    let image = t.image(&repo, "more");
    whole(&image);
    assert_eq!(found(&image, &foreign), "");
    let packs = packs(&image);
    assert_eq!(packs.len(), 2, "{packs:?}");
    assert!(packs.contains(&packs_before[0]));
}

#[test]
fn a_dkr_that_ends_while_it_packs_leaves_nothing() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream");
    let repo = borrowing(&t, &upstream);
    let (held, begun) = (t.path().join("held"), t.path().join("begun"));
    let cache = t.path().join("cache/dkr/packs");
    let folders = || fs::read_dir(&cache).into_iter().flatten().flatten();
    let left = || folders().count();
    let let_go = || {
        folders().all(|folder| {
            let lock = fs::File::open(folder.path().join("lock"));
            lock.is_ok_and(|lock| lock.try_lock().is_ok())
        })
    };
    // A git that is not done before somebody lets it, and ends with the dkr that started it: what one that goes
    // on makes is left to the bake after it.
    let bin = t.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let slow = format!(
        "#!/bin/sh\nPATH='{path}'\ncase $* in *pack-objects*) \
            : >'{}'; while [ -e '{}' ]; do kill -0 $PPID || exit; sleep 0.1; done ;; esac\nexec git \"$@\"\n",
        begun.display(),
        held.display()
    );
    write_program(&bin.join("git"), &slow);
    let create = || {
        let create = ["create-image", "--transport", "session"];
        t.dkr(create)
            .in_dir(&repo)
            .env("PATH", format!("{}:{path}", bin.display()))
    };
    for (signal, code, leaves) in [(Signal::INT, Some(130), 0), (Signal::KILL, None, 1)] {
        fs::write(&held, "").unwrap();
        let mut running = create().spawn();
        running.wait_for_stderr("borrows objects");
        // Before it has begun, it would not know whom it ends with.
        assert!(wait_until(Duration::from_secs(60), || begun.exists()));
        assert_eq!(left(), 1);
        running.signal(signal);
        let output = running.wait();
        assert_eq!(output.code, code, "{output}");
        assert_eq!(left(), leaves, "{output}");
        assert!(wait_until(Duration::from_secs(60), let_go));
        fs::remove_file(&begun).unwrap();
        fs::remove_file(&held).unwrap();
    }
    create().success();
    assert_eq!(left(), 0);
    whole(&t.image(&repo, "main"));
}
