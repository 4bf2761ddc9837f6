//! Asking a container about the work in it.
//!
//! One that runs is asked by a command. One that has ended left a report, which the archive API
//! reads; one that was killed did not, and is started for it: a file that the archive API writes
//! tells its entrypoint to do nothing but wait while dkr looks.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::timeout;

use super::report::Report;
use crate::engine::archive::{read_file, write_file};
use crate::engine::command::output;
use crate::engine::containers::{self, ContainerId, ExitStatus, WaitFor};
use crate::engine::signals::Signal;
use crate::engine::{Engine, ListedContainer};
use crate::error::{Error, Kind, Result};

/// The script in the image that knows the work.
pub const SCRIPT: &str = "/usr/local/lib/dkr/work.sh";
/// The git directory in a container.
const GIT_DIR: &str = "/workspace/.git";
/// The file in it with the last report.
const REPORT: &str = "/workspace/.git/dkr-report";
/// The file in it that is there when the command or the session has ended by itself.
const ENDED: &str = "/workspace/.git/dkr-ended";
/// The file in it with the working branch and, once the work may begin, its first commit.
const STARTED: &str = "/workspace/.git/dkr-started";
/// The file in it that says what the next start is for.
const NEXT: &str = "dkr-next";
/// The largest report: each of a thousand commits and as many branches has a line.
const LARGEST: u64 = 4 << 20;
/// How long a container may take for an answer that is only shown.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a container may take to run.
const START: Duration = Duration::from_secs(20);
/// How long the entrypoint may take: its fetch has 120 s (DKR_FETCH_TIMEOUT in entrypoint.sh).
const PREPARING: TimeDelta = TimeDelta::seconds(150);
/// How often it is looked at meanwhile.
const POLL: Duration = Duration::from_millis(50);

/// What the next start of a stopped container is for, instead of its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// That dkr can look into it.
    Rest,
    /// A tmux session.
    Session,
}

/// Says what the next start of a stopped container is for.
///
/// # Errors
/// When its image is too old to know, or the container is gone.
pub async fn set_purpose(engine: &Engine, id: &ContainerId, purpose: Purpose) -> Result<()> {
    if let Some(error) = too_old(engine, id).await? {
        return Err(error);
    }
    let word = match purpose {
        Purpose::Rest => "rest\n",
        Purpose::Session => "session\n",
    };
    match write_file(engine, id, GIT_DIR, NEXT, word.as_bytes()).await {
        Err(error) if error.kind == Kind::NotFound => {
            // It may just as well be the container that is gone.
            containers::inspect(engine, &id.0).await?;
            Err(Error::failed(format!("cannot look into container `{id}`"))
                .cause("its `/workspace` is no git repository any more")
                .hint(copy_out(id)))
        }
        written => written,
    }
}

/// What is left where dkr cannot help.
fn copy_out(id: &ContainerId) -> String {
    format!("`docker cp {id}:/workspace FOLDER` copies all that is in it")
}

/// Why a container cannot be looked into, if its image does not have the script.
async fn too_old(engine: &Engine, id: &ContainerId) -> Result<Option<Error>> {
    if read_file(engine, id, SCRIPT, LARGEST).await?.is_some() {
        return Ok(None);
    }
    let error = Error::failed(format!("cannot look into container `{id}`"))
        .cause("its image was made by a dkr that could not do that yet")
        .hint(format!(
            "while it runs, `dkr exec {id} -- git push` brings its commits to your repository"
        ))
        .hint(copy_out(id));
    Ok(Some(error))
}

/// Why the script failed in a container: it may not be there.
pub async fn script_failed(engine: &Engine, id: &ContainerId, error: Error) -> Error {
    match too_old(engine, id).await {
        Ok(Some(error)) => error,
        _ => error,
    }
}

/// What is known of the work in a container without starting it; nothing if it was killed.
///
/// # Errors
/// When it cannot be asked.
pub async fn look(engine: &Engine, container: &ListedContainer) -> Result<Option<Report>> {
    let id = &container.id;
    match &*container.state {
        "running" => {
            let asked = timeout(PATIENCE, report(engine, id, &[])).await;
            let late = |_| Error::failed(format!("container `{id}` does not answer"));
            asked.map_err(late)?.map(Some)
        }
        "paused" => Err(Error::failed(format!("container `{id}` is paused"))),
        _ => saved(engine, id).await,
    }
}

/// What is known of the work in a container, which is started if need be. With `tree`, the
/// uncommitted state is weighed too.
///
/// # Errors
/// When it cannot be asked.
pub async fn ask(engine: &Engine, id: &ContainerId, tree: bool) -> Result<Report> {
    let state = containers::inspect(engine, &id.0).await?;
    if state.running {
        let options: &[&str] = if tree { &["tree"] } else { &[] };
        return report(engine, id, options).await;
    }
    let enough = |report: &Report| !tree || !report.is_dirty() || report.tree.is_some();
    if let Some(report) = saved(engine, id).await?.filter(enough) {
        return Ok(report);
    }
    let options: &[&str] = if tree { &["save", "tree"] } else { &["save"] };
    awake(engine, id, async || report(engine, id, options).await).await
}

/// Whether a container has ever run: one that has not holds no work.
///
/// # Errors
/// When it is gone.
pub async fn has_run(engine: &Engine, id: &ContainerId) -> Result<bool> {
    let state = containers::inspect(engine, &id.0).await?;
    Ok(state.started_at.is_some())
}

/// Whether the command or the session of a container has ended by itself since the last start: not
/// because the container was stopped or killed.
///
/// # Errors
/// When it is gone.
pub async fn ended_by_itself(engine: &Engine, id: &ContainerId) -> Result<bool> {
    let found = read_file(engine, id, ENDED, LARGEST).await?;
    Ok(found.is_some())
}

/// Does `work` with a container that runs: one that does not is started at rest, and stopped again.
///
/// # Errors
/// When it cannot be started, and whatever `work` fails with.
pub async fn awake<T>(
    engine: &Engine,
    id: &ContainerId,
    work: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    if containers::inspect(engine, &id.0).await?.running {
        return work().await;
    }
    set_purpose(engine, id, Purpose::Rest).await?;
    containers::start(engine, id).await?;
    let done = match until_runs(engine, id).await {
        Ok(()) => work().await,
        Err(error) => Err(error),
    };
    let stopped = put_to_sleep(engine, id).await;
    done.and_then(|done| stopped.map(|()| done))
}

/// Waits until the entrypoint has read what its start is for.
async fn until_runs(engine: &Engine, id: &ContainerId) -> Result<()> {
    let note = format!("{GIT_DIR}/{NEXT}");
    let wait = r#"while [ -e "$0" ]; do sleep 0.05; done"#;
    let failed = || Error::failed(format!("container `{id}` does not start"));
    let read = timeout(START, output(engine, id, &["sh", "-c", wait, &note])).await;
    match read.map_err(|_| failed())?? {
        ended if ended.status == ExitStatus(0) => Ok(()),
        ended => Err(failed().cause(ended.reason())),
    }
}

/// Waits until the entrypoint of a container that began to run at `began` (RFC 3339) has made the
/// working branch: until then it moves files and commits itself, and what somebody else does there
/// would be lost or count as old.
pub async fn until_prepared(engine: &Engine, id: &ContainerId, began: &str) {
    let Ok(began) = DateTime::parse_from_rfc3339(began) else {
        return;
    };
    while Utc::now() - began.to_utc() < PREPARING {
        let Ok(started) = read_file(engine, id, STARTED, LARGEST).await else {
            return;
        };
        let lines = started.map_or(0, |text| String::from_utf8_lossy(&text).lines().count());
        let runs = async || {
            let state = containers::inspect(engine, &id.0).await;
            state.is_ok_and(|state| state.running)
        };
        if lines == 2 || !runs().await {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn put_to_sleep(engine: &Engine, id: &ContainerId) -> Result<()> {
    containers::kill(engine, id, Signal::Kill).await?;
    let exit = containers::wait(engine, id, WaitFor::NotRunning).await?;
    exit.status().await.map(drop)
}

async fn report(engine: &Engine, id: &ContainerId, options: &[&str]) -> Result<Report> {
    let command = [&[SCRIPT, "report"], options].concat();
    let attempt = format!("cannot learn what work container `{id}` holds");
    run_script(engine, id, &command, attempt).await
}

/// The report that the script prints.
///
/// # Errors
/// When it fails; `attempt` is what it was run for.
pub async fn run_script(
    engine: &Engine,
    id: &ContainerId,
    command: &[&str],
    attempt: String,
) -> Result<Report> {
    match output(engine, id, command).await {
        Ok(ended) if ended.status == ExitStatus(0) => {
            Report::parse(&String::from_utf8_lossy(&ended.stdout))
        }
        Ok(ended) => {
            let error = Error::failed(attempt).cause(ended.reason());
            Err(script_failed(engine, id, error).await)
        }
        Err(error) => Err(script_failed(engine, id, error).await),
    }
}

/// The report that a container left when it ended.
async fn saved(engine: &Engine, id: &ContainerId) -> Result<Option<Report>> {
    match read_file(engine, id, REPORT, LARGEST).await {
        Ok(Some(text)) => Report::parse(&String::from_utf8_lossy(&text)).map(Some),
        Ok(None) => Ok(None),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
