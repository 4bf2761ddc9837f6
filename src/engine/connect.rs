//! The connection to the engine that the user named. All other modules start from here.
//!
//! bollard's requests and dkr's own share one way to open a byte stream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bollard::{ClientVersion, Docker};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::context::{NamedEndpoint, named_engine};
use super::dial::Dialer;
use super::endpoint::Endpoint;
use super::http;
use super::info::EngineInfo;
use super::version::{Versions, negotiate};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::text::excerpt;

/// How long an engine may take to answer with its version. Behind a socket of systemd, the engine
/// answers only once systemd has started it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most to read of that answer, in bytes.
const ANSWER: usize = 1024 * 1024;

/// A Docker Engine that answered. Clones are handles of the same engine.
#[derive(Debug, Clone)]
pub struct Engine {
    dialer: Arc<Dialer>,
    docker: Docker,
    versions: Versions,
    pub(super) info: Arc<OnceCell<EngineInfo>>,
}

impl Engine {
    /// Connects to the engine that the environment names and negotiates an API version.
    ///
    /// # Errors
    /// When the name is invalid, no engine answers there, or it is too old.
    pub async fn connect(env: &Env) -> Result<Self> {
        Self::connect_to(named_engine(env)?).await
    }

    async fn connect_to(named: NamedEndpoint) -> Result<Self> {
        let dialer = Arc::new(Dialer::new(named)?);
        let versions = match timeout(PATIENCE, ask_version(&dialer)).await {
            Ok(versions) => versions?,
            Err(_) => {
                let text = format!("no answer within {} seconds", PATIENCE.as_secs());
                let why = std::io::Error::new(std::io::ErrorKind::TimedOut, text);
                return Err(dialer.refused(&why));
            }
        };
        let spoken = ClientVersion {
            major_version: versions.api.major.into(),
            minor_version: versions.api.minor.into(),
        };
        let docker = http::client(Arc::clone(&dialer), spoken)
            .map_err(|e| Error::bug("cannot set up the client of the Docker Engine").source(e))?;
        Ok(Engine {
            dialer,
            docker,
            versions,
            info: Arc::default(),
        })
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// bollard's client, for everything that bollard supports.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The engine's version and the API version in use.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// `path` (`/build?…`) with the negotiated API version, for dkr's own requests.
    pub fn versioned(&self, path: &str) -> String {
        format!("/v{}{path}", self.versions.api)
    }

    /// Where the engine is, as `DOCKER_HOST` would name it: `unix:///var/run/docker.sock`.
    pub fn describe(&self) -> String {
        self.endpoint().to_string()
    }

    /// Where the engine is.
    pub fn endpoint(&self) -> &Endpoint {
        self.dialer.endpoint()
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Docker Engine {} at `{}`",
            self.versions.engine,
            self.describe()
        )
    }
}

/// The answer to `GET /version` (Docker API, `SystemVersion`).
#[derive(Deserialize)]
struct VersionAnswer {
    #[serde(rename = "Version", default)]
    engine: String,
    #[serde(rename = "ApiVersion")]
    newest: Option<String>,
    #[serde(rename = "MinAPIVersion")]
    oldest: Option<String>,
}

async fn ask_version(dialer: &Dialer) -> Result<Versions> {
    let request = Request::get("/version")
        .body(Empty::<Bytes>::new())
        .expect("a constant path makes a request");
    let answer = http::send(dialer, request).await;
    let answer = answer.map_err(|e| dialer.refused(&e))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER).collect().await;
    let body = body.map_err(|e| dialer.refused(&std::io::Error::other(e)))?;
    let body = body.to_bytes();
    let said: Option<VersionAnswer> = serde_json::from_slice(&body).ok();
    match said {
        Some(said) if status == StatusCode::OK => {
            negotiate(&said.engine, said.newest.as_deref(), said.oldest.as_deref())
        }
        _ => {
            let mut why = format!("it does not respond like a Docker Engine (status {status})");
            if let Some(line) = first_line(&body) {
                why = format!("{why}: {line}");
            }
            Err(dialer.refused(&std::io::Error::other(why)))
        }
    }
}

/// The first line of a text answer, cleaned for a message.
fn first_line(body: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(body).ok()?.lines().next()?.trim();
    (!line.is_empty()).then(|| excerpt(line, 120))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::engine::testing::{asked, env, fake};

    async fn refused(host: &str) -> Error {
        let env = Env::from_iter([("DOCKER_HOST", host)]);
        Engine::connect(&env).await.unwrap_err()
    }

    #[tokio::test]
    async fn an_engine_is_connected_to_and_its_version_spoken() {
        let fake = fake([("GET /info", 200, "{}")]);
        let engine = Engine::connect(&env(&fake)).await.unwrap();
        assert_eq!(engine.versions().engine, "20.10.24");
        assert_eq!(engine.versions().api.to_string(), "1.41");
        assert_eq!(engine.describe(), fake.host());
        assert_eq!(engine.versioned("/build?t=x"), "/v1.41/build?t=x");
        engine.docker().info().await.unwrap();
        assert_eq!(asked(&fake), ["GET /version", "GET /v1.41/info"]);
    }

    #[tokio::test]
    async fn an_old_engine_is_refused_with_both_versions() {
        let answer = r#"{"Version":"19.03.1","ApiVersion":"1.40","MinAPIVersion":"1.12"}"#;
        let fake = fake([("GET /version", 200, answer)]);
        let error = Engine::connect(&env(&fake)).await.unwrap_err().to_string();
        assert!(
            error.contains("19.03.1") && error.contains("1.40") && error.contains("1.41"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_is_no_engine_is_told() {
        for (status, answer) in [
            (200, "<html>\n<body>"),
            (502, "{}"),
            (404, ""),
            (400, "\u{1b}[1m"),
        ] {
            let fake = fake([("GET /version", status, answer)]);
            let error = Engine::connect(&env(&fake)).await.unwrap_err();
            assert!(!error.causes[0].contains(['\u{1b}', '\n']), "{error}");
            assert!(
                error.causes[0].contains("does not respond like a Docker Engine"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn an_absent_socket_is_told_at_once() {
        let began = Instant::now();
        let error = refused("unix:///nowhere/docker.sock").await.to_string();
        assert_eq!(
            error,
            "error: cannot connect to the Docker Engine at `unix:///nowhere/docker.sock`\n  \
             caused by: no such socket\n\
             hint: start it (`systemctl start docker`), or set `DOCKER_HOST`"
        );
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_socket_that_nobody_listens_on_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let error = refused(&format!("unix://{}", path.display())).await;
        assert_eq!(error.causes, ["nothing listens on the socket"]);
    }

    #[tokio::test]
    async fn an_engine_that_hangs_up_is_told() {
        let fake = fake([("GET /version", 0, "")]);
        let error = Engine::connect(&env(&fake)).await.unwrap_err();
        assert!(
            error
                .message
                .starts_with("cannot connect to the Docker Engine"),
            "{error}"
        );
        assert_eq!(error.causes.len(), 1, "{error}");
    }

    #[tokio::test]
    async fn nothing_else_is_tried_when_the_named_engine_is_gone() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = refused(&format!("tcp://127.0.0.1:{port}")).await;
        assert!(
            error
                .message
                .ends_with(&format!("`tcp://127.0.0.1:{port}`")),
            "{error}"
        );
    }
}
