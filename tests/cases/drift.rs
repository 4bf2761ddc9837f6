//! `dkr update-image` where `.dkr.conf` is not what the image was built with.

use serde_json::Value;

use super::create_image::{conf, two_commits};
use crate::support::{Api, BASE_IMAGE, Sandbox, query};

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
    asked.stderr_has("rebuilding from scratch");
    assert_eq!((kind().as_str(), count()), ("base", 5));
    repo.file(".dkr.conf", format!("base_image = {}\n", other.0));
    repo.commit("forth");
    update("bake").success();
    assert_eq!((kind().as_str(), count()), ("base", 6));
}
