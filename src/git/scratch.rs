//! Private folders for what git creates or leaves behind while dkr uses it: each is removed with the
//! value that owns it. One whose process was killed is found by the next.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file in each folder that its process has locked.
const LOCK: &str = "lock";
/// The name of a folder that is not locked yet begins with this.
const NEW: &str = "new-";
/// A folder that was never locked and is older than this is from a process that was killed.
const MAKING: Duration = Duration::from_secs(60 * 60);

/// A private folder.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    /// Released by the kernel when the process, and all others that have it open, have ended.
    lock: File,
}

impl Scratch {
    /// A new folder in `parent`, which is created if necessary.
    ///
    /// # Errors
    /// When it cannot be created or locked.
    pub fn new(parent: &Path) -> Result<Self> {
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(true).create(parent)?;
        let name = format!("{:016x}", rand::random::<u64>());
        let made = parent.join(format!("{NEW}{name}"));
        private.recursive(false).create(&made)?;
        let locked = File::create(made.join(LOCK)).and_then(|lock| {
            lock.try_lock()?;
            Ok(lock)
        });
        let path = parent.join(name);
        let placed = locked.and_then(|lock| fs::rename(&made, &path).map(|()| lock));
        match placed {
            Ok(lock) => Ok(Scratch { path, lock }),
            Err(e) => {
                let _ = fs::remove_dir_all(made);
                Err(e)
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lock, for a program that writes there: the folder is in use until that has ended, too.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn lock(&self) -> Result<File> {
        self.lock.try_clone()
    }

    /// Those in `parent` whose processes have ended. They now belong to the caller.
    pub fn abandoned(parent: &Path) -> Vec<Self> {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| abandoned(entry.path()))
            .collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn abandoned(path: PathBuf) -> Option<Scratch> {
    let lock = match File::open(path.join(LOCK)) {
        Ok(lock) if !is_new(&path) => lock,
        _ => {
            remove_if_old(&path);
            return None;
        }
    };
    lock.try_lock().ok()?;
    Some(Scratch { path, lock })
}

fn is_new(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(NEW))
}

/// Another process may be creating or removing it.
fn remove_if_old(path: &Path) {
    let changed = path.metadata().and_then(|found| found.modified()).ok();
    let age = changed.and_then(|changed| changed.elapsed().ok());
    if age.is_some_and(|age| age > MAKING) {
        remove(path);
    }
}

/// Removes a folder, including what a process that is being killed still adds to it.
pub(super) fn remove(path: &Path) {
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 0..50 {
        match fs::remove_dir_all(path) {
            Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => std::thread::sleep(PAUSE),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_private_and_gone_with_its_value() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path().join("a/b");
        let scratch = Scratch::new(&parent).unwrap();
        let path = scratch.path().to_owned();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&parent), mode(&path)), (0o700, 0o700));
        fs::create_dir(path.join("more")).unwrap();
        drop(scratch);
        assert_eq!(fs::read_dir(parent).unwrap().count(), 0);
        assert!(!path.exists());
    }

    #[test]
    fn only_what_nobody_holds_is_abandoned() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path();
        let held = Scratch::new(parent).unwrap();
        fs::create_dir(parent.join("new-1")).unwrap();
        assert!(Scratch::abandoned(parent).is_empty());
        // As a process that was killed leaves it.
        fs::create_dir(parent.join("dead")).unwrap();
        fs::write(parent.join("dead/lock"), "").unwrap();
        let found = Scratch::abandoned(parent);
        assert_eq!(found.len(), 1);
        assert!(Scratch::abandoned(parent).is_empty());
        drop(found);
        assert!(!parent.join("dead").exists() && held.path().exists());
        assert!(Scratch::abandoned(&parent.join("nowhere")).is_empty());
    }
}
