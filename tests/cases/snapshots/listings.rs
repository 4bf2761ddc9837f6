//! Tables and JSON, of an engine that answers the same everywhere.

use super::Transcript;
use crate::cases::create_image::two_commits;
use crate::cases::stocked;
use crate::support::{Answer, FakeEngine, Sandbox};

/// Compares what these command lines print, where there are images and containers and where there are
/// none, with the file of that name.
fn listed(name: &str, command_lines: &[&[&str]]) {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").branch("topic", "main:0");
    let refs = ["main", "topic", "space/devel", "main"];
    let stocked = stocked::engine(&t, &repo, &refs, &["fix/parser", "candid-sparrow"]);
    let empty = stocked::engine(&t, &repo, &[], &[]);
    let mut transcript = Transcript::new(&t).narrow();
    for (heading, engine) in [
        ("with images and containers", stocked),
        ("with none", empty),
    ] {
        transcript.heading(heading);
        for arguments in command_lines {
            let dkr = transcript.dkr(arguments).in_dir(&repo);
            transcript.run(dkr.env("DOCKER_HOST", engine.host()));
        }
    }
    transcript.check(name);
}

#[test]
fn of_images() {
    let command_lines = [
        &["list-images"][..],
        &["list-images", "--no-trunc"],
        &["list-images", "--stale"],
        &["list-images", "--quiet"],
        &["list-images", "--json"],
        &["list-images", "--json", "--stale", ".", "main"],
    ];
    listed("list-images", &command_lines);
}

#[test]
fn of_containers() {
    let command_lines = [
        &["list-containers"][..],
        &["list-containers", "."],
        &["list-containers", "--quiet"],
        &["list-containers", "--json"],
    ];
    listed("list-containers", &command_lines);
}

#[test]
fn of_a_repository() {
    listed("status", &[&["status"], &["status", "--json"]]);
}

#[test]
fn of_one_image() {
    let command_lines = [
        &["inspect-image"][..],
        &["inspect-image", "linux-main"],
        &["inspect-image", "--json", "linux-main"],
        &["inspect-image", ".", "topic"],
    ];
    listed("inspect-image", &command_lines);
}

#[test]
fn of_what_can_go() {
    let command_lines = [
        &["prune", "--dry-run"][..],
        &["prune", "--dry-run", "--keep", "0"],
        &["prune", "--keep", "0"],
    ];
    listed("prune", &command_lines);
}

#[test]
fn of_what_dkr_needs() {
    let t = Sandbox::new();
    let json = |text: &str| Answer::Json(200, text.to_owned());
    let engine = FakeEngine::start(t.path())
        .route(
            "GET /info",
            json(r#"{"Name": "fake", "OperatingSystem": "Debian"}"#),
        )
        .route("GET /images/json", json("[]"))
        .route("GET /containers/json", json("[]"));
    let port = t.sshd().port();
    let mut transcript = Transcript::new(&t)
        .naming(format!(":{port}"), ":[PORT]")
        .naming(format!("port {port}"), "port [PORT]")
        .replacing(r"`(::1|127\.0\.0\.1)`", "`[LOCALHOST]`")
        .replacing(r"\d+(\.\d+)? [kMGT]?B", "[SIZE]")
        .replacing(r"git \d+(\.\d+)+", "git [VERSION]")
        .narrow();
    transcript.heading("without an engine and an SSH server");
    for arguments in [&["doctor"][..], &["doctor", "--json"]] {
        let dkr = transcript.dkr(arguments);
        transcript.run(dkr.env("DKR_SSH_PORT", "1"));
    }
    transcript.heading("with both");
    for arguments in [&["doctor"][..], &["doctor", "--json"]] {
        let dkr = t.dkr(arguments).env("USER", "user");
        transcript.run(dkr.env("DOCKER_HOST", engine.host()));
    }
    transcript.check("doctor");
}

#[test]
fn a_question() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let engine = stocked::engine(&t, &repo, &["main", "main"], &[]);
    let mut transcript = Transcript::new(&t).narrow();
    let dkr = transcript.dkr(&["prune", "--keep", "0"]).in_dir(&repo);
    let terminal = dkr.env("DOCKER_HOST", engine.host()).terminal(100, 20);
    let asked = terminal.wait_for("Remove ");
    transcript.keep_screen("dkr prune --keep 0", &asked);
    terminal.send_keys(&["n"]);
    assert_eq!(terminal.exit_code(), 0);
    let answered = terminal.wait_for("nothing was removed");
    transcript.keep_screen("dkr prune --keep 0", &answered);
    transcript.check("question");
}
