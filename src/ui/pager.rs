//! The user's pager, for output that is longer than the screen.

use std::process::Stdio;

use tokio::process::{Child, ChildStdin, Command};

use super::Ui;
use super::progress::Suspended;
use crate::error::{Error, Result};

/// A running pager on dkr's terminal.
pub struct Pager {
    child: Child,
    input: Option<ChildStdin>,
    _suspended: Suspended,
}

impl Pager {
    /// Starts `program`, a shell command.
    ///
    /// # Errors
    /// When there is no shell.
    pub fn start(program: &str, ui: &Ui) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", program]).stdin(Stdio::piped());
        // As git does: keep colours, and quit at once if the text fits the screen.
        for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        let child = command.spawn();
        let mut child = child
            .map_err(|e| Error::failed(format!("cannot run the pager `{program}`")).source(e))?;
        Ok(Pager {
            input: child.stdin.take(),
            child,
            _suspended: ui.suspend(),
        })
    }

    /// The pager's input, which ends when this is dropped. Can be taken once.
    pub fn input(&mut self) -> ChildStdin {
        self.input.take().expect("it is taken once")
    }

    /// Waits until the user quits the pager.
    ///
    /// # Errors
    /// When waiting fails.
    pub async fn wait(mut self) -> Result<()> {
        let ended = self.child.wait().await;
        ended
            .map(drop)
            .map_err(|e| Error::failed("cannot wait for the pager").source(e))
    }
}
