//! The folder of one channel, in the user's state directory.
//!
//! `<state>/dkr/channels/` and `<state>/dkr/channels/<id>/` are 0700, so that no other user of the host
//! gets in. Only `<id>/run/` is mounted into the container, read-only. It is 0755 and its sockets 0666,
//! because the container's root may be any user of the host (`userns-remap`, rootless engines). Locks,
//! log and description are kept outside of it: a container could otherwise replace them with symbolic
//! links.

use std::borrow::Cow;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::env::Env;
use crate::error::{Error, Result};
use crate::git::serve::PushPrefix;

/// What a channel serves, and to which container; stored in the folder, so that the channel can be
/// restarted after a reboot. It is also the record that dkr started the container and of where its
/// work belongs, which no label can change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The container's id; empty until the container is created.
    pub container: String,
    /// The container's engine: any text that distinguishes engines. One engine may have several.
    pub engine: String,
    /// The repository that the container was started for, as its image names it; `None` in records of
    /// earlier versions.
    #[serde(default)]
    pub repository: Option<String>,
    /// The git directory: the `.git` of the main worktree, or the bare repository. `None` if the
    /// container reaches it over SSH, or not at all: then the process only waits for its end.
    pub git_dir: Option<PathBuf>,
    /// The namespace that the container may push to, as [`PushPrefix::of_hostname`] returns it.
    pub prefix: String,
    /// Remotes whose remote-tracking branches the container sees.
    pub remotes: Vec<String>,
    /// Whether a process serves the container or waits for its end; false for an engine elsewhere.
    #[serde(default = "yes")]
    pub watched: bool,
}

fn yes() -> bool {
    true
}

impl Channel {
    /// The path of the repository that the container was started for.
    pub fn repository(&self) -> Option<String> {
        let of_git_dir = || {
            let git_dir = self.git_dir.as_deref()?;
            let root = if git_dir.ends_with(".git") {
                git_dir.parent()?
            } else {
                git_dir
            };
            root.to_str().map(str::to_owned)
        };
        self.repository.clone().or_else(of_git_dir)
    }
}

/// The folder of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    root: PathBuf,
}

/// An exclusive lock, released when this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A shared lock: its holder handles the container's end. Released as a [`Lock`] is.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

impl Folder {
    /// Creates a new folder, for a container that is about to be created.
    ///
    /// # Errors
    /// When there is no state directory, or it is not writable.
    pub fn create(env: &Env) -> Result<Self> {
        let channels = super::records::channels(env)?;
        let root = channels.join(format!("{:012x}", rand::random::<u64>() >> 16));
        let folder = Folder { root };
        let made = || {
            let mut private = DirBuilder::new();
            private.mode(0o700).recursive(true).create(&channels)?;
            fs::set_permissions(&channels, Permissions::from_mode(0o700))?;
            private.recursive(false).create(&folder.root)?;
            fs::create_dir(folder.mount_source())?;
            fs::set_permissions(folder.mount_source(), Permissions::from_mode(0o755))
        };
        made().map_err(|e| {
            let failure = folder.failure("create the channel folder", e);
            failure.hint("set `XDG_STATE_HOME` to a writable folder")
        })?;
        Ok(folder)
    }

    /// Opens the folder at `root`, which [`Folder::create`] created earlier.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn open(root: &Path) -> Result<Self> {
        let folder = Folder {
            root: root.to_path_buf(),
        };
        let found = fs::metadata(folder.mount_source());
        found.map_err(|e| folder.failure("open the channel folder", e))?;
        Ok(folder)
    }

    /// The folder of a container, if it has one. Container ids are unique across engines.
    ///
    /// # Errors
    /// When there is no state directory.
    pub fn of_container(env: &Env, container: &str) -> Result<Option<Self>> {
        let found = super::records::all(env)?.into_iter().find(|folder| {
            let channel = folder.channel();
            channel.is_ok_and(|channel| channel.container == container)
        });
        Ok(found)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its name, which is a label of the container.
    pub fn name(&self) -> Cow<'_, str> {
        let name = self.root.file_name().unwrap_or_default();
        name.to_string_lossy()
    }

    /// The folder to mount at [`CHANNEL_MOUNT_POINT`](crate::image::runtime::CHANNEL_MOUNT_POINT), read-only.
    pub fn mount_source(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Writes the record of the channel.
    ///
    /// # Errors
    /// When the prefix is invalid, the repository's path is not UTF-8, or the folder is not
    /// writable.
    pub fn assign(&self, channel: &Channel) -> Result<()> {
        PushPrefix::parse(&channel.prefix)?;
        let text = serde_json::to_vec_pretty(channel).map_err(|e| {
            let path = channel
                .git_dir
                .as_deref()
                .unwrap_or(Path::new(""))
                .display();
            Error::usage(format!("cannot serve the repository `{path}`")).source(e)
        })?;
        let new = self.root.join("channel.json.new");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, self.description()));
        written.map_err(|e| self.failure("write the channel folder", e))
    }

    /// Adds the container's id and its engine to the record, once the container is created.
    ///
    /// # Errors
    /// As [`Folder::assign`] and [`Folder::channel`].
    pub fn give_to(&self, container: &str, engine: &str) -> Result<()> {
        let planned = self.channel()?;
        self.assign(&Channel {
            container: container.to_owned(),
            engine: engine.to_owned(),
            ..planned
        })
    }

    /// Reads the record of the channel.
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub fn channel(&self) -> Result<Channel> {
        let text = fs::read(self.description());
        let text = text.map_err(|e| self.failure("read the channel folder", e))?;
        serde_json::from_slice(&text).map_err(|e| self.failure("read the channel folder", e.into()))
    }

    /// Removes the folder, for a container that no longer exists. A missing folder is fine.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.root) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(self.failure("remove the channel folder", e))
            }
            _ => Ok(()),
        }
    }

    /// Whether a process serves the channel and its sockets accept connections.
    pub fn is_served(&self) -> bool {
        matches!(self.try_lock(READY), Ok(None))
    }

    /// Takes the lock `name`; `None` if another process holds it.
    pub(super) fn try_lock(&self, name: &str) -> Result<Option<Lock>> {
        let file = File::create(self.root.join(name));
        let file = file.map_err(|e| self.failure("lock the channel folder", e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(self.failure("lock the channel folder", e)),
        }
    }

    /// Takes a lease: the channel's process does not handle the container's end while it lives. If
    /// that process is already doing so, waits until it has finished.
    ///
    /// # Errors
    /// When the folder, and so the container, no longer exists.
    pub async fn hold(&self) -> Result<Lease> {
        let path = self.root.join(HELD);
        let failed = |e| self.failure("lock the channel folder", e);
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(failed)?;
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(Lease { _file: file }),
                Err(TryLockError::WouldBlock) => sleep(LOCK_INTERVAL).await,
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
        }
    }

    /// Waits until all leases are released, and prevents new ones until the lock is dropped.
    ///
    /// # Errors
    /// When the folder no longer exists.
    pub async fn wait_released(&self) -> Result<Lock> {
        loop {
            match self.try_lock(HELD)? {
                Some(lock) => return Ok(lock),
                None => sleep(LOCK_INTERVAL).await,
            }
        }
    }

    fn description(&self) -> PathBuf {
        self.root.join("channel.json")
    }

    pub(super) fn failure(&self, attempt: &str, cause: io::Error) -> Error {
        let root = self.root.display();
        Error::failed(format!("cannot {attempt} `{root}`")).source(cause)
    }
}

/// Held by the one process that serves the channel, as long as it lives.
pub(super) const SERVING: &str = "serving.lock";

/// Held by that process while its sockets accept connections.
pub(super) const READY: &str = "ready.lock";

/// Held (shared) by every dkr with a lease on the container; exclusively by the channel's process while
/// it handles the container's end.
pub(super) const HELD: &str = "held.lock";

/// How often to try a lock that is held. Short, because the start of a container waits for some.
pub(super) const LOCK_INTERVAL: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_wrote_names_the_repository_too() {
        let read = |git_dir: &str| {
            let text = format!(
                r#"{{"container":"c","engine":"e","git_dir":{git_dir},"prefix":"box","remotes":[]}}"#
            );
            serde_json::from_str::<Channel>(&text).unwrap()
        };
        for (git_dir, root) in [
            (r#""/r/linux/.git""#, Some("/r/linux")),
            (r#""/r/linux.git""#, Some("/r/linux.git")),
            ("null", None),
        ] {
            let channel = read(git_dir);
            assert_eq!(channel.repository().as_deref(), root);
            assert!(channel.watched);
        }
        let channel = Channel {
            repository: Some("/r/link".to_owned()),
            ..read(r#""/r/linux/.git""#)
        };
        assert_eq!(channel.repository().as_deref(), Some("/r/link"));
    }
}
