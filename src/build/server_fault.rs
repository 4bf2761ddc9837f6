//! Why an SSH server cannot be cloned from, and how that is told to the user.

use std::path::{Path, PathBuf};

use super::ssh_server::Account;
use crate::error::{Error, quoted};

/// Why a server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFault {
    /// Nothing that speaks SSH answers there.
    NoAnswer {
        /// The reason as the system gives it.
        reason: String,
    },
    /// The server's key is not known.
    HostKeyUnknown {
        /// The line for `known_hosts` that would make it known.
        line: String,
        /// Its fingerprint, to compare.
        fingerprint: String,
        /// The file to add the line to.
        file: Option<PathBuf>,
    },
    /// `known_hosts` holds another key of this server.
    HostKeyChanged {
        /// File and line that hold it.
        place: String,
        /// The fingerprint of the key that the server shows.
        fingerprint: String,
    },
    /// `known_hosts` marks the server's key as revoked.
    HostKeyRevoked {
        /// File and line that say so.
        place: String,
    },
    /// A key may only be accepted as seen over loopback, and this server is elsewhere.
    NotLocal,
    /// The server does not take the key for this user.
    KeyRefused {
        /// The ways to log in that it offers.
        methods: Vec<String>,
        /// It took the key but wants more.
        partial: bool,
    },
    /// The connection broke, or one side did not understand the other.
    Broken {
        /// What went wrong.
        reason: String,
    },
    /// The `known_hosts` files cannot be read.
    Unreadable(Error),
}

impl ServerFault {
    /// The fault as a message for the user, with what to do.
    pub fn into_error(self, account: &Account, key: &Path) -> Error {
        let Account { host, port, user } = account;
        let error = Error::failed(format!("cannot clone over SSH from `{account}`"));
        match self {
            ServerFault::NoAnswer { reason } => error
                .cause(format!(
                    "no SSH server answers on `{host}` port {port}: {reason}"
                ))
                .hint(
                    "start an SSH server there, or name another with `--ssh-host` and `--ssh-port`",
                ),
            ServerFault::HostKeyUnknown {
                line,
                fingerprint,
                file,
            } => {
                let file = file.unwrap_or_else(|| PathBuf::from("~/.ssh/known_hosts"));
                error
                    .cause(format!("its host key {fingerprint} is not known"))
                    .hint(format!(
                        "if it is the right one, add this line to `{}`:\n{line}",
                        file.display()
                    ))
            }
            ServerFault::HostKeyChanged { place, fingerprint } => error
                .cause(format!(
                    "THE HOST KEY HAS CHANGED: it shows {fingerprint}, `{place}` holds another"
                ))
                .cause("someone may be between you and the server, or it was installed anew")
                .hint(format!(
                    "only if you know why, remove the old one: `ssh-keygen -R {}`",
                    quoted(&known_name(host, *port))
                )),
            ServerFault::HostKeyRevoked { place } => {
                error.cause(format!("its host key is revoked: `{place}`"))
            }
            ServerFault::NotLocal => {
                error.cause("it is not on this machine, so its host key must be known beforehand")
            }
            ServerFault::KeyRefused { methods, partial } => {
                let key = key.display();
                let offers = if methods.is_empty() {
                    "nothing".to_owned()
                } else {
                    methods.join(", ")
                };
                let cause = if partial {
                    format!("it takes the key `{key}` for `{user}` but asks for more: {offers}")
                } else {
                    format!(
                        "it refuses the key `{key}` for the user `{user}` (it offers: {offers})"
                    )
                };
                error.cause(cause).hint(format!(
                    "add the public key to `~{user}/.ssh/authorized_keys` there, or choose with `--ssh-key` and `--ssh-user`"
                ))
            }
            ServerFault::Broken { reason } => error.cause(reason),
            ServerFault::Unreadable(cause) => {
                let mut error = error.cause(cause.message);
                error.causes.extend(cause.causes);
                error
            }
        }
    }
}

/// As `known_hosts` has it.
fn known_name(host: &str, port: u16) -> String {
    match port {
        22 => host.to_owned(),
        _ => format!("[{host}]:{port}"),
    }
}
