//! dkr's own requests on a new connection, where bollard does not suffice: hijacked streams whose
//! write side must be closed separately, and answers whose head is needed before the body.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use super::connect::Engine;
use super::error::refusal;
use super::http;
use crate::error::{Error, Result};

/// The engine's connection as a plain byte stream, after an upgrade.
pub(super) type Hijacked = TokioIo<hyper::upgrade::Upgraded>;

/// Posts to `path`, including the query, and returns the answer once its head has arrived. `attempt` is
/// the message of the error.
pub(super) async fn post(engine: &Engine, path: &str, attempt: &str) -> Result<Response<Incoming>> {
    let answer = send(engine, path, None, false, attempt).await?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    Err(refusal(attempt, answer).await)
}

/// Gets the JSON at `path`, including the query.
pub(super) async fn get<T: DeserializeOwned>(
    engine: &Engine,
    path: &str,
    attempt: &str,
) -> Result<T> {
    let request = Request::get(engine.versioned(path)).body(Full::default());
    let request = request.map_err(|e| Error::bug(attempt).source(e))?;
    let answer = engine.send(request, attempt).await?;
    if !answer.status().is_success() {
        return Err(refusal(attempt, answer).await);
    }
    read(answer, attempt).await
}

/// The body of an answer as JSON.
pub(super) async fn read<T: DeserializeOwned>(
    answer: Response<Incoming>,
    attempt: &str,
) -> Result<T> {
    let body = answer.into_body().collect().await;
    let body = body.map_err(|e| Error::failed(attempt).source(e))?;
    let body = body.to_bytes();
    serde_json::from_slice(&body).map_err(|e| Error::failed(attempt).source(e))
}

/// Posts `body` as JSON to `path` and takes over the connection as a byte stream, which
/// `/containers/ID/attach` and `/exec/ID/start` support.
pub(super) async fn hijack(
    engine: &Engine,
    path: &str,
    body: Option<String>,
    attempt: &str,
) -> Result<Hijacked> {
    let answer = send(engine, path, body, true, attempt).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(attempt, answer).await);
    }
    let upgraded = hyper::upgrade::on(answer).await;
    Ok(TokioIo::new(
        upgraded.map_err(|e| Error::failed(attempt).source(e))?,
    ))
}

async fn send(
    engine: &Engine,
    path: &str,
    body: Option<String>,
    upgrade: bool,
    attempt: &str,
) -> Result<Response<Incoming>> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(engine.versioned(path));
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    if upgrade {
        request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
    }
    let request = request
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|e| Error::bug(attempt).source(e))?;
    engine.send(request, attempt).await
}

impl Engine {
    /// Sends a request on a new connection and waits for the head of the answer. The connection
    /// closes when the answer's body, or the upgraded stream, is dropped. `attempt` is the message of
    /// the error.
    ///
    /// # Errors
    /// When the engine cannot be reached or hangs up.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        attempt: &str,
    ) -> Result<Response<Incoming>> {
        let sent = http::send(self.dialer(), request).await;
        sent.map_err(|e| Error::failed(attempt).source(e))
    }
}
