//! One bake at a time for an engine and a repository.
//!
//! Two builds with an identical step share it, on the session of the one that came first: ending
//! that one breaks the other (moby/buildkit issue 1551). Waiting is cheaper: the second bake
//! then finds everything in the cache.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::env::Env;
use crate::error::{Error, Result};

/// How often to retry a lock that is held.
const RETRY: Duration = Duration::from_millis(200);

/// Holds the lock until it is dropped; the kernel releases it when the process ends.
#[derive(Debug)]
pub struct BakeLock {
    _file: File,
}

impl BakeLock {
    /// Waits for the lock of `repo` on `engine`; `on_wait` is called once if it is held.
    ///
    /// # Errors
    /// When the lock file cannot be created.
    pub async fn acquire(
        env: &Env,
        engine: &str,
        repo: &str,
        on_wait: impl FnOnce(),
    ) -> Result<Self> {
        let mut on_wait = Some(on_wait);
        loop {
            if let Some(lock) = Self::try_acquire(env, engine, repo)? {
                return Ok(lock);
            }
            if let Some(on_wait) = on_wait.take() {
                on_wait();
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Takes the lock of `repo` on `engine`; `None` if it is held.
    ///
    /// # Errors
    /// As [`BakeLock::acquire`].
    pub fn try_acquire(env: &Env, engine: &str, repo: &str) -> Result<Option<Self>> {
        let file = open(env, engine, repo)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(BakeLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => {
                Err(Error::failed("cannot take the bake lock").source(e))
            }
        }
    }
}

fn open(env: &Env, engine: &str, repo: &str) -> Result<File> {
    let digest = Sha256::digest(format!("{engine}\0{repo}"));
    let name = hex::encode(&digest[..8]);
    let mut failure = None;
    for folder in folders(env) {
        let path = folder.join(format!("bake-{name}.lock"));
        let opened = std::fs::create_dir_all(&folder).and_then(|()| {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true).open(&path)
        });
        match opened {
            Ok(file) => return Ok(file),
            Err(e) => failure = Some(format!("`{}`: {e}", path.display())),
        }
    }
    let error = Error::failed("cannot create a lock file");
    Err(error
        .cause(failure.unwrap_or_default())
        .hint("set `XDG_RUNTIME_DIR` to a directory you can write to"))
}

/// Where the lock file may be; the first writable directory is used, so that a read-only home
/// directory is no obstacle.
fn folders(env: &Env) -> Vec<PathBuf> {
    let runtime = env.path("XDG_RUNTIME_DIR").map(|base| base.join("dkr"));
    let user = rustix::process::getuid().as_raw();
    let temporary = std::env::temp_dir().join(format!("dkr-{user}"));
    runtime
        .into_iter()
        .chain(env.state_dir())
        .chain([temporary])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::from_iter([("XDG_RUNTIME_DIR", folder.path())]);
        let first = BakeLock::acquire(&env, "engine", "/repo", || unreachable!()).await;
        let first = first.unwrap();
        let other = BakeLock::acquire(&env, "engine", "/other", || unreachable!()).await;
        assert!(other.is_ok());

        let (told, waits) = tokio::sync::oneshot::channel();
        let second = tokio::spawn(async move {
            BakeLock::acquire(&env, "engine", "/repo", || told.send(()).unwrap()).await
        });
        waits.await.unwrap();
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.unwrap().is_ok());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let env = Env::from_iter([
            ("XDG_RUNTIME_DIR", file.clone()),
            ("XDG_STATE_HOME", folder.path().join("state")),
        ]);
        open(&env, "engine", "/repo").unwrap();
        assert!(folder.path().join("state/dkr").is_dir());
    }
}
