//! The check before a build: does the SSH server answer, is it the right one, does it take the key?
//!
//! A build that fails at its clone step says little and late; this says in seconds what is wrong.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::client::{self, AuthResult, Handle};
use russh::keys::key::PrivateKeyWithHashAlg;
use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect};
use tokio::net::TcpStream;

use super::Key;
use super::known_hosts::{KnownHosts, Verdict, known_hosts_line};
use super::server_fault::ServerFault;
use crate::text::strip_controls;

/// How long logging in may take, and how long git may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of the probe's output is kept, in bytes.
const OUTPUT: usize = 1024;

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
    /// The one that the server shows, for a server on this machine that is reached over loopback.
    AcceptSeen,
    /// One that these `known_hosts` files hold.
    KnownHosts(Vec<PathBuf>),
}

/// A login on a server that takes the key; dropping it ends the connection.
pub struct Login {
    /// The server's key, `TYPE BASE64`, for [`known_hosts_line`].
    pub host_key: String,
    session: Handle<Handler>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Login").field(&self.host_key).finish()
    }
}

impl Login {
    /// Why the account probably cannot run git, if it looks so: what `git --version` answered
    /// within 5 s.
    pub async fn try_git(&self) -> Option<String> {
        match tokio::time::timeout(PATIENCE, probe(&self.session)).await {
            Ok(unusable) => unusable,
            Err(_) => Some("`git --version` did not end in time".to_owned()),
        }
    }
}

/// Logs in to `account` with `key`, within 5 s.
///
/// # Errors
/// The fault that a build would meet.
pub async fn log_in(
    account: &Account,
    key: &Key,
    policy: &HostKeyPolicy,
) -> Result<Login, ServerFault> {
    in_time(|seen| async move {
        let (host_key, mut session) = connect(account, policy, seen).await?;
        authenticate(&mut session, account, key).await?;
        Ok(Login { host_key, session })
    })
    .await
}

/// The server's host key, `TYPE BASE64`, within 5 s and without logging in.
///
/// # Errors
/// When nothing answers, or the key is not the right one.
pub async fn host_key(account: &Account, policy: &HostKeyPolicy) -> Result<String, ServerFault> {
    in_time(|seen| async move {
        let (host_key, session) = connect(account, policy, seen).await?;
        let _ = session.disconnect(Disconnect::ByApplication, "", "").await;
        Ok(host_key)
    })
    .await
}

async fn in_time<T, F: Future<Output = Result<T, ServerFault>>>(
    work: impl FnOnce(Arc<Mutex<Seen>>) -> F,
) -> Result<T, ServerFault> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    if let Ok(result) = tokio::time::timeout(PATIENCE, work(seen.clone())).await {
        return result;
    }
    let reason = format!("no answer within {} s", PATIENCE.as_secs());
    if seen.lock().is_ok_and(|seen| seen.key.is_some()) {
        Err(ServerFault::Broken { reason })
    } else {
        Err(ServerFault::NoAnswer { reason })
    }
}

/// Connects, and lets the server show its key.
async fn connect(
    account: &Account,
    policy: &HostKeyPolicy,
    seen: Arc<Mutex<Seen>>,
) -> Result<(String, Handle<Handler>), ServerFault> {
    let known = match policy {
        HostKeyPolicy::AcceptSeen => None,
        HostKeyPolicy::KnownHosts(files) => {
            Some(KnownHosts::read(files).map_err(ServerFault::Unreadable)?)
        }
    };
    let no_answer = |e: std::io::Error| ServerFault::NoAnswer {
        reason: e.to_string(),
    };
    let stream = TcpStream::connect((account.host.as_str(), account.port))
        .await
        .map_err(no_answer)?;
    let peer = stream.peer_addr().map_err(no_answer)?;
    if known.is_none() && !is_loopback(peer) {
        return Err(ServerFault::NotLocal);
    }
    let mut config = client::Config::default();
    if let Some(known) = &known {
        // Asked for first, as OpenSSH does: a server has several keys, and these are the known ones.
        let wanted = known.algorithms(&account.host, account.port);
        let is_wanted = |algorithm: &Algorithm| {
            // A known RSA key may be shown with any of the hashes.
            let rsa = matches!(algorithm, Algorithm::Rsa { .. });
            let known = |known: &Algorithm| rsa && matches!(known, Algorithm::Rsa { .. });
            wanted.contains(algorithm) || wanted.iter().any(known)
        };
        let preferred = config.preferred.key.to_mut();
        preferred.sort_by_key(|algorithm| !is_wanted(algorithm));
    }
    let handler = Handler {
        account: account.clone(),
        known,
        seen: seen.clone(),
    };
    let connected = client::connect_stream(Arc::new(config), stream, handler).await;
    let (host_key, verdict) = match seen.lock() {
        Ok(mut seen) => (seen.key.take(), seen.verdict.take()),
        Err(_) => (None, None),
    };
    let Some(host_key) = host_key else {
        let reason = connected
            .err()
            .map_or_else(|| "it shows no host key".to_owned(), |e| e.to_string());
        return Err(ServerFault::NoAnswer { reason });
    };
    if let Some(fault) = verdict.and_then(|verdict| fault_of(verdict, account, &host_key, policy)) {
        return Err(fault);
    }
    let session = connected.map_err(broken)?;
    Ok((plain_line(&host_key), session))
}

fn is_loopback(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

fn plain_line(key: &PublicKey) -> String {
    let mut key = key.clone();
    key.set_comment("");
    key.to_openssh().unwrap_or_default().trim_end().to_owned()
}

fn broken(e: russh::Error) -> ServerFault {
    ServerFault::Broken {
        reason: e.to_string(),
    }
}

fn fault_of(
    verdict: Verdict,
    account: &Account,
    key: &PublicKey,
    policy: &HostKeyPolicy,
) -> Option<ServerFault> {
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    match verdict {
        Verdict::Known => None,
        Verdict::Unknown => Some(ServerFault::HostKeyUnknown {
            line: known_hosts_line(&account.host, account.port, &plain_line(key)),
            fingerprint,
            file: match policy {
                HostKeyPolicy::KnownHosts(files) => files.first().cloned(),
                HostKeyPolicy::AcceptSeen => None,
            },
        }),
        Verdict::Changed { place } => Some(ServerFault::HostKeyChanged { place, fingerprint }),
        Verdict::Revoked { place } => Some(ServerFault::HostKeyRevoked { place }),
    }
}

async fn authenticate(
    session: &mut Handle<Handler>,
    account: &Account,
    key: &Key,
) -> Result<(), ServerFault> {
    let hash = if key.is_rsa() {
        // Never SHA-1, whatever the server prefers.
        let best = session.best_supported_rsa_hash().await.map_err(broken)?;
        Some(best.flatten().unwrap_or(HashAlg::Sha512))
    } else {
        None
    };
    let key = PrivateKeyWithHashAlg::new(key.private(), hash);
    match session
        .authenticate_publickey(&account.user, key)
        .await
        .map_err(broken)?
    {
        AuthResult::Success => Ok(()),
        AuthResult::Failure {
            remaining_methods,
            partial_success,
        } => Err(ServerFault::KeyRefused {
            methods: remaining_methods
                .iter()
                .map(|method| <&str>::from(method).to_owned())
                .collect(),
            partial: partial_success,
        }),
    }
}

/// Runs `git --version` in the account; what it said, unless it succeeded.
async fn probe(session: &Handle<Handler>) -> Option<String> {
    let mut channel = match session.channel_open_session().await {
        Ok(channel) => channel,
        Err(e) => return Some(e.to_string()),
    };
    if let Err(e) = channel.exec(true, "git --version").await {
        return Some(e.to_string());
    }
    let mut output = Vec::new();
    let mut status = None;
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => {
                let room = OUTPUT - output.len().min(OUTPUT);
                output.extend(data.iter().take(room));
            }
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            ChannelMsg::Failure => return Some("it runs no commands".to_owned()),
            _ => {}
        }
    }
    let output = strip_controls(&String::from_utf8_lossy(&output));
    match status {
        Some(0) => None,
        Some(status) => Some(format!(
            "`git --version` ended with status {status}: {}",
            output.trim()
        )),
        None => Some(format!("`git --version` did not end: {}", output.trim())),
    }
}

/// What the handler noted of the server.
#[derive(Default)]
struct Seen {
    key: Option<PublicKey>,
    verdict: Option<Verdict>,
}

struct Handler {
    account: Account,
    /// `None`: any key is right.
    known: Option<KnownHosts>,
    seen: Arc<Mutex<Seen>>,
}

impl client::Handler for Handler {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Ok(false);
        };
        let verdict = match &self.known {
            None => Verdict::Known,
            Some(known) => known.judge(&self.account.host, self.account.port, key),
        };
        let right = verdict == Verdict::Known;
        if let Ok(mut seen) = self.seen.lock() {
            seen.key = Some(key.clone());
            seen.verdict = Some(verdict);
        }
        Ok(right)
    }
}
