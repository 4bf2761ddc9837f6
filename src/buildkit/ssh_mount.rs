//! What `RUN --mount=type=ssh,id=ID` connects to: BuildKit's `moby.sshforward.v1.SSH` service.
//!
//! To the engine such a mount is an opaque byte pipe (BuildKit, `session/sshforward/copy.go`), so an
//! id may be served by an SSH agent or by any other [`MountService`].

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{
    BytesMessage, CheckAgentRequest, CheckAgentResponse,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::engine::Connection;

/// The id of a mount that names none (BuildKit, `session/sshforward/sshprovider`).
const DEFAULT_ID: &str = "default";
/// The metadata key by which `ForwardAgent` names the id (BuildKit, `session/sshforward/ssh.go`).
const ID_KEY: &str = "buildkit.ssh.id";
/// How many connections are served at a time.
const MAX_CONNECTIONS: usize = 64;
/// Bytes in one message; an engine's limit for a message is 4 MiB or more.
const CHUNK: usize = 64 * 1024;
/// Bytes held in each direction between a service and the engine.
const BUFFER: usize = 256 * 1024;
/// Half of the time after which an idle connection whose other side is gone is closed; also how long
/// a service may take to end by itself.
const GRACE: Duration = Duration::from_millis(2500);

/// The task of a service for one connection.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Answers the connections that a build step makes to one ssh mount.
pub trait MountService: Send + Sync {
    /// Serves one connection until either side closes it. When the step's side is gone, reading
    /// gives an end of file and writing fails; a service that continues regardless is dropped.
    fn serve(&self, stream: Connection) -> Serving;
}

/// The services of a session by their ids.
pub(super) struct SshMounts {
    services: HashMap<String, Arc<dyn MountService>>,
    free: Arc<Semaphore>,
    asked: Arc<AtomicUsize>,
    grace: Duration,
}

impl SshMounts {
    pub(super) fn new(services: HashMap<String, Arc<dyn MountService>>) -> Self {
        SshMounts {
            services,
            free: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            asked: Arc::default(),
            grace: GRACE,
        }
    }

    /// The same with another [`GRACE`].
    #[cfg(test)]
    pub(super) fn with_grace(self, grace: Duration) -> Self {
        SshMounts { grace, ..self }
    }

    /// Counts how often the engine asked for a mount: once for each mount of each step that runs.
    pub(super) fn asked(&self) -> Arc<AtomicUsize> {
        self.asked.clone()
    }

    fn find(&self, id: &str) -> Result<Arc<dyn MountService>, Status> {
        let id = if id.is_empty() { DEFAULT_ID } else { id };
        let service = self.services.get(id).cloned();
        service
            .ok_or_else(|| Status::not_found(format!("dkr serves no ssh mount with the id `{id}`")))
    }
}

#[tonic::async_trait]
impl Ssh for SshMounts {
    type ForwardAgentStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.find(&request.get_ref().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get(ID_KEY);
        let service = self.find(id.and_then(|id| id.to_str().ok()).unwrap_or_default())?;
        let permit = self.free.clone().try_acquire_owned();
        let permit = permit.map_err(|_| {
            Status::resource_exhausted("too many simultaneous connections to ssh mounts")
        })?;
        let (to_engine, messages) = mpsc::channel(1);
        let incoming = request.into_inner();
        let grace = self.grace;
        tokio::spawn(async move {
            forward(service, incoming, to_engine, grace).await;
            drop(permit);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

/// Connects one gRPC stream with one service until either is gone.
async fn forward(
    service: Arc<dyn MountService>,
    incoming: Streaming<BytesMessage>,
    to_engine: mpsc::Sender<Result<BytesMessage, Status>>,
    grace: Duration,
) {
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    // A task of its own, so that a service that panics takes down its connection only.
    let mut serving = tokio::spawn(service.serve(Box::new(theirs)));
    let (from_service, to_service) = tokio::io::split(ours);
    let progress = Progress::default();
    tokio::select! {
        () = send(from_service, &to_engine, &progress) => {}
        () = receive(incoming, to_service, &progress, grace) => {}
    }
    drop(to_engine);
    if tokio::time::timeout(grace, &mut serving).await.is_err() {
        serving.abort();
    }
}

/// What the receiving direction must know of the sending one.
#[derive(Default)]
struct Progress {
    sent: AtomicU64,
    /// A message waits for the engine to take it.
    waiting: AtomicBool,
}

/// Service to engine, until the service closes its side or the engine's is gone.
async fn send(
    mut from_service: ReadHalf<tokio::io::DuplexStream>,
    to_engine: &mpsc::Sender<Result<BytesMessage, Status>>,
    progress: &Progress,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = tokio::select! {
            read = from_service.read(&mut buffer) => read,
            () = to_engine.closed() => return,
        };
        let data = match read {
            Ok(0) | Err(_) => return,
            Ok(count) => buffer[..count].to_vec(),
        };
        progress.waiting.store(true, Ordering::Relaxed);
        if to_engine.send(Ok(BytesMessage { data })).await.is_err() {
            return;
        }
        progress.waiting.store(false, Ordering::Relaxed);
        progress.sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// Engine to service. After the step closed its side for writing the service may still answer; the
/// engine reports a step that closed both sides in the same way, so silence ends the connection.
async fn receive(
    mut incoming: Streaming<BytesMessage>,
    mut to_service: WriteHalf<tokio::io::DuplexStream>,
    progress: &Progress,
    grace: Duration,
) {
    loop {
        match incoming.message().await {
            Ok(Some(message)) => {
                if to_service.write_all(&message.data).await.is_err() {
                    // The service has stopped reading; what it still sends is delivered.
                    break;
                }
            }
            Ok(None) => break,
            Err(_) => return,
        }
    }
    if to_service.shutdown().await.is_err() {
        return;
    }
    let mut silent = 0;
    while silent < 2 {
        let before = progress.sent.load(Ordering::Relaxed);
        tokio::time::sleep(grace / 2).await;
        let moved = progress.sent.load(Ordering::Relaxed) != before;
        let busy = moved || progress.waiting.load(Ordering::Relaxed);
        silent = if busy { 0 } else { silent + 1 };
    }
}
