//! Stopped containers that dkr starts only to inspect them: each is stopped again, even if dkr is
//! interrupted or killed meanwhile.
//!
//! A note in the user's state directory names such a container. The dkr that started it locks the note
//! for as long as it lives. An unlocked note was left by a killed dkr: the next command that deals with
//! containers stops the container.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::probe::forget_rest;
use crate::engine::Engine;
use crate::engine::containers::{self, ContainerId, ContainerState, WaitFor};
use crate::engine::signals::Signal;
use crate::env::Env;
use crate::error::{Error, Kind, Result};

/// How often to try a note that another dkr has locked.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);
/// How long an engine may take to stop a container that it was told to kill.
const KILL_TIME: Duration = Duration::from_secs(20);

/// The right to start one container to inspect it, held until this is dropped.
#[derive(Debug)]
pub struct Note {
    path: PathBuf,
    file: File,
}

impl Note {
    /// Waits until no other dkr inspects the container. `None` if notes cannot be written: then
    /// nothing guards against another dkr.
    ///
    /// # Errors
    /// When another dkr holds it for longer than `limit`.
    pub async fn take(env: &Env, id: &ContainerId, limit: Duration) -> Result<Option<Self>> {
        let Some(folder) = notes(env) else {
            return Ok(None);
        };
        let mut made = fs::DirBuilder::new();
        if made.mode(0o700).recursive(true).create(&folder).is_err() {
            return Ok(None);
        }
        let path = folder.join(&id.0);
        let began = Instant::now();
        loop {
            match Self::try_take(&path) {
                Ok(Some(note)) => return Ok(Some(note)),
                Ok(None) if began.elapsed() < limit => sleep(LOCK_INTERVAL).await,
                Ok(None) => {
                    let cause = "another dkr is still inspecting it";
                    return Err(
                        Error::failed(format!("cannot inspect container `{id}`")).cause(cause)
                    );
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// The note at `path`, created if needed; `None` if another process holds it.
    fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(e),
            Ok(()) => {}
        }
        let path = path.to_owned();
        let note = Note { path, file };
        // The previous holder may have removed the file after it was opened here.
        Ok(note.is_in_place().then_some(note))
    }

    fn is_in_place(&self) -> bool {
        let here = fs::metadata(&self.path).map(|meta| meta.ino());
        let held = self.file.metadata().map(|meta| meta.ino());
        matches!((here, held), (Ok(here), Ok(held)) if here == held)
    }

    /// Records when the container was last started, before it is started now.
    fn write(&mut self, engine: &Engine, before: &ContainerState) -> io::Result<()> {
        let started = before.started_at.as_deref().unwrap_or_default();
        self.file.set_len(0)?;
        self.file
            .write_all(format!("{}\n{started}\n", name(engine)).as_bytes())
    }

    /// Reads the note: the engine, and when the container was last started before.
    fn read(&mut self) -> Option<(String, String)> {
        let mut text = String::new();
        self.file.read_to_string(&mut text).ok()?;
        let mut lines = text.lines();
        Some((lines.next()?.to_owned(), lines.next()?.to_owned()))
    }

    /// Removes the note, once the container is stopped again. A note that is only dropped stays in
    /// place: the next command then stops the container.
    pub fn remove(self) {
        // It is still locked: no other process has it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Starts a stopped container with `start`, runs `work` and stops it again.
///
/// # Errors
/// When it cannot be started or stopped, and any error of `work`.
pub async fn while_awake<T>(
    engine: &Engine,
    before: &ContainerState,
    mut note: Option<Note>,
    start: impl AsyncFnOnce() -> Result<()>,
    work: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    if let Some(note) = &mut note {
        // Without a note, nothing stops the container if this dkr is killed.
        let _ = note.write(engine, before);
    }
    let done = match start().await {
        Ok(()) => work().await,
        Err(error) => Err(error),
    };
    let stopped = put_to_sleep(engine, &before.id).await;
    if stopped.is_ok()
        && let Some(note) = note
    {
        note.remove();
    }
    done.and_then(|done| stopped.map(|()| done))
}

async fn put_to_sleep(engine: &Engine, id: &ContainerId) -> Result<()> {
    containers::kill(engine, id, Signal::Kill).await?;
    let ended = async {
        let exit = containers::wait(engine, id, WaitFor::NotRunning).await?;
        exit.status().await.map(drop)
    };
    let late = |_| Error::failed(format!("cannot stop container `{id}`")).cause("it does not exit");
    timeout(KILL_TIME, ended).await.map_err(late)??;
    // It may have ended before its entrypoint read the purpose of this start.
    forget_rest(engine, id).await
}

/// Stops the containers of this engine that a killed dkr had started to inspect them.
pub async fn stop_forgotten(engine: &Engine, env: &Env) {
    let entries = notes(env).and_then(|folder| fs::read_dir(folder).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let Ok(Some(mut note)) = Note::try_take(&entry.path()) else {
            continue;
        };
        let id = ContainerId(entry.file_name().to_string_lossy().into_owned());
        let Some((on, before)) = note.read() else {
            note.remove(); // killed before the start
            continue;
        };
        let is_over = match containers::inspect(engine, &id.0).await {
            Ok(state) if state.running && state.started_at.as_ref() != Some(&before) => {
                put_to_sleep(engine, &id).await.is_ok()
            }
            // Killed before the start, but perhaps after it wrote the purpose of the start.
            Ok(state) => state.running || forget_rest(engine, &id).await.is_ok(),
            // It may belong to another engine.
            Err(error) => error.kind == Kind::NotFound && on == name(engine),
        };
        if is_over {
            note.remove();
        }
    }
}

fn name(engine: &Engine) -> String {
    engine.endpoint().resolved().to_string()
}

fn notes(env: &Env) -> Option<PathBuf> {
    Some(env.state_dir()?.join("awake"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_dkr_at_a_time_looks_into_a_container() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::from_iter([("XDG_STATE_HOME", folder.path())]);
        let id = ContainerId("c".repeat(64));
        let limit = Duration::from_secs(30);
        let first = Note::take(&env, &id, limit).await.unwrap().unwrap();
        let short = Duration::from_millis(100);
        assert!(Note::take(&env, &id, short).await.is_err());
        let other = ContainerId("d".repeat(64));
        assert!(Note::take(&env, &other, short).await.unwrap().is_some());
        let waiting = tokio::spawn(async move { Note::take(&env, &id, limit).await });
        sleep(3 * LOCK_INTERVAL).await;
        first.remove();
        let second = waiting.await.unwrap().unwrap().unwrap();
        assert!(second.is_in_place());
    }

    #[tokio::test]
    async fn without_a_place_for_notes_nobody_is_held_up() {
        let env = Env::from_iter([("HOME", "relative")]);
        let id = ContainerId("c".repeat(64));
        let note = Note::take(&env, &id, KILL_TIME).await;
        assert!(note.unwrap().is_none());
    }
}
