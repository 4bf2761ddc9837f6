//! Runs a container with its streams connected to dkr's, as `docker run` does. `start-image` uses it for a
//! command; for a session, [`start_until_ready`] precedes `tmux::attach_tmux`.

use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::connect::Engine;
use super::containers::{self, ContainerId, ExitStatus, WaitFor};
use super::interaction::{Event, Interaction};
use super::request;
use super::signals::{Signal, Signals};
use super::streams::{self, OutputEnd, Streams};
use super::terminal;
use crate::error::{Error, Result};

/// A sequence that no keyboard produces. Without it, the engine would detach on Ctrl-P Ctrl-Q and hold
/// back every Ctrl-P until the next key. 0xFF occurs in no UTF-8 text, and at most twice in a row in a
/// mouse report.
const NO_DETACH_KEYS: &str = "%FF,%FF,%FF,%FF";

/// After how many requests to terminate dkr leaves a command that ignores the signals passed on to it.
/// As in Docker's own client.
const ASKED_ENOUGH: usize = 3;

/// How long a command on a terminal has to exit after a signal that would end dkr. There, the keys
/// Ctrl-C and Ctrl-\ are not signals.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How long after its start a container may miss signals: the kernel drops a signal for which PID 1 has no
/// handler yet (pid_namespaces(7)), and at first the engine's init has none.
const DEAF: Duration = Duration::from_millis(300);

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachEnd {
    /// The container's main process has exited.
    Exited(ExitStatus),
    /// It is still running: it ignored this signal.
    LeftRunning(Signal),
}

/// How the start of a container with a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Its session is ready.
    Ready,
    /// It ended before its session was ready.
    Failed(AttachEnd),
}

/// Starts a container that was created with the same `tty`, connects the streams and waits for its exit.
/// Passes signals on. With a terminal, dkr's own is in raw mode meanwhile.
///
/// # Errors
/// When it cannot be started, or the connection to the engine is lost.
pub async fn run_attached<I, O, E>(
    engine: &Engine,
    id: &ContainerId,
    tty: bool,
    streams: Streams<I, O, E>,
    signals: &mut Signals,
) -> Result<AttachEnd>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let until = Until::End(WaitFor::NextExit);
    outcome(run(engine, id, tty, streams, until, signals).await?)
}

/// The same with a running container; its earlier output comes first. Without stdin, dkr only watches it:
/// a signal that ends dkr leaves it running.
///
/// # Errors
/// When the connection to the engine is lost.
pub async fn attach_to_running<I, O, E>(
    engine: &Engine,
    id: &ContainerId,
    tty: bool,
    streams: Streams<I, O, E>,
    signals: &mut Signals,
) -> Result<AttachEnd>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let until = Until::End(WaitFor::NotRunning);
    outcome(run(engine, id, tty, streams, until, signals).await?)
}

fn outcome(start: Start) -> Result<AttachEnd> {
    match start {
        Start::Failed(outcome) => Ok(outcome),
        Start::Ready => Err(Error::bug("a command was taken for a session")),
    }
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The exit of the main process: after a start, or of a running one.
    End(WaitFor),
    /// The session of a container that is about to start.
    Ready,
}

/// Starts a container without a terminal, whose entrypoint creates a session (`DKR_ATTACH`), and copies
/// its messages to `stderr` until the session is ready.
///
/// # Errors
/// When it cannot be started, or the connection to the engine is lost.
pub async fn start_until_ready<E>(
    engine: &Engine,
    id: &ContainerId,
    stderr: E,
    signals: &mut Signals,
) -> Result<Start>
where
    E: AsyncWrite + Unpin,
{
    let streams = Streams {
        stdin: None::<tokio::io::Empty>,
        stdout: tokio::io::sink(),
        stderr,
    };
    run(engine, id, false, streams, Until::Ready, signals).await
}

async fn run<I, O, E>(
    engine: &Engine,
    id: &ContainerId,
    tty: bool,
    streams: Streams<I, O, E>,
    until: Until,
    signals: &mut Signals,
) -> Result<Start>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let stdin = u8::from(streams.stdin.is_some());
    let runs = until == Until::End(WaitFor::NotRunning);
    let logs = u8::from(runs);
    let path = format!(
        "/containers/{}/attach?stream=1&logs={logs}&stdin={stdin}&stdout=1&stderr=1&detachKeys={NO_DETACH_KEYS}",
        id.0
    );
    let attempt = format!("cannot attach to container `{id}`");
    // Both requests come before the start: a short command could have written and exited by the time
    // that the start returns.
    let (connection, exit) = tokio::try_join!(
        request::hijack(engine, &path, None, &attempt),
        containers::wait(
            engine,
            id,
            if runs {
                WaitFor::NotRunning
            } else {
                WaitFor::NextExit
            }
        ),
    )?;
    if !runs {
        signals.check()?;
        containers::start(engine, id).await?;
    }
    let hears = Instant::now() + if runs { Duration::ZERO } else { DEAF };
    let copied_until = match until {
        Until::Ready => streams::Until::Nul,
        Until::End(_) => streams::Until::Closed,
    };
    let resize = tty.then_some(async || resize(engine, id).await);
    let mut interaction = Interaction::start(connection, streams, copied_until, signals, resize)?;
    let mut exit = pin!(exit.status());
    let mut output_open = true;
    let mut patience = Patience::new(tty);
    // The container's exit and the end of its output are reported on two connections, in either order. The
    // exit is taken last, so that no output is lost; a session that is ready has no exit to wait for.
    loop {
        let event = tokio::select! {
            event = interaction.next() => event?,
            // Polled only once the output has ended.
            status = &mut exit, if !output_open => {
                if !tty {
                    interaction.check()?;
                }
                return Ok(Start::Failed(AttachEnd::Exited(status?)));
            }
            // Pending unless a signal has set the deadline.
            signal = patience.ran_out() => {
                return Ok(Start::Failed(AttachEnd::LeftRunning(signal)));
            }
        };
        match event {
            Event::OutputEnded(OutputEnd::Nul) => return Ok(Start::Ready),
            // The rest comes with the exit status.
            Event::OutputEnded(OutputEnd::Closed | OutputEnd::Silent) => output_open = false,
            Event::InputEnded => {}
            // As a pipe does: the command may handle SIGPIPE, or exit from it.
            Event::Unread => containers::kill(engine, id, Signal::Pipe).await?,
            Event::Signal(signal) => {
                if runs && stdin == 0 && signal.ends() {
                    return Ok(Start::Failed(AttachEnd::LeftRunning(signal)));
                }
                tokio::time::sleep_until(hears).await;
                containers::kill(engine, id, signal).await?;
                if patience.ends_after(signal) {
                    return Ok(Start::Failed(AttachEnd::LeftRunning(signal)));
                }
            }
        }
    }
}

/// How long dkr waits for a command after sending it signals.
#[derive(Debug)]
struct Patience {
    tty: bool,
    asked: usize,
    deadline: Option<(Instant, Signal)>,
}

impl Patience {
    fn new(tty: bool) -> Self {
        Patience {
            tty,
            asked: 0,
            deadline: None,
        }
    }

    /// Counts a signal. Returns whether dkr stops waiting.
    fn ends_after(&mut self, signal: Signal) -> bool {
        let ends = matches!(signal, Signal::Interrupt | Signal::Terminate);
        if self.tty && (ends || signal == Signal::Hangup) {
            self.deadline
                .get_or_insert((Instant::now() + GRACE, signal));
        }
        self.asked += usize::from(ends);
        self.asked >= ASKED_ENOUGH
    }

    /// Waits for the deadline and returns the signal that set it.
    async fn ran_out(&self) -> Signal {
        match self.deadline {
            Some((deadline, signal)) => {
                tokio::time::sleep_until(deadline).await;
                signal
            }
            None => std::future::pending().await,
        }
    }
}

/// Resizes the container's terminal to the size of dkr's. Returns whether that succeeded.
async fn resize(engine: &Engine, id: &ContainerId) -> bool {
    let Some(size) = terminal::size() else {
        return true;
    };
    let options = bollard::query_parameters::ResizeContainerTTYOptions {
        h: size.rows.into(),
        w: size.columns.into(),
    };
    let resized = engine.docker().resize_container_tty(&id.0, options).await;
    resized.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_the_third_request_ends_it() {
        let mut patience = Patience::new(false);
        assert!(!patience.ends_after(Signal::Interrupt));
        assert!(!patience.ends_after(Signal::User1));
        assert!(!patience.ends_after(Signal::Terminate));
        assert!(patience.ends_after(Signal::Interrupt));
        assert!(patience.deadline.is_none());
    }

    #[test]
    fn on_a_terminal_the_first_request_sets_the_deadline() {
        let mut patience = Patience::new(true);
        assert!(!patience.ends_after(Signal::User1));
        assert_eq!(patience.deadline, None);
        assert!(!patience.ends_after(Signal::Hangup));
        let first = patience.deadline;
        assert!(first.is_some_and(|(_, signal)| signal == Signal::Hangup));
        assert!(!patience.ends_after(Signal::Terminate));
        assert_eq!(patience.deadline, first);
    }
}
