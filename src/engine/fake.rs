//! A stand-in for an engine in tests: a unix socket with canned answers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::env::Env;

/// What Engine 20.10 answers to `GET /version`, in part.
pub(crate) const VERSION: &str =
    r#"{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux"}"#;

/// Status and body of the answer to each request line.
type Known = Mutex<HashMap<String, (u16, String)>>;

/// Answers each request (`GET /path`, any query) with a status and a body, 404 to all else, and
/// hangs up where the status is 0. It ends with the test's runtime.
pub(crate) struct FakeEngine {
    folder: tempfile::TempDir,
    known: Arc<Known>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeEngine {
    pub(crate) fn start<const N: usize>(answers: [(&str, u16, &str); N]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("engine.sock")).unwrap();
        let known =
            answers.map(|(line, status, body)| (line.to_owned(), (status, body.to_owned())));
        let known = Arc::new(Mutex::new(known.into_iter().collect()));
        let answers: Arc<Known> = Arc::clone(&known);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&answers), Arc::clone(&record)));
            }
        });
        FakeEngine {
            folder,
            known,
            asked,
        }
    }

    /// Gives another answer from now on.
    pub(crate) fn answer(&self, line: &str, status: u16, body: &str) {
        let mut known = self.known.lock().unwrap();
        known.insert(line.to_owned(), (status, body.to_owned()));
    }

    pub(crate) fn address(&self) -> String {
        let path: PathBuf = self.folder.path().join("engine.sock");
        format!("unix://{}", path.display())
    }

    pub(crate) fn env(&self) -> Env {
        Env::from_iter([("DOCKER_HOST", self.address())])
    }

    /// The requests until now: method and path with its query.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(mut stream: UnixStream, known: Arc<Known>, record: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.split(" HTTP/1.1").next().unwrap().to_owned();
    let route = line.split('?').next().unwrap().to_owned();
    record.lock().unwrap().push(line);
    let missing = (404, r#"{"message":"page not found"}"#.to_owned());
    let (status, body) = known
        .lock()
        .unwrap()
        .get(&route)
        .cloned()
        .unwrap_or(missing);
    if status == 0 {
        return;
    }
    let reply = format!(
        "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(reply.as_bytes()).await;
}
