//! The process of one service: git, the helpers that it starts, and the files that they would leave behind.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::quarantine::Quarantine;
use crate::error::{Error, Result};

/// How long a process may take to exit after the end of its input: git then cleans up by itself.
const CLOSED: Duration = Duration::from_millis(100);

/// The standard streams of a process.
pub(super) type Streams = (ChildStdin, ChildStdout, ChildStderr);

/// A process that leads a group of its own, none of which outlives this value.
///
/// It always gets SIGTERM before SIGKILL, so that git removes its lock files.
pub(super) struct Process {
    leader: Child,
    /// The group; `None` once the leader was waited for, because its number may be reused.
    group: Option<Pid>,
    grace: Duration,
    /// Removed after all of them have ended.
    _quarantine: Option<Quarantine>,
}

impl Process {
    /// Starts `command`; each step of ending it may take `grace`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        mut command: Command,
        quarantine: Option<Quarantine>,
        grace: Duration,
    ) -> Result<(Self, Streams)> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut leader = command.spawn().map_err(|e| {
            let program = command.as_std().get_program().display();
            Error::failed(format!("cannot run `{program}`")).source(e)
        })?;
        let streams = (
            leader.stdin.take().expect("the standard input is piped"),
            leader.stdout.take().expect("the standard output is piped"),
            leader.stderr.take().expect("the standard error is piped"),
        );
        let group = leader.id().and_then(|id| i32::try_from(id).ok());
        let process = Process {
            group: group.and_then(Pid::from_raw),
            _quarantine: quarantine,
            leader,
            grace,
        };
        Ok((process, streams))
    }

    /// Waits for the leader's end, and ends its helpers: git waits for those that matter, and one
    /// that outlives it hangs. The wait can be canceled safely.
    pub async fn wait(&mut self) -> Option<ExitStatus> {
        let status = self.leader.wait().await;
        self.signal(Signal::KILL);
        self.group = None;
        status.ok()
    }

    /// Ends it: if it does not exit by itself, by SIGTERM and then SIGKILL.
    pub async fn end(mut self) -> Option<ExitStatus> {
        let grace = self.grace;
        for signal in [Signal::TERM, Signal::KILL] {
            if let Ok(status) = timeout(grace, self.wait()).await {
                return status;
            }
            self.signal(signal);
        }
        self.wait().await
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It fails if the group has ended, which is fine.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    /// The client is gone, and the input is closed. This program may be about to exit, so it waits.
    fn drop(&mut self) {
        for (patience, signal) in [(CLOSED, Signal::TERM), (self.grace, Signal::KILL)] {
            let began = Instant::now();
            while self.group.is_some() && matches!(self.leader.try_wait(), Ok(None)) {
                if began.elapsed() >= patience {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            self.signal(signal);
        }
    }
}
