//! Fetches one branch of a remote with the `git` program, and nothing else.
//!
//! The `git` program rather than libgit2, because the user's own credentials must work: agents,
//! helpers, prompts, proxies and SSH settings. It writes objects and the one tracking ref.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::command::{cannot_run, git_version};
use super::{RemoteBranch, Repository, without_credentials};
use crate::env::Env;
use crate::error::{Error, Result, quoted, suggestion};

/// How a fetch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchOutcome {
    /// The tracking ref is up to date.
    Fetched,
    /// The remote could not be reached, for this reason; the tracking ref is unchanged.
    Offline(String),
}

/// Settings for the fetch, so that the user's configuration does not make it write more.
const FETCH_SETTINGS: [(&str, &str); 7] = [
    ("core.logAllRefUpdates", "false"),
    ("fetch.bundleURI", ""),
    ("fetch.prune", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("submodule.recurse", "false"),
    ("transfer.bundleURI", "false"),
];

/// Options of git-fetch(1) for the same purpose: where one exists, it overrides a setting.
const FETCH_OPTIONS: [&str; 8] = [
    "--no-tags",
    "--no-prune",
    "--no-recurse-submodules",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-write-commit-graph",
    "--no-show-forced-updates",
    "--refmap=",
];

/// The exit status of git for options that it does not know (`usage` in git's `usage.c`).
const GIT_USAGE: i32 = 129;

/// How much of git's last output is kept for an error.
const KEPT_LINES: usize = 4;

/// How long to wait for git's last output after it has exited. A background process of it (such as a
/// shared SSH connection) can hold the pipe open for hours.
const LAST_WORDS: Duration = Duration::from_millis(200);

impl Repository {
    /// Fetches `branch` into its tracking ref, as it is at the remote (forced).
    ///
    /// With `interactive`, git and SSH may ask on the terminal; without, a question is a failure
    /// at once. `progress` gets the lines that git prints, as they come; without it git reports no
    /// progress. Ends when git ends: call it where it may block.
    ///
    /// # Errors
    /// If there is no `git` program or it is too old; `NotFound` if the remote has no such branch;
    /// if the remote cannot be reached and there is no tracking ref from before; `Interrupted`
    /// if git was ended by Ctrl-C.
    pub fn fetch_remote_branch(
        &self,
        branch: &RemoteBranch,
        env: &Env,
        interactive: bool,
        progress: Option<&mut dyn FnMut(&str)>,
    ) -> Result<FetchOutcome> {
        git_version()?;
        let command = self.fetch_command(branch, env, interactive, progress.is_some());
        self.fetch_by(command, branch, progress)
    }

    fn fetch_command(
        &self,
        branch: &RemoteBranch,
        env: &Env,
        interactive: bool,
        progress: bool,
    ) -> Command {
        let follow_head = format!("remote.{}.followRemoteHEAD", branch.remote);
        let mut settings = FETCH_SETTINGS.to_vec();
        settings.push((&follow_head, "never"));
        let mut command = self.git_command(&settings);
        command.arg("fetch").args(FETCH_OPTIONS);
        command.arg(if progress { "--progress" } else { "--quiet" });
        command.args(["--", &branch.remote]);
        command.arg(format!(
            "+refs/heads/{}:{}",
            branch.branch, branch.tracking_ref
        ));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        if !interactive {
            command.stdin(Stdio::null());
            command.env("GIT_TERMINAL_PROMPT", "0");
            // SSH asks on the controlling terminal even if stdin is none. With `force` it only asks a
            // program, and `false` answers nothing.
            command.env("SSH_ASKPASS_REQUIRE", "force");
            if env.path("SSH_ASKPASS").is_none() {
                command.env("SSH_ASKPASS", "false");
            }
        }
        command
    }

    fn fetch_by(
        &self,
        command: Command,
        branch: &RemoteBranch,
        progress: Option<&mut dyn FnMut(&str)>,
    ) -> Result<FetchOutcome> {
        let (status, words) = run(command, progress)?;
        if status.success() {
            return Ok(FetchOutcome::Fetched);
        }
        if status.signal() == Some(rustix::process::Signal::INT.as_raw()) {
            return Err(Error::interrupted());
        }
        let name = branch.name();
        let fetching = format!("cannot fetch `{name}` into `{}`", self.root());
        if words
            .iter()
            .any(|line| line.contains("couldn't find remote ref"))
        {
            let error = Error::not_found(format!(
                "cannot fetch `{name}`: the remote `{}` has no branch `{}`",
                branch.remote, branch.branch
            ));
            let local = format!("refs/heads/{name}");
            if self.ref_exists(&local) {
                return Err(error.hint(format!("the local branch `{name}` is `{local}` in full")));
            }
            let tracked = format!("refs/remotes/{}/", branch.remote);
            let tracked = self.short_names(&tracked).unwrap_or_default();
            let known = tracked.iter().map(String::as_str);
            let known = known.filter(|known| *known != branch.branch);
            if let Some(near) = suggestion(&branch.branch, known) {
                let near = format!("{}/{near}", branch.remote);
                return Err(error.hint(format!("did you mean `{near}`?")));
            }
            return Err(error.hint(format!(
                "`git ls-remote --heads {}` lists its branches",
                quoted(&branch.remote)
            )));
        }
        let mut error = Error::failed(fetching);
        error.causes.clone_from(&words);
        if words.is_empty() {
            error = error.cause(format!("`git fetch` ended with {status}"));
        }
        if status.code() == Some(GIT_USAGE) {
            return Err(error.hint("install a newer `git`"));
        }
        if self.ref_exists(&branch.tracking_ref) {
            return Ok(FetchOutcome::Offline(error.causes.join("; ")));
        }
        Err(error.hint(format!(
            "check whether `git fetch {}` works, or name a local branch",
            quoted(&branch.remote)
        )))
    }
}

/// Runs git to its end; returns its status, and its last lines, which tell why it failed.
fn run(
    mut command: Command,
    mut progress: Option<&mut dyn FnMut(&str)>,
) -> Result<(ExitStatus, Vec<String>)> {
    let mut child = command.spawn().map_err(|e| cannot_run(&e))?;
    let (sender, pieces) = mpsc::channel();
    if let Some(mut stderr) = child.stderr.take() {
        // Not joined: see `LAST_WORDS`.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    let mut lines = Lines::default();
    let mut status = None;
    loop {
        match pieces.recv_timeout(LAST_WORDS) {
            Ok(piece) => lines.push(&piece, &mut progress),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if status.is_some() => break,
            Err(RecvTimeoutError::Timeout) => {
                status = child.try_wait().map_err(|e| cannot_run(&e))?;
            }
        }
    }
    lines.push(b"\n", &mut progress);
    let status = match status {
        Some(status) => status,
        None => child.wait().map_err(|e| cannot_run(&e))?,
    };
    Ok((status, lines.last))
}

/// Cuts git's output into lines, and keeps the last ones.
#[derive(Default)]
pub(super) struct Lines {
    open: Vec<u8>,
    /// The last lines, without progress and advice.
    pub(super) last: Vec<String>,
}

impl Lines {
    pub(super) fn push(&mut self, piece: &[u8], progress: &mut Option<&mut dyn FnMut(&str)>) {
        for &byte in piece {
            // A line that ends in CR is progress, and overwritten by the next one.
            if byte != b'\n' && byte != b'\r' {
                self.open.push(byte);
                continue;
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut self.open)).into_owned();
            if text.trim().is_empty() {
                continue;
            }
            if let Some(report) = progress.as_mut() {
                report(&text);
            }
            if byte == b'\n' {
                self.keep(&text);
            }
        }
    }

    fn keep(&mut self, text: &str) {
        let text = ["fatal: ", "error: "]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .unwrap_or(text);
        // git's advice after a failure to connect, which only repeats the lines before it.
        let is_advice = text.starts_with("Please make sure you have the correct access rights")
            || text.starts_with("and the repository exists.");
        if is_advice {
            return;
        }
        if self.last.len() == KEPT_LINES {
            self.last.remove(0);
        }
        self.last.push(without_credentials(text.trim_end()));
    }
}

#[cfg(test)]
mod tests;
