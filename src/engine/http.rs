//! HTTP/1.1 requests to an engine, each on its own connection: for bollard and for dkr's own requests.

use std::io;
use std::sync::Arc;

use bollard::errors::Error as BollardError;
use bollard::{BollardRequest, ClientVersion, Docker};
use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;

use super::dial::{Connection, Dialer};

/// The time limit for the head of an answer, in seconds. Removing a large image takes minutes.
pub(super) const PATIENCE: u64 = 15 * 60;

/// The address that bollard requires; the connection is opened elsewhere.
const PLACEHOLDER: &str = "http://docker";

/// Sends `request` on a new connection and waits for the head of the answer. The connection closes
/// when the answer's body, or the upgraded stream, is dropped.
///
/// # Errors
/// When the connection cannot be opened, or the engine hangs up or does not speak HTTP.
pub(super) async fn send<B>(dialer: &Dialer, request: Request<B>) -> io::Result<Response<Incoming>>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connection = dialer.dial().await?;
    match send_on(connection, dialer, request).await {
        Ok(answer) => Ok(answer),
        Err(e) => Err(dialer.explained(innermost(e)).await),
    }
}

async fn send_on<B>(
    connection: Connection,
    dialer: &Dialer,
    mut request: Request<B>,
) -> Result<Response<Incoming>, hyper::Error>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TokioIo::new(connection);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    // It ends when both the request and the answer are dropped.
    let connection = tokio::spawn(connection.with_upgrades());
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(&dialer.host_header()) {
        headers.insert(HOST, host);
    }
    let agent = concat!("dkr/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    match sender.send_request(request).await {
        // Only the connection knows why the request was cancelled.
        Err(e) if e.is_canceled() => match connection.await {
            Ok(Err(cause)) => Err(cause),
            _ => Err(e),
        },
        answered => answered,
    }
}

/// The I/O error of the stream, if that is the source; it says the most.
fn innermost(e: hyper::Error) -> io::Error {
    let source = std::error::Error::source(&e);
    match source.and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(inner) => io::Error::new(inner.kind(), inner.to_string()),
        None => io::Error::other(e),
    }
}

/// A bollard client that sends its requests this way, with `version` of the API.
pub(super) fn client(dialer: Arc<Dialer>, version: ClientVersion) -> Result<Docker, BollardError> {
    let transport = move |mut request: BollardRequest| {
        let dialer = Arc::clone(&dialer);
        async move {
            *request.uri_mut() = origin_form(request.uri(), version)?;
            let answer = send(&dialer, request).await;
            answer.map_err(BollardError::from)
        }
    };
    Docker::connect_with_custom_transport(transport, Some(PLACEHOLDER), PATIENCE, &version)
}

/// The path and query of `uri` with the prefix `/v<version>`, which bollard leaves out.
fn origin_form(uri: &Uri, version: ClientVersion) -> Result<Uri, BollardError> {
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    Ok(format!("/v{version}{path}").parse()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::Empty;
    use hyper::Request;
    use hyper::body::Bytes;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixListener;
    use tokio::time::timeout;

    use super::super::context::{EndpointSource, NamedEndpoint};
    use super::super::dial::Dialer;
    use super::super::endpoint::Endpoint;
    use super::*;

    #[tokio::test]
    async fn giving_up_a_request_closes_its_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let named = NamedEndpoint {
            endpoint: Endpoint::Unix(path),
            origin: EndpointSource::Default,
        };
        let dialer = Dialer::new(named).unwrap();
        let request = Request::get("/x").body(Empty::<Bytes>::new()).unwrap();
        let asking = timeout(Duration::from_secs(2), send(&dialer, request));
        let (asked, accepted) = tokio::join!(asking, listener.accept());
        assert!(asked.is_err(), "nobody answered");
        let mut text = String::new();
        let (mut stream, _) = accepted.unwrap();
        let read = timeout(Duration::from_secs(30), stream.read_to_string(&mut text));
        read.await.expect("the connection was closed").unwrap();
        assert!(text.starts_with("GET /x HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("host: docker\r\n"), "{text}");
    }
}
