//! Opens byte streams to an engine's endpoint. Only `connect` calls it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::context::{EndpointSource, NamedEndpoint};
use super::endpoint::{Endpoint, bracketed};
use super::ssh::Ssh;
use super::tls;
use crate::error::{Error, Result};

/// A byte stream in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// An open connection to an engine. Shutting down the writing side signals the end of input to the
/// engine; dropping it closes the connection.
pub type Connection = Box<dyn Io>;

/// The time limit for opening a local or TCP connection.
const UNIX_PATIENCE: Duration = Duration::from_secs(2);
const TCP_PATIENCE: Duration = Duration::from_secs(5);

/// Opens connections to one endpoint.
#[derive(Debug)]
pub(super) struct Dialer {
    named: NamedEndpoint,
    tls: Option<Arc<ClientConfig>>,
    ssh: Option<Ssh>,
}

impl Dialer {
    /// Prepares connections: reads the files that TLS needs.
    pub(super) fn new(named: NamedEndpoint) -> Result<Self> {
        let tls = match &named.endpoint {
            Endpoint::Tcp { tls: Some(tls), .. } => Some(Arc::new(tls::client_config(tls)?)),
            _ => None,
        };
        let ssh = match &named.endpoint {
            Endpoint::Ssh {
                user,
                host,
                port,
                socket,
            } => {
                let ssh = Ssh::new(user.as_deref(), host, *port, socket.as_deref());
                Some(ssh.map_err(|e| Error::failed("cannot make a temporary file").source(e))?)
            }
            _ => None,
        };
        Ok(Dialer { named, tls, ssh })
    }

    /// Where the engine is.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.named.endpoint
    }

    /// The value of the `Host` header. An engine behind a socket ignores it.
    pub(super) fn host_header(&self) -> String {
        match self.endpoint() {
            Endpoint::Tcp { host, port, .. } => format!("{}:{port}", bracketed(host)),
            _ => "docker".to_owned(),
        }
    }

    /// Opens a connection.
    pub(super) async fn dial(&self) -> io::Result<Connection> {
        match self.endpoint() {
            Endpoint::Unix(path) => Ok(Box::new(
                within(UNIX_PATIENCE, UnixStream::connect(path)).await?,
            )),
            Endpoint::Tcp { host, port, .. } => {
                within(TCP_PATIENCE, self.dial_tcp(host, *port)).await
            }
            Endpoint::Ssh { .. } => {
                let ssh = self.ssh.as_ref().expect("it was made with the endpoint");
                ssh.dial().await
            }
        }
    }

    /// Why a connection was lost, if `ssh` reported it.
    pub(super) async fn explained(&self, why: io::Error) -> io::Error {
        let Some(ssh) = &self.ssh else {
            return why;
        };
        match ssh.complaint().await {
            Some(words) => io::Error::new(why.kind(), words),
            None => why,
        }
    }

    async fn dial_tcp(&self, host: &str, port: u16) -> io::Result<Connection> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(tls))
            .connect(name, stream)
            .await;
        Ok(Box::new(stream?))
    }

    /// The error for a connection that could not be opened or was lost at once.
    pub(super) fn refused(&self, why: &io::Error) -> Error {
        let place = match &self.named.origin {
            EndpointSource::Context(name) => format!("`{}` (context `{name}`)", self.endpoint()),
            EndpointSource::Variable | EndpointSource::Default => format!("`{}`", self.endpoint()),
        };
        let error = Error::failed(format!("cannot connect to the Docker Engine at {place}"))
            .cause(in_words(self.endpoint(), why));
        match (self.endpoint(), why.kind()) {
            (Endpoint::Unix(_), io::ErrorKind::PermissionDenied) => {
                error.hint("add yourself to the group `docker`, or set `DOCKER_HOST`")
            }
            (Endpoint::Unix(_), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                error.hint("start it (`systemctl start docker`), or set `DOCKER_HOST`")
            }
            (
                Endpoint::Ssh {
                    user, host, port, ..
                },
                _,
            ) => {
                let port = port.map(|port| format!("-p {port} ")).unwrap_or_default();
                let user = user
                    .as_ref()
                    .map(|user| format!("{user}@"))
                    .unwrap_or_default();
                let line = format!("ssh {port}{user}{host} docker version");
                error.hint(format!("make sure that `{line}` works without prompting"))
            }
            _ => error.hint("name another engine with `DOCKER_HOST` or `DOCKER_CONTEXT`"),
        }
    }
}

/// The cause without the number of the system error.
fn in_words(endpoint: &Endpoint, why: &io::Error) -> String {
    match (endpoint, why.kind()) {
        (_, io::ErrorKind::PermissionDenied) => "permission denied".to_owned(),
        (Endpoint::Unix(_), io::ErrorKind::NotFound) => "no such socket".to_owned(),
        (Endpoint::Unix(_), io::ErrorKind::ConnectionRefused) => {
            "nothing listens on the socket".to_owned()
        }
        (_, io::ErrorKind::InvalidData) => format!("TLS: {why}"),
        _ => why.to_string(),
    }
}

pub(super) async fn within<T>(
    patience: Duration,
    attempt: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match timeout(patience, attempt).await {
        Ok(done) => done,
        Err(_) => {
            let text = format!("no answer within {} seconds", patience.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}
