//! The folder of one channel, in the user's state directory.
//!
//! `<state>/dkr/channels/` and `<state>/dkr/channels/<id>/` are 0700: no other user of the host
//! gets through. Of them only `<id>/run/` is mounted into the container, read-only. It is 0755
//! and its sockets 0666, because the container's root may be any user of the host (`userns-remap`,
//! rootless engines). Locks, log and description stay outside it: a container could otherwise
//! put a symlink in their place.

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

/// What one channel serves, and to whom; kept in the folder, so that the channel can be brought
/// back after a reboot. It is also the record that dkr started the container, and of where its work
/// belongs, which no label can change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The container's id; empty until the container is made.
    pub container: String,
    /// Which engine the container is on, in any words that tell engines apart. It need not be the
    /// only name of that engine.
    pub engine: String,
    /// The repository that the container was started for, as its image names it; none in what earlier
    /// versions wrote.
    #[serde(default)]
    pub repository: Option<String>,
    /// The git directory: the `.git` of the main worktree, or the bare repository. None if the
    /// container reaches it in another way, or not at all: then only its end is waited for.
    pub git_dir: Option<PathBuf>,
    /// What the container may push below, as [`PushPrefix::of_hostname`] gives it.
    pub prefix: String,
    /// Remotes whose tracking branches the container sees.
    pub remotes: Vec<String>,
    /// Whether a process serves the container or waits for its end; none does on an engine elsewhere.
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
            let root = match git_dir.ends_with(".git") {
                true => git_dir.parent()?,
                false => git_dir,
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

/// A held lock; it ends with this value, and with the process in any case.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Says that somebody sees to the container; many can. It ends as a [`Lock`] does.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

impl Folder {
    /// Makes a new folder, for a container that is about to be created.
    ///
    /// # Errors
    /// When there is no state directory, or it cannot be written.
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
            let failure = folder.failure("make the channel folder", e);
            failure.hint("set `XDG_STATE_HOME` to a folder that you may write")
        })?;
        Ok(folder)
    }

    /// The folder at `root`, which [`Folder::create`] made earlier.
    ///
    /// # Errors
    /// When it is not there.
    pub fn open(root: &Path) -> Result<Self> {
        let folder = Folder {
            root: root.to_path_buf(),
        };
        let found = fs::metadata(folder.mount_source());
        found.map_err(|e| folder.failure("open the channel folder", e))?;
        Ok(folder)
    }

    /// The folder of a container, if it has one. Ids of containers are unique, whatever way leads
    /// to their engine.
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

    /// Its name, which the container has as a label.
    pub fn name(&self) -> Cow<'_, str> {
        let name = self.root.file_name().unwrap_or_default();
        name.to_string_lossy()
    }

    /// What is mounted into the container at [`CHANNEL_MOUNT_POINT`](crate::image::runtime::CHANNEL_MOUNT_POINT), read-only.
    pub fn mount_source(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Writes down what the channel is for.
    ///
    /// # Errors
    /// When the prefix is none, the repository's path is not UTF-8, or the folder cannot be
    /// written.
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

    /// Writes down whose channel it is, once the container is made that it was planned for, on the
    /// engine of that name.
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

    /// What the channel is for.
    ///
    /// # Errors
    /// When nothing legible is written down.
    pub fn channel(&self) -> Result<Channel> {
        let text = fs::read(self.description());
        let text = text.map_err(|e| self.failure("read the channel folder", e))?;
        serde_json::from_slice(&text).map_err(|e| self.failure("read the channel folder", e.into()))
    }

    /// Removes the folder, for a container that is no more. A folder that is not there is fine.
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

    /// Whether a process serves the channel: its sockets are in place.
    pub fn is_served(&self) -> bool {
        matches!(self.try_lock(READY), Ok(None))
    }

    /// Takes the lock `name`; `None` when someone holds it.
    pub(super) fn try_lock(&self, name: &str) -> Result<Option<Lock>> {
        let file = File::create(self.root.join(name));
        let file = file.map_err(|e| self.failure("lock the channel folder", e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(self.failure("lock the channel folder", e)),
        }
    }

    /// Keeps the channel's process from seeing to the container's end, which the caller will do or
    /// does not want yet. It waits until that process is done if it is at that.
    ///
    /// # Errors
    /// When the folder is gone, and so the container.
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

    /// Waits until nobody holds it; nobody can then, as long as the lock lives.
    ///
    /// # Errors
    /// When the folder is gone.
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

/// ContainerWork by the one process that serves the channel, as long as it lives.
pub(super) const SERVING: &str = "serving.lock";

/// ContainerWork by that process while its sockets accept.
pub(super) const READY: &str = "ready.lock";

/// ContainerWork by every dkr that sees to the container, and by that process when it does.
pub(super) const HELD: &str = "held.lock";

/// How often a lock is looked at that is waited for: a start waits for some of them.
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
