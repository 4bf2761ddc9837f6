//! What a push leaves in the host's repository when it is cut off, and its removal.
//!
//! git receives into a folder among the objects (git-receive-pack(1), "Quarantine Environment"), and
//! since 2.39 leaves it there when a signal ends it. Nothing in the repository tells which process such
//! a folder belongs to, and another push may be running. So git itself records the path of each push
//! that dkr serves, before it receives anything, in the user's state directory. The recorded folders
//! are removed when the service has ended; those of a dkr that was killed are removed when the next
//! channel, push or take begins.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::process::Command;

use crate::env::Env;
use crate::git::scratch::{self, Scratch};

/// Where git writes its trace, a JSON object a line (api-trace2). Each of its processes has it.
const TRACE: &str = "GIT_TRACE2_EVENT";
/// The variables whose values it writes there.
const TRACED: &str = "GIT_TRACE2_ENV_VARS";
/// Set for the programs that receive a pack: the absolute path of the folder.
const QUARANTINE: &str = "GIT_QUARANTINE_PATH";
/// The names of the folders, since git 2.36 and before.
const NAMES: [&str; 2] = ["tmp_objdir-incoming-", "incoming-"];
/// The trace's name in the folder of a service.
const FILE: &str = "trace";
/// How long processes of a dkr that was killed may take to exit.
const GRACE: Duration = Duration::from_secs(1);

/// What one service has in quarantine, and the mark on a pack that has just left it. Removed with this
/// value, when no process of the service is left.
#[derive(Debug)]
pub(super) struct Quarantine(Scratch);

/// A line of git's trace.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    event: String,
    param: String,
    value: String,
    argv: Vec<String>,
}

impl Quarantine {
    /// Makes `command`, which is about to be started, record what it has in quarantine. `None` if the
    /// user's state directory is not writable: then nothing is recorded.
    pub fn watch(command: &mut Command, env: &Env) -> Option<Self> {
        let scratch = Scratch::new(&folder(env)?).ok()?;
        command.env(TRACE, scratch.path().join(FILE));
        command.env(TRACED, QUARANTINE);
        Some(Quarantine(scratch))
    }

    fn trace(&self) -> PathBuf {
        self.0.path().join(FILE)
    }
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        let trace = fs::read(self.trace()).unwrap_or_default();
        let lines = trace.split(|byte| *byte == b'\n');
        let events = lines.filter_map(|line| serde_json::from_slice(line).ok());
        let events: Vec<Event> = events.collect();
        let told = events.iter().filter(|event| event.param == QUARANTINE);
        let folders: BTreeSet<&Path> = told.map(|event| Path::new(&event.value)).collect();
        for folder in folders.into_iter().filter(|folder| is_quarantine(folder)) {
            if folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                scratch::remove(folder);
            }
            if let Some(objects) = folder.parent() {
                remove_keeps(&objects.join("pack"), &events, &self.trace());
            }
        }
    }
}

/// Removes the mark that git sets on a pack until its refs are written, if it belongs to these
/// `events`, which its text tells. A mark that is younger than their trace is from
/// another process with that number.
fn remove_keeps(packs: &Path, events: &[Event], trace: &Path) {
    let modified = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    let arguments = events.iter().flat_map(|event| &event.argv);
    let marks: Vec<&str> = arguments
        .filter_map(|argument| argument.strip_prefix("--keep="))
        .collect();
    let entries = fs::read_dir(packs).into_iter().flatten().flatten();
    let keeps = entries.map(|entry| entry.path()).filter(|path| {
        let is_keep = path
            .extension()
            .is_some_and(|extension| extension == "keep");
        is_keep && modified(path) <= modified(trace)
    });
    for keep in keeps {
        let text = fs::read_to_string(&keep).unwrap_or_default();
        if marks.iter().any(|mark| text.trim_end() == *mark) {
            let _ = fs::remove_file(keep);
        }
    }
}

/// Ends the remaining processes of a dkr that was killed, and removes what they left. Those of a
/// running dkr are not touched.
pub async fn clear_leftovers(env: &Env) {
    let Some(folder) = folder(env) else {
        return;
    };
    let clear = move || {
        for scratch in Scratch::abandoned(&folder) {
            let left = Quarantine(scratch);
            end_processes(&left.trace());
        }
    };
    // It has no output of interest, and may be cut short.
    let _ = tokio::task::spawn_blocking(clear).await;
}

fn folder(env: &Env) -> Option<PathBuf> {
    Some(env.state_dir()?.join("pushes"))
}

fn is_quarantine(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_named = name.is_some_and(|name| NAMES.iter().any(|start| name.starts_with(start)));
    path.is_absolute() && is_named
}

/// Ends the processes that write this trace, first by SIGTERM, so that git removes its lock files.
fn end_processes(trace: &Path) {
    let mut signal = Signal::TERM;
    let began = Instant::now();
    loop {
        let processes = processes_with(trace);
        if processes.is_empty() || began.elapsed() > 2 * GRACE {
            return;
        }
        for process in processes {
            // It fails if the process has ended, which is fine.
            let _ = kill_process(process, signal);
        }
        std::thread::sleep(Duration::from_millis(20));
        if began.elapsed() > GRACE {
            signal = Signal::KILL;
        }
    }
}

/// The processes of this user whose environment names the trace.
fn processes_with(trace: &Path) -> Vec<Pid> {
    let wanted = [TRACE.as_bytes(), b"=", trace.as_os_str().as_bytes()].concat();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        variables
            .any(|variable| variable == wanted)
            .then(|| Pid::from_raw(pid))?
    });
    processes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as a push leaves it that was killed, and the trace that says so.
    struct Left {
        folder: tempfile::TempDir,
        env: Env,
    }

    impl Left {
        fn new(lines: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let env = Env::from_iter([("XDG_STATE_HOME", folder.path())]);
            let record = folder.path().join("dkr/pushes/1");
            fs::create_dir_all(&record).unwrap();
            fs::create_dir_all(folder.path().join("objects/pack")).unwrap();
            fs::write(record.join("lock"), "").unwrap();
            let left = Left { folder, env };
            let root = left.folder.path().display().to_string();
            let trace = lines.join("\n").replace("ROOT", &root);
            fs::write(record.join(FILE), trace).unwrap();
            left
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join("objects").join(name)
        }
    }

    fn told(folder: &str) -> String {
        format!(r#"{{"event":"def_param","param":"{QUARANTINE}","value":"{folder}"}}"#)
    }

    #[tokio::test]
    async fn only_a_quarantine_is_removed_whatever_a_trace_says() {
        let names = [
            "tmp_objdir-incoming-x",
            "incoming-y",
            "pack",
            "tmp_objdir-other",
        ];
        let lines = names.map(|name| told(&format!("ROOT/objects/{name}")));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let odd = [
            &told("tmp_objdir-incoming-z"),
            "no JSON",
            "{}",
            "[1]",
            r#"{"argv":1}"#,
        ];
        let left = Left::new(&[&lines[..], &odd].concat());
        for name in names {
            fs::create_dir_all(left.path(name).join("deep")).unwrap();
        }
        let link = left.path("incoming-link");
        std::os::unix::fs::symlink(left.path("pack"), &link).unwrap();
        clear_leftovers(&left.env).await;
        let there = names.map(|name| left.path(name).exists());
        assert_eq!(there, [false, false, true, true]);
        assert!(link.exists());
        let records = left.folder.path().join("dkr/pushes");
        assert_eq!(fs::read_dir(records).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_mark_on_a_pack_goes_if_it_is_of_that_push() {
        let start =
            r#"{"event":"start","argv":["git","index-pack","--keep=receive-pack 7 on box"]}"#;
        let left = Left::new(&[start, &told("ROOT/objects/incoming-x")]);
        let keeps = [
            ("pack/pack-1.keep", "receive-pack 7 on box\n"),
            ("pack/pack-2.keep", "receive-pack 77 on box\n"),
            ("pack/pack-3.keep", ""),
        ];
        for (name, text) in keeps {
            fs::write(left.path(name), text).unwrap();
        }
        let trace = left.folder.path().join("dkr/pushes/1/trace");
        let trace = fs::OpenOptions::new().append(true).open(trace).unwrap();
        trace.set_modified(std::time::SystemTime::now()).unwrap();
        fs::write(left.path("pack/pack-4.keep"), "receive-pack 7 on box\n").unwrap();
        let later = std::time::SystemTime::now() + Duration::from_secs(5);
        let keep = fs::OpenOptions::new()
            .append(true)
            .open(left.path("pack/pack-4.keep"));
        keep.unwrap().set_modified(later).unwrap();
        clear_leftovers(&left.env).await;
        let there = [1, 2, 3, 4].map(|n| left.path(&format!("pack/pack-{n}.keep")).exists());
        assert_eq!(there, [false, true, true, true]);
    }
}
