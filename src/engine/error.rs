//! Converts errors of the engine to dkr's, for bollard's requests and dkr's own. The
//! engine's messages are parsed only here; code that handles a refusal checks its [`Reason`].

use bollard::errors::Error as BollardError;
use http_body_util::{BodyExt, Limited};
use hyper::Response;
use hyper::body::Incoming;
use serde::Deserialize;

use super::http::PATIENCE;
use crate::error::{Error, Kind, Reason};

/// The most to read of a refusal, in bytes.
const LONGEST: usize = 64 * 1024;

/// Engine API, `ErrorResponse`.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// The error of a bollard request that was refused or not answered; `attempt` says what was
/// attempted. Status 404 becomes [`Kind::NotFound`].
pub(super) fn failed(attempt: impl Into<String>, why: BollardError) -> Error {
    match why {
        BollardError::DockerResponseServerError {
            status_code,
            message,
        } => refused(attempt, status_code, &message),
        BollardError::RequestTimeoutError => {
            Error::failed(attempt).cause(format!("no answer within {} minutes", PATIENCE / 60))
        }
        other => Error::failed(attempt).source(other),
    }
}

/// The error of one of dkr's own requests that was refused.
pub async fn refusal(attempt: impl Into<String>, answer: Response<Incoming>) -> Error {
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    refused(attempt, status, &message(&body))
}

/// The message in the body of a refusal; the first line if the body is not the engine's JSON.
fn message(body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(Refusal { message }) => message,
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            text.trim().lines().next().unwrap_or_default().to_owned()
        }
    }
}

fn refused(attempt: impl Into<String>, status: u16, message: &str) -> Error {
    // The engine answers 500 for an image whose removal is in progress (moby, `image/store.go`).
    let kind = match status {
        404 => Kind::NotFound,
        500 if message.starts_with("unrecognized image ID") => Kind::NotFound,
        _ => Kind::Failed,
    };
    let cause = match message.trim() {
        "" => format!("the engine answered with status {status}"),
        text => text.to_owned(),
    };
    Error::new(kind, attempt)
        .reason(reason(status, message))
        .cause(cause)
}

/// Why the engine refused. Where the status is ambiguous, the message decides: moby, `daemon/delete.go`
/// (409), `daemon/disk_usage.go` (500) and `daemon/devices_linux.go` (500).
fn reason(status: u16, message: &str) -> Option<Reason> {
    let says = |words: &str| message.contains(words);
    if says("is already in progress") || says("disk usage operation is already running") {
        return Some(Reason::InProgress);
    }
    if says("could not select device driver") {
        return Some(Reason::NoGpuDriver);
    }
    (status == 409).then_some(Reason::Conflict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_engines_message_or_else_the_status() {
        let refused = |status, body: &str| refused("cannot x", status, &message(body.as_bytes()));
        let causes = |status, body| refused(status, body).causes;
        assert_eq!(causes(400, "{\"message\":\"bad tag\"}\n"), ["bad tag"]);
        assert_eq!(causes(400, "page not found\nx"), ["page not found"]);
        let silent = "the engine answered with status 500";
        for body in ["", " \n", "{\"message\":\" \"}"] {
            assert_eq!(causes(500, body), [silent], "{body}");
        }
        assert_eq!(refused(500, "").kind, Kind::Failed);
        assert_eq!(refused(404, "gone").kind, Kind::NotFound);
        let removed = "{\"message\":\"unrecognized image ID sha256:28de\"}";
        assert_eq!(refused(500, removed).kind, Kind::NotFound);
    }

    #[test]
    fn why_it_refused_is_told_by_the_status_and_the_engines_words() {
        let removing = "removal of container c1 is already in progress";
        let counting = "a disk usage operation is already running";
        let gpus = "could not select device driver \"\" with capabilities: [[gpu]]";
        for (status, message, expected) in [
            (409, removing, Some(Reason::InProgress)),
            (500, counting, Some(Reason::InProgress)),
            (500, gpus, Some(Reason::NoGpuDriver)),
            (409, "container c1 is not running", Some(Reason::Conflict)),
            (500, "out of cheese", None),
            (404, "No such container: c1", None),
        ] {
            assert_eq!(refused("cannot x", status, message).reason, expected);
        }
    }
}
