//! Asking a container about the work in it.
//!
//! One that runs is asked by a command. One that has ended left a report, which the archive API
//! reads; one that was killed did not, and is started for it: a file that the archive API writes
//! tells its entrypoint to do nothing but wait while dkr looks. Each question has limits: the answer is
//! somebody else's.

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
/// The largest report (bytes): each of a thousand commits and every branch has a line.
const LARGEST: u64 = 32 << 20;
/// How long a container may take for an answer that is only shown.
const GLANCE: Duration = Duration::from_secs(20);
/// How much longer than it may be silent a container may take for all of its answer.
const TALK: u32 = 30;
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

/// Asks the containers of an engine, each within limits.
pub struct Probe<'a> {
    /// The engine.
    pub engine: &'a Engine,
    cx: &'a Context,
    silence: Duration,
}

impl<'a> Probe<'a> {
    /// A probe with the user's limit (`container_timeout`).
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

    /// What is known of the work in a container without starting it; nothing if it was killed.
    ///
    /// # Errors
    /// When it cannot be asked.
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

    /// What is known of the work in a container, which is started if need be. With `tree`, the
    /// uncommitted state is weighed too.
    ///
    /// # Errors
    /// When it cannot be asked.
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
        let attempt = format!("cannot learn what work container `{id}` holds");
        self.run_script(id, &command, attempt, patience).await
    }

    /// The report that the script prints of work that it saves with `command`.
    ///
    /// # Errors
    /// When it fails; `attempt` is what it was run for.
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

    /// What a command prints in a container that runs.
    ///
    /// # Errors
    /// As [`question::output`].
    pub async fn output(&self, id: &ContainerId, command: &[&str]) -> Result<Answer> {
        let patience = self.within(self.silence, Some(self.silence));
        question::output(self.engine, id, command, &patience).await
    }

    /// Runs a command in a container that runs, between these streams; without a limit for all of it
    /// if a person `reads` along.
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

    /// Waits until no other dkr has a stopped container started in order to look into it.
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

    /// Does `work` with a container that runs: one that does not is started at rest, and stopped
    /// again.
    ///
    /// # Errors
    /// When it cannot be started, and whatever `work` fails with.
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

    /// Waits until the entrypoint has read what its start is for.
    async fn until_runs(&self, id: &ContainerId) -> Result<()> {
        let note = format!("{GIT_DIR}/{NEXT}");
        let wait = r#"while [ -e "$0" ]; do sleep 0.05 || sleep 1; done"#;
        let failed = || Error::failed(format!("container `{id}` does not start"));
        match self.output(id, &["sh", "-c", wait, &note]).await? {
            answer if answer.status == ExitStatus(0) => Ok(()),
            answer => Err(failed().cause(answer.reason())),
        }
    }
}

/// What [`NEXT`] holds for [`Purpose::Rest`].
const REST: &str = "rest\n";

/// Takes back that the next start of a stopped container is to look into it, if it was never started for
/// that: whoever starts it next wants to go on with it.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn forget_rest(engine: &Engine, id: &ContainerId) -> Result<()> {
    let forgotten = async {
        let next = read_file(engine, id, &format!("{GIT_DIR}/{NEXT}"), LARGEST).await?;
        match next.is_some_and(|word| word == REST.as_bytes()) {
            // The entrypoint takes that for no purpose, and there is no way to remove it.
            true => write_file(engine, id, GIT_DIR, NEXT, b"").await,
            false => Ok(()),
        }
    };
    match forgotten.await {
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        other => other,
    }
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
        Purpose::Rest => REST,
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

/// The report that a container left when it ended.
async fn saved(engine: &Engine, id: &ContainerId) -> Result<Option<WorkReport>> {
    match read_file(engine, id, REPORT, LARGEST).await {
        Ok(Some(text)) => WorkReport::parse(&String::from_utf8_lossy(&text)).map(Some),
        Ok(None) => Ok(None),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
