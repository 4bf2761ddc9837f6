//! The fake engine in unit tests.

use testkit::{Answer, FakeEngine};

use crate::env::Env;

/// Answers each request (`GET /path` without the API's version, any query) with a status and a body,
/// and all others with 404; hangs up if the status is 0.
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

/// The environment that selects it.
pub fn env(engine: &FakeEngine) -> Env {
    Env::from_iter([("DOCKER_HOST", engine.host())])
}

/// The requests so far: method and path with query.
pub fn asked(engine: &FakeEngine) -> Vec<String> {
    let requests = engine.requests().into_iter();
    requests
        .map(|request| format!("{} {}", request.method, request.target))
        .collect()
}
