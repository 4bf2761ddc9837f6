//! A BuildKit session: the engine sends requests to dkr over it while it builds.
//!
//! dkr opens a connection, and on it the *engine* is the gRPC client. The engine checks the
//! session's health (Engine 20.10: each second, giving up at the first failure), so nothing may
//! block the runtime. The protocol: moby `api/server/backend/build` and BuildKit `session/manager.go`
//! and `session/grpc.go`.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard_buildkit_proto::moby::filesync::v1::auth_server::AuthServer;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{CONNECTION, UPGRADE};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::RegistryAuth;
use super::ssh_mount::{MountService, SshMounts};
use crate::engine::error::refusal;
use crate::engine::{Engine, Versions};
use crate::error::{self, Error};

/// The methods that the engine may call, announced when the session opens.
const METHODS: [&str; 7] = [
    "/grpc.health.v1.Health/Check",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.filesync.v1.Auth/FetchToken",
    "/moby.filesync.v1.Auth/GetTokenAuthority",
    "/moby.filesync.v1.Auth/VerifyTokenAuthority",
];
/// How long the engine may take to open a session.
const OPENING: Duration = Duration::from_secs(10);
/// How long an engine may be silent before it is pinged, and how long it may take to answer: a remote
/// one can vanish without closing the connection.
const SILENCE: Duration = Duration::from_secs(3);
const PONG: Duration = Duration::from_secs(10);
/// The error message for a session that cannot be opened.
const REFUSED: &str = "cannot open a build session with the Docker Engine";
/// Streams at a time: the connections to ssh mounts, and some for the engine's own requests.
const MAX_STREAMS: u32 = 128;

/// An open session. Dropping it closes it.
#[derive(Debug)]
pub struct Session {
    id: String,
    mounts_asked: Arc<AtomicUsize>,
    alive: watch::Receiver<()>,
    _serving: AbortOnDropHandle<()>,
}

impl Session {
    /// Opens a session in which `mounts` answer ssh mounts and `auth` answers for registries.
    ///
    /// # Errors
    /// When the engine cannot be reached or has no sessions of this kind.
    pub async fn open(
        engine: &Engine,
        mounts: HashMap<String, Arc<dyn MountService>>,
        auth: RegistryAuth,
    ) -> error::Result<Self> {
        Self::open_with(engine, SshMounts::new(mounts), auth).await
    }

    pub(super) async fn open_with(
        engine: &Engine,
        mounts: SshMounts,
        auth: RegistryAuth,
    ) -> error::Result<Self> {
        let id = random_id();
        let opening = tokio::time::timeout(OPENING, open_stream(engine, &id)).await;
        let stream = opening
            .map_err(|_| refused().cause(format!("no answer within {} s", OPENING.as_secs())))??;
        let mounts_asked = mounts.asked();
        let routes = Routes::new(HealthServer::new(Alive))
            .add_service(SshServer::new(mounts))
            .add_service(AuthServer::new(auth))
            .prepare();
        let (ended, alive) = watch::channel(());
        let serving = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server
                .timer(TokioTimer::new())
                .keep_alive_interval(SILENCE)
                .keep_alive_timeout(PONG)
                .max_concurrent_streams(MAX_STREAMS);
            let serving = server.serve_connection(stream, TowerToHyperService::new(routes));
            // If it ends for any reason, the session is lost.
            let _ = serving.await;
            drop(ended);
        }));
        Ok(Session {
            id,
            mounts_asked,
            alive,
            _serving: serving,
        })
    }

    /// The id under which the engine knows the session.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How often the engine asked this session for an ssh mount.
    pub(super) fn mounts_asked(&self) -> usize {
        self.mounts_asked.load(Ordering::Relaxed)
    }

    /// Completes when the engine ended the session or is gone.
    pub async fn lost(&self) {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
    }
}

/// 128 random bits in hexadecimal.
pub(super) fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The byte stream of a new session, on which the engine speaks HTTP/2 as a client. Engines that
/// retire `/session` take the same stream, its headers as metadata, through the gRPC method
/// `moby.buildkit.v1.Control/Session`: that would be opened here.
async fn open_stream(engine: &Engine, id: &str) -> error::Result<hyper::upgrade::Upgraded> {
    let mut request = hyper::Request::post(engine.versioned("/session"))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "h2c")
        .header("X-Docker-Expose-Session-Uuid", id);
    for method in METHODS {
        request = request.header("X-Docker-Expose-Session-Grpc-Method", method);
    }
    let request = request
        .body(Full::default())
        .map_err(|e| Error::bug("cannot form the request for a session").source(e))?;
    let response = engine.send(request, REFUSED).await?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {
            let stream = hyper::upgrade::on(response).await;
            stream.map_err(|e| refused().source(e))
        }
        StatusCode::NOT_FOUND => Err(without_sessions(engine)),
        _ => Err(refusal(REFUSED, response).await),
    }
}

/// Engine 29.2 (API 1.53) announced that a later one will have no `/session` any more.
fn without_sessions(engine: &Engine) -> Error {
    let Versions { engine, api } = engine.versions();
    refused()
        .cause(format!(
            "Docker Engine {engine} has no `/session` in API version {api}; engines 20.10 to 29 have it"
        ))
        .hint("set `DOCKER_HOST` to an engine of such a version, or update dkr")
}

fn refused() -> Error {
    Error::failed(REFUSED)
}

/// Answers the engine's health checks: a session that answers is healthy.
struct Alive;

#[tonic::async_trait]
impl Health for Alive {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse {
            status: ServingStatus::Serving.into(),
        }))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("only `Check` is served"))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only `Check` is served"))
    }
}
