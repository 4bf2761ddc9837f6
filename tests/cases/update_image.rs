//! `dkr update-image`: the newest commits as one thin layer, with what `[post_clone]` left.

use std::fs::File;
use std::io::Read;

use super::create_image::{conf, two_commits};
use crate::support::{Image, Repo, Sandbox};

fn git(arguments: &[&'static str]) -> Vec<&'static str> {
    [&["git", "-C", "/workspace"], arguments].concat()
}

fn log(image: &Image) -> String {
    image.run(git(&["log", "--format=%s"]))
}

pub fn status(image: &Image) -> String {
    image.run(git(&["status", "--porcelain"]))
}

/// How many layers and bytes an image has above the one that it was built on.
fn added(image: &Image, parent: &Image) -> (usize, u64) {
    assert!(image.layers().starts_with(&parent.layers()));
    let (history, below) = (image.history(), parent.history());
    let steps = &history[..history.len() - below.len()];
    let bytes = steps.iter().map(|(_, size)| size).sum();
    (image.layers().len() - parent.layers().len(), bytes)
}

/// Bytes that nothing makes smaller.
pub fn noise(bytes: u64) -> Vec<u8> {
    let mut noise = Vec::new();
    let source = File::open("/dev/urandom").unwrap();
    source.take(bytes).read_to_end(&mut noise).unwrap();
    noise
}

#[test]
fn new_commits_arrive_as_one_thin_layer() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").file("big", noise(100 << 20));
    repo.commit("100 MB that do not compress");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let base = t.image(&repo, "main");

    repo.file("src/b.c", "int b;\n").commit("add b");
    repo.remove("README").commit("remove README");
    let before = repo.state();
    let output = t.dkr(["update-image"]).in_dir(&repo).success();
    assert_eq!(repo.state().changed_since(&before), Vec::<String>::new());

    let image = t.image(&repo, "main");
    assert!(image.tags().contains(&output.stdout.trim().to_owned()));
    assert_eq!(
        image.run(["ls", ".", "src"]),
        ".:\nbig\nsrc\n\nsrc:\na.c\nb.c\n"
    );
    assert!(log(&image).starts_with("remove README\nadd b\n100 MB"));
    assert_eq!(status(&image), "");
    let tip = repo.rev("main");
    assert_eq!(image.run(git(&["rev-parse", "host/main"])).trim(), tip);
    assert_eq!(image.label("dkr.commit"), tip);
    assert_eq!(image.label("dkr.type"), "update");
    let parent = image.label("dkr.parent");
    assert!(base.tags().contains(&parent), "{parent}");
    let (layers, bytes) = added(&image, &base);
    assert_eq!(layers, 1, "{:?}", image.history());
    assert!(bytes < 1_000_000, "{:?}", image.history());

    let current = t.dkr(["update-image"]).in_dir(&repo).success();
    current.stderr_has("is up to date");
    assert_eq!(current.stdout, output.stdout);
    assert_eq!(t.branch_images(&repo).len(), 2);

    let force = || t.dkr(["update-image", "--force"]).in_dir(&repo);
    force().env("DKR_DRY_RUN", "1").success();
    assert_eq!(t.branch_images(&repo).len(), 2);
    force().success();
    let forced = t.image(&repo, "main");
    assert_ne!(forced.id(), image.id());
    assert_eq!(forced.label("dkr.commit"), tip);
    assert_eq!(status(&forced), "");
}

/// A configuration whose last steps leave a commit and a changed file, however often they run, and
/// variables that are dkr's own.
const LEAVES_THINGS: &str = "[post_clone]
RUN grep -q local settings || echo local >> settings
RUN test -e made || { echo made > made && git add made && \\
    git -c user.name=x -c user.email=x@x commit -qm 'made in the image'; }
ENV DKR_BRANCH=other DKR_REF=refs/heads/other
";

fn with_post_clone(t: &Sandbox) -> Repo {
    let repo = t.repo("linux").file("settings", "shared\n");
    let repo = repo
        .file(".dkr.conf", conf(LEAVES_THINGS))
        .commit("initial");
    repo.file("old", "old").commit("old")
}

#[test]
fn what_post_clone_left_is_kept_and_a_rewritten_branch_does_not_come_back() {
    let t = Sandbox::new();
    let repo = with_post_clone(&t);
    t.dkr(["create-image"]).in_dir(&repo).success();
    let base = t.image(&repo, "main");
    assert_eq!(status(&base), " M settings\n");

    repo.reset("main:0").file("new", "new").commit("new");
    t.dkr(["update-image"]).in_dir(&repo).success();
    let image = t.image(&repo, "main");
    for variable in ["DKR_BRANCH=main", "DKR_REF=refs/heads/main"] {
        let variable = variable.to_owned();
        assert!(base.env().contains(&variable) && image.env().contains(&variable));
    }
    assert_eq!(added(&image, &base).0, 4);
    assert_eq!(log(&image), "made in the image\nnew\ninitial\n");
    assert_eq!(status(&image), " M settings\n");
    assert_eq!(image.run(["cat", "settings"]), "shared\nlocal\n");
    assert_eq!(image.run(["ls"]), "made\nnew\nsettings\n");

    repo.file("newer", "newer").commit("newer");
    let script = "git log --format=%s; git status --porcelain; git branch --show-current";
    let path = repo.path().to_str().unwrap();
    let name = t.unique("kept");
    let started = t
        .dkr([
            "start-image",
            path,
            "main",
            "--name",
            &name,
            "--",
            "sh",
            "-c",
            script,
        ])
        .success();
    let expected = format!("made in the image\nnewer\nnew\ninitial\n M settings\n{name}\n");
    assert_eq!(started.stdout, expected, "{started}");
}

#[test]
fn a_conflict_with_what_post_clone_left_is_a_warning_that_names_the_files() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("settings", "shared\n");
    let sections = "[post_clone]\nRUN test -e /once || { touch /once; echo local > settings; }\n";
    repo.file(".dkr.conf", conf(sections)).commit("initial");
    t.dkr(["create-image"]).in_dir(&repo).success();
    repo.file("settings", "changed\n").commit("change");
    let output = t.dkr(["update-image"]).in_dir(&repo).success();
    output.stderr_has("conflict with the new commits");
    output.stderr_has("settings");
    let image = t.image(&repo, "main");
    assert_eq!(image.run(["cat", "settings"]), "changed\n");
    assert_eq!(image.run(git(&["show", "stash:settings"])), "local\n");
}

#[test]
fn an_image_of_another_ref_is_never_updated() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream");
    let repo = upstream.clone_to("linux", "space");
    t.dkr(["create-image", ".", "space/main"])
        .in_dir(&repo)
        .success();
    repo.file("local", "local").commit("local");
    let output = t
        .dkr(["update-image", ".", "main"])
        .in_dir(&repo)
        .failure(3);
    let path = repo.path().display();
    output.stderr_has(&format!("there is no image of `main` in `{path}`"));
    output.stderr_has(&format!("hint: run `dkr create-image {path} main`"));
    assert_eq!(t.branch_images(&repo).len(), 1);

    upstream.file("more", "more").commit("more");
    t.dkr(["update-image", ".", "space/main"])
        .in_dir(&repo)
        .success();
    let image = t.image(&repo, "main");
    assert_eq!(image.label("dkr.ref"), "refs/remotes/space/main");
    assert_eq!(image.label("dkr.type"), "update");
    assert_eq!(log(&image), "more\nadd a\ninitial\n");
}

/// In place of the refs `old`, the repository gets the refs `new`.
fn replace_refs(repo: &Repo, old: &[&str], new: &[&str]) {
    for name in old {
        repo.git(["update-ref", "-d", &format!("refs/{name}")]);
    }
    for name in new {
        repo.git(["update-ref", &format!("refs/{name}"), "HEAD"]);
    }
}

#[test]
fn refs_that_turn_into_folders_and_back_give_way() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream");
    let repo = upstream.clone_to("linux", "space");
    let sections = "[post_clone]\nRUN git tag -f own/tag && git tag v2/own 2>/dev/null || :\n";
    repo.file(".dkr.conf", conf(sections)).commit("with tags");
    upstream.git(["pull", "--quiet", repo.path().to_str().unwrap(), "main"]);
    let names = ["heads/topic", "tags/v1", "remotes/space/topic"];
    let folders = ["heads/topic/x/y", "tags/v1/final", "remotes/space/topic/x"];
    replace_refs(&repo, &[], &names);
    for (reference, branch) in [
        ("main", ["topic", "topic/x/y"]),
        ("space/main", ["topic", "topic/x"]),
    ] {
        let dkr = |command, force: &[&'static str]| {
            let arguments = [&[command, ".", reference], force].concat();
            t.dkr(arguments).in_dir(&repo).success()
        };
        let held = || {
            let image = t.image(&repo, "main");
            assert_eq!(image.label("dkr.branch_from"), reference);
            image.run(git(&[
                "for-each-ref",
                "--format=%(refname:short)",
                "refs/tags",
                "refs/remotes",
            ]))
        };
        dkr("create-image", &[]);
        // The first update finds packed refs in the image, the next one loose ones.
        replace_refs(&repo, &names, &folders);
        repo.git(["tag", "v2"]);
        let output = dkr("update-image", &["--force"]);
        output
            .stderr_has("the tag v1 (")
            .stderr_has("the tag v2/own (");
        let refs = held();
        let has = |name: &str| refs.lines().any(|line| line == name);
        assert!(has("v1/final") && has("v2") && has("own/tag"), "{refs}");
        assert!(has(&format!("host/{}", branch[1])) && !has("v1"), "{refs}");

        replace_refs(&repo, &folders, &names);
        repo.git(["tag", "-d", "v2"]);
        dkr("update-image", &["--force"]).stderr_has("the tag v1/final (");
        let refs = held();
        let has = |name: &str| refs.lines().any(|line| line == name);
        assert!(has("v1") && has(&format!("host/{}", branch[0])), "{refs}");
    }
}
