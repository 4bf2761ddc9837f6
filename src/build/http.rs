//! One HTTP/1.1 request on a connection of its own: what `/session`, `/build` and its cancellation
//! need and no client library offers.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::error::Result;

/// How much of an error's body is read, in bytes.
const ERROR_BODY: usize = 64 * 1024;

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(super) struct AbortOnDrop<T>(pub JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request for `POST path`.
pub(super) fn post(engine: &Engine, path: &str) -> hyper::http::request::Builder {
    Request::post(engine.versioned(path))
}

/// Sends `request` and waits for the head of the answer.
pub(super) async fn send(
    engine: &Engine,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>> {
    let path = request.uri().path().to_owned();
    let attempt = format!("cannot ask the Docker Engine for `{path}`");
    engine.send(request, &attempt).await
}

/// The message of an answer that is an error: the engine's own, from its JSON.
pub(super) async fn refusal(response: Response<Incoming>) -> String {
    let status = response.status();
    let body = Limited::new(response.into_body(), ERROR_BODY)
        .collect()
        .await;
    let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
    message(status, &bytes)
}

fn message(status: StatusCode, body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let told = json.as_ref().and_then(|json| json["message"].as_str());
    match told {
        Some(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => match String::from_utf8_lossy(body).trim() {
            "" => format!("status {status}"),
            text => format!(
                "status {status}: {}",
                text.lines().next().unwrap_or_default()
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_engines_message_or_else_the_status() {
        let refused = |body: &str| message(StatusCode::BAD_REQUEST, body.as_bytes());
        assert_eq!(refused("{\"message\":\"bad tag\"}\n"), "bad tag");
        assert_eq!(refused(""), "status 400 Bad Request");
        assert_eq!(
            refused("page not found\nx"),
            "status 400 Bad Request: page not found"
        );
    }
}
