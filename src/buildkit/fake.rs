//! A stand-in for a Docker Engine on a unix socket, for faults that cannot be provoked in a
//! real one. It accepts connections, speaks just enough HTTP, and plays the scripted answer to `/build`.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::engine::Engine;
use crate::env::Env;

type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

/// What the engine does with a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sessions {
    Keep,
    DropAfter(Duration),
    NotFound,
}

/// One act of the answer to `/build`.
#[derive(Clone)]
pub(super) enum Act {
    Say(String),
    Wait(Duration),
    WaitFor(Arc<Notify>),
    /// Break the connection off.
    Break,
    /// Stop listening and break everything off.
    Die,
    /// Answer with this status and body instead.
    Refuse(StatusCode, &'static str),
}

/// What the engine was asked, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Session,
    Build(String),
    Cancel(String),
}

/// The engine. It ends when this is dropped.
pub(super) struct FakeEngine {
    socket: PathBuf,
    pub(super) asked: mpsc::UnboundedReceiver<Asked>,
    /// A client on each session that was opened.
    pub(super) sessions: mpsc::UnboundedReceiver<Channel>,
    listening: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

struct Script {
    sessions: Sessions,
    build: Vec<Act>,
    asked: mpsc::UnboundedSender<Asked>,
    clients: mpsc::UnboundedSender<Channel>,
    dying: tokio::sync::watch::Sender<bool>,
}

impl FakeEngine {
    pub(super) fn start(sessions: Sessions, build: Vec<Act>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (asked_sender, asked) = mpsc::unbounded_channel();
        let (clients_sender, clients) = mpsc::unbounded_channel();
        let script = Arc::new(Script {
            sessions,
            build,
            asked: asked_sender,
            clients: clients_sender,
            dying: tokio::sync::watch::Sender::new(false),
        });
        let listening = tokio::spawn(listen(listener, script));
        FakeEngine {
            socket,
            asked,
            sessions: clients,
            listening,
            _folder: folder,
        }
    }

    pub(super) async fn connect(&self) -> Engine {
        let host = format!("unix://{}", self.socket.display());
        Engine::connect(&Env::from_iter([("DOCKER_HOST", host)]))
            .await
            .unwrap()
    }
}

async fn listen(listener: UnixListener, script: Arc<Script>) {
    let mut dying = script.dying.subscribe();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            _ = dying.wait_for(|dying| *dying) => return,
        };
        tokio::spawn(converse(stream, script.clone()));
    }
}

async fn converse(stream: UnixStream, script: Arc<Script>) {
    let mut dying = script.dying.subscribe();
    let service = service_fn(move |request| answer(request, script.clone()));
    let http = hyper::server::conn::http1::Builder::new();
    let connection = http
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        _ = connection => {}
        _ = dying.wait_for(|dying| *dying) => {}
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Script>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let unversioned = path.strip_prefix("/v1.41").unwrap_or(&path);
    Ok(match unversioned {
        "/session" if script.sessions == Sessions::NotFound => {
            plain(StatusCode::NOT_FOUND, "{\"message\":\"page not found\"}")
        }
        "/session" => {
            script.asked.send(Asked::Session).unwrap();
            tokio::spawn(open_session(request, script));
            let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
            let response = response
                .header("connection", "Upgrade")
                .header("upgrade", "h2c");
            response.body(full("")).unwrap()
        }
        "/build" => {
            let tar = request.into_body().collect().await.unwrap().to_bytes();
            assert!(tar.len() % 512 == 0 && !tar.is_empty());
            let _ = script.asked.send(Asked::Build(query));
            if let Some(Act::Refuse(status, body)) = script.build.first() {
                plain(*status, body)
            } else {
                let (sender, receiver) = mpsc::channel(1);
                tokio::spawn(play(script, sender));
                let body = StreamBody::new(ReceiverStream::new(receiver));
                Response::new(BodyExt::boxed(body))
            }
        }
        "/build/cancel" => {
            let _ = script.asked.send(Asked::Cancel(query));
            plain(StatusCode::OK, "")
        }
        // The first request of any client.
        _ => plain(
            StatusCode::OK,
            "{\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\",\"Version\":\"20.10.24\"}",
        ),
    })
}

async fn open_session(request: Request<Incoming>, script: Arc<Script>) {
    let upgraded = hyper::upgrade::on(request).await.unwrap();
    let mut dying = script.dying.subscribe();
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut upgraded, mut theirs) = (TokioIo::new(upgraded), theirs);
    let end = script.sessions;
    tokio::spawn(async move {
        let limit = match end {
            Sessions::DropAfter(limit) => limit,
            _ => Duration::from_secs(3600),
        };
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut upgraded, &mut theirs) => {}
            () = tokio::time::sleep(limit) => {}
            _ = dying.wait_for(|dying| *dying) => {}
        }
    });
    let mut ours = Some(TokioIo::new(ours));
    let connector = tower::service_fn(move |_| {
        let stream = ours
            .take()
            .ok_or_else(|| std::io::Error::other("one connection only"));
        std::future::ready(stream)
    });
    if let Ok(channel) = Endpoint::from_static("http://session")
        .connect_with_connector(connector)
        .await
    {
        let _ = script.clients.send(channel);
    }
}

async fn play(script: Arc<Script>, sender: mpsc::Sender<std::io::Result<Frame<Bytes>>>) {
    for act in &script.build {
        match act {
            Act::Say(text) => {
                if sender
                    .send(Ok(Frame::data(Bytes::from(text.clone()))))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Act::Wait(time) => tokio::time::sleep(*time).await,
            Act::WaitFor(told) => told.notified().await,
            Act::Break => {
                let _ = sender.send(Err(std::io::Error::other("broken off"))).await;
            }
            Act::Die => {
                script.dying.send_replace(true);
                // The answer ends prematurely.
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            Act::Refuse(..) => {}
        }
    }
}

fn full(text: &'static str) -> Body {
    BodyExt::boxed(Full::new(Bytes::from_static(text.as_bytes())).map_err(|e| match e {}))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let response = Response::builder()
        .status(status)
        .header("api-version", "1.41");
    response.body(full(text)).unwrap()
}
