//! How a build reaches the host's repository over SSH: which key, user, host and port, and whether
//! the server is there and lets that key in, before anything is built.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::Context;
use super::spec::Origin;
use super::url::ssh_url;
use crate::build::Key as PrivateKey;
use crate::build::known_hosts::{default_files, known_hosts_line};
use crate::build::server_fault::ServerFault;
use crate::build::ssh_server::{self, Account, HostKeyPolicy, Login};
use crate::engine::Location;
use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::ui::Ui;

/// Keys that are tried when none is named, in this order.
const DEFAULT_KEYS: [&str; 3] = ["id_rsa", "id_ed25519", "id_ecdsa"];
/// How Docker Desktop's virtual machine calls the machine that it runs on.
const DESKTOP_HOST: &str = "host.docker.internal";

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
    pub port: u16,
    /// `--ssh-passphrase-file`
    pub passphrase_file: Option<PathBuf>,
}

impl SshFlags {
    /// Checks what can be checked before it is known whether SSH is used at all.
    ///
    /// # Errors
    /// When the host is none.
    pub fn check(&self) -> Result<()> {
        self.host.as_deref().map_or(Ok(()), check_host)
    }
}

/// The SSH connection as the user wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSettings {
    key: PathBuf,
    passphrase_file: Option<PathBuf>,
    user: String,
    host: Option<String>,
    port: u16,
}

/// A server that is there and takes the key.
pub struct SshAccess {
    /// The key that it takes.
    pub key: PrivateKey,
    /// The user on the host.
    pub user: String,
    /// The host as a build sees it.
    pub host: String,
    /// The port of the server.
    pub port: u16,
    /// The line that pins the server's host key for a build.
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

    /// Why the account runs no git, if it looks so. Costs as much as a login.
    pub async fn unusable(&self) -> Option<String> {
        self.login.try_git().await
    }

    /// The origin of the repository at `path`.
    pub fn origin(&self, path: &str) -> Origin {
        Origin {
            url: ssh_url(&self.user, &self.host, self.port, path),
            known_hosts: format!("{}\n", self.known_hosts),
            user: self.user.clone(),
            host: self.host.clone(),
            port: self.port,
        }
    }
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
    /// The line that pins the server's host key, if the server answered.
    pub known_hosts: Option<String>,
}

impl Mounted {
    /// The URL of the repository at `path`.
    pub fn url(&self, path: &str) -> String {
        ssh_url(&self.user, &self.host, self.port, path)
    }
}

impl SshSettings {
    /// Fills in what the user did not set.
    ///
    /// # Errors
    /// When the host is none, or there is no key.
    pub fn new(flags: &SshFlags, env: &Env) -> Result<Self> {
        flags.check()?;
        let flags = flags.clone();
        Ok(SshSettings {
            key: flags.key.map_or_else(|| default_key(env), Ok)?,
            passphrase_file: flags.passphrase_file,
            user: flags.user.map_or_else(|| current_user(env), Ok)?,
            host: flags.host,
            port: flags.port,
        })
    }

    /// Loads the key, asks for its passphrase if need be and `ask` allows, and logs in once.
    ///
    /// # Errors
    /// When the key cannot be used, or the server does not answer or does not take it.
    pub async fn access(&self, location: &Location, cx: &Context, ask: bool) -> Result<SshAccess> {
        let (env, ui) = (&cx.env, &cx.ui);
        let key = self.load_key(ui, ask)?;
        let _waiting = ui.waiting("check the SSH server of the host");
        let (inside, outside) = self.hosts(location)?;
        let mut first = None;
        for host in outside {
            let account = self.account(&host);
            match ssh_server::log_in(&account, &key, &policy(&host, env)).await {
                Ok(login) => {
                    let host = inside.unwrap_or(host);
                    return Ok(SshAccess {
                        known_hosts: known_hosts_line(&host, self.port, &login.host_key),
                        user: self.user.clone(),
                        port: self.port,
                        host,
                        key,
                        login,
                    });
                }
                Err(fault) => {
                    let unanswered = matches!(fault, ServerFault::NoAnswer { .. });
                    first.get_or_insert(fault.into_error(&account, &self.key));
                    if !unanswered {
                        break;
                    }
                }
            }
        }
        Err(first.unwrap_or_else(|| Error::bug("no SSH host was tried")))
    }

    /// What a container needs to reach the repository with the user's key, without asking for its
    /// passphrase. If the server does not answer, its host key stays unknown, and why is said.
    ///
    /// # Errors
    /// When the server is another than the one that is known, or must be named.
    pub async fn mounted(
        &self,
        location: &Location,
        env: &Env,
    ) -> Result<(Mounted, Option<Error>)> {
        let (inside, outside) = self.hosts(location)?;
        let mut mounted = Mounted {
            key: self.key.clone(),
            user: self.user.clone(),
            host: inside.clone().unwrap_or_else(|| outside[0].clone()),
            port: self.port,
            known_hosts: None,
        };
        let mut unanswered = None;
        for host in outside {
            let account = self.account(&host);
            match ssh_server::host_key(&account, &policy(&host, env)).await {
                Ok(key) => {
                    mounted.host = inside.unwrap_or(host);
                    let line = known_hosts_line(&mounted.host, self.port, &key);
                    mounted.known_hosts = Some(line);
                    return Ok((mounted, None));
                }
                Err(fault @ ServerFault::NoAnswer { .. }) => {
                    unanswered.get_or_insert(fault.into_error(&account, &self.key));
                }
                Err(fault) => return Err(fault.into_error(&account, &self.key)),
            }
        }
        Ok((mounted, unanswered))
    }

    fn account(&self, host: &str) -> Account {
        Account {
            host: host.to_owned(),
            port: self.port,
            user: self.user.clone(),
        }
    }

    /// How a build calls the host, if other than dkr does; and what dkr tries, in order.
    fn hosts(&self, location: &Location) -> Result<(Option<String>, Vec<String>)> {
        let loopback = || vec!["::1".to_owned(), "127.0.0.1".to_owned()];
        match (&self.host, location) {
            (Some(host), _) => Ok((None, vec![host.clone()])),
            (None, Location::ThisMachine) => Ok((None, loopback())),
            (None, Location::DockerDesktop) => Ok((Some(DESKTOP_HOST.to_owned()), loopback())),
            (None, Location::Elsewhere(engine)) => Err(Error::usage(format!(
                "the Docker Engine is on another machine (`{engine}`)"
            ))
            .cause("a build there needs an address under which it reaches this machine")
            .hint("name it with `--ssh-host`")),
        }
    }

    fn load_key(&self, ui: &Ui, may_ask: bool) -> Result<PrivateKey> {
        let mut failure = None;
        let mut from_file = match &self.passphrase_file {
            Some(path) => Some(read_passphrase(path)?),
            None => None,
        };
        let by_file = from_file.is_some();
        let prompt = format!("Passphrase of `{}`", self.key.display());
        let mut ask = |attempt| {
            if by_file || !may_ask {
                return from_file.take();
            }
            if attempt > 1 {
                ui.message("That passphrase is wrong");
            }
            ui.password(&prompt, "--ssh-passphrase-file")
                .map_err(|e| failure = Some(e))
                .ok()
        };
        let loaded = PrivateKey::load(&self.key, &mut ask);
        match failure {
            Some(failure) => Err(failure),
            None => loaded,
        }
    }
}

fn read_passphrase(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).map_err(|e| {
        Error::failed(format!(
            "cannot read the passphrase in `{}`",
            path.display()
        ))
        .because(e)
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The first of the keys that are tried when none is named.
///
/// # Errors
/// `NotFound` when there is none.
pub fn default_key(env: &Env) -> Result<PathBuf> {
    let folder = env.home().unwrap_or_default().join(".ssh");
    let mut keys = DEFAULT_KEYS.iter().map(|name| folder.join(name));
    keys.find(|path| path.is_file()).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("there is no SSH key in `{}`", folder.display()))
            .cause(format!("looked for {}", DEFAULT_KEYS.join(", ")))
            .hint("make one with `ssh-keygen` and add it to `~/.ssh/authorized_keys`, or name one with `--ssh-key`")
    })
}

/// The user that dkr runs as; the environment may lie or be empty.
///
/// # Errors
/// When nothing says who that is.
///
/// # Errors
/// When the system does not know the user.
pub fn current_user(env: &Env) -> Result<String> {
    let id = rustix::process::geteuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    named
        .or_else(|| env.get("USER").map(str::to_owned))
        .ok_or_else(|| {
            Error::failed("cannot tell your user name").hint("name it with `--ssh-user`")
        })
}

fn check_host(host: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
    if host.chars().all(fits) && !host.starts_with('-') {
        return Ok(());
    }
    Err(
        Error::usage(format!("invalid value `{host}` for `--ssh-host`"))
            .cause("expected a host name or an address, without brackets or a port")
            .hint("the port goes into `--ssh-port`"),
    )
}

fn policy(host: &str, env: &Env) -> HostKeyPolicy {
    if is_this_machine(host) {
        HostKeyPolicy::AcceptSeen
    } else {
        HostKeyPolicy::KnownHosts(default_files(env))
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        assert!(is_this_machine("::1") && is_this_machine("127.0.0.2"));
        assert!(!is_this_machine("10.0.0.1") && !is_this_machine("example.com"));
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        assert!(check_host("::1").is_ok() && check_host("my-host.example").is_ok());
        for host in ["-oProxyCommand=x", "a b", "[::1]", "h/../x"] {
            assert!(check_host(host).is_err(), "{host}");
        }
    }

    #[test]
    fn the_first_default_key_that_exists_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let env = Env::from_iter([("HOME", home.path())]);
        assert_eq!(default_key(&env).unwrap_err().kind, Kind::NotFound);
        fs::create_dir(home.path().join(".ssh")).unwrap();
        for name in ["id_ecdsa", "id_ed25519"] {
            fs::write(home.path().join(".ssh").join(name), "").unwrap();
        }
        assert!(default_key(&env).unwrap().ends_with("id_ed25519"));
    }
}
