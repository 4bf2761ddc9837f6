//! An engine with scripted answers, for what a real one does too rarely: garbage, half an answer,
//! silence, a session that ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

/// What the engine does with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A status and a JSON body.
    Json(u16, String),
    /// Status 200, then these parts one after the other, as a build answers.
    Parts(Vec<String>),
    /// The same, but the connection ends before the answer does.
    CutOff(Vec<String>),
    /// Status 101, then a connection that stays open that long (a session).
    Upgrade(Duration),
    /// Nothing, for ever.
    Silence,
    /// The connection ends.
    Close,
}

/// A request to the engine.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`…
    pub method: String,
    /// The path with its query, as it was sent.
    pub target: String,
    /// The same without the API's version.
    pub path: String,
    /// The lines of the head after the first, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, unless it is upgraded.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A fake engine at a unix socket; stopped when dropped.
pub struct FakeEngine {
    socket: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    _own: Option<TempDir>,
}

#[derive(Default)]
struct Shared {
    /// `METHOD /path` and its answer; the last match is used.
    routes: Mutex<Vec<(String, Answer)>>,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<UnixStream>>,
    stopped: AtomicBool,
}

impl FakeEngine {
    /// Starts one whose socket is in `folder`. It answers `/_ping` and `/version` as an engine
    /// of API version 1.41 does, and all else with 404.
    pub fn start(folder: &Path) -> Self {
        Self::start_in(folder, None)
    }

    /// The same with its own folder.
    pub fn alone() -> Self {
        let own = tempfile::tempdir().expect("a temporary folder");
        let folder = own.path().to_owned();
        Self::start_in(&folder, Some(own))
    }

    fn start_in(folder: &Path, own: Option<TempDir>) -> Self {
        // A test may have several at once.
        let names = (2..).map(|number| format!("fake-engine-{number}.sock"));
        let mut names = std::iter::once("fake-engine.sock".to_owned()).chain(names);
        let socket = names.find_map(|name| Some(folder.join(name)).filter(|path| !path.exists()));
        let socket = socket.expect("there are more names");
        let listener = UnixListener::bind(&socket).expect("the folder of the test is writable");
        let shared = Arc::<Shared>::default();
        let for_thread = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if for_thread.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let copy = stream.try_clone().expect("a socket can be cloned");
                lock(&for_thread.connections).push(copy);
                let shared = for_thread.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        let version = r#"{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"}"#;
        let engine = FakeEngine {
            socket,
            shared,
            thread: Some(thread),
            _own: own,
        };
        engine
            .route("GET /_ping", Answer::Parts(vec!["OK".into()]))
            .route("HEAD /_ping", Answer::Parts(Vec::new()))
            .route("GET /version", Answer::Json(200, version.into()))
    }

    /// Sets the answer for `METHOD /path` (any query); a later route overrides an earlier one.
    #[must_use]
    pub fn route(self, route: &str, answer: Answer) -> Self {
        self.answer(route, answer);
        self
    }

    /// The same for an engine that is already in use.
    pub fn answer(&self, route: &str, answer: Answer) {
        lock(&self.shared.routes).push((route.to_owned(), answer));
    }

    /// Its value of `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which then stops.
        let _ = UnixStream::connect(&self.socket);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for connection in lock(&self.shared.connections).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Shared {
    /// Answers one request. A client that disconnects early is no error here.
    fn serve(&self, mut stream: UnixStream) {
        let Some(request) = read_request(&stream) else {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        };
        let path = request.path.split('?').next().unwrap_or_default();
        let name = format!("{} {path}", request.method);
        let missing = Answer::Json(404, format!(r#"{{"message":"no route {name}"}}"#));
        let answer = {
            let routes = lock(&self.routes);
            let mut fitting = routes.iter().rev().filter(|(route, _)| *route == name);
            fitting.next().map_or(missing, |(_, answer)| answer.clone())
        };
        lock(&self.requests).push(request);
        match answer {
            Answer::Silence => {
                // Ends when the client does, or when the engine is dropped.
                let _ = stream.read_to_end(&mut Vec::new());
            }
            Answer::Close => {}
            other => {
                let _ = write_answer(&mut stream, other, name.starts_with("HEAD"));
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn write_answer(stream: &mut UnixStream, answer: Answer, head_only: bool) -> std::io::Result<()> {
    let head = |status: u16| {
        format!(
            "HTTP/1.1 {status} Fake\r\nApi-Version: 1.41\r\nOstype: linux\r\n\
             Builder-Version: 2\r\nContent-Type: application/json\r\n"
        )
    };
    match answer {
        Answer::Json(status, body) => write!(
            stream,
            "{}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            head(status),
            body.len()
        ),
        Answer::Parts(_) if head_only => {
            write!(stream, "{}Connection: close\r\n\r\n", head(200))
        }
        Answer::Parts(parts) => {
            write_chunks(stream, &head(200), &parts)?;
            stream.write_all(b"0\r\n\r\n")
        }
        Answer::CutOff(parts) => write_chunks(stream, &head(200), &parts),
        Answer::Upgrade(time) => {
            let head = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            std::thread::sleep(time);
            Ok(())
        }
        Answer::Silence | Answer::Close => Ok(()),
    }
}

fn write_chunks(stream: &mut UnixStream, head: &str, parts: &[String]) -> std::io::Result<()> {
    write!(
        stream,
        "{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )?;
    for part in parts {
        write!(stream, "{:x}\r\n{part}\r\n", part.len())?;
        stream.flush()?;
    }
    Ok(())
}

fn read_request(stream: &UnixStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut request = Request::default();
    let first = line(&mut reader)?;
    let mut words = first.split(' ');
    request.method = words.next()?.to_owned();
    request.target = words.next()?.to_owned();
    request.path = without_version(&request.target).to_owned();
    while let Some((name, value)) = line(&mut reader)?.split_once(':') {
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        request.headers.push((name, value));
    }
    if request.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&line(&mut reader)?, 16).ok()?;
            let mut chunk = vec![0; size];
            reader.read_exact(&mut chunk).ok()?;
            line(&mut reader)?;
            if size == 0 {
                break;
            }
            request.body.extend(chunk);
        }
    } else if let Some(size) = request.header("content-length") {
        let mut body = vec![0; size.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        request.body = body;
    }
    Some(request)
}

/// `/v1.41/images/json` is `/images/json`.
fn without_version(path: &str) -> &str {
    let rest = path
        .strip_prefix("/v")
        .and_then(|rest| rest.split_once('/'));
    match rest {
        Some((version, rest)) if version.starts_with(|c: char| c.is_ascii_digit()) => {
            &path[path.len() - rest.len() - 1..]
        }
        _ => path,
    }
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    Some(line.trim_end().to_owned())
}

/// Locks a value that stays consistent if a holder panics.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
