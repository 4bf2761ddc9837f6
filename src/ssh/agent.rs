//! A private `ssh-agent`, which ends with dkr in every case.
//!
//! The agent is the child of a shell that waits for the end of a pipe, which dkr holds open: when dkr
//! ends, the shell ends the agent and removes its directory. If the shell is killed, too, the agent
//! notices within 10 s that its parent is gone (ssh-agent(1): it exits when its command does). A signal
//! at the parent's death (`PR_SET_PDEATHSIG`) does not work: distributions install the agent setgid,
//! and such a program loses that setting when it starts.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStdin;

use super::program;
use crate::env::Env;
use crate::error::{Error, Result};

/// Reports that the agent is ready, and ends it at the end of the standard input. Its argument is the
/// directory. If dkr was killed before the report, SIGPIPE must not end the shell.
const KEEPER: &str =
    r#"trap '' PIPE; echo 2>/dev/null; read -r _; kill "$SSH_AGENT_PID"; rm -rf -- "$1""#;
/// How long it may take to start.
const START: Duration = Duration::from_secs(10);
/// The longest directory for the socket, whose whole path may have 107 bytes.
const LONGEST: usize = 80;

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
    // The pipe is dropped first: the shell then still has something to end.
    _alive: ChildStdin,
    _folder: TempDir,
}

impl Agent {
    /// Starts an agent without keys.
    ///
    /// # Errors
    /// When there is no `ssh-agent`, or no directory for its socket.
    pub async fn start(env: &Env) -> Result<Self> {
        let failed = || Error::failed("cannot start an SSH agent");
        let folder = private_folder(env).map_err(|e| failed().source(e))?;
        let socket = folder.path().join("agent");
        let mut command = program::command("ssh-agent");
        command
            .arg("-a")
            .arg(&socket)
            .args(["sh", "-c", KEEPER, "dkr"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            // It still has to clean up.
            .kill_on_drop(false);
        let mut keeper = program::start(&mut command)?;
        let pipe = "it was asked for above";
        let alive = keeper.stdin.take().expect(pipe);
        let mut output = keeper.stdout.take().expect(pipe);
        let mut complaints = keeper.stderr.take().expect(pipe);
        let mut ready = [0];
        match tokio::time::timeout(START, output.read_exact(&mut ready)).await {
            Ok(Ok(_)) => Ok(Agent {
                socket,
                _alive: alive,
                _folder: folder,
            }),
            Ok(Err(_)) => {
                let mut text = Vec::new();
                let _ = complaints.read_to_end(&mut text).await;
                let why = program::last_line(&text);
                Err(failed().cause(why.unwrap_or_else(|| "it exited immediately".to_owned())))
            }
            Err(_) => Err(failed().cause("it did not start in time")),
        }
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

/// A directory that only the user can enter, in memory if the system has one for the user.
fn private_folder(env: &Env) -> std::io::Result<TempDir> {
    let named = ["XDG_RUNTIME_DIR", "TMPDIR"].map(|name| env.path(name));
    let mut failure = None;
    for place in named.into_iter().flatten().chain([PathBuf::from("/tmp")]) {
        if !place.is_absolute() || place.as_os_str().len() > LONGEST {
            continue;
        }
        let mut folder = tempfile::Builder::new();
        let folder = folder
            .prefix("dkr-ssh-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(place);
        match folder {
            Ok(folder) => return Ok(folder),
            Err(e) => failure = Some(e),
        }
    }
    Err(failure.unwrap_or_else(|| std::io::ErrorKind::NotFound.into()))
}

/// A key in an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentKey {
    /// Its fingerprint; a certificate has that of the key in it.
    pub fingerprint: String,
    /// Its comment.
    pub comment: String,
    /// The public key or certificate, as SSH encodes it.
    pub blob: Vec<u8>,
    /// Whether it must be touched for each signature.
    pub is_token: bool,
}

/// The keys and certificates in the agent behind `socket`.
///
/// # Errors
/// When it does not answer.
pub async fn keys(socket: &Path) -> Result<Vec<AgentKey>> {
    let (fingerprints, keys) = tokio::try_join!(list(socket, "-l"), list(socket, "-L"))?;
    let keys = fingerprints.lines().zip(keys.lines());
    Ok(keys.filter_map(|(print, key)| parse(print, key)).collect())
}

async fn list(socket: &Path, how: &str) -> Result<String> {
    /// Its status where the agent has no keys (ssh-add(1)).
    const NONE: i32 = 1;
    let mut command = program::command("ssh-add");
    command.arg(how).env("SSH_AUTH_SOCK", socket);
    let output = program::output(command, b"").await?;
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Some(NONE) => Ok(String::new()),
        _ => {
            let message = format!(
                "cannot list the keys of the SSH agent `{}`",
                socket.display()
            );
            let why = program::last_line(&output.stderr).unwrap_or_default();
            Err(Error::failed(message).cause(why))
        }
    }
}

/// Reads a key of `BITS FINGERPRINT …` and `KIND BASE64 COMMENT`.
fn parse(print: &str, key: &str) -> Option<AgentKey> {
    let fingerprint = print.split_whitespace().nth(1)?.to_owned();
    let mut fields = key.splitn(3, ' ');
    let (kind, blob) = (fields.next()?, fields.next()?);
    Some(AgentKey {
        fingerprint,
        comment: fields.next().unwrap_or_default().trim().to_owned(),
        blob: BASE64.decode(blob).ok()?,
        is_token: kind.starts_with("sk-"),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn it_is_private_and_ends_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::from_iter([("XDG_RUNTIME_DIR", folder.path())]);
        let agent = Agent::start(&env).await.unwrap();
        let socket = agent.socket().to_owned();
        assert!(socket.starts_with(folder.path()));
        let mode = socket.parent().unwrap().metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(keys(&socket).await.unwrap(), []);
        let mut connection = tokio::net::UnixStream::connect(&socket).await.unwrap();
        drop(agent);
        // Only its end closes the connection.
        let mut byte = [0];
        let closed = tokio::time::timeout(Duration::from_secs(5), connection.read(&mut byte));
        let end = closed.await.expect("it still runs");
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        assert!(keys(&socket).await.is_err());
    }

    #[test]
    fn a_dkr_that_is_gone_before_the_agent_is_there_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let private = folder.path().join("private");
        std::fs::create_dir(&private).unwrap();
        let mut agent = Command::new("sleep").arg("20").spawn().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "dkr"])
            .arg(&private)
            .env("SSH_AGENT_PID", agent.id().to_string())
            .stdin(Stdio::null())
            .stdout(writer)
            .status();
        assert!(keeper.is_ok());
        assert_eq!(agent.wait().unwrap().signal(), Some(15));
        assert!(!private.exists());
    }

    #[tokio::test]
    async fn a_folder_whose_path_is_too_long_for_a_socket_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(90));
        std::fs::create_dir(&long).unwrap();
        let env = Env::from_iter([("XDG_RUNTIME_DIR", &long), ("TMPDIR", &"relative".into())]);
        let agent = Agent::start(&env).await.unwrap();
        assert!(agent.socket().starts_with("/tmp/"));
    }

    #[test]
    fn keys_are_read_as_ssh_add_lists_them() {
        let key = parse(
            "256 SHA256:ab me (ED25519)",
            "ssh-ed25519 AAAA me@my laptop",
        )
        .unwrap();
        let (print, comment) = (key.fingerprint.as_str(), key.comment.as_str());
        assert_eq!((print, comment), ("SHA256:ab", "me@my laptop"));
        assert_eq!((key.blob.len(), key.is_token), (3, false));
        let token = parse("256 SHA256:ab", "sk-ssh-ed25519@openssh.com AAAA").unwrap();
        assert!(token.is_token && token.comment.is_empty());
        for (print, key) in [("", "ssh-ed25519 AAAA"), ("256 S", "k"), ("256 S", "k %%%")] {
            assert_eq!(parse(print, key), None);
        }
    }
}
