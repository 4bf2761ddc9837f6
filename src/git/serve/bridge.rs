//! Connects a byte stream to the standard streams of a process, with bounded buffers, half-closing in both
//! directions and time limits. It leaves no process behind.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::flow::Flow;
use super::group::{Process, Streams};
use super::packets::Client;
use crate::error::Result;

/// Time limits of a service.
#[derive(Debug, Clone)]
pub struct ServiceLimits {
    /// Without a byte in either direction. git itself sends a keep-alive every 5 s while it computes
    /// (`uploadpack.keepAlive`, `receive.keepAlive`).
    pub idle: Duration,
    /// In total.
    pub total: Duration,
    /// For a client that has closed its sending side to take the next bytes, and for one that was refused
    /// to stop sending.
    pub stall: Duration,
    /// For each step of ending the process, before the next, harder one.
    pub grace: Duration,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        ServiceLimits {
            idle: Duration::from_secs(15 * 60),
            total: Duration::from_secs(12 * 60 * 60),
            stall: Duration::from_secs(4),
            grace: Duration::from_secs(1),
        }
    }
}

/// How a service ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceEnd {
    /// The process exited with status 0.
    Finished,
    /// The process exited with another status; the end of its standard error.
    Failed(String),
    /// The client broke a rule; why.
    Refused(String),
    /// The client closed the connection, or the answer is no longer needed.
    Gone,
    /// A limit was reached.
    TimedOut,
}

/// The result of a service: bytes transferred, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that the client sent.
    pub received: u64,
    /// Bytes that were sent to the client.
    pub sent: u64,
    /// How it ended.
    pub outcome: ServiceEnd,
}

/// How much of the process's standard error to keep.
const STDERR_BYTES: usize = 4 * 1024;

/// Runs `command` in its own process group and lets it answer the client, as [`answer`] does without
/// rules.
///
/// # Errors
/// When the process cannot be started.
pub async fn bridge<S>(
    stream: S,
    command: Command,
    limits: &ServiceLimits,
    gone: impl Future<Output = ()>,
) -> Result<Traffic>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let started = Process::start(command, None, limits.grace)?;
    Ok(answer(stream, started, None, limits, gone).await)
}

/// Lets a process answer the client on `stream`. `rules` check what the client sends, if there are any.
///
/// Ends when the process closes its output, when the client stops reading, at a limit, or when `gone`
/// completes. The process and its children are gone then, also if the future is dropped.
pub(super) async fn answer<S>(
    stream: S,
    (mut process, (stdin, stdout, stderr)): (Process, Streams),
    rules: Option<Client<'_>>,
    limits: &ServiceLimits,
    gone: impl Future<Output = ()>,
) -> Traffic
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let complaint = tokio::spawn(last_bytes(stderr));

    let flow = Flow::new();
    let (from_client, to_client) = tokio::io::split(stream);
    let mut input = Box::pin(flow.feed(from_client, stdin, rules));
    let mut output = Box::pin(flow.drain(stdout, to_client, limits.stall));
    let deadline = sleep(limits.total);
    tokio::pin!(gone, deadline);
    let (mut fed, mut exited) = (false, None);
    // First phase: copy in both directions until the process closes its output, which is then a whole
    // answer. Its exit does not end the phase, since output may still be in the pipe.
    let end = loop {
        tokio::select! {
            // The client has the whole answer, and this returns its write half; or it reads no more (`Err`).
            said = &mut output => break said.map_err(|_| ServiceEnd::Gone),
            // A client that has closed its sending side still waits for the answer: go on without this
            // branch. If the connection failed, there is no client any more.
            result = &mut input, if !fed => match result {
                Ok(()) => fed = true,
                Err(_) => break Err(ServiceEnd::Gone),
            },
            // Reaps the process, and kills helpers that outlive it: one that holds its output open would keep
            // the client waiting.
            status = process.wait(), if exited.is_none() => exited = Some(status),
            () = &mut gone => break Err(ServiceEnd::Gone),
            () = flow.idle_for(limits.idle) => break Err(ServiceEnd::TimedOut),
            () = &mut deadline => break Err(ServiceEnd::TimedOut),
        }
    };
    // Second phase: after a whole answer, send the reason if the client was refused, and close the stream. In
    // all other cases no one reads any more.
    drop(output);
    let outcome = match end {
        Ok(mut to_client) => {
            let closing = async {
                if let Some(refusal) = flow.refusal() {
                    // The rules act before the service has sent more than its greeting, which the client
                    // has: this packet is the next one.
                    to_client.write_all(&refusal.packet()).await?;
                }
                to_client.shutdown().await
            };
            // A client that does not read must not hold the service longer than this.
            let _ = timeout(limits.grace, closing).await;
            if !fed {
                // If the connection closed while the client still sends, its write would fail before it
                // has read the reason. `feed` drops what comes.
                let _ = timeout(limits.stall, input).await;
            }
            None
        }
        Err(outcome) => {
            drop(input);
            Some(outcome)
        }
    };
    // Third phase: end the process, unless it has exited, and everything that it started.
    let status = match exited {
        Some(status) => status,
        None => process.end().await,
    };
    let complaint = timeout(limits.grace, complaint).await;
    let complaint = complaint.ok().and_then(|text| text.ok());
    let outcome = match (outcome, flow.refusal()) {
        (Some(outcome), _) => outcome,
        (None, Some(refusal)) => ServiceEnd::Refused(refusal.message.clone()),
        (None, None) if status.is_some_and(|status| status.success()) => ServiceEnd::Finished,
        (None, None) => ServiceEnd::Failed(complaint.unwrap_or_default()),
    };
    Traffic {
        received: flow.received(),
        sent: flow.sent(),
        outcome,
    }
}

/// Reads `stderr` to its end and keeps the last part.
async fn last_bytes(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        let excess = kept.len().saturating_sub(STDERR_BYTES);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).trim().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::Instant;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn impatient() -> ServiceLimits {
        ServiceLimits {
            idle: Duration::from_millis(300),
            total: Duration::from_millis(900),
            stall: Duration::from_millis(100),
            grace: Duration::from_millis(200),
        }
    }

    #[tokio::test]
    async fn half_closing_reaches_the_process_and_its_answer_comes_back() {
        let (near, mut far) = tokio::io::duplex(64);
        let gone = std::future::pending();
        let limits = ServiceLimits::default();
        let traffic = bridge(near, shell("wc -c; echo oops >&2; exit 3"), &limits, gone);
        let client = async {
            far.write_all(&[b'x'; 1000]).await.unwrap();
            far.shutdown().await.unwrap();
            let mut answer = String::new();
            far.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (traffic, answer) = tokio::join!(traffic, client);
        let traffic = traffic.unwrap();
        assert_eq!(answer.trim(), "1000");
        assert_eq!(traffic.received, 1000);
        assert_eq!(traffic.outcome, ServiceEnd::Failed("oops".into()));
    }

    #[tokio::test]
    async fn an_idle_a_stalled_and_an_endless_service_are_ended_with_their_helpers() {
        let sleeper = sleep_of("977");
        let stories = [
            (
                format!("{sleeper} & {sleeper}"),
                false,
                ServiceEnd::TimedOut,
            ),
            (
                "while :; do echo; sleep 0.1; done".to_owned(),
                false,
                ServiceEnd::TimedOut,
            ),
            ("yes".to_owned(), true, ServiceEnd::Gone),
            (
                format!("trap '' TERM; {sleeper}"),
                false,
                ServiceEnd::TimedOut,
            ),
        ];
        for (script, half_close, expected) in stories {
            // For a client that stops reading, all limits but the expected one are far away.
            let limits = match half_close {
                true => ServiceLimits {
                    idle: Duration::from_secs(5),
                    total: Duration::from_secs(10),
                    ..impatient()
                },
                false => impatient(),
            };
            let (near, mut far) = tokio::io::duplex(100_000);
            if half_close {
                far.shutdown().await.unwrap();
            }
            let began = Instant::now();
            let gone = std::future::pending();
            let traffic = bridge(near, shell(&script), &limits, gone).await.unwrap();
            assert_eq!(traffic.outcome, expected, "{script}");
            assert!(began.elapsed() < Duration::from_secs(30), "{script}");
        }
        until_none_runs(&sleeper).await;
    }

    #[tokio::test]
    async fn a_helper_that_outlives_the_process_does_not_keep_the_client_waiting() {
        let helper = sleep_of("978");
        let (near, mut far) = tokio::io::duplex(64);
        let gone = std::future::pending();
        let limits = ServiceLimits {
            stall: Duration::from_millis(500),
            grace: Duration::from_millis(500),
            ..ServiceLimits::default()
        };
        let traffic = bridge(
            near,
            shell(&format!("echo done; {helper} &")),
            &limits,
            gone,
        );
        let mut answer = String::new();
        let both = async { tokio::join!(traffic, far.read_to_string(&mut answer)) };
        let (traffic, _) = timeout(Duration::from_secs(30), both).await.unwrap();
        assert_eq!(traffic.unwrap().outcome, ServiceEnd::Finished);
        assert_eq!(answer, "done\n");
        until_none_runs(&helper).await;
    }

    #[tokio::test]
    async fn dropping_the_future_ends_the_process_which_is_asked_to_first() {
        let folder = tempfile::tempdir().unwrap();
        let asked = folder.path().join("asked");
        let sleeper = sleep_of("979");
        let asks = format!(
            "trap 'echo >{}; exit' TERM; {sleeper} & wait",
            asked.display()
        );
        let stubborn = format!("trap '' TERM; {sleeper} & {sleeper}");
        for script in [asks, stubborn] {
            let (near, _far) = tokio::io::duplex(64);
            let limits = impatient();
            let gone = std::future::pending();
            let traffic = bridge(near, shell(&script), &limits, gone);
            assert!(timeout(limits.idle / 2, traffic).await.is_err());
            until_none_runs(&sleeper).await;
        }
        assert!(asked.exists());
    }

    /// A command that runs for long and that no other process on the machine runs.
    fn sleep_of(seconds: &str) -> String {
        format!("sleep {seconds}.{}", std::process::id())
    }

    /// Waits until no process runs `command`: a signal takes a moment.
    async fn until_none_runs(command: &str) {
        let line = command.replace(' ', "\0") + "\0";
        let runs = || {
            let mut processes = fs::read_dir("/proc").unwrap().flatten();
            let line_of = |process: fs::DirEntry| fs::read(process.path().join("cmdline"));
            processes.any(|process| line_of(process).is_ok_and(|found| found == line.as_bytes()))
        };
        let began = Instant::now();
        while runs() {
            assert!(began.elapsed() < Duration::from_secs(10), "{command}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}
