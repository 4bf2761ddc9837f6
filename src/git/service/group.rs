//! The process group of one service: git and the helpers it starts.

use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::time::timeout;

/// A process group that does not outlive this value.
pub(super) struct Group(Option<Pid>);

impl Group {
    /// The group that `leader` was started in.
    pub fn led_by(leader: &Child) -> Self {
        let id = leader.id().and_then(|id| i32::try_from(id).ok());
        Group(id.and_then(Pid::from_raw))
    }

    /// Kills what is left of the group. Called at most once after its leader was waited for:
    /// later its number could belong to someone else.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.0 = None;
    }

    /// Ends the group: a leader that does not end by itself within `grace` is asked to, which
    /// lets git remove its lock files and its quarantined objects, and then killed.
    pub async fn end(mut self, leader: &mut Child, grace: Duration) -> Option<ExitStatus> {
        let mut status = timeout(grace, leader.wait()).await;
        if status.is_err() {
            self.signal(Signal::TERM);
            status = timeout(grace, leader.wait()).await;
        }
        self.kill();
        let status = match status {
            Ok(status) => status,
            Err(_) => leader.wait().await,
        };
        status.ok()
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It fails when the group has ended, which is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
