//! The log of a channel's process: a file of limited size, since no one may ever read it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::{SecondsFormat, Utc};

use crate::text::sanitize_line;

/// The size in bytes at which the log is renamed to `log.old`, replacing the previous one.
const MAX_BYTES: u64 = 128 * 1024;

/// A log file, opened for appending.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Log {
    /// Opens the log in the folder `root`. Failing to write it is not an error.
    pub fn open(root: &Path) -> Self {
        let path = root.join("log");
        let file = Mutex::new(append(&path));
        Log { path, file }
    }

    /// Writes one line with the time; control characters are escaped.
    pub fn line(&self, text: &str) {
        let time = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let text = sanitize_line(text);
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let size = guard.as_ref().and_then(|file| file.metadata().ok());
        if size.is_some_and(|size| size.len() > MAX_BYTES) {
            let _ = fs::rename(&self.path, self.path.with_extension("old"));
            *guard = append(&self.path);
        }
        if let Some(file) = guard.as_mut() {
            let _ = writeln!(file, "{time} {text}");
        }
    }
}

/// The last line of the log in `root`, if there is one.
pub(super) fn last_line(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("log")).ok()?;
    text.lines().last().map(String::from)
}

fn append(path: &Path) -> Option<File> {
    OpenOptions::new().create(true).append(true).open(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_holds_no_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path());
        let line = "x".repeat(1000);
        (0..500).for_each(|_| log.line(&line));
        log.line("a\x1b[2Jb\nc");
        let size = |name| fs::metadata(folder.path().join(name)).unwrap().len();
        assert!(size("log") + size("log.old") < 2 * MAX_BYTES + 4096);
        let last = last_line(folder.path()).unwrap();
        assert!(last.ends_with("a\\u{1b}[2Jb\\nc"), "{last}");
    }
}
