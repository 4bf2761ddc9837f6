//! An engine that answers what a unit test tells it to.

use testkit::{Answer, FakeEngine};

use crate::env::Env;

/// Answers each request (`GET /path` without the API's version, any query) with a status and a body,
/// and 404 to all else; hangs up where the status is 0.
pub fn fake<const N: usize>(answers: [(&str, u16, &str); N]) -> FakeEngine {
    let engine = FakeEngine::alone();
    for (route, status, body) in answers {
        let answer = match status {
            0 => Answer::Close,
            _ => Answer::Json(status, body.to_owned()),
        };
        engine.answer(route, answer);
    }
    engine
}

/// The environment that names it.
pub fn env(engine: &FakeEngine) -> Env {
    Env::from_iter([("DOCKER_HOST", engine.host())])
}

/// What it was asked: method and path with its query.
pub fn asked(engine: &FakeEngine) -> Vec<String> {
    let requests = engine.requests().into_iter();
    requests
        .map(|request| format!("{} {}", request.method, request.target))
        .collect()
}
