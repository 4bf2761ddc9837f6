//! The test kit: a [`Sandbox`] with repositories, an SSH server and images, all of which are removed
//! when it is dropped; engines that fail on demand; terminals.
//!
//! The tests, the soak test and the benchmark use it, and so do the unit tests of git. Nothing here uses
//! dkr's own code, so a bug in dkr cannot hide itself.

mod api;
mod fake_engine;
mod image;
mod invocation;
mod keys;
mod leaks;
mod private_engine;
mod processes;
mod repo;
mod repo_state;
mod running;
mod sandbox;
mod sshd;
mod stalling_engine;
mod terminal;

pub use api::{Api, query};
pub use fake_engine::{Answer, FakeEngine, Request};
pub use image::{BASE_IMAGE, Image, SANDBOX_LABEL, streams};
pub use invocation::{Invocation, Output};
pub use keys::{KeyKind, write as write_key};
pub use leaks::files;
pub use private_engine::PrivateEngine;
pub use processes::{
    descendants, end as end_processes, is_alive, mentioning as processes_mentioning,
};
pub use repo::{HERMETIC, Repo};
pub use repo_state::RepoState;
pub use running::Running;
pub use sandbox::{Sandbox, dkr};
pub use sshd::Sshd;
pub use stalling_engine::StallingEngine;
pub use terminal::Terminal;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Writes a program, in a separate process: if this process had the file open for writing, a child that
/// another test starts just then would inherit that, and such a file cannot be executed.
pub fn write_program(path: &Path, text: &str) {
    let mut child = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("cat reads all");
    drop(stdin);
    assert!(child.wait().expect("it is our child").success());
}

/// Waits until `condition` holds; false if it does not within `limit`.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        // Read first: a thread that is delayed between the two checks once more.
        let late = Instant::now() > deadline;
        if condition() {
            return true;
        }
        if late {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
