//! An engine on another machine, through the user's own `ssh`. Only `dial` calls it.
//!
//! One `ssh` forwards a socket of this machine to the engine's socket there, for all connections. Where
//! that is not possible (the server does not allow forwarding, or the docker client there does not use a
//! socket), each connection has its own `ssh` that runs `docker system dial-stdio` on that machine, as
//! Docker's own client does (docker/cli `cli/connhelper/ssh`).

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

/// The time limit for opening a connection through `ssh`.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long `ssh` may take to report why it exits: its connections close a moment earlier.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How much of the stderr of `ssh` to report, in bytes and in lines: the end has the reason, what comes
/// before it may be a banner.
const COMPLAINT: u64 = 4 * 1024;
const COMPLAINT_LINES: usize = 2;

/// Prints the engine's address as the docker client on that machine resolves it, or an empty line. It ends
/// when its input does, so that `ssh` ends, too, however dkr ended. Every usual shell can run it.
const FIND: &str =
    "docker context inspect --format '{{.Endpoints.docker.Host}}' || echo; cat >/dev/null";

/// A request that any engine answers. So does a server that runs only `docker system dial-stdio`, no
/// matter what it is asked to run; its answer tells.
const PING: &[u8] = b"GET /_ping HTTP/1.0\r\n\r\n";

/// An engine behind `ssh`.
#[derive(Debug)]
pub(super) struct Ssh {
    /// The program to run, with its first arguments.
    program: Vec<String>,
    /// The arguments that name the machine.
    machine: Vec<String>,
    /// The path of the engine's socket on that machine, if the user named one.
    socket: Option<String>,
    way: Mutex<Way>,
    complaints: Complaints,
}

/// How to open connections.
#[derive(Debug)]
enum Way {
    Unknown,
    Tunnel(Box<Tunnel>),
    DialStdio,
}

impl Ssh {
    /// Starts nothing yet.
    ///
    /// # Errors
    /// When a temporary file cannot be created.
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
    /// The message of `ssh`, when it cannot reach the machine.
    pub(super) async fn dial(&self) -> io::Result<Connection> {
        let mut way = self.way.lock().await;
        // The socket of a tunnel that has ended accepts no connection.
        if let Way::Tunnel(tunnel) = &*way
            && let Ok(connection) = tunnel.connect().await
        {
            return Ok(Box::new(connection));
        }
        if !matches!(*way, Way::DialStdio) {
            *way = within(PATIENCE, self.find_way()).await?;
            // Messages up to here are not about a failure.
            self.complaints.take();
        }
        match &*way {
            Way::Tunnel(tunnel) => Ok(Box::new(tunnel.connect().await?)),
            Way::Unknown | Way::DialStdio => Ok(Box::new(self.dial_stdio()?)),
        }
    }

    /// The messages of `ssh` since the last call, for a connection that failed.
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

    /// Whether the user has a shared connection (`ControlMaster`) to the machine, which is used as it is: a
    /// socket forwarded through it would stay after dkr has ended.
    async fn is_shared(&self) -> bool {
        let mut check = self.command(&["-O", "check"]);
        let check = check.args(&self.machine).stdin(Stdio::null());
        let ended = check.stdout(Stdio::null()).stderr(Stdio::null()).status();
        ended.await.is_ok_and(|status| status.success())
    }

    /// Forwards a socket of this machine to the one at `there`. Returns the tunnel, if this machine
    /// supports it, and the path of the socket that the docker client there uses.
    async fn open(&self, there: &str) -> io::Result<(Option<Tunnel>, String)> {
        let folder = tempfile::Builder::new()
            .prefix("dkr-ssh-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        let here = folder.path().join("engine.sock");
        let sockets = [&*here.to_string_lossy(), there].map(escaped).join(":");
        // A shared connection would outlive dkr.
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
        // It may have exited: the next line reports that.
        let _ = input.write_all(PING).await;
        let mut line = String::new();
        let read = BufReader::new(output.take(COMPLAINT))
            .read_line(&mut line)
            .await;
        if !matches!(read, Ok(1..)) {
            let status = ssh.wait().await?;
            let ended = || format!("`ssh` exited ({status})");
            let why = self.complaints.take().unwrap_or_else(ended);
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        }
        // The socket is held open by its file descriptor, so that no file is left even if dkr is killed.
        let socket = rustix::fs::open(&here, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let tunnel = socket.ok().map(|socket| Tunnel {
            ssh,
            socket,
            _input: input,
        });
        let told = line.trim().strip_prefix("unix://").unwrap_or_default();
        Ok((tunnel, told.to_owned()))
    }

    /// Opens a connection with an `ssh` of its own.
    fn dial_stdio(&self) -> io::Result<DialStdio> {
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        near.set_nonblocking(true)?;
        let mut ssh = self.command(&[]);
        ssh.args(&self.machine).arg("docker");
        if let Some(socket) = &self.socket {
            // A shell on that machine parses what follows the host.
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
        // No one can answer a prompt: `ssh` fails instead.
        ssh.args(["-o", "BatchMode=yes", "-T", "-o"])
            .arg(format!("ConnectTimeout={}", PATIENCE.as_secs()));
        // Ctrl-C in the terminal is for dkr to handle, not for `ssh`.
        ssh.process_group(0).kill_on_drop(true);
        ssh
    }

    fn spawn(&self, ssh: &mut Command) -> io::Result<Child> {
        ssh.spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("cannot run `ssh`: {e}")))
    }
}

/// Whether `ssh` takes the path of a socket literally: it expands variables in one
/// with `$`, which would disclose them to the server.
fn is_plain(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['$', '%', '\0'])
}

/// A path, escaped for `-L`.
fn escaped(path: &str) -> String {
    path.replace('\\', r"\\").replace(':', r"\:")
}

/// A socket that a running `ssh` forwards to the engine. It is killed when this is dropped.
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

    /// Whether the server forwards connections, and an engine answers.
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

/// A connection with its own `ssh`, which is killed when this is dropped.
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

/// The standard error of `ssh`: in an unnamed file, so that it need not be read concurrently
/// and a process that `ssh` leaves behind may keep it open.
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

    /// The last lines since the last call, joined to one.
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
