//! What is said where there is no repository, ref, image, container or engine of a name.

use super::Transcript;
use crate::cases::create_image::two_commits;
use crate::cases::stocked;
use crate::support::Sandbox;

#[test]
fn without_an_engine() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let mut transcript = Transcript::new(&t);
    for arguments in [
        &["create-image"][..],
        &["update-image"],
        &["start-image", "--", "true"],
        &["list-images"],
        &["list-containers"],
        &["status"],
        &["inspect-image", "linux-main"],
        &["remove-image", "linux-main"],
        &["prune", "--yes"],
        &["attach", "x"],
        &["exec", "x", "--", "true"],
        &["stop", "x"],
        &["remove-container", "x"],
        &["take", "x"],
        &["diff", "x"],
    ] {
        transcript.run(transcript.dkr(arguments).in_dir(&repo));
    }
    for (variable, value) in [
        ("DOCKER_HOST", "npipe:////./pipe/docker_engine"),
        ("DOCKER_HOST", "fd://"),
        ("DOCKER_HOST", "tcp://127.0.0.1:1"),
        ("DOCKER_CONTEXT", "nowhere"),
    ] {
        transcript.heading(&format!("{variable}={value}"));
        let dkr = transcript.dkr(&["list-images"]).env_remove("DOCKER_HOST");
        transcript.run(dkr.env(variable, value));
    }
    transcript.check("no-engine");
}

#[test]
fn without_a_repository_or_its_ref() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream").branch("devel", "main:0");
    let repo = two_commits(&t, "linux")
        .branch("topic", "main:0")
        .branch("unbaked", "main:1")
        .remote("space", &upstream);
    let engine = stocked::engine(&t, &repo, &["main", "space/devel", "gone"], &[]);
    let mut transcript = Transcript::new(&t);
    for arguments in [
        &["create-image", "/"][..],
        &["create-image", "/nonexistent"],
        &["create-image", "topic"],
        &["create-image", ".", "topci"],
        &["create-image", ".", "refs/heads/topci"],
        &["create-image", ".", "space/devle"],
        &["create-image", ".", "zzz"],
        &[
            "create-image",
            ".",
            "0123456789abcdef0123456789abcdef01234567",
        ],
        &["update-image", ".", "topci"],
        &["update-image", ".", "unbaked"],
        &["start-image", "/", "--", "true"],
        &["start-image", ".", "topci", "--", "true"],
        &["start-image", ".", "unbaked", "--", "true"],
        &["start-image", ".", "--name", "a..b", "--", "true"],
        &["start-image", ".", "--name", "main", "--", "true"],
        &["inspect-image", ".", "gonne"],
        &["inspect-image", ".", "unbaked"],
        &["list-images", "/"],
        &["list-images", ".", "topci"],
        &["list-containers", "/"],
        &["status", "/"],
        &["prune", "/"],
    ] {
        let dkr = transcript.dkr(arguments).in_dir(&repo);
        transcript.run(dkr.env("DOCKER_HOST", engine.host()));
    }
    let empty = t.repo("empty");
    let dkr = transcript.dkr(&["create-image"]).in_dir(&empty);
    transcript.run(dkr.env("DOCKER_HOST", engine.host()));
    transcript.check("no-repository");
}

#[test]
fn without_the_image_or_the_container() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let engine = stocked::engine(&t, &repo, &["main"], &["fix/parser", "candid-sparrow"]);
    let mut transcript = Transcript::new(&t);
    for arguments in [
        &["inspect-image", "linux-mian"][..],
        &["inspect-image", "zzz"],
        &["remove-image", "linux-mian"],
        &["remove-image", "dkr:linux-main", "zzz"],
        &["remove-image", "debian:13"],
        &["doctor", "--image", "linux-mian"],
        &["attach", "candid-sparow"],
        &["attach", "zzz"],
        &["exec", "candid-sparow", "--", "true"],
        &["stop", "candid-sparow"],
        &["stop", "fix/parser", "candid-sparow"],
        &["stop", "fix/parser"],
        &["remove-container", "candid-sparow"],
        &["take", "candid-sparow"],
        &["diff", "candid-sparow"],
    ] {
        let dkr = transcript.dkr(arguments).in_dir(&repo);
        transcript.run(dkr.env("DOCKER_HOST", engine.host()));
    }
    transcript.check("no-such-name");
}
