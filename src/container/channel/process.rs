//! The process that serves a channel, and how it is started.
//!
//! It is this same program, started again with a hidden command, in a session of its own: it outlives
//! the process that started it, Ctrl-C and the terminal.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::ended::ContainerStatus;
use super::folder::{Folder, LOCK_INTERVAL, READY, SERVING};
use super::log::{self, Log};
use super::server::{Server, remove_sockets};
use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::git::serve::{ServiceLimits, clear_leftovers};

/// The hidden command; its one argument is the channel's folder.
pub const COMMAND: &str = "channel-server";

/// How long a new process may take until its sockets accept connections.
const START_TIME: Duration = Duration::from_secs(10);

/// Makes sure that a process serves the channel: when this returns, the sockets accept connections.
/// Called before a container starts and on every attach, which restarts a channel after a
/// reboot.
///
/// # Errors
/// When the process cannot be started, or exits or hangs before it serves.
pub async fn ensure_running(folder: &Folder) -> Result<()> {
    let program =
        std::env::current_exe().map_err(|e| Error::failed("cannot find dkr").source(e))?;
    let arguments = [COMMAND.into(), folder.root().into()];
    start(folder, &program, &arguments).await
}

/// Starts `program` with `arguments` for the channel unless it is served, and waits until it is served.
pub(super) async fn start(folder: &Folder, program: &Path, arguments: &[OsString]) -> Result<()> {
    if folder.is_served() {
        return Ok(());
    }
    let failure = || {
        let container = folder.channel().map(|channel| channel.container);
        let container = container.unwrap_or_default();
        Error::failed(format!(
            "cannot start the git channel of container `{container}`"
        ))
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut spawn = || command.spawn().map_err(|e| failure().source(e));
    let mut child = spawn()?;
    let began = Instant::now();
    while began.elapsed() < START_TIME {
        if folder.is_served() {
            return Ok(());
        }
        match child.try_wait() {
            // Another process was serving and has exited since; or a signal for this dkr killed it before it
            // had a session of its own.
            Ok(Some(status)) if status.success() || is_interrupted(status) => child = spawn()?,
            Ok(Some(status)) => {
                let reason = log::last_line(folder.root()).unwrap_or_else(|| status.to_string());
                return Err(failure().cause(reason));
            }
            _ => {}
        }
        sleep(LOCK_INTERVAL).await;
    }
    let seconds = START_TIME.as_secs();
    Err(failure().cause(format!("it did not answer within {seconds} seconds")))
}

/// Whether it was ended by a signal, or by dkr's own handler of signals.
fn is_interrupted(status: ExitStatus) -> bool {
    use rustix::process::Signal;
    let signals = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];
    let by_signal = signals
        .map(|signal| Some(signal.as_raw()))
        .contains(&status.signal());
    by_signal || status.code() == Some(i32::from(Kind::Interrupted.exit_code()))
}

/// Serves the channel in the folder at `root` until `ended` completes with the status of the container,
/// which is returned. On SIGTERM, or if another process already serves, returns `Running`: the container
/// has not ended.
///
/// # Errors
/// When the channel cannot be served; the error is in its log, too.
pub async fn run(
    root: &Path,
    env: &Env,
    ended: impl Future<Output = ContainerStatus>,
) -> Result<ContainerStatus> {
    let folder = Folder::open(root)?;
    let handler = |e| Error::failed("cannot handle signals").source(e);
    // This fails for a process group leader, which gets no signals from the terminal either.
    let _ = rustix::process::setsid();
    let mut terminate = signal(SignalKind::terminate()).map_err(handler)?;
    let until = async {
        tokio::select! {
            state = ended => state,
            _ = terminate.recv() => ContainerStatus::Running,
        }
    };
    let served = serve(&folder, env, &ServiceLimits::default(), until).await;
    if let Err(error) = &served {
        Log::open(folder.root()).line(&error.to_string());
    }
    served
}

/// Serves the channel until `ended` completes. Keeps the folder, so that a stopped container can be
/// started again, unless the container no longer exists.
pub(super) async fn serve(
    folder: &Folder,
    env: &Env,
    limits: &ServiceLimits,
    ended: impl Future<Output = ContainerStatus>,
) -> Result<ContainerStatus> {
    let began = Instant::now();
    let _serving = loop {
        if let Some(lock) = folder.try_lock(SERVING)? {
            break lock;
        }
        // Another process serves; or it is exiting, and this one takes over.
        if folder.is_served() || began.elapsed() >= START_TIME {
            return Ok(ContainerStatus::Running);
        }
        sleep(LOCK_INTERVAL).await;
    };
    let channel = folder.channel()?;
    let log = Arc::new(Log::open(folder.root()));
    let server = Server::bind(folder, &channel)?;
    let mut ready = folder.try_lock(READY)?;
    while ready.is_none() {
        sleep(LOCK_INTERVAL).await;
        ready = folder.try_lock(READY)?;
    }
    let container = &channel.container;
    log.line(&match &channel.git_dir {
        Some(git_dir) => format!("serving `{}` to container {container}", git_dir.display()),
        None => format!("watching container {container}"),
    });
    let stop = CancellationToken::new();
    let end = async {
        let state = ended.await;
        drop(ready.take());
        stop.cancel();
        state
    };
    let (state, (), ()) = tokio::join!(
        end,
        server.run(env, limits, &log, &stop),
        clear_leftovers(env)
    );
    log.line(&format!("ended: the container is {state:?}"));
    remove_sockets(folder)?;
    if state == ContainerStatus::Gone {
        folder.remove()?;
    }
    Ok(state)
}
