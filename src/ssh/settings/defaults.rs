//! The defaults of an SSH connection: the key, the user, the host.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::engine::Location;
use crate::env::Env;
use crate::error::{Error, Kind, Result};

/// Keys that are tried when none is named, in this order.
const DEFAULT_KEYS: [&str; 3] = ["id_rsa", "id_ed25519", "id_ecdsa"];
/// The default port of a server.
pub const DEFAULT_PORT: u16 = 22;
/// The machine that dkr runs on; its part of `~/.ssh/config` applies where no host is named.
pub(super) const LOCALHOST: &str = "localhost";
/// Docker Desktop's name for the machine that its virtual machine runs on.
const DESKTOP_HOST: &str = "host.docker.internal";

/// The name of the host in a build, if dkr uses another; and the names that dkr tries, in order.
pub(super) fn hosts(
    named: Option<String>,
    resolved: Option<String>,
    location: &Location,
) -> Result<(Option<String>, Vec<String>)> {
    let loopback = || vec!["::1".to_owned(), "127.0.0.1".to_owned()];
    match named {
        Some(host) if host != LOCALHOST => {
            let host = resolved.unwrap_or(host);
            check_host(&host)?;
            Ok((None, vec![host]))
        }
        // Its key is accepted as it is seen, so no other server may be contacted under that name.
        Some(localhost) => Ok((Some(localhost), loopback())),
        None if *location == Location::DockerDesktop => {
            Ok((Some(DESKTOP_HOST.to_owned()), loopback()))
        }
        None => Ok((None, loopback())),
    }
}

pub(super) fn address_needed(engine: impl std::fmt::Display) -> Error {
    Error::usage(format!(
        "the Docker Engine is on another machine (`{engine}`)"
    ))
    .cause("a build there needs an address of this machine that it can reach")
    .hint("name it with `--ssh-host`")
}

pub(super) fn read_passphrase(path: &Path) -> Result<Zeroizing<String>> {
    let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|e| {
        Error::failed(format!(
            "cannot read the passphrase in `{}`",
            path.display()
        ))
        .source(e)
    })?;
    let first = text.lines().next().unwrap_or_default();
    Ok(Zeroizing::new(first.to_owned()))
}

/// The first of the keys that are tried when none is named.
///
/// # Errors
/// `NotFound` when there is none.
pub fn default_key(env: &Env) -> Result<PathBuf> {
    let folder = key_folder(env);
    let mut keys = DEFAULT_KEYS.iter().map(|name| folder.join(name));
    keys.find(|path| path.is_file()).ok_or_else(|| no_key(env))
}

fn key_folder(env: &Env) -> PathBuf {
    env.home().unwrap_or_default().join(".ssh")
}

pub(super) fn no_key(env: &Env) -> Error {
    let folder = key_folder(env);
    Error::new(Kind::NotFound, format!("no SSH key in `{}`", folder.display()))
        .cause(format!("looked for {}", DEFAULT_KEYS.join(", ")))
        .hint("create one with `ssh-keygen` and add it to `~/.ssh/authorized_keys`, or name one with `--ssh-key`")
}

/// The user that dkr runs as; the environment may be wrong or empty.
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
            Error::failed("cannot determine your user name").hint("name it with `--ssh-user`")
        })
}

pub(super) fn check_host(host: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
    if host.chars().all(fits) && !host.starts_with('-') {
        return Ok(());
    }
    Err(
        Error::usage(format!("invalid value `{host}` for `--ssh-host`"))
            .cause("expected a host name or an address, without brackets or a port")
            .hint("set the port with `--ssh-port`"),
    )
}

pub(super) fn is_this_machine(host: &str) -> bool {
    host.parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        assert!(is_this_machine("::1") && is_this_machine("127.0.0.2"));
        assert!(!is_this_machine("10.0.0.1") && !is_this_machine("example.com"));
        // The system's own resolution of that name.
        let named = hosts(Some("localhost".into()), None, &Location::ThisMachine).unwrap();
        assert_eq!(named.0.as_deref(), Some("localhost"));
        assert!(named.1.iter().all(|host| is_this_machine(host)));
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
