//! An engine on another machine, through the user's own `ssh`. Only `dial` calls it.
//!
//! One `ssh` leads a socket of this machine to the engine's socket there, for all connections.
//! Where that cannot be, that machine's docker client joins each connection to its engine (`docker
//! system dial-stdio`), as Docker's own client has it (docker/cli `cli/connhelper/ssh`): the server
//! forwards no sockets, or that client's engine is at none.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf,
};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::dial::{Connection, within};
use super::endpoint::DEFAULT_SOCKET;

/// How long opening a connection through `ssh` may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long `ssh` may take to say why it ends: its connections end a moment before.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How much of what `ssh` complains about is told, in bytes and in lines: the end says why, what
/// stands before can be a banner.
const COMPLAINT: u64 = 4 * 1024;
const COMPLAINT_LINES: usize = 2;

/// Says where the docker client over there finds its engine, or nothing, and ends when its input
/// does: then `ssh` ends, too, however dkr ended. Every usual shell reads it alike.
const FIND: &str =
    "docker context inspect --format '{{.Endpoints.docker.Host}}' || echo; cat >/dev/null";

/// Any engine answers it. A server that runs nothing but `docker system dial-stdio`, whatever it is
/// asked for, does so as well, and is known by the answer.
const PING: &[u8] = b"GET /_ping HTTP/1.0\r\n\r\n";

/// An engine behind `ssh`.
#[derive(Debug)]
pub(super) struct Ssh {
    /// What is called, before its arguments.
    program: Vec<String>,
    /// The arguments that name the machine.
    machine: Vec<String>,
    /// The engine's socket over there, if the user named one.
    socket: Option<String>,
    way: Mutex<Way>,
    complaints: Complaints,
}

/// How connections are opened.
#[derive(Debug)]
enum Way {
    Unknown,
    Tunnel(Box<Tunnel>),
    DialStdio,
}

impl Ssh {
    /// Nothing runs yet.
    ///
    /// # Errors
    /// When there is no place for a temporary file.
    pub(super) fn new(
        user: Option<&str>,
        host: &str,
        port: Option<u16>,
        socket: Option<&str>,
    ) -> io::Result<Self> {
        let user = user.map(|user| ["-l".to_owned(), user.to_owned()]);
        let port = port.map(|port| ["-p".to_owned(), port.to_string()]);
        let options = user.into_iter().chain(port).flatten();
        let host = ["--".to_owned(), host.to_owned()];
        Ok(Ssh {
            program: vec!["ssh".to_owned()],
            machine: options.chain(host).collect(),
            socket: socket.map(str::to_owned),
            way: Mutex::new(Way::Unknown),
            complaints: Complaints::new()?,
        })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Why `ssh` cannot reach the machine, in its own words.
    pub(super) async fn dial(&self) -> io::Result<Connection> {
        let mut way = self.way.lock().await;
        // The socket of one that has ended takes no connection.
        if let Way::Tunnel(tunnel) = &*way
            && let Ok(connection) = tunnel.connect().await
        {
            return Ok(Box::new(connection));
        }
        if !matches!(*way, Way::DialStdio) {
            *way = within(PATIENCE, self.find_way()).await?;
            // What was said until now is about nothing that failed.
            self.complaints.take();
        }
        match &*way {
            Way::Tunnel(tunnel) => Ok(Box::new(tunnel.connect().await?)),
            Way::Unknown | Way::DialStdio => Ok(Box::new(self.dial_stdio()?)),
        }
    }

    /// What `ssh` said since the last time, when a connection has failed.
    pub(super) async fn complaint(&self) -> Option<String> {
        if let Way::Tunnel(tunnel) = &mut *self.way.lock().await {
            let _ = timeout(LAST_WORDS, tunnel.ssh.wait()).await;
        }
        self.complaints.take()
    }

    async fn find_way(&self) -> io::Result<Way> {
        let guess = self.socket.as_deref().unwrap_or(DEFAULT_SOCKET);
        if self.is_shared().await || !is_plain(guess) {
            return Ok(Way::DialStdio);
        }
        let (mut tunnel, told) = self.open(guess).await?;
        if self.socket.is_none() && told != guess {
            if !is_plain(&told) {
                return Ok(Way::DialStdio);
            }
            (tunnel, _) = self.open(&told).await?;
        }
        Ok(match tunnel {
            Some(tunnel) if tunnel.leads_to_an_engine().await => Way::Tunnel(Box::new(tunnel)),
            _ => Way::DialStdio,
        })
    }

    /// Whether the user keeps a connection to the machine, which is used as it is: a socket that was
    /// led through it would stay when dkr has ended.
    async fn is_shared(&self) -> bool {
        let mut check = self.command(&["-O", "check"]);
        let check = check.args(&self.machine).stdin(Stdio::null());
        let ended = check.stdout(Stdio::null()).stderr(Stdio::null()).status();
        ended.await.is_ok_and(|status| status.success())
    }

    /// Leads a socket of this machine to the one at `there`; returns it, unless this machine cannot
    /// have it, and the path of the socket that the docker client over there uses.
    async fn open(&self, there: &str) -> io::Result<(Option<Tunnel>, String)> {
        let folder = tempfile::Builder::new()
            .prefix("dkr-ssh-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        let here = folder.path().join("engine.sock");
        let sockets = [&*here.to_string_lossy(), there].map(escaped).join(":");
        // What is shared would be left to whoever comes next.
        let options = ["-o", "ControlPath=none", "-o", "StreamLocalBindMask=0177"];
        let mut ssh = self.command(&options);
        ssh.args(["-L", &sockets]).args(&self.machine).arg(FIND);
        let ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ssh = self.spawn(ssh.stderr(self.complaints.writer()?))?;
        let pipe = "it was asked for above";
        let (mut input, output) = (
            ssh.stdin.take().expect(pipe),
            ssh.stdout.take().expect(pipe),
        );
        // It may have ended, which the next line tells.
        let _ = input.write_all(PING).await;
        let mut line = String::new();
        let read = BufReader::new(output.take(COMPLAINT))
            .read_line(&mut line)
            .await;
        if !matches!(read, Ok(1..)) {
            let status = ssh.wait().await?;
            let ended = || format!("`ssh` ended ({status})");
            let why = self.complaints.take().unwrap_or_else(ended);
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        }
        // The socket is held by itself, so that nothing is left of it even if dkr is killed.
        let socket = rustix::fs::open(&here, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let tunnel = socket.ok().map(|socket| Tunnel {
            ssh,
            socket,
            _input: input,
        });
        let told = line.trim().strip_prefix("unix://").unwrap_or_default();
        Ok((tunnel, told.to_owned()))
    }

    /// A connection that has an `ssh` to itself.
    fn dial_stdio(&self) -> io::Result<DialStdio> {
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        near.set_nonblocking(true)?;
        let mut ssh = self.command(&[]);
        ssh.args(&self.machine).arg("docker");
        if let Some(socket) = &self.socket {
            // What follows the host is read by a shell over there.
            let address = format!("unix://{socket}").replace('\'', r"'\''");
            ssh.arg(format!("--host='{address}'"));
        }
        ssh.args(["system", "dial-stdio"]);
        let input = OwnedFd::from(far.try_clone()?);
        let ssh = ssh.stdin(input).stdout(OwnedFd::from(far));
        Ok(DialStdio {
            _ssh: self.spawn(ssh.stderr(self.complaints.writer()?))?,
            stream: UnixStream::from_std(near)?,
        })
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut ssh = Command::new(&self.program[0]);
        ssh.args(&self.program[1..]).args(options);
        // Nobody can answer: what asks fails.
        ssh.args(["-o", "BatchMode=yes", "-T", "-o"])
            .arg(format!("ConnectTimeout={}", PATIENCE.as_secs()));
        // Ctrl-C in the terminal is dkr's to handle, not `ssh`'s.
        ssh.process_group(0).kill_on_drop(true);
        ssh
    }

    fn spawn(&self, ssh: &mut Command) -> io::Result<Child> {
        ssh.spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("cannot run `ssh`: {e}")))
    }
}

/// Whether `ssh` takes a path of a socket as it stands: it would put the user's variables into one
/// with `$`, and a server could ask for them.
fn is_plain(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['$', '%', '\0'])
}

/// A path as a part of what `-L` takes.
fn escaped(path: &str) -> String {
    path.replace('\\', r"\\").replace(':', r"\:")
}

/// A socket that `ssh` leads to the engine, as long as it runs. It is killed when this is dropped.
#[derive(Debug)]
struct Tunnel {
    ssh: Child,
    socket: OwnedFd,
    _input: ChildStdin,
}

impl Tunnel {
    async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(format!("/proc/self/fd/{}", self.socket.as_raw_fd())).await
    }

    /// Whether the server leads connections on, and an engine takes them.
    async fn leads_to_an_engine(&self) -> bool {
        let answer = async {
            let mut connection = self.connect().await?;
            connection.write_all(PING).await?;
            let mut beginning = [0; 5];
            connection.read_exact(&mut beginning).await?;
            Ok::<_, io::Error>(&beginning == b"HTTP/")
        };
        answer.await.unwrap_or(false)
    }
}

/// A connection through an `ssh` of its own, which is killed when this is dropped.
struct DialStdio {
    stream: UnixStream,
    _ssh: Child,
}

impl AsyncRead for DialStdio {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for DialStdio {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What `ssh` writes to its standard error: in a file without a name, as nobody has to read along
/// then, and a process that `ssh` leaves behind can hold it as long as it likes.
#[derive(Debug)]
struct Complaints {
    file: File,
    told: AtomicU64,
}

impl Complaints {
    fn new() -> io::Result<Self> {
        let file = tempfile::tempfile()?;
        let told = AtomicU64::new(0);
        Ok(Complaints { file, told })
    }

    fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// The last lines since the last call as one.
    fn take(&self) -> Option<String> {
        let end = self.file.metadata().ok()?.len();
        let told = self.told.swap(end, Ordering::Relaxed);
        let begin = told.max(end.saturating_sub(COMPLAINT));
        let mut text = vec![0; usize::try_from(end.checked_sub(begin)?).ok()?];
        self.file.read_exact_at(&mut text, begin).ok()?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().map(|line| line.trim().trim_end_matches('.'));
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        let last = lines.len().saturating_sub(COMPLAINT_LINES);
        (!lines.is_empty()).then(|| lines[last..].join("; "))
    }
}

#[cfg(test)]
mod tests;
