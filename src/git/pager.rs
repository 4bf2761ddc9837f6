//! The user's pager, as git finds it (git-var(1)): from the environment and the user's own
//! configuration, never from a repository's.

use std::process::{Command, Stdio};

use super::command::LOCAL_VARIABLES;

/// The shell command that runs the pager; `None` if the user wants none.
pub fn pager() -> Option<String> {
    let mut command = Command::new("git");
    for variable in LOCAL_VARIABLES {
        command.env_remove(variable);
    }
    // No repository may be found.
    command.env("GIT_CEILING_DIRECTORIES", "/").current_dir("/");
    let output = command
        .args(["var", "GIT_PAGER"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let program = String::from_utf8(output.stdout).ok()?;
    let program = program.trim();
    let wanted = output.status.success() && !program.is_empty() && program != "cat";
    wanted.then(|| program.to_owned())
}
