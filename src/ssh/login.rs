//! The check before a build: does the SSH server answer, is it the right one, does it accept the key?
//!
//! A build that fails at its clone step reports late and little; this check takes seconds. It calls
//! `ssh` with exactly what a build will have: an agent, an address, host keys, and nothing of
//! `~/.ssh/config`, whose relevant settings [`super::config`] has read.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::fault::{Ending, ServerFault, Transcript};
use super::key::Identity;
use super::known_hosts::{HostKey, KnownHosts, Marker, SSH_PORT, escaped};
use super::program;
use crate::error::{Error, Result};

/// How long logging in may take, and how long git may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long logging in may take with a key that must be touched.
const TOUCH_PATIENCE: Duration = Duration::from_secs(60);
/// How much of the probe's output is kept, in bytes.
const OUTPUT: usize = 1024;

/// The result of contacting an SSH server.
type Attempt<T> = std::result::Result<T, ServerFault>;

/// An account on an SSH server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Name or address, without brackets.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { host, port, user } = self;
        if host.contains(':') {
            write!(f, "{user}@[{host}]:{port}")
        } else {
            write!(f, "{user}@{host}:{port}")
        }
    }
}

/// Which host keys are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// The one that the server presents, for a server on this machine that is reached over loopback.
    AcceptSeen,
    /// One that these files list.
    KnownHosts(KnownHosts),
}

/// A login that a server granted; the connection is closed again.
#[derive(Debug)]
pub struct Login {
    account: Account,
    /// The server's key, or the authority that signed it.
    pub host_keys: Vec<HostKey>,
}

impl Login {
    /// Logs in to `account` with `identity`, within 5 s; with a key that must be touched, within 60 s.
    /// Of an agent with several keys, only the one that the server accepted is kept in `identity`.
    ///
    /// # Errors
    /// The fault that a build would have.
    pub async fn new(
        account: &Account,
        identity: &mut Identity,
        policy: &HostKeyPolicy,
    ) -> Attempt<Self> {
        let patience = if identity.is_token() {
            TOUCH_PATIENCE
        } else {
            PATIENCE
        };
        let (transcript, host_keys) = connect(account, Some(identity), policy, patience).await?;
        match transcript.accepted() {
            Some(fingerprint) => identity.narrow(fingerprint),
            None => return Err(transcript.broken("`ssh` did not report which key was accepted")),
        }
        Ok(Login {
            account: account.clone(),
            host_keys,
        })
    }

    /// Why the account probably cannot run git, if so: what `git --version` answered within 5 s.
    pub async fn try_git(&self, identity: &Identity) -> Option<String> {
        let answer = async {
            self.git_version(identity)
                .await
                .unwrap_or_else(|e| Some(e.message))
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(unusable) => unusable,
            Err(_) => Some("`git --version` did not finish in time".to_owned()),
        }
    }

    async fn git_version(&self, identity: &Identity) -> Result<Option<String>> {
        let account = &self.account;
        let lines = self
            .host_keys
            .iter()
            .map(|key| key.line(&account.host, account.port) + "\n");
        let known = Scratch::new(&lines.collect::<String>())?;
        let mut ssh = ssh(account, Some(identity));
        ssh.args([
            "-o",
            "LogLevel=ERROR",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
        ])
        .arg(known.option())
        .args(["--", &account.host, "git --version"]);
        let output = program::output(ssh, b"").await?;
        let mut said = [output.stdout, output.stderr].concat();
        said.truncate(OUTPUT);
        let said = String::from_utf8_lossy(&said);
        Ok(match output.status.code() {
            Some(0) => None,
            Some(status) => {
                let said = said.trim();
                Some(format!(
                    "`git --version` exited with status {status}: {said}"
                ))
            }
            None => Some(format!("`git --version` did not finish: {}", said.trim())),
        })
    }
}

/// The server's host keys, within 5 s and without a key of the user.
///
/// # Errors
/// When nothing answers, or the key is not the right one.
pub async fn host_keys(account: &Account, policy: &HostKeyPolicy) -> Attempt<Vec<HostKey>> {
    let (_, host_keys) = connect(account, None, policy, PATIENCE).await?;
    Ok(host_keys)
}

/// Connects until the server has accepted the user, or, without an identity, has refused. Returns what the
/// server presented that is right.
async fn connect(
    account: &Account,
    identity: Option<&Identity>,
    policy: &HostKeyPolicy,
    patience: Duration,
) -> Attempt<(Transcript, Vec<HostKey>)> {
    let seen = Scratch::new("")?;
    let mut ssh = ssh(account, identity);
    ssh.args(["-v", "-N", "-o"]);
    match policy {
        HostKeyPolicy::AcceptSeen => {
            ssh.args(["StrictHostKeyChecking=accept-new", "-o"])
                .arg(seen.option());
        }
        HostKeyPolicy::KnownHosts(known) => {
            known.check()?;
            ssh.args(["StrictHostKeyChecking=yes", "-o"])
                .arg(option(known.option()));
            if let Some(alias) = &known.alias {
                ssh.arg("-o").arg(format!("HostKeyAlias={alias}"));
            }
        }
    }
    ssh.args(["--", &account.host]);
    let transcript = listen(&mut ssh, patience).await?;
    if !transcript.is_logged_in() {
        match transcript.ending() {
            // A client without a key is refused once the host key is accepted.
            Ending::Other(ServerFault::KeyRefused { .. }) if identity.is_none() => {}
            ending => return Err(fault_of(ending, &transcript, account, policy).await?),
        }
    }
    let host_keys = match policy {
        HostKeyPolicy::AcceptSeen => seen.host_keys(),
        HostKeyPolicy::KnownHosts(known) => shown_keys(known, account, &transcript).await,
    }?;
    if host_keys.is_empty() {
        return Err(transcript.broken("`ssh` did not report which host key it accepted"));
    }
    Ok((transcript, host_keys))
}

/// A call of `ssh` with `identity` that reads no configuration and asks no questions.
fn ssh(account: &Account, identity: Option<&Identity>) -> Command {
    let mut ssh = program::command("ssh");
    ssh.args([
        "-F",
        "none",
        "-T",
        "-p",
        &account.port.to_string(),
        "-l",
        &account.user,
    ]);
    for option in [
        "BatchMode=yes",
        "GlobalKnownHostsFile=/dev/null",
        "CheckHostIP=no",
        "UpdateHostKeys=no",
    ] {
        ssh.args(["-o", option]);
    }
    let Some(identity) = identity else {
        ssh.args(["-o", "PreferredAuthentications=none"]);
        return ssh;
    };
    ssh.args(["-o", "PreferredAuthentications=publickey"]);
    match identity.file() {
        Some(file) => ssh
            .args(["-o", "IdentitiesOnly=yes", "-i"])
            .arg(escaped(file.as_os_str())),
        None => ssh.args(["-o", "IdentityFile=none"]),
    };
    ssh.env("SSH_AUTH_SOCK", identity.socket());
    ssh
}

/// Reads what `ssh -v` writes until it has logged in or exited, then kills it.
async fn listen(ssh: &mut Command, patience: Duration) -> Attempt<Transcript> {
    let mut child = program::start(ssh)?;
    let complaints = child.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(complaints).split(b'\n');
    let mut transcript = Transcript::default();
    let all = async {
        while let Ok(Some(line)) = lines.next_segment().await {
            transcript.push(&String::from_utf8_lossy(&line));
            if transcript.is_logged_in() {
                return;
            }
        }
    };
    match tokio::time::timeout(patience, all).await {
        Ok(()) => Ok(transcript),
        Err(_) => {
            let reason = format!("no answer within {} s", patience.as_secs());
            Err(transcript.broken(&reason))
        }
    }
}

/// The lines for the server whose key, or authority, it presented.
async fn shown_keys(
    known: &KnownHosts,
    account: &Account,
    transcript: &Transcript,
) -> Result<Vec<HostKey>> {
    let shown = transcript.shown();
    let mut keys = known.of_server(&account.host, account.port).await?;
    keys.retain(|key| {
        let fingerprint = key.fingerprint();
        fingerprint.is_some_and(|fingerprint| shown.contains(&fingerprint.as_str()))
    });
    Ok(keys)
}

/// What is wrong; for a host key also where the user's files list it.
async fn fault_of(
    ending: Ending,
    transcript: &Transcript,
    account: &Account,
    policy: &HostKeyPolicy,
) -> Result<ServerFault> {
    let known = match (&ending, policy) {
        (Ending::Other(fault), _) => return Ok(fault.clone()),
        (_, HostKeyPolicy::AcceptSeen) => return Ok(transcript.broken("its host key was refused")),
        (_, HostKeyPolicy::KnownHosts(known)) => known,
    };
    let fingerprint = transcript.shown().first().copied().unwrap_or_default();
    let place =
        |key: Option<HostKey>| key.map_or_else(|| "your known hosts".to_owned(), |key| key.place);
    if ending == Ending::Unknown {
        return Ok(unknown(account, known, fingerprint).await);
    }
    if ending == Ending::Revoked {
        let keys = shown_keys(known, account, transcript).await?;
        let mut revoked = keys.into_iter().filter(|key| key.marker == Marker::Revoked);
        let place = place(revoked.next());
        return Ok(ServerFault::HostKeyRevoked { place });
    }
    let keys = known.of_server(&account.host, account.port).await?;
    let mut others = keys
        .into_iter()
        .filter(|key| key.marker == Marker::Plain && Some(key.kind()) == transcript.shown_kind());
    Ok(ServerFault::HostKeyChanged {
        place: place(others.next()),
        fingerprint: fingerprint.to_owned(),
    })
}

/// The fault of an unknown host key, with the line that would make it known. The key is requested once
/// more for that, and only printed.
async fn unknown(account: &Account, known: &KnownHosts, fingerprint: &str) -> ServerFault {
    let seen = Box::pin(connect(account, None, &HostKeyPolicy::AcceptSeen, PATIENCE));
    let key = match seen.await {
        Ok((_, keys)) => keys.into_iter().next(),
        Err(fault) => return fault,
    };
    // An alias has no port, as with the default port.
    let (name, port) = match &known.alias {
        Some(alias) => (alias.as_str(), SSH_PORT),
        None => (account.host.as_str(), account.port),
    };
    let print = key.as_ref().and_then(HostKey::fingerprint);
    ServerFault::HostKeyUnknown {
        line: key.map_or_else(String::new, |key| key.line(name, port)),
        fingerprint: print.unwrap_or_else(|| fingerprint.to_owned()),
        file: known.files.first().cloned(),
    }
}

fn option(files: impl AsRef<OsStr>) -> OsString {
    let mut option = OsString::from("UserKnownHostsFile=");
    option.push(files);
    option
}

/// A file of known hosts without a name, so that nothing of it remains.
struct Scratch(File);

impl Scratch {
    fn new(text: &str) -> Result<Self> {
        let made = tempfile::tempfile().and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            Ok(Scratch(file))
        });
        made.map_err(|e| Error::failed("cannot make a temporary file").source(e))
    }

    /// The option that makes `ssh` use it; this process has it open.
    fn option(&self) -> OsString {
        option(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.0.as_raw_fd()
        ))
    }

    /// What `ssh` has added.
    fn host_keys(mut self) -> Result<Vec<HostKey>> {
        let mut text = String::new();
        let read = self
            .0
            .rewind()
            .and_then(|()| self.0.read_to_string(&mut text));
        read.map_err(|e| Error::failed("cannot read a temporary file").source(e))?;
        let keys = text
            .lines()
            .filter_map(|line| HostKey::parse(line, String::new()));
        Ok(keys.collect())
    }
}
