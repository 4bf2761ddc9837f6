//! Running a container with its streams connected to dkr's: what `docker run` does. `start-image`
//! calls it for a command; without one, [`start_until_ready`] precedes `tmux::attach_tmux`.

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

/// Keys that can never come from a keyboard: without any, the engine would take Ctrl-P Ctrl-Q as
/// the wish to detach, and keep back every Ctrl-P until the next key. 0xFF is in no UTF-8 text, and
/// at most twice in a row in a mouse report.
const NO_DETACH_KEYS: &str = "%FF,%FF,%FF,%FF";

/// How many times a user must ask for the end to get it from dkr, when the command ignores the
/// signals that are passed on to it. As in Docker's own client.
const ASKED_ENOUGH: usize = 3;

/// How long a command on a terminal has to end after a signal that ends dkr. The keys Ctrl-C and
/// Ctrl-\ are no signals there.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How long after its start a container may hear no signal: the kernel drops what PID 1 has no handler
/// for yet (pid_namespaces(7)), and the engine's init has none at its very beginning.
const DEAF: Duration = Duration::from_millis(300);

/// How attaching ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachEnd {
    /// The container's main process has ended.
    Exited(ExitStatus),
    /// It goes on, as it ignored what the user sent.
    LeftRunning(Signal),
}

/// How the start of a container that dkr attaches to by exec ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Its session is ready.
    Ready,
    /// It never came to that.
    Failed(AttachEnd),
}

/// Starts a container that was made with the same `tty`, connects the streams and waits for its
/// end, passing signals on. With a terminal, that of dkr is raw meanwhile.
///
/// # Errors
/// When it cannot be started, or the engine is gone before the end.
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

/// The same with a container that runs already; what it wrote before comes first. Without stdin it
/// is only watched: a signal that would end dkr leaves it running.
///
/// # Errors
/// When the engine is gone before the end.
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

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The end of the main process: of one that is to be started, or of one that runs.
    End(WaitFor),
    /// The session of a container that is to be started.
    Ready,
}

/// Starts a container without terminal whose entrypoint (with `DKR_ATTACH`) makes a session, and
/// shows its messages on `stderr` until that is ready.
///
/// # Errors
/// When it cannot be started, or the engine is gone before.
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
    // Both before the start: the command may have written and ended by the time that returns.
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
    loop {
        let event = tokio::select! {
            event = interaction.next() => event?,
            // What the command wrote before its end comes first.
            status = &mut exit, if !output_open => {
                if !tty {
                    interaction.check()?;
                }
                return Ok(Start::Failed(AttachEnd::Exited(status?)));
            }
            signal = patience.ran_out() => {
                return Ok(Start::Failed(AttachEnd::LeftRunning(signal)));
            }
        };
        match event {
            Event::OutputEnded(OutputEnd::Nul) => return Ok(Start::Ready),
            Event::OutputEnded(OutputEnd::Closed | OutputEnd::Silent) => output_open = false,
            Event::InputEnded => {}
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

/// How long dkr waits for a command that was sent signals.
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

    /// Counts a signal; whether it was the last that dkr waits for.
    fn ends_after(&mut self, signal: Signal) -> bool {
        let ends = matches!(signal, Signal::Interrupt | Signal::Terminate);
        if self.tty && (ends || signal == Signal::Hangup) {
            self.deadline
                .get_or_insert((Instant::now() + GRACE, signal));
        }
        self.asked += usize::from(ends);
        self.asked >= ASKED_ENOUGH
    }

    /// Returns when the time is up, with the signal that began it.
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

/// Gives the container's terminal the size of dkr's. Whether that is done.
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
