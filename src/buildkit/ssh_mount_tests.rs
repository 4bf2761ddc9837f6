//! What a session serves: health and ssh mounts, with the fake engine as the client.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bollard_buildkit_proto::health::HealthCheckRequest;
use bollard_buildkit_proto::health::health_client::HealthClient;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_client::SshClient;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Streaming};

use super::fake::{FakeEngine, Sessions};
use super::session::Session;
use super::ssh_mount::{Serving, SshMounts};
use super::{MountService, RegistryAuth};
use crate::engine::Connection;
use crate::env::Env;

/// Sends back what it reads and says `bye` at its end.
struct Echo;

impl MountService for Echo {
    fn serve(&self, mut stream: Connection) -> Serving {
        Box::pin(async move {
            let mut buffer = [0; 1000];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
            let _ = stream.write_all(b"bye").await;
        })
    }
}

/// Does what its closure does.
struct Service<F>(F);

impl<F: Fn(Connection) -> Serving + Send + Sync> MountService for Service<F> {
    fn serve(&self, stream: Connection) -> Serving {
        (self.0)(stream)
    }
}

/// A session on a fake engine that serves `service` as the default ssh mount.
struct Served {
    session: Session,
    engine: FakeEngine,
    channel: tonic::transport::Channel,
}

/// A [`grace`](SshMounts::with_grace) that a test can wait for.
const SHORT: Duration = Duration::from_millis(500);

async fn serve(service: impl MountService + 'static) -> Served {
    serve_with(service, |mounts| mounts).await
}

async fn serve_with(
    service: impl MountService + 'static,
    change: impl FnOnce(SshMounts) -> SshMounts,
) -> Served {
    let mut engine = FakeEngine::start(Sessions::Keep, vec![]);
    let mounts: HashMap<String, Arc<dyn MountService>> =
        [("default".to_owned(), Arc::new(service) as _)].into();
    let (auth, _) = RegistryAuth::new(&Env::default());
    let mounts = change(SshMounts::new(mounts));
    let session = Session::open_with(&engine.connect().await, mounts, auth)
        .await
        .unwrap();
    let channel = engine.sessions.recv().await.unwrap();
    Served {
        session,
        engine,
        channel,
    }
}

impl Served {
    async fn forward(
        &self,
        id: &str,
    ) -> Result<(mpsc::Sender<BytesMessage>, Streaming<BytesMessage>), tonic::Status> {
        let (sender, receiver) = mpsc::channel(4);
        let mut request = Request::new(ReceiverStream::new(receiver));
        if !id.is_empty() {
            request
                .metadata_mut()
                .insert("buildkit.ssh.id", id.parse().unwrap());
        }
        let answer = SshClient::new(self.channel.clone())
            .forward_agent(request)
            .await?;
        Ok((sender, answer.into_inner()))
    }
}

fn message(data: &[u8]) -> BytesMessage {
    BytesMessage {
        data: data.to_vec(),
    }
}

async fn rest(mut stream: Streaming<BytesMessage>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(Some(message)) = stream.message().await {
        all.extend(message.data);
    }
    all
}

#[tokio::test]
async fn a_session_is_healthy_and_notices_its_end() {
    let served = serve(Echo).await;
    let mut health = HealthClient::new(served.channel.clone());
    let answer = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status, 1);
    let still = tokio::time::timeout(Duration::from_millis(100), served.session.lost()).await;
    assert!(still.is_err());
    drop((served.engine, health, served.channel));
    tokio::time::timeout(Duration::from_secs(2), served.session.lost())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_mount_is_a_pipe_that_can_be_half_closed() {
    let served = serve(Echo).await;
    let (sender, stream) = served.forward("").await.unwrap();
    let data: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    let sending = tokio::spawn({
        let data = data.clone();
        async move {
            for chunk in data.chunks(30_000) {
                sender.send(message(chunk)).await.unwrap();
            }
        }
    });
    let got = rest(stream).await;
    sending.await.unwrap();
    assert!(got == [&data[..], b"bye"].concat());
}

#[tokio::test]
async fn only_ids_that_are_served_are_there() {
    let served = serve(Echo).await;
    let mut ssh = SshClient::new(served.channel.clone());
    for (id, there) in [("", true), ("default", true), ("other", false)] {
        let id = id.to_owned();
        let checked = ssh.check_agent(CheckAgentRequest { id: id.clone() }).await;
        assert_eq!(checked.is_ok(), there);
        let forwarded = served.forward(&id).await;
        assert_eq!(
            forwarded.as_ref().err().map(tonic::Status::code),
            (!there).then_some(Code::NotFound)
        );
    }
}

#[tokio::test]
async fn both_ends_end_when_one_goes() {
    // The service closes.
    let served = serve(Service(|stream| {
        Box::pin(async move { drop(stream) }) as Serving
    }))
    .await;
    let (_sender, stream) = served.forward("").await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), rest(stream)).await;
    assert!(ended.unwrap().is_empty());

    // The engine's side closes, in two ways, and the service does not react.
    let (gone, mut ends) = mpsc::unbounded_channel::<()>();
    let stubborn = Service(move |stream: Connection| {
        let gone = gone.clone();
        Box::pin(async move {
            std::future::pending::<()>().await;
            drop((stream, gone));
        }) as Serving
    });
    let served = serve_with(stubborn, |mounts| mounts.with_grace(SHORT)).await;
    let (sender, stream) = served.forward("").await.unwrap();
    drop(stream);
    let (half_closed, waiting) = served.forward("").await.unwrap();
    drop(half_closed);
    let ended = tokio::time::timeout(Duration::from_millis(7700), rest(waiting)).await;
    assert!(ended.is_ok(), "a silent half-closed connection ends");
    drop(sender);
    let channel = served.channel.clone();
    drop(served);
    drop(channel);
    assert!(
        tokio::time::timeout(Duration::from_secs(6), ends.recv())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_slow_reader_holds_back_the_service_and_loses_nothing() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let flood = Service(move |mut stream: Connection| {
        let count = count.clone();
        Box::pin(async move {
            for _ in 0..1000 {
                if stream.write_all(&[7; 10_000]).await.is_err() {
                    return;
                }
                count.fetch_add(10_000, Ordering::Relaxed);
            }
        }) as Serving
    });
    let served = serve_with(flood, |mounts| mounts.with_grace(SHORT)).await;
    let (sender, stream) = served.forward("").await.unwrap();
    // The other side closes for writing and reads only later than the silence that ends a stream.
    drop(sender);
    tokio::time::sleep(3 * SHORT).await;
    let ahead = written.load(Ordering::Relaxed);
    assert!(ahead < 4_000_000, "{ahead} bytes are held in memory");
    assert_eq!(rest(stream).await.len(), 10_000_000);
}

#[tokio::test]
async fn a_panic_or_too_many_connections_leave_the_others_alone() {
    let served = serve(Service(|mut stream: Connection| {
        Box::pin(async move {
            let first = stream.read_u8().await.unwrap_or_default();
            assert!(first != b'!', "a service with a bug");
            let _ = stream.write_all(&[first]).await;
        }) as Serving
    }))
    .await;
    let (panics, panicked) = served.forward("").await.unwrap();
    panics.send(message(b"!")).await.unwrap();
    assert!(rest(panicked).await.is_empty());
    let mut open = Vec::new();
    let refused = loop {
        match served.forward("").await {
            Ok(stream) => open.push(stream),
            Err(status) => break status,
        }
        assert!(open.len() < 100);
    };
    assert_eq!((refused.code(), open.len()), (Code::ResourceExhausted, 64));
    let (sender, stream) = open.pop().unwrap();
    sender.send(message(b"x")).await.unwrap();
    assert_eq!(rest(stream).await, b"x");
}
