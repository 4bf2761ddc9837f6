//! Commands that dkr itself runs in a container to learn or to transfer something.
//!
//! The answer is untrusted: it may never come, or never end. So each question has limits, and a command
//! that exceeds one is killed, with all processes that it started.

use std::future::pending;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connect::Engine;
use super::containers::{ContainerId, ExitStatus};
use super::exec::{Connected, create, exit_status, hijack, start_alone};
use super::frames::Format;
use super::request::Hijacked;
use super::streams::{Broken, OutputEnd, Streams, Until};
use crate::error::{Error, Result};

/// Marks the processes of one question: child processes inherit the environment.
const MARK: &str = "DKR_QUESTION";

/// Kills the processes whose mark is $0.
const KILL: &str = r#"for process in /proc/[0-9]*; do
    ! grep -qs "DKR_QUESTION=$0" "$process/environ" || kill -s KILL "${process#/proc/}"
done"#;

/// The time limit of that kill, since the caller waits for it. An engine under load takes seconds for
/// what otherwise takes a tenth of one.
const KILL_TIME: Duration = Duration::from_secs(15);

/// The status of a command whose output is no longer read: 128 and the number of SIGPIPE.
pub const UNREAD: ExitStatus = ExitStatus(141);

/// Time limits for the answer of a container.
#[derive(Debug, Clone)]
pub struct AnswerLimits {
    /// Without any output.
    pub silence: Duration,
    /// In total; `None` if a person reads along.
    pub total: Option<Duration>,
    /// Cancelled when the user interrupts dkr.
    pub interrupt: CancellationToken,
}

/// The output and exit status of a command that dkr itself ran.
#[derive(Debug)]
pub struct Answer {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    /// The end of its stderr.
    pub stderr: Tail,
}

impl Answer {
    /// Why it failed: the end of its stderr, if it has any.
    pub fn reason(&self) -> String {
        self.stderr.reason(self.status)
    }
}

/// Runs a command to its end and collects its output.
///
/// # Errors
/// When the container is not running, the connection is lost, or a limit is reached.
pub async fn output(
    engine: &Engine,
    id: &ContainerId,
    command: &[&str],
    patience: &AnswerLimits,
) -> Result<Answer> {
    let (mut stdout, mut stderr) = (Capped::default(), Tail::default());
    let streams = Streams {
        stdin: None::<tokio::io::Empty>,
        stdout: &mut stdout,
        stderr: &mut stderr,
    };
    let status = pipe(engine, id, command, streams, patience).await?;
    Ok(Answer {
        status,
        stdout: stdout.0,
        stderr,
    })
}

/// Runs a command to its end, connected to these streams. If the reader of its output is gone, the
/// command is killed, and the status is that of SIGPIPE.
///
/// # Errors
/// As [`output`].
pub async fn pipe<I, O, E>(
    engine: &Engine,
    id: &ContainerId,
    command: &[&str],
    streams: Streams<I, O, E>,
    patience: &AnswerLimits,
) -> Result<ExitStatus>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let attempt = format!("cannot run `{}` in container `{id}`", command.join(" "));
    let token = format!("{:016x}", rand::random::<u64>());
    let stdin = streams.stdin.is_some();
    let words = command.iter().map(|word| (*word).to_owned()).collect();
    let begun = async {
        let mark = vec![format!("{MARK}={token}")];
        let exec = create(engine, id, words, mark, Connected::Streams { stdin }).await?;
        let connection = hijack(engine, &exec, false, &attempt).await?;
        Ok((exec, connection))
    };
    let ended = match timeout(patience.silence, begun).await {
        Err(_) => Ok(End::Late(patience.silence)),
        Ok(Err(error)) => return Err(error),
        Ok(Ok((exec, connection))) => match copy(connection, streams, patience).await {
            Ok(End::Closed) => match exit_status(engine, &exec).await {
                Ok(status) => return Ok(status),
                Err(error) => Err(error),
            },
            other => other,
        },
    };
    kill(engine, id, &token).await;
    match ended? {
        End::Closed | End::Unread => Ok(UNREAD),
        End::Late(limit) => Err(late(&attempt, limit)),
        End::Interrupted => Err(Error::interrupted()),
    }
}

/// Why copying between a command and its streams ended.
enum End {
    /// The command closed its output.
    Closed,
    /// The reader of its output is gone.
    Unread,
    /// It wrote nothing, or took in total, for this long.
    Late(Duration),
    /// The user interrupted dkr.
    Interrupted,
}

async fn copy<I, O, E>(
    connection: Hijacked,
    streams: Streams<I, O, E>,
    patience: &AnswerLimits,
) -> Result<End>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let broken = Broken::default();
    let until = Until::Silent(patience.silence);
    let (output, input) = streams.join(connection, Format::Frames, until, &broken);
    let (mut output, mut input) = (pin!(output), pin!(input));
    let mut total = pin!(async {
        match patience.total {
            Some(limit) => {
                sleep(limit).await;
                limit
            }
            None => pending().await,
        }
    });
    let mut input_open = true;
    // The output decides. The end of the input only disables its branch, since a completed future must not
    // be polled again. Dropping both futures at the end closes the connection; the caller then kills the
    // command if it is still running.
    let end = loop {
        tokio::select! {
            end = &mut output => break match end? {
                OutputEnd::Silent => End::Late(patience.silence),
                OutputEnd::Closed | OutputEnd::Nul => End::Closed,
            },
            () = &mut input, if input_open => input_open = false,
            () = broken.notified() => break End::Unread,
            limit = &mut total => break End::Late(limit),
            () = patience.interrupt.cancelled() => break End::Interrupted,
        }
    };
    broken.check()?;
    Ok(end)
}

fn late(attempt: &str, limit: Duration) -> Error {
    let seconds = limit.as_secs();
    Error::failed(attempt)
        .cause(format!("no answer from the container within {seconds} s"))
        .hint("wait longer with `DKR_CONTAINER_TIMEOUT=SECONDS`")
}

/// Kills the processes of a question. A container that has ended has none, and one that hides them
/// cannot be helped.
async fn kill(engine: &Engine, id: &ContainerId, token: &str) {
    let command = ["sh", "-c", KILL, token].map(str::to_owned).to_vec();
    let killing = async {
        let exec = create(engine, id, command, Vec::new(), Connected::Nothing).await?;
        start_alone(engine, &exec, "cannot stop a command in the container").await
    };
    let _ = timeout(KILL_TIME, killing).await;
}

/// The most to collect of an answer (bytes): a container may write without end.
const MOST: usize = 32 << 20;
/// The most to keep of its stderr (bytes).
const LAST_WORDS: usize = 4096;

/// A writer that collects its input up to a limit.
#[derive(Debug, Default)]
struct Capped(Vec<u8>);

impl Capped {
    fn take(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.0.len() + bytes.len() > MOST {
            let excess = format!("it is more than {} MiB", MOST >> 20);
            return Err(std::io::Error::other(excess));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// A writer that keeps the end of its input.
#[derive(Debug, Default)]
pub struct Tail(Vec<u8>);

impl Tail {
    /// Why a command with this status failed: the end of its stderr, if there is any.
    pub fn reason(&self, status: ExitStatus) -> String {
        match String::from_utf8_lossy(&self.0).trim() {
            "" => format!("exit status {}", status.0),
            words => words.to_owned(),
        }
    }

    /// Its lines.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let lines = self.0.split(|byte| *byte == b'\n');
        lines.map(|line| String::from_utf8_lossy(line).into_owned())
    }

    fn take(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.extend_from_slice(bytes);
        let excess = self.0.len().saturating_sub(LAST_WORDS);
        self.0.drain(..excess);
        Ok(())
    }
}

/// Both writers are always ready.
macro_rules! collects {
    ($collector:ty) => {
        impl AsyncWrite for $collector {
            fn poll_write(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<std::io::Result<usize>> {
                Poll::Ready(self.take(bytes).map(|()| bytes.len()))
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<std::io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
    };
}
collects!(Capped);
collects!(Tail);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn what_kills_looks_for_the_mark() {
        assert!(KILL.contains(&format!("\"{MARK}=$0\"")));
    }

    #[tokio::test]
    async fn output_without_end_is_not_collected() {
        let mut capped = Capped::default();
        let chunk = vec![0; MOST / 2];
        assert!(capped.write_all(&chunk).await.is_ok());
        assert!(capped.write_all(&chunk).await.is_ok());
        assert!(capped.write_all(b"x").await.is_err());
        assert_eq!(capped.0.len(), MOST);
        let mut tail = Tail::default();
        tail.write_all(&chunk).await.unwrap();
        tail.write_all(b"the end\n").await.unwrap();
        assert_eq!(tail.0.len(), LAST_WORDS);
        assert!(tail.reason(ExitStatus(1)).ends_with("the end"));
        assert_eq!(Tail::default().reason(ExitStatus(3)), "exit status 3");
    }
}
