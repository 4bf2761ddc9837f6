//! The line that shows what is waited for: on a terminal, after half a second, until it is over.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::create_image::two_commits;
use super::stocked;
use crate::support::{Answer, FakeEngine, Repo, Request, Sandbox, wait_until};

/// Commands, the request that the engine does not answer, and what the line says meanwhile.
const WAITS: &[(&[&str], &str, &str)] = &[
    (
        &["create-image"],
        "GET /version",
        "connecting to the Docker Engine",
    ),
    (
        &["create-image", "--dry-run"],
        "GET /images/json",
        "listing images",
    ),
    (&["create-image"], "GET /info", "choosing a transport"),
    (&["update-image"], "GET /images/json", "listing images"),
    (
        &["start-image", "--", "true"],
        "GET /images/json",
        "looking up the image",
    ),
    (
        &["start-image", "--stale", "proceed", "--", "true"],
        "POST /containers/create",
        "creating the container",
    ),
    (
        &["start-image", "--name", "fix/parser", "--", "true"],
        "GET /containers/json",
        "looking up the image",
    ),
    (&["ls"], "GET /images/json", "listing images"),
    (&["ls", "-q"], "GET /version", "listing images"),
    (&["ls", "--stale"], "GET /containers/json", "listing images"),
    (&["ps"], "GET /containers/json", "listing containers"),
    (&["ps", "-q"], "GET /containers/json", "listing containers"),
    (
        &["status"],
        "GET /containers/json",
        "listing images and containers",
    ),
    (&["inspect-image"], "GET /images/json", "listing images"),
    (
        &["remove-image", "linux-main"],
        "GET /containers/json",
        "listing images",
    ),
    (
        &["prune", "--dry-run"],
        "GET /containers/json",
        "checking containers for unsaved work",
    ),
    (
        &["attach", "fix/parser"],
        "GET /containers/json",
        "looking up the container",
    ),
    (
        &["exec", "fix/parser", "--", "true"],
        "GET /containers/json",
        "looking up the container",
    ),
    (
        &["stop", "fix/parser"],
        "GET /containers/json",
        "looking up the containers",
    ),
    (
        &["rm", "fix/parser"],
        "GET /containers/json",
        "checking containers for unsaved work",
    ),
    (
        &["take", "fix/parser"],
        "GET /containers/json",
        "taking the container's work",
    ),
    (
        &["diff", "fix/parser"],
        "GET /containers/json",
        "comparing in the container",
    ),
    (&["doctor"], "GET /info", "checking the Docker Engine"),
];

/// An engine with an image and a container that does not answer `request`.
fn silent(t: &Sandbox, repo: &Repo, request: &str) -> FakeEngine {
    let engine = stocked::engine(t, repo, &["main"], &["fix/parser"]);
    engine.route(request, Answer::Silence)
}

/// Waits until dkr waits for an answer, long enough for a line that must not come.
fn silence(engine: &FakeEngine) {
    let asked = |request: &Request| request.path.contains("/json");
    let waits = || engine.requests().iter().any(asked);
    assert!(
        wait_until(Duration::from_secs(60), waits),
        "{:?}",
        engine.requests()
    );
    std::thread::sleep(Duration::from_millis(1500));
}

#[test]
fn on_a_terminal_every_command_says_what_it_waits_for_and_leaves_no_trace() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    for some in WAITS.chunks(6) {
        let running: Vec<_> = some
            .iter()
            .map(|(arguments, request, label)| {
                let engine = silent(&t, &repo, request);
                let dkr = t.dkr(*arguments).in_dir(&repo);
                let terminal = dkr.env("DOCKER_HOST", engine.host()).terminal(100, 30);
                (engine, terminal, label)
            })
            .collect();
        for (engine, terminal, label) in running {
            let screen = terminal.wait_for(label);
            // One line that says nothing else.
            let line = screen.lines().find(|line| line.contains(label)).unwrap();
            let rest = line.split_once(label).unwrap();
            assert_eq!(rest.0.chars().count(), 2, "{screen}");
            terminal.send_keys(&["C-c"]);
            assert_eq!(terminal.exit_code(), 130);
            // Not even what was typed beside it stays.
            let screen = terminal.wait_for("interrupted").replace("^C", "");
            assert!(
                screen.trim_end().ends_with("\ninterrupted") || screen.trim() == "interrupted",
                "{screen}"
            );
            assert!(!screen.contains(label), "{screen}");
            drop(engine);
        }
    }
}

#[test]
fn a_container_that_is_started_is_waited_for_until_it_speaks() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let id = stocked::container_id(0);
    let route = |method: &str, action: &str| format!("{method} /containers/{id}/{action}");
    let state = json!({
        "Id": id, "Name": "/fix-parser", "Image": stocked::image_id(0), "Config": {},
        "State": {"Running": false, "FinishedAt": "2020-01-01T00:00:00Z", "ExitCode": 0},
    });
    let ended = json!({"StatusCode": 0});
    let engine = stocked::engine(&t, &repo, &["main"], &["fix/parser"])
        .route(&route("GET", "json"), Answer::Json(200, state.to_string()))
        .route(&route("POST", "wait"), Answer::Json(200, ended.to_string()))
        .route(&route("POST", "attach"), Answer::Silence);
    let dkr = t.dkr(["attach", "fix/parser"]).in_dir(&repo);
    let terminal = dkr.env("DOCKER_HOST", engine.host()).terminal(100, 30);
    terminal.wait_for("starting container");
    drop(engine);
    assert_eq!(terminal.exit_code(), 1);
    let screen = terminal.wait_for("error: cannot attach to container");
    assert!(!screen.contains("starting container"), "{screen}");
}

#[test]
fn without_a_terminal_nothing_is_said_of_a_wait_unless_it_was_asked_for() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let ended = |progress: &str| -> Vec<String> {
        let running: Vec<_> = [
            (&["ls"][..], "GET /images/json"),
            (&["ps"], "GET /containers/json"),
            (&["inspect-image"], "GET /images/json"),
            (&["attach", "fix/parser"], "GET /containers/json"),
        ]
        .map(|(arguments, request)| {
            let engine = silent(&t, &repo, request);
            let arguments = [arguments, &["--progress", progress]].concat();
            let dkr = t.dkr(arguments).in_dir(&repo);
            (dkr.env("DOCKER_HOST", engine.host()).spawn(), engine)
        })
        .into();
        for (_, engine) in &running {
            silence(engine);
        }
        let outputs = running.into_iter().map(|(mut running, engine)| {
            if progress == "plain" {
                running.wait_for_stderr("…");
            }
            running.signal(Signal::INT);
            let output = running.wait();
            assert_eq!((output.code, &*output.stdout), (Some(130), ""), "{output}");
            drop(engine);
            output.stderr
        });
        outputs.collect()
    };
    for progress in ["auto", "tty", "quiet"] {
        assert_eq!(ended(progress), ["interrupted\n"; 4], "{progress}");
    }
    let asked_for = [
        "listing images",
        "listing containers",
        "listing images",
        "looking up the container",
    ];
    assert_eq!(
        ended("plain"),
        asked_for.map(|label| format!("{label}…\ninterrupted\n"))
    );
}

#[test]
fn a_terminal_is_left_alone_when_nothing_of_progress_is_wanted() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let engine = silent(&t, &repo, "GET /images/json");
    let dkr = t.dkr(["ls"]).in_dir(&repo).env("DKR_PROGRESS", "quiet");
    let terminal = dkr.env("DOCKER_HOST", engine.host()).terminal(100, 30);
    silence(&engine);
    assert_eq!(terminal.screen().trim(), "");
    terminal.send_keys(&["C-c"]);
    assert_eq!(terminal.exit_code(), 130);
    // Its echo may come after what dkr says.
    let screen = terminal.screen().replace("^C", "");
    assert_eq!(screen.trim(), "interrupted");
}
