//! `dkr update-image`: the newest commits as one thin layer, with what `[post_clone]` left.

use std::fs::{self, File};
use std::io::Read;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::create_image::{conf, two_commits};
use crate::support::{Api, BASE_IMAGE, Image, Repo, SANDBOX_LABEL, Sandbox, query};

fn git(arguments: &[&'static str]) -> Vec<&'static str> {
    [&["git", "-C", "/workspace"], arguments].concat()
}

fn log(image: &Image) -> String {
    image.run(git(&["log", "--format=%s"]))
}

fn status(image: &Image) -> String {
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
    assert_eq!(added(&image, &base).0, 3);
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

/// Makes a repository of packages inside the image, with one package `tiny` in it.
const PACKAGES: &str = r#"[pre_packages]
RUN mkdir -p /repo /tiny/DEBIAN /tiny/usr/bin && cd /repo && \
    printf 'Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' \
        > /tiny/DEBIAN/control && \
    printf '#!/bin/sh\necho tiny\n' > /tiny/usr/bin/tiny && chmod 755 /tiny/usr/bin/tiny && \
    dpkg-deb --build /tiny /repo/tiny.deb && \
    { cat /tiny/DEBIAN/control; echo Filename: ./tiny.deb; \
      echo Size: $(stat -c %s tiny.deb); echo SHA256: $(sha256sum tiny.deb | cut -d' ' -f1); } \
        > Packages && \
    rm -rf /tiny /etc/apt/sources.list.d/* && \
    echo 'deb [trusted=yes] file:/repo ./' > /etc/apt/sources.list
"#;

#[test]
fn an_added_package_is_installed_in_the_layer() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file(".dkr.conf", conf(PACKAGES));
    repo.commit("initial");
    t.dkr(["create-image"]).in_dir(&repo).success();

    repo.file(".dkr.conf", conf(&format!("packages = tiny\n{PACKAGES}")));
    repo.commit("use tiny");
    let output = t.dkr(["update-image"]).in_dir(&repo).success();
    output.stderr_has("tiny");
    let image = t.image(&repo, "main");
    assert_eq!(image.label("dkr.type"), "update");
    assert_eq!(image.run(["tiny"]), "tiny\n");
    let config: Value = serde_json::from_str(&image.label("dkr.config")).unwrap();
    assert_eq!(config["packages"][0], "tiny");

    // What is gone from the configuration is still in the layers below.
    repo.file(".dkr.conf", conf(PACKAGES))
        .commit("without tiny");
    let output = t.dkr(["update-image"]).in_dir(&repo).success();
    output.stderr_has("cannot carry");
    let image = t.image(&repo, "main");
    assert_eq!(image.label("dkr.type"), "base");
    assert_eq!(
        image.run(["sh", "-c", "command -v tiny || echo gone"]),
        "gone\n"
    );
}

/// One more name of the base image; gone when dropped.
struct OtherName(String);

impl OtherName {
    fn new(t: &Sandbox) -> Self {
        let (repo, tag) = ("dkr-test", t.unique("base"));
        let path = format!("/images/{BASE_IMAGE}/tag?repo={repo}&tag={}", query(&tag));
        Api::of_machine().post(&path, &Value::Null);
        OtherName(format!("{repo}:{tag}"))
    }
}

impl Drop for OtherName {
    fn drop(&mut self) {
        Api::of_machine().delete(&format!("/images/{}", self.0));
    }
}

#[test]
fn a_changed_base_image_needs_a_new_bake_unless_the_user_says_otherwise() {
    let t = Sandbox::new();
    let other = OtherName::new(&t);
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let volume = "volumes = data:/data";
    repo.file(".dkr.conf", format!("base_image = {}\n{volume}\n", other.0));
    repo.commit("another base image, and what a layer can carry");
    let update = |answer| t.dkr(["update-image", "--drift", answer]).in_dir(&repo);
    let kind = || t.image(&repo, "main").label("dkr.type");
    let count = || t.branch_images(&repo).len();

    let failed = update("fail").failure(5);
    failed.stderr_has(&format!(
        "a way that an update layer cannot carry: `base_image` changed from `{BASE_IMAGE}` to `{}`\n",
        other.0
    ));
    failed.stderr_has("`.dkr.conf` changed: `volumes` changed\n");
    let path = repo.path().display();
    failed.stderr_has(&format!("hint: run `dkr create-image {path} main`"));
    assert_eq!(count(), 1);

    update("ignore").success();
    assert_eq!((kind().as_str(), count()), ("update", 2));
    // It is still built on the other one.
    update("fail").failure(5);

    let quit = t.dkr(["update-image"]).in_dir(&repo).terminal(100, 30);
    quit.wait_for("What now?");
    quit.send_keys(&["Down", "Down", "Enter"]);
    assert_eq!(quit.exit_code(), 5, "{}", quit.screen());
    assert_eq!(count(), 2);
    let ignore = t.dkr(["update-image"]).in_dir(&repo).terminal(100, 30);
    ignore.wait_for("What now?");
    ignore.send_keys(&["Down", "Enter"]);
    assert_eq!(ignore.exit_code(), 0, "{}", ignore.screen());
    assert_eq!((kind().as_str(), count()), ("update", 3));
    let bake = t.dkr(["update-image"]).in_dir(&repo).terminal(100, 30);
    bake.wait_for("What now?");
    bake.send_keys(&["Enter"]);
    assert_eq!(bake.exit_code(), 0, "{}", bake.screen());
    assert_eq!((kind().as_str(), count()), ("base", 4));
    let current = update("fail").success();
    current.stderr_has("is up to date");

    repo.file(".dkr.conf", conf("")).commit("back");
    let asked = update("ask").success();
    asked.stderr_has("baking anew");
    assert_eq!((kind().as_str(), count()), ("base", 5));
    repo.file(".dkr.conf", format!("base_image = {}\n", other.0));
    repo.commit("forth");
    update("bake").success();
    assert_eq!((kind().as_str(), count()), ("base", 6));
}

/// A base image of 90 layers on the tests' own, as `docker save` writes one; it goes with the
/// sandbox.
fn many_layers(t: &Sandbox) -> String {
    let api = Api::of_machine();
    let name = format!("dkr-test:{}", t.unique("layers"));
    let folder = t.path().join("image");
    let path = |name: &str| folder.join(name);
    fs::create_dir(&folder).unwrap();
    let tar = |arguments: &[&str]| t.command("tar", arguments).in_dir(&folder);
    let saved = api.bytes(&format!("/images/{BASE_IMAGE}/get"));
    tar(&["-xf", "-"]).stdin(saved).success();
    let read =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(path(name)).unwrap()).unwrap() };
    let mut manifest = read("manifest.json");
    let config_name = manifest[0]["Config"].as_str().unwrap().to_owned();
    let mut config = read(&config_name);

    for number in 2..=90 {
        let (file, layer) = (format!("layer-{number}"), format!("{number}.tar"));
        fs::write(path(&file), &file).unwrap();
        tar(&["-cf", &layer, &file]).success();
        let digest = Sha256::digest(fs::read(path(&layer)).unwrap());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        push(&mut manifest[0]["Layers"], json!(layer));
        push(
            &mut config["rootfs"]["diff_ids"],
            json!(format!("sha256:{digest}")),
        );
        push(&mut config["history"], json!({"created_by": file}));
    }
    config["config"]["Labels"] = json!({SANDBOX_LABEL: t.path()});
    manifest[0]["RepoTags"] = json!([name]);
    fs::write(path(&config_name), config.to_string()).unwrap();
    fs::write(path("manifest.json"), manifest.to_string()).unwrap();
    // What newer engines write beside it still describes the base image.
    for other in ["index.json", "oci-layout", "repositories"] {
        let _ = fs::remove_file(path(other));
    }
    let image = tar(&["-cf", "-", "."]).success().stdout_bytes;
    let log = api.post_tar("/images/load", &image);
    assert!(log.contains("Loaded image"), "{log}");
    fs::remove_dir_all(folder).unwrap();
    name
}

fn push(list: &mut Value, value: Value) {
    list.as_array_mut().unwrap().push(value);
}

#[test]
fn a_long_chain_of_updates_is_folded_on_its_branch_image() {
    let t = Sandbox::new();
    let base = many_layers(&t);
    let repo = t.repo("linux");
    let build = "[post_clone]\nRUN test -e /built || cat /proc/sys/kernel/random/uuid > /built\n";
    repo.file(".dkr.conf", format!("base_image = {base}\n{build}"))
        .commit("initial");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let first = t.image(&repo, "main");
    let built = first.run(["cat", "/built"]);
    first.remove_tag(&first.label("dkr.parent"));
    let update = || {
        repo.file("number", noise(1000)).commit("one more");
        let plan = t.dkr(["update-image", "--dry-run"]);
        let plan = plan.in_dir(&repo).success();
        let output = t.dkr(["update-image"]).in_dir(&repo).success();
        let image = t.image(&repo, "main");
        let layers = image.layers().len();
        assert!(layers <= 100, "{layers} layers: {output}");
        assert_eq!(image.label("dkr.commit"), repo.rev("main"), "{output}");
        assert_eq!(status(&image), "");
        let kind = image.label("dkr.type");
        assert!(plan.stdout.contains(&format!("# dkr.type={kind}\n")));
        if kind == "update" {
            let from = format!("FROM {}\n", image.label("dkr.parent"));
            assert!(plan.stdout.contains(&from), "{plan}");
        }
        (output, image)
    };

    // The chain is known by its layers: the images between its ends may go.
    let mut between: Vec<String> = Vec::new();
    let mut tag = String::new();
    let mut folded = 0;
    for number in 1..=4 {
        let (output, image) = update();
        let parent = image.label("dkr.parent");
        assert_eq!(image.label("dkr.type"), "update", "{output}");
        assert_eq!(image.run(["cat", "/built"]), built);
        if number == 1 {
            tag.clone_from(&parent);
        } else if output.stderr.contains("folding") {
            output.stderr_has(&tag);
            assert_eq!(parent, tag);
            folded += 1;
        } else {
            between.push(parent);
        }
        let whole = "cd /workspace && git fsck --connectivity-only --no-dangling && \
            git rev-list --count HEAD";
        let ended = image.run_with(&["sh", "-ec", whole], json!({"Entrypoint": []}));
        assert_eq!(ended.stdout, format!("{}\n", number + 1), "{ended:?}");
        for tag in between.drain(..).filter(|parent| *parent != tag) {
            image.remove_tag(&tag);
        }
    }
    assert!(folded > 0);

    first.remove_tag(&tag);
    let mut updates = (1..=4).map(|_| update());
    let anew = updates.find(|(output, _)| output.stderr.contains("baking anew"));
    let (output, image) = anew.expect("no chain is endless");
    output.stderr_has("was built on is gone");
    assert_eq!(image.label("dkr.type"), "base");
    assert_ne!(image.run(["cat", "/built"]), built);
}
