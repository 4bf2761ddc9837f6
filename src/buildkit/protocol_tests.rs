//! The build against an engine that misbehaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard_buildkit_proto::moby::filesync::v1::auth_client::AuthClient;
use bollard_buildkit_proto::moby::filesync::v1::{CredentialsRequest, GetTokenAuthorityRequest};
use hyper::StatusCode;
use tokio::sync::Notify;
use tonic::Code;

use super::event::Event;
use super::fake::{Act, Asked, FakeEngine, Sessions};
use super::trace::ImageId;
use super::*;
use crate::env::Env;
use crate::error::Kind;

const IMAGE: &str = "{\"id\":\"moby.image.id\",\"aux\":{\"ID\":\"sha256:12\"}}\r\n";

fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

fn request() -> BuildRequest {
    BuildRequest {
        context: BuildContext::new().file("Dockerfile", 0o644, "FROM scratch\n"),
        ..BuildRequest::default()
    }
}

async fn run(engine: &FakeEngine) -> Result<ImageId, BuildFailure> {
    let engine = engine.connect().await;
    let never = std::future::pending();
    build(&engine, &Env::default(), request(), &mut |_| {}, never).await
}

async fn played(sessions: Sessions, acts: Vec<Act>) -> (Result<ImageId, BuildFailure>, FakeEngine) {
    let engine = FakeEngine::start(sessions, acts);
    let started = Instant::now();
    let result = run(&engine).await;
    assert!(started.elapsed() < Duration::from_secs(30));
    (result, engine)
}

fn engine_error(result: Result<ImageId, BuildFailure>) -> String {
    match result {
        Err(BuildFailure::Engine(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_build_in_pieces_among_garbage_gives_the_image() {
    let acts = vec![
        say("{\"id\":\"moby.image"),
        say(".id\",\"aux\":{\"ID\":\"sha256:12\"}}"),
        say("\n{\"x\":"),
    ];
    let (result, mut engine) = played(Sessions::Keep, acts).await;
    assert_eq!(result, Ok(ImageId("sha256:12".to_owned())));
    assert_eq!(engine.asked.recv().await, Some(Asked::Session));
    let Some(Asked::Build(query)) = engine.asked.recv().await else {
        panic!("no build");
    };
    assert!(query.starts_with("version=2&session="), "{query}");
}

#[tokio::test]
async fn a_stream_that_ends_early_is_a_failure() {
    for acts in [
        vec![],
        vec![say("{\"id\":\"moby.image.id\",\"aux\":{\"ID\":\"sha25")],
        vec![say("{}")],
    ] {
        let (result, _engine) = played(Sessions::Keep, acts).await;
        assert!(engine_error(result).contains("without a result"));
    }
    let (result, _engine) = played(Sessions::Keep, vec![say("{}\n"), Act::Break]).await;
    assert!(engine_error(result).contains("went away"));
}

#[tokio::test]
async fn an_engine_that_dies_is_noticed() {
    let acts = vec![say("{}\n"), Act::Wait(Duration::from_millis(50)), Act::Die];
    let (result, _engine) = played(Sessions::Keep, acts).await;
    assert!(engine_error(result).contains("the Docker Engine went away during the build"));
}

#[tokio::test]
async fn a_lost_session_cancels_the_build_at_once() {
    let acts = vec![
        say("{}\n"),
        Act::Wait(Duration::from_secs(60)),
        say("{\"error\":\"git\"}"),
    ];
    let sessions = Sessions::DropAfter(Duration::from_millis(200));
    let (result, mut engine) = played(sessions, acts).await;
    assert_eq!(result, Err(BuildFailure::SessionLost));
    while let Some(asked) = engine.asked.recv().await {
        if let Asked::Cancel(query) = asked {
            assert!(query.starts_with("id="));
            return;
        }
    }
}

#[tokio::test]
async fn what_fails_for_want_of_the_session_is_not_reported() {
    let sessions = Sessions::DropAfter(Duration::from_millis(100));
    let error = "{\"error\":\"exit code: 128\"}";
    let (result, _engine) = played(
        sessions,
        vec![Act::Wait(Duration::from_millis(300)), say(error)],
    )
    .await;
    assert_eq!(result, Err(BuildFailure::SessionLost));
}

#[tokio::test]
async fn a_session_that_ends_with_the_build_is_not_lost() {
    let sessions = Sessions::DropAfter(Duration::from_millis(100));
    let acts = vec![Act::Wait(Duration::from_millis(110)), say(IMAGE)];
    // On a busy machine one attempt may be late, but not all three.
    for _ in 0..3 {
        let (result, _engine) = played(sessions, acts.clone()).await;
        if result.is_ok() {
            return;
        }
    }
    panic!("the session was lost");
}

#[tokio::test]
async fn an_engine_without_sessions_is_named() {
    let (result, _engine) = played(Sessions::NotFound, vec![say(IMAGE)]).await;
    let error = engine_error(result);
    let words =
        "Docker Engine 20.10.24 has no `/session` in API version 1.41; engines 20.10 to 29 have it";
    assert!(error.contains(words), "{error}");
}

#[tokio::test]
async fn a_refused_build_tells_the_engines_message() {
    let refusal = Act::Refuse(
        StatusCode::BAD_REQUEST,
        "{\"message\":\"invalid reference format\"}",
    );
    let (result, _engine) = played(Sessions::Keep, vec![refusal]).await;
    let message = "invalid reference format".to_owned();
    assert_eq!(result, Err(BuildFailure::Refused { message }));
}

#[tokio::test]
async fn a_cancellation_is_quick_and_told_to_the_engine() {
    let mut engine = FakeEngine::start(Sessions::Keep, vec![Act::Wait(Duration::from_secs(60))]);
    let client = engine.connect().await;
    let gate = Arc::new(Gate::new());
    gate.open();
    let request = BuildRequest {
        gate: Some(GateMarker {
            marker: "clone".to_owned(),
            gate: gate.clone(),
        }),
        ..request()
    };
    let mut asked = Vec::new();
    let cancel = async {
        asked = vec![engine.asked.recv().await, engine.asked.recv().await];
    };
    let started = Instant::now();
    let result = build(&client, &Env::default(), request, &mut |_| {}, cancel).await;
    assert!(started.elapsed() < Duration::from_secs(30));
    let Err(BuildFailure::Engine(error)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(error.kind, Kind::Interrupted);
    assert!(!gate.is_open());
    let [Some(Asked::Session), Some(Asked::Build(query))] = &asked[..] else {
        panic!("{asked:?}");
    };
    let Some(Asked::Cancel(id)) = engine.asked.recv().await else {
        panic!("not canceled");
    };
    assert!(query.contains(&format!("buildid={}", id.strip_prefix("id=").unwrap())));
}

#[tokio::test]
async fn a_warning_about_credentials_is_an_event() {
    let asked = Arc::new(Notify::new());
    let acts = vec![Act::WaitFor(asked.clone()), say(IMAGE)];
    let mut engine = FakeEngine::start(Sessions::Keep, acts);
    let client = engine.connect().await;
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("config.json"), "{").unwrap();
    let env = Env::from_iter([("DOCKER_CONFIG", home.path())]);
    let building = tokio::spawn(async move {
        let mut events = Vec::new();
        let never = std::future::pending();
        let result = build(
            &client,
            &env,
            request(),
            &mut |event| events.push(event),
            never,
        )
        .await;
        (result, events)
    });
    let mut auth = AuthClient::new(engine.sessions.recv().await.unwrap());
    let host = "registry-1.docker.io".to_owned();
    let login = auth
        .credentials(CredentialsRequest { host })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((login.username.as_str(), login.secret.as_str()), ("", ""));
    // After this answer BuildKit asks for credentials.
    let status = auth
        .get_token_authority(GetTokenAuthorityRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    asked.notify_one();
    let (result, events) = building.await.unwrap();
    assert!(result.is_ok());
    assert!(matches!(&events[..], [Event::Warning { text }] if text.contains("config.json")));
}
