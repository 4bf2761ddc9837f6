//! Runs the user's command in a running container, connected to dkr's own streams, and provides what
//! `question` and `tmux` share.

use std::time::{Duration, Instant};

use bollard::exec::{ResizeExecOptions, StartExecOptions};
use bollard::models::ExecConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connect::Engine;
use super::containers::{self, ContainerId, ExitStatus};
use super::error::failed;
use super::interaction::{Event, Interaction};
use super::request;
use super::signals::{Signal, Signals};
use super::streams::{Streams, Until};
use super::terminal;
use crate::error::{Error, Result};

/// Detach keys that nobody types, as in `attach`. Here they are sent as JSON, which cannot carry bytes
/// above 127. The engine holds back the first key of the sequence until the next key. It is NUL
/// (Ctrl-Space), which programs use only as a prefix or to begin a selection, so that the delay goes
/// unnoticed.
const NO_DETACH_KEYS: &str =
    "ctrl-@,ctrl-_,ctrl-@,ctrl-^,ctrl-@,ctrl-],ctrl-@,ctrl-_,ctrl-@,ctrl-^,ctrl-@,ctrl-]";

/// Runs a command so that its process can be found again to send it a signal; no engine offers that for
/// an exec. The process writes its id to the file $0.
const FINDABLE: &str = r#"echo $$ >"$0"; exec "$@""#;

/// Sends the signal $1 to the process whose id is in the file $0, and to its group if it leads one.
const SEND: &str =
    r#"read -r pid <"$0" && { kill -s "$1" -- "-$pid" 2>/dev/null || kill -s "$1" "$pid"; }"#;

/// How a command is connected to dkr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connected {
    /// Not at all.
    Nothing,
    /// Its output, and optionally its input.
    Streams {
        /// Whether to connect its input.
        stdin: bool,
    },
    /// A terminal.
    Terminal,
}

/// Creates an exec without starting it. Returns its id.
pub(super) async fn create(
    engine: &Engine,
    id: &ContainerId,
    command: Vec<String>,
    env: Vec<String>,
    connected: Connected,
) -> Result<String> {
    let attempt = format!("cannot run `{}` in container `{id}`", command.join(" "));
    let tty = connected == Connected::Terminal;
    let output = connected != Connected::Nothing;
    let config = ExecConfig {
        cmd: Some(command),
        env: Some(env),
        tty: Some(tty),
        attach_stdin: Some(tty || connected == Connected::Streams { stdin: true }),
        attach_stdout: Some(output),
        attach_stderr: Some(output),
        detach_keys: Some(NO_DETACH_KEYS.to_owned()),
        ..Default::default()
    };
    let created = engine.docker().create_exec(&id.0, config).await;
    Ok(created.map_err(|e| failed(&attempt, e))?.id)
}

/// Starts an exec that is not connected.
pub(super) async fn start_alone(engine: &Engine, exec: &str, attempt: &str) -> Result<()> {
    let detach = StartExecOptions {
        detach: true,
        ..Default::default()
    };
    let started = engine.docker().start_exec(exec, Some(detach)).await;
    started.map(drop).map_err(|e| failed(attempt, e))
}

/// How long an engine may take to notice that a command has exited after its output has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// The exit status of an exec whose output has ended. The engine may notice its exit a little later.
pub(super) async fn exit_status(engine: &Engine, exec: &str) -> Result<ExitStatus> {
    let attempt = "cannot get the exit status of the command in the container";
    let begun = Instant::now();
    loop {
        let late = begun.elapsed() > PATIENCE;
        let found = engine.docker().inspect_exec(exec).await;
        let found = found.map_err(|e| failed(attempt, e))?;
        if let (Some(false), Some(code)) = (found.running, found.exit_code) {
            return containers::exit_status(code)
                .ok_or_else(|| Error::failed(attempt).cause(format!("exit code {code}")));
        }
        if late {
            let cause = "it is still running, but its output has ended";
            return Err(Error::failed(attempt).cause(cause));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Resizes the exec's terminal to the size of dkr's. Returns whether that succeeded.
pub(super) async fn resize(engine: &Engine, exec: &str) -> bool {
    let Some(size) = terminal::size() else {
        return true;
    };
    let options = ResizeExecOptions {
        height: size.rows,
        width: size.columns,
    };
    engine.docker().resize_exec(exec, options).await.is_ok()
}

pub(super) async fn hijack(
    engine: &Engine,
    exec: &str,
    tty: bool,
    attempt: &str,
) -> Result<request::Hijacked> {
    let path = format!("/exec/{exec}/start");
    let body = serde_json::json!({ "Detach": false, "Tty": tty }).to_string();
    request::hijack(engine, &path, Some(body), attempt).await
}

/// Runs the user's command with dkr's own streams, on a terminal if `tty`. Passes signals on.
///
/// # Errors
/// When the container is not running, or the connection is lost.
pub async fn run<I, O, E>(
    engine: &Engine,
    id: &ContainerId,
    command: &[String],
    env: Vec<String>,
    tty: bool,
    streams: Streams<I, O, E>,
    signals: &mut Signals,
) -> Result<ExitStatus>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let attempt = format!("cannot run `{}` in container `{id}`", command.join(" "));
    let file = format!("/tmp/.dkr-exec-{:016x}", rand::random::<u64>());
    let findable = ["sh", "-c", FINDABLE, &file].map(str::to_owned);
    let connected = if tty {
        Connected::Terminal
    } else {
        Connected::Streams {
            stdin: streams.stdin.is_some(),
        }
    };
    let words = [&findable, command].concat();
    let exec = create(engine, id, words, env, connected).await?;
    let connection = hijack(engine, &exec, tty, &attempt).await?;
    let resize = tty.then_some(async || resize(engine, &exec).await);
    let mut interaction = Interaction::start(connection, streams, Until::Closed, signals, resize)?;
    loop {
        let signal = match interaction.next().await? {
            Event::OutputEnded(_) => break,
            Event::InputEnded => continue,
            Event::Unread => Signal::Pipe,
            Event::Signal(signal) => signal,
        };
        send(engine, id, &file, signal, &attempt).await?;
    }
    let status = exit_status(engine, &exec).await;
    let remove = ["rm", "-f", &file].map(str::to_owned).to_vec();
    // A leftover file is harmless.
    if let Ok(remove) = create(engine, id, remove, Vec::new(), Connected::Nothing).await {
        let _: Result<()> = start_alone(engine, &remove, &attempt).await;
    }
    if !tty {
        interaction.check()?;
    }
    status
}

async fn send(
    engine: &Engine,
    id: &ContainerId,
    file: &str,
    signal: Signal,
    attempt: &str,
) -> Result<()> {
    let name = signal.name().trim_start_matches("SIG");
    let command = ["sh", "-c", SEND, file, name].map(str::to_owned).to_vec();
    let exec = create(engine, id, command, Vec::new(), Connected::Nothing).await?;
    start_alone(engine, &exec, attempt).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{env, fake};

    #[tokio::test]
    async fn an_engine_that_learns_late_of_an_end_is_waited_for() {
        let fake = fake([("GET /exec/e/json", 200, r#"{"Running":true}"#)]);
        let engine = Engine::connect(&env(&fake)).await.unwrap();
        let asking = tokio::spawn(async move { exit_status(&engine, "e").await });
        tokio::time::sleep(Duration::from_secs(4)).await;
        let ended = r#"{"Running":false,"ExitCode":7}"#;
        fake.answer(
            "GET /exec/e/json",
            testkit::Answer::Json(200, ended.to_owned()),
        );
        assert_eq!(asking.await.unwrap().unwrap(), ExitStatus(7));
    }
}
