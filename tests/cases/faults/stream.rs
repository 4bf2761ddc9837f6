//! Builds whose answer is garbage, cut off or silent: a fake engine, the real dkr.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::refused;
use crate::cases::create_image::two_commits;
use crate::support::{Answer, FakeEngine, Invocation, Repo, Sandbox, wait_until};

/// The id of the image that the fake engine makes.
const IMAGE: &str = "sha256:3b0f6ac3a91eb7f9e8e8d4e7c8c1a5a8d9e6f7b8c9d0e1f2a3b4c5d6e7f8a9b0";
/// How long the fake engine keeps a session open.
const SESSION: Duration = Duration::from_secs(20);

fn engine(t: &Sandbox, build: Answer) -> FakeEngine {
    let info = json!({"Name": "fake", "OperatingSystem": "Debian"});
    let image = json!({"Id": IMAGE, "Size": 1000, "Config": {}, "RootFS": {"Type": "layers", "Layers": ["a"]}});
    FakeEngine::start(t.path())
        .route("GET /info", Answer::Json(200, info.to_string()))
        .route("GET /images/json", Answer::Json(200, "[]".into()))
        .route("POST /session", Answer::Upgrade(SESSION))
        .route("POST /build", build)
        .route("POST /build/cancel", Answer::Json(200, String::new()))
        .route(
            &format!("POST /images/{IMAGE}/tag"),
            Answer::Json(201, String::new()),
        )
        .route(
            &format!("GET /images/{IMAGE}/json"),
            Answer::Json(200, image.to_string()),
        )
}

fn create(t: &Sandbox, repo: &Repo, engine: &FakeEngine) -> Invocation {
    let dkr = t.dkr(["create-image"]).in_dir(repo);
    dkr.env("DOCKER_HOST", engine.host())
}

fn result() -> String {
    json!({"id": "moby.image.id", "aux": {"ID": IMAGE}}).to_string() + "\n"
}

#[test]
fn a_build_without_a_result_is_a_failure() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let step = "{\"stream\":\"Step 1/9 : FROM x\"}\n".to_owned();
    for (answer, words) in [
        (Answer::Parts(vec![step.clone()]), "without a result"),
        (Answer::Parts(vec![]), "without a result"),
        (Answer::CutOff(vec![step]), "went away"),
        (Answer::Close, "Docker Engine"),
        (
            Answer::Json(500, json!({"message": "out of cheese"}).to_string()),
            "out of cheese",
        ),
    ] {
        let engine = engine(&t, answer);
        let dkr = create(&t, &repo, &engine);
        let output = refused(&t, &repo, dkr, 1, &[words]);
        assert!(output.took < Duration::from_secs(30), "{output}");
    }
}

#[test]
fn garbage_in_a_build_is_passed_over() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let unknown = json!({"id": "moby.future.thing", "aux": {"ID": "sha256:no"}}).to_string();
    let broken = json!({"id": "moby.buildkit.trace", "aux": "bm90IGEgcHJvdG9idWY="}).to_string();
    let not_base64 = json!({"id": "moby.buildkit.trace", "aux": "%%%"}).to_string();
    let result = result();
    let (first, last) = result.split_at(20);
    let parts = [
        "\u{1b}]0;x\u{7} {{{ \"\n",
        &unknown,
        &broken,
        &not_base64,
        "{\"id\":7,\"aux\":[null]}\n[1,2]\nnull\n",
        first,
        last,
        "{\"stream\":\"cut",
    ];
    let parts = parts.map(str::to_owned).to_vec();
    let engine = engine(&t, Answer::Parts(parts));
    let output = create(&t, &repo, &engine).success();
    assert_eq!(output.stdout, "dkr:linux-main\n");
    assert!(!output.stderr.contains('\u{1b}'), "{output}");

    let requests = engine.requests();
    let build = requests.iter().find(|r| r.path.starts_with("/build?"));
    let build = build.expect("a build was asked for");
    // What was sent names no key and no agent of the user.
    let body = String::from_utf8_lossy(&build.body);
    assert!(!body.contains("PRIVATE KEY") && !build.path.contains("SSH_AUTH_SOCK"));
}

#[test]
fn a_lost_session_ends_the_build_and_an_engine_without_one_is_named() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let short = Answer::Upgrade(Duration::from_secs(1));
    let losing = engine(&t, Answer::Silence).route("POST /session", short);
    let words = ["the build session was lost"];
    let output = refused(&t, &repo, create(&t, &repo, &losing), 1, &words);
    assert!(output.took < Duration::from_secs(15), "{output}");
    assert!(
        losing
            .requests()
            .iter()
            .any(|r| r.path.starts_with("/build/cancel?id="))
    );
    drop(losing);

    let missing = Answer::Json(404, json!({"message": "page not found"}).to_string());
    let future = engine(&t, Answer::Silence).route("POST /session", missing);
    refused(
        &t,
        &repo,
        create(&t, &repo, &future),
        1,
        &[
            "Docker Engine 20.10.24 has no `/session` in API version 1.41",
            "engines 20.10 to 29 have it",
            "hint: ",
        ],
    );
}

#[test]
fn a_second_interrupt_ends_dkr_though_the_engine_hangs() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    // A machine that is busy with something else makes one late, but not each of three.
    let mut late = Vec::new();
    let in_time = (0..3).any(|_| {
        let engine = engine(&t, Answer::Silence).route("POST /build/cancel", Answer::Silence);
        let dkr = create(&t, &repo, &engine).spawn();
        let asked = |path: &str| {
            let was = || engine.requests().iter().any(|r| r.path.starts_with(path));
            assert!(wait_until(Duration::from_secs(60), was), "{path}");
        };
        asked("/build?");
        dkr.signal(Signal::INT);
        // Two signals that come before the first is seen to are one.
        asked("/build/cancel");
        let second = Instant::now();
        dkr.signal(Signal::INT);
        let output = dkr.wait();
        let took = second.elapsed();
        assert_eq!(output.code, Some(130), "{output}");
        late.push(took);
        took < Duration::from_millis(400)
    });
    assert!(in_time, "{late:?}");
}

#[test]
fn an_image_that_was_removed_at_once_is_not_reported_as_baked() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let gone = Answer::Json(404, json!({"message": "No such image"}).to_string());
    let engine = engine(&t, Answer::Parts(vec![result()]));
    let engine = engine.route(&format!("POST /images/{IMAGE}/tag"), gone);
    refused(&t, &repo, create(&t, &repo, &engine), 3, &[IMAGE]);
}
