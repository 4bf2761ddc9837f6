//! Runs the programs of OpenSSH: in English, without a terminal to ask on, killed with their caller.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::env::Env;
use crate::error::{Error, Result};

/// The programs that dkr runs.
const PROGRAMS: [&str; 4] = ["ssh", "ssh-add", "ssh-agent", "ssh-keygen"];
/// How long a program that does not connect to a server may take. The user's agent may hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether all programs are on PATH.
///
/// # Errors
/// When one is missing; names the first.
pub fn check(env: &Env) -> Result<()> {
    let path = env.path("PATH").unwrap_or_default();
    let is_there =
        |program: &str| std::env::split_paths(&path).any(|at| at.join(program).is_file());
    match PROGRAMS.into_iter().find(|program| !is_there(program)) {
        Some(program) => Err(missing(program).cause("it is not on PATH")),
        None => Ok(()),
    }
}

fn missing(program: &str) -> Error {
    Error::failed(format!("cannot run the program `{program}`")).hint(
        "install the OpenSSH client: `openssh-client` on Debian and Ubuntu, `openssh-clients` on \
         Fedora and its relatives",
    )
}

/// A call of `program`. It is killed when its process is dropped, and is not in the process group that
/// gets Ctrl-C: dkr then ends it.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Starts it.
///
/// # Errors
/// When it cannot be run.
pub(super) fn start(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|e| {
        let program = command.as_std().get_program().to_string_lossy();
        missing(&program).source(e)
    })
}

/// Runs it with `input` as its standard input.
///
/// # Errors
/// When it cannot be run, or does not finish in time.
pub(super) async fn output(mut command: Command, input: &[u8]) -> Result<Output> {
    let mut child = start(command.stdin(Stdio::piped()))?;
    let mut stdin = child.stdin.take().expect("the standard input is piped");
    let ended = async {
        // A program that reads no input may have closed it.
        let _ = stdin.write_all(input).await;
        drop(stdin);
        child.wait_with_output().await
    };
    let program = command.as_std().get_program().to_string_lossy();
    match tokio::time::timeout(PATIENCE, ended).await {
        Ok(ended) => ended.map_err(|e| missing(&program).source(e)),
        Err(_) => {
            let message = format!("`{program}` did not finish within {} s", PATIENCE.as_secs());
            Err(Error::failed(message))
        }
    }
}

/// The last line that a program wrote.
pub(super) fn last_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.next_back().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_what_installs_it() {
        assert!(check(&Env::of_process()).is_ok());
        let folder = tempfile::tempdir().unwrap();
        for program in &PROGRAMS[..3] {
            std::fs::write(folder.path().join(program), "").unwrap();
        }
        let error = check(&Env::from_iter([("PATH", folder.path())])).unwrap_err();
        assert_eq!(error.message, "cannot run the program `ssh-keygen`");
        assert!(error.hints[0].contains("openssh-client"), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_run_is_named() {
        let error = output(command("ssh-nothing"), b"").await.unwrap_err();
        assert!(error.message.contains("`ssh-nothing`"), "{error}");
        let heard = output(command("cat"), b"one\ntwo\n").await.unwrap();
        assert_eq!(last_line(&heard.stdout).as_deref(), Some("two"));
    }
}
