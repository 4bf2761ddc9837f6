//! The address of an engine, as Docker spells it (pure).
//!
//! `context` decides which address the user named; `connect` opens it.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// Docker's default socket (docker/cli `opts/hosts.go`).
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The port of an engine over TCP without encryption (docker/cli `opts/hosts.go`).
const TCP_PORT: u16 = 2375;
/// The same with TLS.
const TLS_PORT: u16 = 2376;

/// The address of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A socket on this machine.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// Name or address, an IPv6 address without brackets.
        host: String,
        /// Port number.
        port: u16,
        /// TLS, if the connection is encrypted.
        tls: Option<Tls>,
    },
    /// An engine on another machine, through `ssh`.
    Ssh {
        /// User name, if the address has one.
        user: Option<String>,
        /// Host name or address, as `ssh` takes it.
        host: String,
        /// Port number, if the address has one.
        port: Option<u16>,
        /// The path of the engine's socket on that machine, if it is not the default.
        socket: Option<String>,
    },
}

/// TLS for a TCP connection: PEM files, and whether to verify the engine's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Certificate authorities for the engine's certificate; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// The client's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether to skip verification of the engine's certificate.
    pub skip_verify: bool,
}

impl Endpoint {
    /// Docker's default socket.
    pub fn default_socket() -> Self {
        Endpoint::Unix(DEFAULT_SOCKET.into())
    }

    /// Parses an address as `DOCKER_HOST` spells it. `tls` applies to `tcp://` only.
    ///
    /// # Errors
    /// When the address is not supported; the hint lists the supported forms.
    pub fn parse(address: &str, tls: Option<Tls>) -> Result<Self> {
        match address.split_once("://") {
            Some(("unix", "")) => Ok(Self::default_socket()),
            Some(("unix", path)) if path.starts_with('/') => Ok(Endpoint::Unix(path.into())),
            Some(("unix", _)) => Err(unusable(address, "its path is not absolute")),
            Some(("tcp", rest)) => parse_tcp(address, rest, tls),
            Some(("ssh", rest)) => parse_ssh(address, rest),
            Some((scheme, _)) => Err(unusable(address, &format!("unsupported scheme `{scheme}`"))),
            None => parse_tcp(address, address, tls),
        }
    }

    /// The same endpoint with symbolic links in the socket's path resolved, as far as it exists:
    /// `/var/run/docker.sock` and `/run/docker.sock` are usually the same engine.
    pub fn resolved(&self) -> Self {
        match self {
            Endpoint::Unix(path) => {
                let path = path.canonicalize().unwrap_or_else(|_| path.clone());
                Endpoint::Unix(path)
            }
            elsewhere => elsewhere.clone(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            Endpoint::Tcp { host, port, .. } => write!(f, "tcp://{}:{port}", bracketed(host)),
            Endpoint::Ssh {
                user,
                host,
                port,
                socket,
            } => {
                write!(f, "ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                write!(f, "{}", bracketed(host))?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                write!(f, "{}", socket.as_deref().unwrap_or_default())
            }
        }
    }
}

/// The host for a URL: an IPv6 address gets brackets.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

fn parse_tcp(address: &str, rest: &str, tls: Option<Tls>) -> Result<Endpoint> {
    let (authority, path) = split_path(rest);
    if !path.is_empty() && path != "/" {
        return Err(unusable(
            address,
            "a path below a TCP address is not supported",
        ));
    }
    if authority.contains(['@', '?', '#', '%']) {
        return Err(unusable(address, "expected only a host and a port"));
    }
    let (host, port) = split_port(address, authority)?;
    let host = if host.is_empty() { "localhost" } else { host };
    let default_port = if tls.is_some() { TLS_PORT } else { TCP_PORT };
    Ok(Endpoint::Tcp {
        host: host.to_owned(),
        port: port.unwrap_or(default_port),
        tls,
    })
}

fn parse_ssh(address: &str, rest: &str) -> Result<Endpoint> {
    if rest.contains(['?', '#', '%']) {
        return Err(unusable(
            address,
            "queries, fragments and `%` are not supported",
        ));
    }
    let (authority, path) = split_path(rest);
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err(unusable(
            address,
            "a password in an address is not supported",
        ));
    }
    let (host, port) = split_port(address, place)?;
    if host.is_empty() || user.is_some_and(str::is_empty) {
        return Err(unusable(address, "it names no host or an empty user"));
    }
    Ok(Endpoint::Ssh {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
        socket: (path.len() > 1).then(|| path.to_owned()),
    })
}

/// Splits `authority/path` into authority and `/path`.
fn split_path(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

/// Splits `host:port`, `host`, `[v6]:port` or `[v6]` into host and port.
fn split_port<'a>(address: &str, place: &'a str) -> Result<(&'a str, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[').and_then(|r| r.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => return Err(unusable(address, "something other than a port follows `]`")),
        },
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "[]'\"".contains(c)) {
        return Err(unusable(address, "its host is not a name or an address"));
    }
    match port.map(str::parse::<u16>) {
        None => Ok((host, None)),
        Some(Ok(port)) if port > 0 => Ok((host, Some(port))),
        Some(_) => Err(unusable(
            address,
            "its port is not a number from 1 to 65535",
        )),
    }
}

fn unusable(address: &str, why: &str) -> Error {
    let shown = without_password(address);
    Error::usage(format!("cannot use the engine address `{shown}`"))
        .cause(why)
        .hint("use `unix:///path`, `tcp://host:port` or `ssh://user@host` in `DOCKER_HOST`")
}

/// The address for a message, with `user:password` removed.
fn without_password(address: &str) -> String {
    let start = address.find("://").map_or(0, |at| at + 3);
    match address[start..].rsplit_once('@') {
        Some((user, place)) if user.contains(':') => format!("{}…@{place}", &address[..start]),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(address: &str) -> Endpoint {
        Endpoint::parse(address, None).unwrap()
    }

    #[test]
    fn the_forms_of_docker_are_understood_and_shown_again() {
        for address in [
            "unix:///run/user/1000/docker.sock",
            "tcp://build.example:2375",
            "tcp://[::1]:4000",
            "ssh://build.example",
            "ssh://me@build.example:2222",
            "ssh://me@[fe80::1]:22/run/docker.sock",
        ] {
            assert_eq!(parsed(address).to_string(), address);
        }
    }

    #[test]
    fn a_link_to_a_socket_is_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (socket, link) = (folder.join("socket"), folder.join("link"));
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        let [socket, link] = [socket, link].map(Endpoint::Unix);
        assert_eq!(link.resolved(), link);
        std::fs::write(folder.join("socket"), "").unwrap();
        assert_eq!(link.resolved(), socket);
        assert_eq!(socket.resolved(), socket);
    }

    #[test]
    fn defaults_are_those_of_docker() {
        assert_eq!(parsed("unix://").to_string(), "unix:///var/run/docker.sock");
        assert_eq!(parsed("tcp://").to_string(), "tcp://localhost:2375");
        assert_eq!(parsed("10.0.0.1:99").to_string(), "tcp://10.0.0.1:99");
        assert_eq!(parsed("tcp://h/").to_string(), "tcp://h:2375");
        let tls = Endpoint::parse("tcp://h", Some(Tls::default())).unwrap();
        assert_eq!(tls.to_string(), "tcp://h:2376");
    }

    #[test]
    fn what_dkr_does_not_speak_is_refused_by_name() {
        for (address, why) in [
            (
                "npipe:////./pipe/docker_engine",
                "unsupported scheme `npipe`",
            ),
            ("fd://3", "unsupported scheme `fd`"),
            ("https://h", "unsupported scheme `https`"),
            ("unix://relative", "not absolute"),
            ("tcp://h:0", "port"),
            ("tcp://h:99999", "port"),
            ("tcp://h:1/base", "path below"),
            ("tcp://a b:1", "not a name"),
            ("tcp://[::1]x", "follows `]`"),
            ("ssh://", "names no host"),
            ("ssh://@h", "empty user"),
            ("ssh://h?x=1", "queries"),
        ] {
            let error = Endpoint::parse(address, None).unwrap_err();
            assert!(error.to_string().contains(why), "{address}: {error}");
            assert!(error.message.contains(address), "{error}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_shown() {
        for address in [
            "ssh://me:hunter2@h",
            "tcp://me:hunter2@h",
            "http://me:hunter2@h",
        ] {
            let error = Endpoint::parse(address, None).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains("://…@h`"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_address_panics_and_what_is_taken_is_stable(address in "(unix|tcp|ssh|)(://)?.{0,30}") {
            if let Ok(endpoint) = Endpoint::parse(&address, None) {
                let shown = endpoint.to_string();
                proptest::prop_assert_eq!(Endpoint::parse(&shown, None).unwrap(), endpoint);
            }
        }
    }
}
