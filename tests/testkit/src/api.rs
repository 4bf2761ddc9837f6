//! A small blocking client of the Engine API, independent of the one that dkr uses.
//!
//! It speaks HTTP/1.0, to which an engine answers with a body that ends with the connection.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// How long an engine may be silent.
const TIMEOUT: Duration = Duration::from_secs(600);

/// An engine at a unix socket.
#[derive(Debug, Clone)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    /// The engine that the tests run against. A test without one fails: it is never skipped.
    pub fn of_machine() -> Self {
        let api = Self::unchecked_of_machine();
        assert!(
            api.answers(),
            "no Docker Engine answers at {}: run `sh fixtures/setup.sh`",
            api.socket.display()
        );
        api
    }

    /// The same, without a check that it answers.
    pub fn unchecked_of_machine() -> Self {
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        let socket = match host.as_str() {
            "" => "/var/run/docker.sock",
            other => other
                .strip_prefix("unix://")
                .expect("the tests need an engine at a unix socket: unset `DOCKER_HOST`"),
        };
        Self::at(Path::new(socket))
    }

    /// The engine's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The engine at `socket`.
    pub fn at(socket: &Path) -> Self {
        Api {
            socket: socket.to_owned(),
        }
    }

    /// Whether an engine answers.
    pub fn answers(&self) -> bool {
        self.send("GET", "/_ping", None)
            .is_ok_and(|answer| answer.status == 200)
    }

    /// The JSON answer to a GET of something that exists.
    pub fn get(&self, path: &str) -> Value {
        self.checked("GET", path, None)
    }

    /// The JSON answer to a GET; `None` if it does not exist (status 404).
    pub fn find(&self, path: &str) -> Option<Value> {
        let answer = self.send("GET", path, None).expect("the engine answers");
        (answer.status != 404).then(|| answer.json("GET", path))
    }

    /// The body of the answer to a GET.
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let answer = self.send("GET", path, None).expect("the engine answers");
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.body
    }

    /// The JSON answer to a POST; null means no body.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.checked("POST", path, (!body.is_null()).then_some(body))
    }

    /// The answer to a POST of a tar: the log of a build.
    pub fn post_tar(&self, path: &str, tar: &[u8]) -> String {
        self.post_tar_from(path, tar, tar.len() as u64)
    }

    /// The same with a tar of `size` bytes, which is read while it is sent.
    pub fn post_tar_from(&self, path: &str, tar: impl Read, size: u64) -> String {
        let (status, mut body) = self
            .open("POST", path, "application/x-tar", tar, size)
            .expect("the engine answers");
        let mut text = String::new();
        body.read_to_string(&mut text).expect("an answer");
        assert_eq!(status, 200, "POST {path}: {text}");
        text
    }

    /// The unread answer to a POST without a body: it lasts as long as a container runs.
    pub fn follow(&self, path: &str) -> impl Read + use<> {
        let (status, mut body) = self
            .open("POST", path, "", io::empty(), 0)
            .expect("the engine answers");
        if status >= 300 {
            let mut text = String::new();
            body.read_to_string(&mut text).expect("an answer");
            panic!("POST {path}: {text}");
        }
        body
    }

    /// Deletes something; it need not exist.
    pub fn delete(&self, path: &str) {
        let answer = self.send("DELETE", path, None).expect("the engine answers");
        let gone = answer.status < 300 || answer.status == 404;
        assert!(gone, "DELETE {path}: {}", answer.text());
    }

    /// Copies an image to another engine, through a file in `folder`.
    pub fn copy_image(&self, name: &str, to: &Api, folder: &Path) {
        let tar = folder.join("image.tar");
        let mut file = File::create(&tar).expect("the folder of the test is writable");
        let (status, mut body) = self
            .open("GET", &format!("/images/{name}/get"), "", io::empty(), 0)
            .expect("the engine answers");
        assert_eq!(status, 200, "there is no image {name}");
        let size = io::copy(&mut body, &mut file).expect("the image can be read");

        let file = File::open(&tar).expect("it was just written");
        let (status, mut body) = to
            .open("POST", "/images/load", "application/x-tar", file, size)
            .expect("the other engine answers");
        let mut text = String::new();
        body.read_to_string(&mut text).expect("an answer");
        assert!(
            status == 200 && !text.contains("\"error\""),
            "{name} cannot be loaded: {text}"
        );
        std::fs::remove_file(tar).expect("it was just written");
    }

    fn checked(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.send(method, path, body).expect("the engine answers");
        answer.json(method, path)
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let text = body.map(Value::to_string).unwrap_or_default();
        let size = text.len() as u64;
        let (status, mut reader) =
            self.open(method, path, "application/json", text.as_bytes(), size)?;
        let mut body = Vec::new();
        reader.read_to_end(&mut body)?;
        Ok(Answer { status, body })
    }

    /// Sends a request and returns the answer's status and unread body.
    fn open(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        mut body: impl Read,
        size: u64,
    ) -> io::Result<(u16, BufReader<UnixStream>)> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: {content_type}\r\n\
             Content-Length: {size}\r\n\r\n"
        )?;
        io::copy(&mut body, &mut stream)?;

        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not HTTP: {line:?}")))?;
        while reader.read_line(&mut line)? > 2 {}
        Ok((status, reader))
    }
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self, method: &str, path: &str) -> Value {
        assert!(self.status < 300, "{method} {path}: {}", self.text());
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).expect("the engine answers in JSON")
    }
}

/// A value of a query string, escaped.
pub fn query(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let escape = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    value.bytes().map(escape).collect()
}
