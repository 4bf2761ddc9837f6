//! What is said while an image is made, updated and removed.

use super::Transcript;
use crate::cases::create_image::{conf, two_commits};
use crate::support::{Repo, Sandbox};

/// A repository with every section of a configuration.
fn configured(t: &Sandbox) -> Repo {
    let sections = "packages = git tmux\nvolumes = bazel-cache:/bazel-cache\n\
        [pre_packages]\nRUN true\n[pre_clone]\nRUN mkdir /toolchain\n\
        [post_clone]\nRUN echo \"$BRANCH of $REPO_PATH\"\n";
    two_commits(t, "linux")
        .file(".dkr.conf", conf(sections))
        .commit("configuration")
}

#[test]
fn a_dry_run() {
    let t = Sandbox::new();
    let repo = configured(&t);
    let mut transcript = Transcript::new(&t);
    for arguments in [
        &["create-image", "--dry-run"][..],
        &["create-image", "--dry-run", "--clone", "full"],
        &["create-image", "--dry-run", "--transport", "session"],
        &[
            "create-image",
            "--dry-run",
            "--no-cache",
            "--build-network",
            "none",
        ],
    ] {
        let dkr = transcript.dkr(arguments).in_dir(&repo);
        transcript.run(dkr.env("DKR_SSH_PORT", t.sshd().port().to_string()));
    }
    transcript.check("create-image-dry-run");
}

#[test]
fn an_image_through_its_life() {
    let t = Sandbox::new();
    let repo = two_commits(&t, &t.unique("linux"));
    // Why a registry gives no image, each engine and network says otherwise.
    let mut transcript = Transcript::on_an_engine(&t).replacing(
        r"(cannot get .*\n)  caused by: .*",
        "$1  caused by: [REASON]",
    );
    let dkr = |arguments: &[&str]| t.dkr(arguments).env("USER", "root").in_dir(&repo);
    transcript.run(dkr(&["create-image"]));
    transcript.run(dkr(&["update-image"]));
    transcript.heading("two commits later");
    repo.commits(2);
    transcript.run(dkr(&["update-image", "--dry-run"]));
    transcript.run(dkr(&["update-image"]));
    transcript.heading("with another configuration");
    repo.file(".dkr.conf", conf("[pre_clone]\nRUN true\n"))
        .commit("another configuration");
    transcript.run(dkr(&["update-image"]));
    transcript.run(dkr(&["update-image", "--drift", "fail"]));
    transcript.run(dkr(&["update-image", "--drift", "ignore"]));
    transcript.heading("with a step that fails");
    repo.file(".dkr.conf", conf("[post_clone]\nRUN echo broken; exit 3\n"))
        .commit("a step that fails");
    transcript.run(dkr(&["create-image"]));
    transcript.heading("with a base image that is not there");
    repo.file(".dkr.conf", "base_image = dkr-test.invalid/nothing\n")
        .commit("another base image");
    transcript.run(dkr(&["create-image"]));
    transcript.heading("removed");
    transcript.run(dkr(&["status"]));
    let tag = format!("dkr:{}-main", t.unique("linux"));
    transcript.run(dkr(&["remove-image", &tag]));
    transcript.run(dkr(&["prune", ".", "--keep", "0", "--yes"]));
    transcript.run(dkr(&["list-images", "."]));
    transcript.check("images");
}
