//! The user's key as a build can use it: in an agent, dkr's own or the user's.

use std::fmt;
use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::agent::{self, Agent, AgentKey};
use super::{askpass, program};
use crate::env::Env;
use crate::error::{Error, Result, quoted};

/// The largest file that is accepted as a key, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Where a passphrase comes from.
#[derive(Debug, Clone, Copy)]
pub enum Unlock<'a> {
    /// From nowhere: an encrypted key stays locked.
    Never,
    /// From this value.
    With(&'a str),
    /// `ssh-add` asks for it on dkr's own terminal.
    OnTerminal,
}

/// A key that an agent signs with.
#[derive(Debug)]
pub struct Identity {
    socket: PathBuf,
    keys: Vec<AgentKey>,
    /// The file that selects one of the agent's keys for `ssh`.
    file: Option<PathBuf>,
    name: String,
    _agent: Option<Agent>,
}

/// The name in messages.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Identity {
    /// The key in the file `path`, and its certificate if there is one next to it, in an agent of dkr's
    /// own. `None` if it is encrypted and `unlock` does not decrypt it.
    ///
    /// # Errors
    /// When the file cannot be read or is not a private key that OpenSSH can use.
    pub async fn load(path: &Path, unlock: Unlock<'_>, env: &Env) -> Result<Option<Self>> {
        // An absolute path cannot be mistaken for an option of `ssh-add`.
        let path = &std::path::absolute(path).map_err(|e| unusable(path).source(e))?;
        let copy = usable_copy(path)?;
        let agent = Agent::start(env).await?;
        // `ssh-add` opens a copy through the descriptor of this process.
        let shown = match &copy {
            Some(copy) => format!("/proc/{}/fd/{}", std::process::id(), copy.as_raw_fd()).into(),
            None => path.to_owned(),
        };
        if !add(path, &shown, unlock, agent.socket()).await? {
            return Ok(None);
        }
        Ok(Some(Identity {
            socket: agent.socket().to_owned(),
            keys: agent::keys(agent.socket()).await?,
            file: None,
            name: format!("`{}`", path.display()),
            _agent: Some(agent),
        }))
    }

    /// The key of the file `path`, which may be only the public half, if the user's agent has it;
    /// without a file, any of the agent's keys that the server will accept.
    pub async fn in_users_agent(path: Option<&Path>, env: &Env) -> Option<Self> {
        let socket = env.path("SSH_AUTH_SOCK")?;
        let mut keys = agent::keys(&socket).await.ok()?;
        let file = path.map(existing_half);
        if let Some(file) = &file {
            let fingerprint = fingerprint(file).await?;
            keys.retain(|key| key.fingerprint == fingerprint);
        }
        Some(Identity {
            name: name_in_agent(keys.first()?),
            file,
            keys,
            socket,
            _agent: None,
        })
    }

    /// From now on, of the agent's keys use only the one with this fingerprint.
    pub(super) fn narrow(&mut self, fingerprint: &str) {
        self.keys.retain(|key| key.fingerprint == fingerprint);
        if let (Some(key), None) = (self.keys.first(), &self._agent) {
            self.name = name_in_agent(key);
        }
    }

    /// The agent's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The public keys and certificates that may be used, as SSH encodes them.
    pub fn blobs(&self) -> Vec<Vec<u8>> {
        self.keys.iter().map(|key| key.blob.clone()).collect()
    }

    /// Whether the key must be touched for each signature.
    pub fn is_token(&self) -> bool {
        self.keys.iter().all(|key| key.is_token)
    }

    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

fn name_in_agent(key: &AgentKey) -> String {
    let comment = if key.comment.is_empty() {
        &key.fingerprint
    } else {
        &key.comment
    };
    format!("`{comment}` of your SSH agent")
}

/// The error for a key that cannot be used.
pub fn unusable(path: &Path) -> Error {
    Error::failed(format!("cannot use the SSH key `{}`", path.display()))
}

/// Whether the file holds a public key. A file that can be read only once is not opened.
pub fn is_public(path: &Path) -> bool {
    let mut start = Vec::new();
    if !path.is_file() {
        return false;
    }
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
    read.is_ok() && looks_public(&start)
}

fn looks_public(text: &[u8]) -> bool {
    const STARTS: [&str; 6] = [
        "ssh-",
        "ecdsa-sha2-",
        "sk-ssh-",
        "sk-ecdsa-",
        "---- BEGIN SSH2 PUBLIC KEY",
        "-----BEGIN PUBLIC KEY",
    ];
    let text = text.trim_ascii_start();
    STARTS
        .iter()
        .any(|start| text.starts_with(start.as_bytes()))
}

/// The error for a public key whose private half is not in an agent.
pub fn public_only(path: &Path) -> Error {
    let error = unusable(path).cause("it is a public key, not a private one");
    match path.extension() {
        Some(extension) if extension == "pub" => {
            let private = path.with_extension("");
            error.hint(format!(
                "use `--ssh-key {}`",
                quoted(&private.to_string_lossy())
            ))
        }
        _ => error.hint("name the private key with `--ssh-key`"),
    }
}

/// A copy in memory that `ssh-add` accepts, if it would reject the file itself: others may read it, it
/// can be read only once, or it has a byte order mark or CR LF line ends.
fn usable_copy(path: &Path) -> Result<Option<File>> {
    let failed = |e: std::io::Error| unusable(path).source(e);
    let file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    // Allocated at once: a growing buffer would leave copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
    file.take(MAX_FILE + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(unusable(path).cause("the file is too large for a key"));
    }
    if looks_public(&text) {
        return Err(public_only(path));
    }
    let is_open = meta.mode() & 0o077 != 0;
    let is_foreign = text.starts_with(BYTE_ORDER_MARK) || text.contains(&b'\r');
    if meta.is_file() && !is_open && !is_foreign {
        return Ok(None);
    }
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len());
    }
    text.retain(|byte| *byte != b'\r');
    let copy = memfd_create("key", MemfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let mut copy = File::from(copy);
    copy.set_permissions(Permissions::from_mode(0o600))
        .and_then(|()| copy.write_all(&text))
        .map_err(failed)?;
    Ok(Some(copy))
}

/// Adds the key in the file `shown`, which the user knows as `path`, to an agent. Returns false if its
/// passphrase is missing or wrong.
async fn add(path: &Path, shown: &Path, unlock: Unlock<'_>, socket: &Path) -> Result<bool> {
    let mut command = program::command("ssh-add");
    command.arg("-q").arg(shown).env("SSH_AUTH_SOCK", socket);
    let output = match unlock {
        Unlock::OnTerminal => ask_on_terminal(command).await?,
        Unlock::Never => {
            askpass::ask_dkr(&mut command)?;
            program::output(command, b"").await?
        }
        Unlock::With(passphrase) => {
            askpass::ask_dkr(&mut command)?;
            program::output(command, passphrase.as_bytes()).await?
        }
    };
    if output.status.success() {
        return Ok(true);
    }
    if output.status.code().is_none() {
        return Err(Error::interrupted());
    }
    match program::last_line(&output.stderr) {
        // Without the name of the file, which may be that of the copy.
        Some(why) => Err(unusable(path)
            .cause(why.rsplit("\": ").next().unwrap_or(&why))
            .hint(format!(
                "check that `ssh-keygen -y -f {}` can read it",
                quoted(&path.to_string_lossy())
            ))),
        None => Ok(false),
    }
}

/// Lets `ssh-add` ask for the passphrase as long as the user likes.
async fn ask_on_terminal(mut command: Command) -> Result<Output> {
    command
        .env("SSH_ASKPASS_REQUIRE", "never")
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        // Only the foreground process group may read from the terminal; and Ctrl-C is for both.
        .process_group(getpgrp().as_raw_nonzero().get())
        .kill_on_drop(false);
    let mut asking = Asking(program::start(&mut command)?);
    let ended = asking.0.wait().await;
    let status = ended.map_err(|e| Error::failed("cannot wait for `ssh-add`").source(e))?;
    Ok(Output {
        status,
        stdout: Vec::new(),
        stderr: Vec::new(),
    })
}

/// A program that has changed the terminal: it is terminated with a signal, so that it restores it.
struct Asking(Child);

impl Drop for Asking {
    fn drop(&mut self) {
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// The file itself, or the public half next to it if the private one does not exist.
fn existing_half(path: &Path) -> PathBuf {
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    if !path.exists() && public.exists() {
        return public;
    }
    path.to_owned()
}

/// The fingerprint of the key in a file, which may be encrypted.
async fn fingerprint(path: &Path) -> Option<String> {
    let mut command = program::command("ssh-keygen");
    command.args(["-l", "-f"]).arg(path);
    let output = program::output(command, b"").await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().nth(1).map(str::to_owned)
}

#[cfg(test)]
pub(crate) mod tests;
