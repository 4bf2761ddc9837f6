//! Checking a container for work.
//!
//! In a running container a command does it. A container that has ended left a report, which the
//! archive API reads. One that was killed left none and is started for it: a file written with the
//! archive API tells its entrypoint to do nothing but wait meanwhile. Each question has time limits,
//! since the answer comes from untrusted code.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::io::{AsyncRead, AsyncWrite};

use super::awake::{Note, while_awake};
use super::report::WorkReport;
use crate::app::Context;
use crate::engine::archive::{read_file, write_file};
use crate::engine::containers::{self, ContainerId, ExitStatus};
use crate::engine::question::{self, Answer, AnswerLimits};
use crate::engine::streams::Streams;
use crate::engine::{Engine, ListedContainer};
use crate::env::Env;
use crate::error::{Error, Kind, Result};

/// The script in the image that reports and saves work.
pub const SCRIPT: &str = "/usr/local/lib/dkr/work.sh";
/// The git directory in a container.
const GIT_DIR: &str = "/workspace/.git";
/// The file with the last report.
const REPORT: &str = "/workspace/.git/dkr-report";
/// The file that exists if the command or the session has ended by itself.
const ENDED: &str = "/workspace/.git/dkr-ended";
/// The file with the working branch and, once work may begin, its first commit.
const STARTED: &str = "/workspace/.git/dkr-started";
/// The file in the git directory that tells the entrypoint the purpose of the next start.
const NEXT: &str = "dkr-next";
/// The largest report (bytes): there is a line for each branch and each of a thousand commits.
const LARGEST: u64 = 32 << 20;
/// How long a container may take for an answer that is only displayed.
const GLANCE: Duration = Duration::from_secs(20);
/// How many times its limit of silence a container may take for a whole answer.
const TALK: u32 = 30;
/// How long the entrypoint may take: its fetch has 120 s (DKR_FETCH_TIMEOUT in entrypoint.sh).
const PREPARING: TimeDelta = TimeDelta::seconds(150);
/// How often to check whether the entrypoint is done.
const POLL: Duration = Duration::from_millis(50);

/// The purpose of the next start of a stopped container, instead of its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Only to let dkr inspect it.
    Rest,
    /// A tmux session.
    Session,
}

/// Checks the containers of an engine, with time limits.
pub struct Probe<'a> {
    pub engine: &'a Engine,
    cx: &'a Context,
    silence: Duration,
}

impl<'a> Probe<'a> {
    /// A probe with the time limit that the user set (`container_timeout`).
    pub fn new(engine: &'a Engine, cx: &'a Context) -> Self {
        Probe {
            engine,
            cx,
            silence: cx.container_timeout,
        }
    }

    /// The environment of this dkr.
    pub fn env(&self) -> &Env {
        &self.cx.env
    }

    fn within(&self, silence: Duration, total: Option<Duration>) -> AnswerLimits {
        AnswerLimits {
            silence,
            total,
            interrupt: self.cx.signals.interrupt().clone(),
        }
    }

    /// Reads the work report of a container without starting it; `None` if it was killed.
    ///
    /// # Errors
    /// When it cannot be checked.
    pub async fn look(&self, container: &ListedContainer) -> Result<Option<WorkReport>> {
        let id = &container.id;
        match &*container.state {
            "running" => {
                let glance = GLANCE.min(self.silence);
                let patience = self.within(glance, Some(glance));
                self.report(id, &[], &patience).await.map(Some)
            }
            "paused" => Err(Error::failed(format!("container `{id}` is paused"))),
            _ => saved(self.engine, id).await,
        }
    }

    /// Reads the work report of a container, which is started if needed. With `tree`, the report
    /// includes the tree of the uncommitted changes.
    ///
    /// # Errors
    /// When it cannot be checked.
    pub async fn ask(&self, id: &ContainerId, tree: bool) -> Result<WorkReport> {
        let state = containers::inspect(self.engine, &id.0).await?;
        let enough = |report: &WorkReport| !tree || !report.is_dirty() || report.tree.is_some();
        if !state.running
            && let Some(report) = saved(self.engine, id).await?.filter(enough)
        {
            return Ok(report);
        }
        let mut options = Vec::new();
        options.extend((!state.running).then_some("save"));
        options.extend(tree.then_some("tree"));
        let patience = self.within(self.silence, Some(self.silence));
        self.awake(id, async || self.report(id, &options, &patience).await)
            .await
    }

    async fn report(
        &self,
        id: &ContainerId,
        options: &[&str],
        patience: &AnswerLimits,
    ) -> Result<WorkReport> {
        let command = [&[SCRIPT, "report"], options].concat();
        let attempt = format!("cannot check container `{id}` for unsaved work");
        self.run_script(id, &command, attempt, patience).await
    }

    /// Saves work with `command` of the script; returns the report that it prints.
    ///
    /// # Errors
    /// When it fails; `attempt` is the message.
    pub async fn save(
        &self,
        id: &ContainerId,
        command: &[&str],
        attempt: String,
    ) -> Result<WorkReport> {
        let patience = self.within(self.silence, Some(self.silence * TALK));
        self.run_script(id, command, attempt, &patience).await
    }

    async fn run_script(
        &self,
        id: &ContainerId,
        command: &[&str],
        attempt: String,
        patience: &AnswerLimits,
    ) -> Result<WorkReport> {
        match question::output(self.engine, id, command, patience).await {
            Ok(answer) if answer.status == ExitStatus(0) => {
                WorkReport::parse(&String::from_utf8_lossy(&answer.stdout))
            }
            Ok(answer) => {
                let error = Error::failed(attempt).cause(answer.reason());
                Err(script_failed(self.engine, id, error).await)
            }
            Err(error) if error.kind == Kind::Interrupted => Err(error),
            Err(error) => Err(script_failed(self.engine, id, error).await),
        }
    }

    /// Runs a command in a running container and returns its output.
    ///
    /// # Errors
    /// As [`question::output`].
    pub async fn output(&self, id: &ContainerId, command: &[&str]) -> Result<Answer> {
        let patience = self.within(self.silence, Some(self.silence));
        question::output(self.engine, id, command, &patience).await
    }

    /// Runs a command in a running container, connected to these streams. There is no total limit if
    /// a person reads along (`reads`).
    ///
    /// # Errors
    /// As [`question::pipe`].
    pub async fn pipe<I, O, E>(
        &self,
        id: &ContainerId,
        command: &[&str],
        streams: Streams<I, O, E>,
        reads: bool,
    ) -> Result<ExitStatus>
    where
        I: AsyncRead + Unpin,
        O: AsyncWrite + Unpin,
        E: AsyncWrite + Unpin,
    {
        let total = (!reads).then(|| self.silence * TALK);
        let patience = self.within(self.silence, total);
        question::pipe(self.engine, id, command, streams, &patience).await
    }

    /// Waits until no other dkr has started this stopped container to inspect it.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_left_alone(&self, id: &ContainerId) -> Result<()> {
        let note = Note::take(&self.cx.env, id, self.silence).await?;
        if let Some(note) = note {
            note.remove();
        }
        Ok(())
    }

    /// Runs `work` with a running container: one that is stopped is started only to be inspected, and
    /// stopped again.
    ///
    /// # Errors
    /// When it cannot be started, and any error of `work`.
    pub async fn awake<T>(
        &self,
        id: &ContainerId,
        work: impl AsyncFnOnce() -> Result<T>,
    ) -> Result<T> {
        let note = Note::take(&self.cx.env, id, self.silence).await?;
        let state = containers::inspect(self.engine, &id.0).await?;
        if state.running {
            if let Some(note) = note {
                note.remove();
            }
            return work().await;
        }
        let start = async || {
            set_purpose(self.engine, id, Purpose::Rest).await?;
            containers::start(self.engine, id).await?;
            self.until_runs(id).await
        };
        while_awake(self.engine, &state, note, start, work).await
    }

    /// Waits until the entrypoint has read the purpose of its start.
    async fn until_runs(&self, id: &ContainerId) -> Result<()> {
        let note = format!("{GIT_DIR}/{NEXT}");
        let wait = r#"while [ -e "$0" ]; do sleep 0.05 || sleep 1; done"#;
        let failed = || Error::failed(format!("cannot start container `{id}`"));
        match self.output(id, &["sh", "-c", wait, &note]).await? {
            answer if answer.status == ExitStatus(0) => Ok(()),
            answer => Err(failed().cause(answer.reason())),
        }
    }
}

/// The content of [`NEXT`] for [`Purpose::Rest`].
const REST: &str = "rest\n";

/// Clears [`Purpose::Rest`] of a stopped container that was never started for it: the next start is one
/// to resume it.
///
/// # Errors
/// When the engine does not answer.
pub async fn forget_rest(engine: &Engine, id: &ContainerId) -> Result<()> {
    let forgotten = async {
        let next = read_file(engine, id, &format!("{GIT_DIR}/{NEXT}"), LARGEST).await?;
        if next.is_some_and(|word| word == REST.as_bytes()) {
            // The archive API cannot remove a file. To the entrypoint, an empty one means no purpose.
            write_file(engine, id, GIT_DIR, NEXT, b"").await
        } else {
            Ok(())
        }
    };
    match forgotten.await {
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        other => other,
    }
}

/// Sets the purpose of the next start of a stopped container.
///
/// # Errors
/// When its image is too old to support it, or the container no longer exists.
pub async fn set_purpose(engine: &Engine, id: &ContainerId, purpose: Purpose) -> Result<()> {
    if let Some(error) = too_old(engine, id).await? {
        return Err(error);
    }
    let word = match purpose {
        Purpose::Rest => REST,
        Purpose::Session => "session\n",
    };
    match write_file(engine, id, GIT_DIR, NEXT, word.as_bytes()).await {
        Err(error) if error.kind == Kind::NotFound => {
            // Unless it is the container itself that no longer exists.
            containers::inspect(engine, &id.0).await?;
            Err(Error::failed(format!("cannot inspect container `{id}`"))
                .cause("its `/workspace` is no longer a git repository")
                .hint(copy_out(id)))
        }
        written => written,
    }
}

/// A hint for where dkr cannot help.
fn copy_out(id: &ContainerId) -> String {
    format!("copy its files out with `docker cp {id}:/workspace FOLDER`")
}

/// The error for a container whose image does not have the script.
async fn too_old(engine: &Engine, id: &ContainerId) -> Result<Option<Error>> {
    if read_file(engine, id, SCRIPT, LARGEST).await?.is_some() {
        return Ok(None);
    }
    let error = Error::failed(format!("cannot inspect container `{id}`"))
        .cause("its image was built by an older dkr")
        .hint(format!(
            "while it is running, push its commits with `dkr exec {id} -- git push`"
        ))
        .hint(copy_out(id));
    Ok(Some(error))
}

/// The error for a script that failed: its image may not have it.
pub async fn script_failed(engine: &Engine, id: &ContainerId, error: Error) -> Error {
    match too_old(engine, id).await {
        Ok(Some(error)) => error,
        _ => error,
    }
}

/// Whether a container has ever run. One that has not holds no work.
///
/// # Errors
/// When it no longer exists.
pub async fn has_run(engine: &Engine, id: &ContainerId) -> Result<bool> {
    let state = containers::inspect(engine, &id.0).await?;
    Ok(state.started_at.is_some())
}

/// Whether the command or the session of a container has ended by itself since the last start, and was
/// not stopped or killed.
///
/// # Errors
/// When it no longer exists.
pub async fn ended_by_itself(engine: &Engine, id: &ContainerId) -> Result<bool> {
    let found = read_file(engine, id, ENDED, LARGEST).await?;
    Ok(found.is_some())
}

/// Waits until the entrypoint of a container that started at `began` (RFC 3339) has created the working
/// branch. Until then it moves files and commits itself: changes made there by others would be lost, or
/// be taken for those of the image.
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

/// Reads the report that a container wrote when it ended.
async fn saved(engine: &Engine, id: &ContainerId) -> Result<Option<WorkReport>> {
    match read_file(engine, id, REPORT, LARGEST).await {
        Ok(Some(text)) => WorkReport::parse(&String::from_utf8_lossy(&text)).map(Some),
        Ok(None) => Ok(None),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
