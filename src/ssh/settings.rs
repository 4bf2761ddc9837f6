//! How a build reaches the host's repository over SSH: which key, user, host and port, and whether
//! the server answers and accepts that key, before anything is built.

mod defaults;

use std::path::PathBuf;

pub use self::defaults::{DEFAULT_PORT, current_user, default_key};
use self::defaults::{
    LOCALHOST, address_needed, check_host, hosts, is_this_machine, no_key, read_passphrase,
};
use super::url::ssh_url;
use crate::app::Context;
use crate::engine::Location;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::ssh::config::HostConfig;
use crate::ssh::known_hosts::{HostKey, KnownHosts};
use crate::ssh::{
    Account, HostKeyPolicy, Identity, Login, ServerFault, Unlock, key, login, program,
};

/// What the user set.
#[derive(Debug, Clone)]
pub struct SshFlags {
    /// `--ssh-key`
    pub key: Option<PathBuf>,
    /// `--ssh-user`
    pub user: Option<String>,
    /// `--ssh-host`
    pub host: Option<String>,
    /// `--ssh-port`
    pub port: Option<u16>,
    /// `--ssh-passphrase-file`
    pub passphrase_file: Option<PathBuf>,
}

impl SshFlags {
    /// Checks what can be checked before it is known whether SSH is used at all.
    ///
    /// # Errors
    /// When the host is invalid.
    pub fn check(&self) -> Result<()> {
        self.host.as_deref().map_or(Ok(()), check_host)
    }
}

/// The SSH connection as the user wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSettings {
    /// `None`: any key of the user's agent.
    key: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    user: String,
    /// The name of the host in a build, if dkr uses another.
    inside: Option<String>,
    /// What dkr tries, in order.
    outside: Vec<String>,
    port: u16,
    known_hosts: KnownHosts,
}

/// A server that answers and accepts the key.
pub struct SshAccess {
    /// The key that it accepts, in an agent that lives as long as this value.
    pub identity: Identity,
    /// The user on the host.
    pub user: String,
    /// The host as a build sees it.
    pub host: String,
    /// The port of the server.
    pub port: u16,
    /// The lines that pin the server's host key for a build.
    pub known_hosts: String,
    login: Login,
}

impl SshAccess {
    /// The account on the server, for messages.
    pub fn account(&self) -> Account {
        Account {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
        }
    }

    /// Why the account probably cannot run git, if so. Takes as long as a login.
    pub async fn unusable(&self) -> Option<String> {
        self.login.try_git(&self.identity).await
    }

    /// The URL of the repository at `path`.
    pub fn url(&self, path: &str) -> String {
        ssh_url(&self.user, &self.host, self.port, path)
    }
}

/// The server as a build or a container sees it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// The lines that pin its host key, if it answered.
    pub known_hosts: Option<String>,
}

/// The user's key as a container gets it.
#[derive(Debug, Clone)]
pub struct Mounted {
    /// The key's file on this machine.
    pub key: PathBuf,
    /// The user on the host.
    pub user: String,
    /// The host as the container sees it.
    pub host: String,
    /// The port of the server.
    pub port: u16,
    /// The lines that pin the server's host key, if the server answered.
    pub known_hosts: Option<String>,
}

impl Mounted {
    /// The URL of the repository at `path`.
    pub fn url(&self, path: &str) -> String {
        ssh_url(&self.user, &self.host, self.port, path)
    }
}

impl SshSettings {
    /// Decides between what the user set, `~/.ssh/config` and defaults, for an engine that is `location`.
    ///
    /// # Errors
    /// When the host is invalid, or the engine needs an address of this machine.
    pub async fn new(flags: &SshFlags, env: &Env, location: &Location) -> Result<Self> {
        flags.check()?;
        let flags = flags.clone();
        if let (None, Location::Elsewhere(engine)) = (&flags.host, location) {
            return Err(address_needed(engine));
        }
        let host = flags.host.as_deref().unwrap_or(LOCALHOST);
        let config = HostConfig::read(host, env).await?;
        let (inside, outside) = hosts(flags.host, config.host_name, location)?;
        let configured_key = config
            .identity_files
            .into_iter()
            .find(|file| file.is_file());
        Ok(SshSettings {
            key: flags
                .key
                .or(configured_key)
                .or_else(|| default_key(env).ok()),
            passphrase_file: flags.passphrase_file,
            user: match flags.user.or(config.user) {
                Some(user) => user,
                None => current_user(env)?,
            },
            inside,
            outside,
            port: flags.port.or(config.port).unwrap_or(DEFAULT_PORT),
            known_hosts: KnownHosts::of_user(env)
                .configured(config.known_hosts, config.host_key_alias),
        })
    }

    /// Finds the key, asks for its passphrase if necessary and allowed by `ask`, and logs in once.
    ///
    /// # Errors
    /// When the key cannot be used, or the server does not answer or does not accept it.
    pub async fn access(&self, cx: &Context, ask: bool) -> Result<SshAccess> {
        program::check(&cx.env)?;
        let mut identity = self.identity(cx, ask).await?;
        if identity.is_token() {
            if !ask {
                let message = format!("cannot use the SSH key {identity}");
                return Err(Error::failed(message).cause("it must be touched for each login"));
            }
            let message = format!("touch the SSH key {identity} when it blinks, for each login");
            cx.ui.message(&message);
        }
        let _waiting = cx.ui.waiting("checking the SSH server of the host");
        let mut first = None;
        for host in &self.outside {
            let account = self.account(host);
            match Login::new(&account, &mut identity, &self.policy(host)).await {
                Ok(login) => {
                    let host = self.inside.as_ref().unwrap_or(host);
                    return Ok(SshAccess {
                        known_hosts: self.lines(host, &login.host_keys),
                        user: self.user.clone(),
                        port: self.port,
                        host: host.clone(),
                        identity,
                        login,
                    });
                }
                Err(fault) => {
                    let unanswered = matches!(fault, ServerFault::NoAnswer { .. });
                    first.get_or_insert(fault.into_error(&account, &identity.to_string()));
                    if !unanswered {
                        break;
                    }
                }
            }
        }
        Err(first.unwrap_or_else(|| Error::bug("no SSH host was tried")))
    }

    /// What a container needs to reach the repository with the user's key, without asking for its
    /// passphrase. If the server does not answer, its host key is unknown, and the reason is printed.
    ///
    /// # Errors
    /// When there is no key in a file, or the server's host key is not the known one.
    pub async fn mounted(&self, env: &Env) -> Result<(Mounted, Option<Error>)> {
        let key = match &self.key {
            Some(key) => key.clone(),
            None => default_key(env)?,
        };
        let (server, unanswered) = self.server(env).await?;
        let mounted = Mounted {
            key,
            user: self.user.clone(),
            host: server.host,
            port: self.port,
            known_hosts: server.known_hosts,
        };
        Ok((mounted, unanswered))
    }

    /// The server, without logging in. If it does not answer, the reason is printed.
    ///
    /// # Errors
    /// When the server's host key is not the known one.
    pub async fn server(&self, env: &Env) -> Result<(Server, Option<Error>)> {
        program::check(env)?;
        let mut unanswered = None;
        for host in &self.outside {
            let account = self.account(host);
            match login::host_keys(&account, &self.policy(host)).await {
                Ok(keys) => {
                    let host = self.inside.as_ref().unwrap_or(host);
                    let server = Server {
                        host: host.clone(),
                        known_hosts: Some(self.lines(host, &keys)),
                    };
                    return Ok((server, None));
                }
                Err(fault @ ServerFault::NoAnswer { .. }) => {
                    unanswered.get_or_insert(fault.into_error(&account, ""));
                }
                Err(fault) => return Err(fault.into_error(&account, "")),
            }
        }
        let server = Server {
            host: self.inside.as_ref().unwrap_or(&self.outside[0]).clone(),
            known_hosts: None,
        };
        Ok((server, unanswered))
    }

    fn account(&self, host: &str) -> Account {
        Account {
            host: host.to_owned(),
            port: self.port,
            user: self.user.clone(),
        }
    }

    fn policy(&self, host: &str) -> HostKeyPolicy {
        if is_this_machine(host) {
            HostKeyPolicy::AcceptSeen
        } else {
            HostKeyPolicy::KnownHosts(self.known_hosts.clone())
        }
    }

    fn lines(&self, host: &str, keys: &[HostKey]) -> String {
        let lines: Vec<String> = keys.iter().map(|key| key.line(host, self.port)).collect();
        lines.join("\n")
    }

    /// The key in an agent. A key in a file is loaded from there, except if its private half is only in the
    /// user's agent, or if it is encrypted and already unlocked there.
    ///
    /// # Errors
    /// When there is no usable key.
    async fn identity(&self, cx: &Context, ask: bool) -> Result<Identity> {
        let env = &cx.env;
        let Some(path) = &self.key else {
            let found = Identity::in_users_agent(None, env).await;
            return found.ok_or_else(|| no_key(env));
        };
        let is_public = key::is_public(path);
        if (is_public || !path.exists())
            && let Some(identity) = Identity::in_users_agent(Some(path), env).await
        {
            return Ok(identity);
        }
        let passphrase = self.passphrase_file.as_deref().map(read_passphrase);
        let passphrase = passphrase.transpose()?;
        let unlock = match &passphrase {
            Some(passphrase) => Unlock::With(passphrase),
            None => Unlock::Never,
        };
        if let Some(identity) = Identity::load(path, unlock, env).await? {
            return Ok(identity);
        }
        if let Some(file) = &self.passphrase_file {
            let cause = format!("the passphrase in `{}` is wrong", file.display());
            return Err(key::unusable(path).cause(cause));
        }
        if let Some(identity) = Identity::in_users_agent(Some(path), env).await {
            return Ok(identity);
        }
        let locked = || {
            key::unusable(path)
                .cause("it is encrypted, and no passphrase was given")
                .hint("set `DKR_SSH_PASSPHRASE_FILE` to a file that holds the passphrase")
        };
        if !ask {
            return Err(locked());
        }
        let question = format!("Passphrase for `{}`", path.display());
        let _left = cx.ui.leave_to_ask(&question, "--ssh-passphrase-file")?;
        let unlocked = Identity::load(path, Unlock::OnTerminal, env).await?;
        unlocked.ok_or_else(locked)
    }
}
