//! Runs a container: connects it to dkr's terminal or pipes, and handles its end.

use tokio::io::{stderr, stdout};

use super::finish::end;
use super::labels::{COMMAND, KEEP, RUNS};
use crate::app::Context;
use crate::container::Keep;
use crate::container::work::Probe;
use crate::container::work::probe::{Purpose, set_purpose};
use crate::engine::Engine;
use crate::engine::attach::{AttachEnd, Start, attach_to_running, run_attached, start_until_ready};
use crate::engine::containers::{self, ContainerId, ContainerSpec, ContainerState, ExitStatus};
use crate::engine::signals::Signals;
use crate::engine::stdin::Stdin;
use crate::engine::streams::Streams;
use crate::engine::tmux::{TmuxEnd, attach_tmux};
use crate::env::Env;
use crate::error::{Error, Result, quoted};
use crate::ui::progress::hide_on_output::HideOnOutput;

/// The progress message until the container prints something.
const STARTING: &str = "starting container";

/// A container that is started or reattached to.
#[derive(Debug, Clone)]
pub struct StartedContainer<'a> {
    pub engine: &'a Engine,
    pub id: &'a ContainerId,
    /// Its working branch.
    pub name: &'a str,
    /// Whether to keep it when it has ended.
    pub keep: Keep,
}

/// Runs a container that was created but not started, until it ends. Returns its exit status, or 0
/// if the user detached from its session, which keeps running.
///
/// # Errors
/// When it cannot be started, or the connection to the engine is lost.
pub async fn run(target: &StartedContainer<'_>, spec: &ContainerSpec, cx: &Context) -> Result<u8> {
    let attended = async {
        let mut signals = cx.signals.hand_over()?;
        if spec.command.is_empty() {
            run_session(target, &mut signals, cx).await
        } else {
            run_command(target, spec.tty, &mut signals, cx).await
        }
    };
    match attended.await {
        Ok(status) => settle(target, status, cx).await,
        Err(error) => {
            forget_unused(target).await?;
            Err(error)
        }
    }
}

/// Starts a container and detaches from it.
///
/// # Errors
/// When it cannot be started.
pub async fn run_detached(
    target: &StartedContainer<'_>,
    session: bool,
    cx: &Context,
) -> Result<u8> {
    let (engine, id, name) = (target.engine, target.id, target.name);
    let waiting = starting(cx);
    let started = async {
        let mut signals = cx.signals.hand_over()?;
        if session {
            start_until_ready(engine, id, waiting.stream(stderr()), &mut signals).await
        } else {
            containers::start(engine, id).await.map(|()| Start::Ready)
        }
    };
    let started = started.await;
    drop(waiting);
    match started {
        Ok(Start::Ready) => {
            cx.ui.data(&format!("{name}\n"))?;
            cx.ui.message(&format!("started container `{name}`"));
            let typed = quoted(name);
            cx.ui
                .hint(&format!("attach to it with `dkr attach {typed}`"));
            Ok(0)
        }
        Ok(Start::Failed(outcome)) => {
            let status = status_of(outcome, target, cx);
            settle(target, status, cx).await
        }
        Err(error) => {
            forget_unused(target).await?;
            Err(error)
        }
    }
}

/// Reattaches to a container: to its session, or to its command if that runs. One that has stopped is
/// started again, with a session.
///
/// # Errors
/// As [`run`]; `Usage` for a session without a terminal.
pub async fn reattach(
    target: &StartedContainer<'_>,
    state: &ContainerState,
    terminal: bool,
    cx: &Context,
) -> Result<u8> {
    let (engine, id) = (target.engine, target.id);
    let is_command = state.labels.get(RUNS).is_some_and(|runs| runs == COMMAND);
    let probe = Probe::new(engine, cx);
    let has_session = async || {
        // A container of a command has a session, too, if it was restarted by `attach`.
        let asked = probe.output(id, &["tmux", "has-session"]).await;
        asked.is_ok_and(|answer| answer.status == ExitStatus(0))
    };
    let waiting = cx.ui.waiting("inspecting the container");
    let to_command = state.running && is_command && !has_session().await;
    drop(waiting);
    if to_command {
        if state.tty && !terminal {
            return Err(without_terminal("its command uses a terminal"));
        }
        let mut signals = cx.signals.hand_over()?;
        let ended = attach_command(target, state, &mut signals, cx).await?;
        drop(signals);
        return settle(target, ended, cx).await;
    }
    if !terminal {
        return Err(without_terminal("its session runs tmux"));
    }
    let mut signals = cx.signals.hand_over()?;
    let ended = if state.running {
        attach(target, &mut signals, cx).await?
    } else {
        let waiting = cx.ui.waiting(STARTING);
        if is_command {
            set_purpose(engine, id, Purpose::Session).await?;
        }
        if state.tty {
            containers::start(engine, id).await?;
            drop(waiting);
            attach(target, &mut signals, cx).await?
        } else {
            drop(waiting);
            run_session(target, &mut signals, cx).await?
        }
    };
    drop(signals);
    settle(target, ended, cx).await
}

/// Starts a container again, with a session, and detaches from it.
///
/// # Errors
/// When it cannot be started.
pub async fn reattach_detached(
    target: &StartedContainer<'_>,
    state: &ContainerState,
    cx: &Context,
) -> Result<u8> {
    if state.running {
        cx.ui.data(&format!("{}\n", target.name))?;
        cx.ui
            .message(&format!("container `{}` is already running", target.name));
        return Ok(0);
    }
    let is_command = state.labels.get(RUNS).is_some_and(|runs| runs == COMMAND);
    if is_command {
        set_purpose(target.engine, target.id, Purpose::Session).await?;
    }
    run_detached(target, !state.tty, cx).await
}

fn without_terminal(why: &str) -> Error {
    Error::usage("cannot attach without a terminal")
        .cause(why)
        .hint("run a command in it: `dkr exec NAME -- CMD`")
}

/// The `keep` value in a container's labels.
pub fn keep_of(state: &ContainerState) -> Keep {
    let word = state.labels.get(KEEP);
    word.map_or(Keep::Auto, |word| Keep::of_label(word))
}

async fn settle(
    target: &StartedContainer<'_>,
    ended: Option<ExitStatus>,
    cx: &Context,
) -> Result<u8> {
    let Some(status) = ended else {
        return Ok(0);
    };
    end(target.engine, target.id, target.name, target.keep, cx).await?;
    Ok(status.0)
}

/// Removes a container that never ran. One that ran may hold work.
async fn forget_unused(target: &StartedContainer<'_>) -> Result<()> {
    let state = containers::inspect(target.engine, &target.id.0).await;
    if state.is_ok_and(|state| state.started_at.is_none()) {
        containers::remove(target.engine, target.id).await?;
    }
    Ok(())
}

/// Shows the progress message until the container prints something.
fn starting(cx: &Context) -> HideOnOutput {
    HideOnOutput::new(cx.ui.waiting(STARTING))
}

async fn run_command(
    target: &StartedContainer<'_>,
    tty: bool,
    signals: &mut Signals,
    cx: &Context,
) -> Result<Option<ExitStatus>> {
    let waiting = starting(cx);
    let streams = Streams {
        stdin: Some(stdin()?),
        stdout: waiting.stream(stdout()),
        stderr: waiting.stream(stderr()),
    };
    drop(waiting);
    let outcome = run_attached(target.engine, target.id, tty, streams, signals).await?;
    Ok(status_of(outcome, target, cx))
}

async fn attach_command(
    target: &StartedContainer<'_>,
    state: &ContainerState,
    signals: &mut Signals,
    cx: &Context,
) -> Result<Option<ExitStatus>> {
    let streams = Streams {
        stdin: state.stdin.then(stdin).transpose()?,
        stdout: stdout(),
        stderr: stderr(),
    };
    let outcome = attach_to_running(target.engine, target.id, state.tty, streams, signals).await?;
    if !state.stdin && matches!(outcome, AttachEnd::LeftRunning(_)) {
        say_that_it_goes_on(target, cx);
        return Ok(None);
    }
    Ok(status_of(outcome, target, cx))
}

async fn run_session(
    target: &StartedContainer<'_>,
    signals: &mut Signals,
    cx: &Context,
) -> Result<Option<ExitStatus>> {
    let stderr = starting(cx).stream(stderr());
    match start_until_ready(target.engine, target.id, stderr, signals).await? {
        Start::Ready => attach(target, signals, cx).await,
        Start::Failed(outcome) => Ok(status_of(outcome, target, cx)),
    }
}

async fn attach(
    target: &StartedContainer<'_>,
    signals: &mut Signals,
    cx: &Context,
) -> Result<Option<ExitStatus>> {
    let variables = terminal_variables(&cx.env);
    let (engine, id) = (target.engine, target.id);
    let end = attach_tmux(engine, id, variables, stdin()?, stdout(), signals).await;
    match end? {
        TmuxEnd::Ended(status) => Ok(Some(status)),
        TmuxEnd::Detached | TmuxEnd::HungUp(_) => {
            say_that_it_goes_on(target, cx);
            Ok(None)
        }
    }
}

fn say_that_it_goes_on(target: &StartedContainer<'_>, cx: &Context) {
    let name = target.name;
    cx.ui
        .message(&format!("container `{name}` is still running"));
    let typed = quoted(name);
    cx.ui.hint(&format!("reattach with `dkr attach {typed}`"));
}

fn stdin() -> Result<Stdin> {
    Stdin::open().map_err(|e| Error::failed("cannot read stdin").source(e))
}

fn status_of(
    outcome: AttachEnd,
    target: &StartedContainer<'_>,
    cx: &Context,
) -> Option<ExitStatus> {
    match outcome {
        AttachEnd::Exited(status) => Some(status),
        AttachEnd::LeftRunning(signal) => {
            let name = target.name;
            cx.ui.warning(&format!(
                "container `{name}` is still running: its command ignores {}",
                signal.name()
            ));
            let typed = quoted(name);
            cx.ui.hint(&format!("stop it with `dkr stop {typed}`"));
            None
        }
    }
}

/// The environment that tmux or a command needs to use the user's terminal.
pub fn terminal_variables(env: &Env) -> Vec<String> {
    let term = env.get("TERM").unwrap_or("xterm-256color");
    let mut variables = vec![format!("TERM={term}")];
    variables.extend(
        env.get("COLORTERM")
            .map(|value| format!("COLORTERM={value}")),
    );
    variables
}
