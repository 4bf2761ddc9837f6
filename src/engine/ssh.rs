//! An engine on another machine, through the user's own `ssh`: the other machine's docker client
//! joins the connection to its engine (`docker system dial-stdio`), as Docker's own client has it
//! (docker/cli `cli/connhelper/ssh`). Only `connect` calls it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// How much of what `ssh` complains about is kept, in bytes and in lines: the end says why, what
/// stands before can be a banner.
const COMPLAINT: usize = 4 * 1024;
const COMPLAINT_LINES: usize = 2;
/// How long the end of a complaint is waited for: a process that `ssh` left behind as the master
/// of shared connections can hold its end of the pipe open.
const COMPLAINT_PATIENCE: Duration = Duration::from_millis(500);

/// The call of `ssh` that leads to the engine.
pub(super) fn command(
    user: Option<&str>,
    host: &str,
    port: Option<u16>,
    socket: Option<&str>,
    patience: Duration,
) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.arg("-o")
        .arg(format!("ConnectTimeout={}", patience.as_secs()));
    // Several connections are opened one after the other: none can ask anything.
    ssh.args(["-o", "BatchMode=yes", "-T"]);
    if let Some(user) = user {
        ssh.args(["-l", user]);
    }
    if let Some(port) = port {
        ssh.arg("-p").arg(port.to_string());
    }
    ssh.args(["--", host, "docker"]);
    if let Some(socket) = socket {
        // What follows the host is read by a shell over there.
        let address = format!("unix://{socket}").replace('\'', r"'\''");
        ssh.arg(format!("--host='{address}'"));
    }
    ssh.args(["system", "dial-stdio"]);
    ssh
}

/// A connection through `ssh`, which is killed when this is dropped.
pub(super) struct SshStream {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    complaint: Complaint,
    answered: bool,
    asked: bool,
    /// A reader that has seen the end before anything was asked.
    early: Option<Waker>,
}

impl SshStream {
    /// Starts `ssh`; whether it gets anywhere shows in the first read.
    pub(super) fn open(mut ssh: Command) -> io::Result<Self> {
        let mut child = ssh
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in the terminal is dkr's to handle, not `ssh`'s.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pipe = "it was asked for above";
        let (input, output) = (child.stdin.take(), child.stdout.take().expect(pipe));
        let complaint = Complaint::collect(child.stderr.take().expect(pipe));
        Ok(SshStream {
            child,
            input,
            output,
            complaint,
            answered: false,
            asked: false,
            early: None,
        })
    }
}

impl AsyncRead for SshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.output).poll_read(context, buffer))?;
        if this.answered || buffer.filled().len() > before || buffer.remaining() == 0 {
            this.answered = true;
            return Poll::Ready(Ok(()));
        }
        // An end before the first byte: not the engine's, but `ssh`'s. Told before there is a
        // request that can fail of it, an HTTP client would forget why.
        if !this.asked {
            this.early = Some(context.waker().clone());
            return Poll::Pending;
        }
        let text = ready!(this.complaint.poll_text(context));
        let ended = match this.child.try_wait() {
            Ok(Some(status)) => format!("`ssh` ended ({status})"),
            _ => "`ssh` ended".to_owned(),
        };
        let why = if text.is_empty() { ended } else { text };
        Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, why)))
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked = true;
        if let Some(reader) = self.early.take() {
            reader.wake();
        }
        let Some(input) = &mut self.input else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        match ready!(Pin::new(input).poll_write(context, bytes)) {
            // `ssh` has ended: the next read says why, which a broken pipe does not.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe && !self.answered => {
                Poll::Ready(Ok(bytes.len()))
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        // The other side sees the end only when the pipe is closed.
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

/// What `ssh` writes to its standard error, drained as long as it runs.
struct Complaint {
    text: Arc<Mutex<Vec<u8>>>,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    patience: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Complaint {
    fn collect(mut pipe: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&text);
        let drain = tokio::spawn(async move {
            let mut chunk = [0; 1024];
            while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
                let Ok(mut kept) = kept.lock() else { return };
                kept.extend_from_slice(&chunk[..read]);
                let excess = kept.len().saturating_sub(COMPLAINT);
                kept.drain(..excess);
            }
        });
        Complaint {
            text,
            end: Box::pin(async move {
                let _ = drain.await;
            }),
            patience: None,
        }
    }

    /// The last lines as one, once there are no more or the patience is over.
    fn poll_text(&mut self, context: &mut Context<'_>) -> Poll<String> {
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(COMPLAINT_PATIENCE)));
        let over = patience.as_mut().poll(context).is_ready();
        if !over {
            ready!(self.end.as_mut().poll(context));
        }
        let text = self
            .text
            .lock()
            .map(|text| text.clone())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().map(|line| line.trim().trim_end_matches('.'));
        let lines = lines.filter(|line| !line.is_empty());
        let lines: Vec<&str> = lines.collect();
        let last = lines.len().saturating_sub(COMPLAINT_LINES);
        Poll::Ready(lines[last..].join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn line(command: &Command) -> String {
        let words = command.as_std().get_args().map(|w| w.to_str().unwrap());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_host_can_be_no_option_and_the_path_no_command() {
        let patience = Duration::from_secs(10);
        let plain = line(&command(None, "-oX", None, None, patience));
        assert_eq!(
            plain,
            "-o ConnectTimeout=10 -o BatchMode=yes -T -- -oX docker system dial-stdio"
        );
        let all = line(&command(Some("me"), "h", Some(22), Some("/a'b"), patience));
        assert!(
            all.ends_with(r"-l me -p 22 -- h docker --host='unix:///a'\''b' system dial-stdio"),
            "{all}"
        );
    }

    fn stand_in(script: &str) -> SshStream {
        let mut sh = Command::new("sh");
        sh.args(["-c", script]);
        SshStream::open(sh).unwrap()
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_closing_is_seen() {
        let mut stream = stand_in("cat; echo end");
        stream.write_all(b"hello ").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello end\n");
    }

    /// What a request meets.
    async fn refusal(stream: &mut SshStream) -> io::Error {
        stream.write_all(b"hello").await.unwrap();
        stream.read(&mut [0; 9]).await.unwrap_err()
    }

    #[tokio::test]
    async fn an_end_before_a_request_is_told_to_the_request() {
        let stream = stand_in("echo refused >&2; exit 255");
        let (mut reader, mut writer) = tokio::io::split(stream);
        let read = tokio::spawn(async move { reader.read(&mut [0; 9]).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!read.is_finished());
        writer.write_all(b"hello").await.unwrap();
        let error = read.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "refused");
    }

    #[tokio::test]
    async fn a_failing_ssh_says_why() {
        let mut stream = stand_in("seq 9999 >&2; echo 'Permission denied.\n' >&2; exit 255");
        let error = refusal(&mut stream).await;
        assert_eq!(error.to_string(), "9999; Permission denied");
        let mut silent = stand_in("exit 3");
        let error = refusal(&mut silent).await;
        assert!(error.to_string().starts_with("`ssh` ended"), "{error}");
    }

    #[tokio::test]
    async fn a_left_over_process_does_not_hold_the_complaint_back() {
        // The background process keeps standard error open.
        let mut stream = stand_in("echo refused >&2; sleep 60 >/dev/null & exit 255");
        let error = tokio::time::timeout(Duration::from_secs(30), refusal(&mut stream))
            .await
            .unwrap();
        assert_eq!(error.to_string(), "refused");
    }

    #[tokio::test]
    async fn dropping_the_stream_ends_ssh() {
        let mut stream = stand_in("echo $$; exec sleep 60");
        let mut pid = vec![0; 16];
        let read = stream.read(&mut pid).await.unwrap();
        let process = format!(
            "/proc/{}/stat",
            String::from_utf8_lossy(&pid[..read]).trim()
        );
        assert!(std::fs::exists(&process).unwrap());
        drop(stream);
        for _ in 0..1500 {
            let gone = std::fs::read_to_string(&process).map_or(true, |stat| stat.contains(") Z "));
            if gone {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it still runs");
    }
}
