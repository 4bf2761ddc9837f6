//! Why an SSH server cannot be cloned from, read from the output of `ssh -v`; and the error message.

use std::path::PathBuf;

use super::known_hosts::name_of;
use super::login::Account;
use crate::error::{Error, quoted};

/// The prefix of the debug lines of `ssh -v`.
const DEBUG: &str = "debug1: ";

/// Why a server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFault {
    /// No SSH server answers.
    NoAnswer {
        /// The system's reason.
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
    /// `known_hosts` lists another key for this server.
    HostKeyChanged {
        /// File and line of that key.
        place: String,
        /// The fingerprint of the key that the server presents.
        fingerprint: String,
    },
    /// `known_hosts` marks the server's key as revoked.
    HostKeyRevoked {
        /// File and line that say so.
        place: String,
    },
    /// The server does not accept the key for this user.
    KeyRefused {
        /// The authentication methods that it offers.
        methods: Vec<String>,
        /// It accepted the key but requires more.
        partial: bool,
    },
    /// The connection was lost, or the protocol failed.
    Broken {
        /// What went wrong.
        reason: String,
    },
    /// Something is missing on this machine.
    Local(Error),
}

impl From<Error> for ServerFault {
    fn from(error: Error) -> Self {
        ServerFault::Local(error)
    }
}

/// How a call of `ssh` that could not log in ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    Unknown,
    Changed,
    Revoked,
    Other(ServerFault),
}

/// What `ssh -v` wrote, line by line.
#[derive(Debug, Clone, Default)]
pub(super) struct Transcript(Vec<String>);

impl Transcript {
    pub(super) fn push(&mut self, line: &str) {
        self.0.push(line.trim_end().to_owned());
    }

    fn has(&self, text: &str) -> bool {
        self.0.iter().any(|line| line.contains(text))
    }

    /// Whether the server accepted the user.
    pub(super) fn is_logged_in(&self) -> bool {
        self.0
            .iter()
            .any(|line| line.starts_with("Authenticated to "))
    }

    /// The fingerprints of what the server presented: its key, or its certificate with the authority.
    pub(super) fn shown(&self) -> Vec<&str> {
        let lines = self.0.iter().filter_map(|line| {
            let line = line.strip_prefix(DEBUG)?.strip_prefix("Server host ")?;
            Some(line.split_whitespace())
        });
        fingerprints(lines.flatten()).collect()
    }

    /// The type of the key that the server presented.
    pub(super) fn shown_kind(&self) -> Option<&str> {
        let prefix = format!("{DEBUG}Server host key: ");
        let mut lines = self.0.iter();
        let shown = lines.find_map(|line| line.strip_prefix(&prefix))?;
        shown.split(' ').next()
    }

    /// The fingerprint of the key that the server accepted.
    pub(super) fn accepted(&self) -> Option<&str> {
        let line = self.0.iter().rev().find_map(|line| {
            line.strip_prefix(DEBUG)?
                .strip_prefix("Server accepts key: ")
        })?;
        fingerprints(line.split_whitespace()).next()
    }

    /// Why `ssh` failed.
    pub(super) fn ending(&self) -> Ending {
        if self.has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
            return Ending::Changed;
        }
        if self.has("REVOKED HOST KEY DETECTED") {
            return Ending::Revoked;
        }
        if self.has(" host key is known for ") {
            return Ending::Unknown;
        }
        let mut lines = self.0.iter().rev();
        let reason = lines.find(|line| !line.is_empty() && !line.starts_with(DEBUG));
        let reason = reason.map_or("it gave no reason", String::as_str);
        if let Some((_, methods)) = reason.split_once(": Permission denied (") {
            let methods = methods.trim_end_matches(['.', ')']).split(',');
            return Ending::Other(ServerFault::KeyRefused {
                methods: methods.map(str::to_owned).collect(),
                partial: self.has(" with partial success"),
            });
        }
        Ending::Other(self.broken(reason))
    }

    /// The connection ended for this reason.
    pub(super) fn broken(&self, reason: &str) -> ServerFault {
        if self.shown().is_empty() {
            // Without the address, which the message already has.
            let reason = reason.strip_prefix("ssh: ").unwrap_or(reason);
            let place = reason.starts_with("connect to host ");
            let short = reason.split_once(": ").filter(|_| place);
            let reason = short.map_or(reason, |(_, why)| why).to_owned();
            return ServerFault::NoAnswer { reason };
        }
        let reason = reason.to_owned();
        ServerFault::Broken { reason }
    }
}

fn fingerprints<'a>(words: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    words
        .filter(|word| word.starts_with("SHA256:"))
        .map(|word| word.trim_end_matches(','))
}

impl ServerFault {
    /// The fault as a message for the user, with what to do; `key` names the key that was tried.
    pub fn into_error(self, account: &Account, key: &str) -> Error {
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
                .cause("someone may be between you and the server, or it was reinstalled")
                .hint(format!(
                    "only if you know why, remove the old one: `ssh-keygen -R {}`",
                    quoted(&name_of(host, *port))
                )),
            ServerFault::HostKeyRevoked { place } => {
                error.cause(format!("its host key is revoked: `{place}`"))
            }
            ServerFault::KeyRefused { methods, partial } => {
                let offers = if methods.is_empty() {
                    "nothing".to_owned()
                } else {
                    methods.join(", ")
                };
                let cause = if partial {
                    format!("it accepts the key {key} for `{user}` but requires more: {offers}")
                } else {
                    format!("it refuses the key {key} for the user `{user}` (it offers: {offers})")
                };
                error.cause(cause).hint(format!(
                    "add the public key to `~{user}/.ssh/authorized_keys` there, or choose another key or user with `--ssh-key` and `--ssh-user`"
                ))
            }
            ServerFault::Broken { reason } => error.cause(reason),
            ServerFault::Local(cause) => Error {
                kind: error.kind,
                ..cause.context(error.message)
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(text: &str) -> Transcript {
        let mut transcript = Transcript::default();
        text.lines().for_each(|line| transcript.push(line));
        transcript
    }

    /// After the server has presented its key.
    fn shown(text: &str) -> Transcript {
        transcript(&format!(
            "debug1: Connection established.\r\n\
             debug1: Server host key: ssh-ed25519 SHA256:kB+W/hM\r\n{text}\r\n\
             debug1: Exit status -1\r\n"
        ))
    }

    #[test]
    fn what_is_wrong_with_a_host_key_is_told_apart() {
        let changed = shown(
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
             Offending ED25519 key in /home/me/.ssh/known_hosts:1\n\
             Host key verification failed.",
        );
        assert_eq!(changed.ending(), Ending::Changed);
        let revoked = shown(
            "@       WARNING: REVOKED HOST KEY DETECTED!               @\n\
             Host key verification failed.",
        );
        assert_eq!(revoked.ending(), Ending::Revoked);
        let unknown = shown(
            "No ED25519 host key is known for [h]:22922 and you have requested strict checking.\n\
             Host key verification failed.",
        );
        assert_eq!(unknown.ending(), Ending::Unknown);
        assert_eq!(unknown.shown(), ["SHA256:kB+W/hM"]);
        assert_eq!(unknown.shown_kind(), Some("ssh-ed25519"));
        let certificate = transcript(
            "debug1: Server host certificate: ssh-ed25519-cert-v01@openssh.com SHA256:one, serial 0 \
             ID \"x\" CA ssh-ed25519 SHA256:two valid forever",
        );
        assert_eq!(certificate.shown(), ["SHA256:one", "SHA256:two"]);
    }

    #[test]
    fn a_refusal_tells_what_the_server_offers() {
        let refused = |methods: &[&str], partial| {
            let methods = methods.iter().map(|method| (*method).to_owned()).collect();
            Ending::Other(ServerFault::KeyRefused { methods, partial })
        };
        let plain = shown("me@::1: Permission denied (publickey).");
        assert_eq!(plain.ending(), refused(&["publickey"], false));
        let more = shown(
            "Authenticated using \"publickey\" with partial success.\n\
             me@::1: Permission denied (password,keyboard-interactive).",
        );
        let offered = ["password", "keyboard-interactive"];
        assert_eq!(more.ending(), refused(&offered, true));
    }

    #[test]
    fn a_server_that_shows_no_key_is_none() {
        let no_answer = |text: &str, reason: &str| {
            let fault = ServerFault::NoAnswer {
                reason: reason.to_owned(),
            };
            assert_eq!(transcript(text).ending(), Ending::Other(fault));
        };
        let refused = "ssh: connect to host ::1 port 1: Connection refused";
        no_answer(refused, "Connection refused");
        let name = "Could not resolve hostname x: Name or service not known";
        no_answer(&format!("ssh: {name}"), name);
        no_answer("", "it gave no reason");
        let cut = "Connection closed by 127.0.0.1 port 22";
        let broken = ServerFault::Broken {
            reason: cut.to_owned(),
        };
        assert_eq!(shown(cut).ending(), Ending::Other(broken));
    }

    #[test]
    fn a_login_tells_which_key_was_taken() {
        let transcript = shown(
            "debug1: Offering public key: a SHA256:no b ED25519 SHA256:one agent\n\
             debug1: Server accepts key: me@laptop ED25519-CERT SHA256:two agent\n\
             Authenticated to 127.0.0.1 ([127.0.0.1]:22) using \"publickey\".",
        );
        assert!(transcript.is_logged_in());
        assert_eq!(transcript.accepted(), Some("SHA256:two"));
        assert!(!shown("x").is_logged_in() && shown("x").accepted().is_none());
    }
}
