//! Attaches dkr's terminal to the tmux session of a running container.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::attach::GRACE;
use super::connect::Engine;
use super::containers::{self, ContainerId, ExitStatus, WaitFor};
use super::exec::{Connected, create, exit_status, hijack, resize, start_alone};
use super::interaction::{Event, Interaction};
use super::signals::{Signal, Signals};
use super::streams::{Streams, Until};
use super::terminal::LEAVE_FULL_SCREEN;
use crate::error::{Error, Result};

/// The script in the image that attaches to tmux.
const ATTACH: &str = "/usr/local/lib/dkr/attach.sh";

/// Its exit status if the user detached.
const DETACHED: ExitStatus = ExitStatus(10);

/// How long a container may take to exit after its tmux server.
const CONTAINER_END: Duration = Duration::from_secs(10);

/// How an attachment to tmux ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TmuxEnd {
    /// The user detached; the container is still running.
    Detached,
    /// A signal detached the user; the container is still running.
    HungUp(Signal),
    /// The session, and with it the container, ended.
    Ended(ExitStatus),
}

/// Attaches dkr's terminal to the tmux session in a running container, waiting for the session to be
/// ready. `env` describes the terminal to tmux (`TERM=…`, `COLORTERM=…`).
///
/// # Errors
/// When the container is not running, the connection is lost, or tmux cannot use the terminal.
pub async fn attach_tmux<I, O>(
    engine: &Engine,
    id: &ContainerId,
    env: Vec<String>,
    stdin: I,
    mut stdout: O,
    signals: &mut Signals,
) -> Result<TmuxEnd>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
{
    // Identifies the tmux client in the container, to detach it.
    let client = format!("{:016x}", rand::random::<u64>());
    let command = vec![ATTACH.to_owned(), client.clone()];
    let exec = create(engine, id, command, env, Connected::Terminal).await?;
    let streams = Streams {
        stdin: Some(stdin),
        stdout: &mut stdout,
        stderr: tokio::io::sink(),
    };
    match run_on_terminal(engine, id, &exec, &client, streams, signals).await {
        Ok(Some(signal)) => Ok(TmuxEnd::HungUp(signal)),
        Ok(None) => match exit_status(engine, &exec).await {
            Ok(DETACHED) => Ok(TmuxEnd::Detached),
            status => end_of_container(engine, id, status).await,
        },
        Err(error) => {
            leave_full_screen(&mut stdout).await;
            Err(error)
        }
    }
}

/// Copies between dkr's terminal and the exec until the exec ends. Returns the signal, if it ended because
/// of one.
async fn run_on_terminal<I, O, E>(
    engine: &Engine,
    id: &ContainerId,
    exec: &str,
    client: &str,
    streams: Streams<I, O, E>,
    signals: &mut Signals,
) -> Result<Option<Signal>>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let attempt = format!("cannot attach to tmux in container `{id}`");
    let connection = hijack(engine, exec, true, &attempt).await?;
    let resize = Some(async || resize(engine, exec).await);
    let mut interaction = Interaction::start(connection, streams, Until::Closed, signals, resize)?;
    let mut hung_up: Option<(Signal, Instant)> = None;
    // A signal does not end this loop: it makes tmux detach, whose output then ends. Only if that takes
    // longer than `GRACE` does dkr exit at once.
    loop {
        let event = tokio::select! {
            event = interaction.next() => event?,
            () = deadline(hung_up.map(|(_, at)| at)) => return Err(Error::interrupted()),
        };
        let ended_by = match event {
            Event::OutputEnded(_) => return Ok(hung_up.map(|(signal, _)| signal)),
            // In raw mode no key ends the input: the terminal was closed.
            Event::InputEnded | Event::Unread => Signal::Hangup,
            Event::Signal(Signal::User1 | Signal::User2 | Signal::Pipe) => continue,
            Event::Signal(signal) => signal,
        };
        if hung_up.is_none() {
            // tmux restores the terminal when it detaches; copy its output until then.
            hung_up = Some((ended_by, Instant::now() + GRACE));
            let command = ["--hang-up", client].map(str::to_owned);
            let command = [vec![ATTACH.to_owned()], command.to_vec()].concat();
            let hang_up = create(engine, id, command, Vec::new(), Connected::Nothing).await?;
            start_alone(engine, &hang_up, &attempt).await?;
        }
    }
}

async fn deadline(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits for the container's exit after tmux has exited with `status`.
async fn end_of_container(
    engine: &Engine,
    id: &ContainerId,
    status: Result<ExitStatus>,
) -> Result<TmuxEnd> {
    let exit = containers::wait(engine, id, WaitFor::NotRunning).await?;
    match timeout(CONTAINER_END, exit.status()).await {
        Ok(ended) => Ok(TmuxEnd::Ended(ended?)),
        Err(_) => {
            let ExitStatus(status) = status?;
            Err(
                Error::failed(format!("cannot attach to tmux in container `{id}`"))
                    .cause(format!("tmux exited with status {status}")),
            )
        }
    }
}

async fn leave_full_screen(stdout: &mut (impl AsyncWrite + Unpin)) {
    // The terminal may be closed.
    if stdout.write_all(LEAVE_FULL_SCREEN).await.is_ok() {
        let _: std::io::Result<()> = stdout.flush().await;
    }
}
