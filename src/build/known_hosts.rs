//! The user's `known_hosts`: whether the host key that a server showed is the one to expect.
//!
//! As OpenSSH reads it (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): hashed names, patterns, negations,
//! `[host]:port`, `@revoked`. `@cert-authority` lines are passed over, for dkr takes plain keys only.

use std::path::PathBuf;

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, PublicKey};
use sha1::Sha1;

use crate::env::Env;
use crate::error::{Error, Result};

/// The port that `known_hosts` does not write down.
const SSH_PORT: u16 = 22;

/// Where OpenSSH looks by default, the user's own files first.
pub fn default_files(env: &Env) -> Vec<PathBuf> {
    let home = env.home().map(|home| home.join(".ssh"));
    let own = home
        .iter()
        .flat_map(|dir| [dir.join("known_hosts"), dir.join("known_hosts2")]);
    let system = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"].map(PathBuf::from);
    own.chain(system).collect()
}

/// The line that makes OpenSSH accept `key` (`TYPE BASE64`, a comment may follow) of this server.
pub fn known_hosts_line(host: &str, port: u16, key: &str) -> String {
    let key: Vec<&str> = key.split_whitespace().take(2).collect();
    format!("{} {}", name_of(host, port), key.join(" "))
}

fn name_of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == SSH_PORT {
        host
    } else {
        format!("[{host}]:{port}")
    }
}

/// The lines of the user's `known_hosts` for this server, each under its plain name: what pins its
/// keys elsewhere. Revoked keys are left out.
///
/// # Errors
/// When a file cannot be read.
pub fn lines_of(host: &str, port: u16, env: &Env) -> Result<Vec<String>> {
    let known = KnownHosts::read(&default_files(env))?;
    let keys = known.keys(&name_of(host, port));
    let line = |key: &PublicKey| {
        let key = key.to_openssh().ok()?;
        Some(known_hosts_line(host, port, &key))
    };
    Ok(keys.into_iter().filter_map(line).collect())
}

/// What `known_hosts` says of a server's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the known one.
    Known,
    /// Nothing is known of this server, or only keys of other types.
    Unknown,
    /// Another key of this type is known: at this place (`FILE:LINE`).
    Changed { place: String },
    /// The key is marked as revoked at this place.
    Revoked { place: String },
}

/// The files' usable lines.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    lines: Vec<(String, Entry)>,
}

impl KnownHosts {
    /// Reads the files that exist.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self> {
        let mut known = KnownHosts::default();
        for file in files {
            match std::fs::read(file) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    known.add(&file.display().to_string(), &text);
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => {
                    let message = format!("cannot read the known hosts in `{}`", file.display());
                    return Err(Error::failed(message).because(e));
                }
            }
        }
        Ok(known)
    }

    /// Lines that make no sense are passed over, as OpenSSH does.
    fn add(&mut self, file: &str, text: &str) {
        for (number, line) in text.lines().enumerate() {
            // One space between fields is all that the parser takes.
            let line: Vec<&str> = line.split_whitespace().collect();
            if line.first().is_none_or(|first| first.starts_with('#')) {
                continue;
            }
            if let Ok(entry) = line.join(" ").parse() {
                self.lines.push((format!("{file}:{}", number + 1), entry));
            }
        }
    }

    /// What is known of `key` for the server at `host` and `port`.
    pub(super) fn judge(&self, host: &str, port: u16, key: &PublicKey) -> Verdict {
        let name = name_of(host, port);
        let mut verdict = Verdict::Unknown;
        for (place, entry) in &self.lines {
            let same = entry.public_key().key_data() == key.key_data();
            // OpenSSH too takes the right key under the name without the port.
            let named = matches(entry, &name) || (same && matches(entry, &name_of(host, SSH_PORT)));
            if !named {
                continue;
            }
            match entry.marker() {
                Some(Marker::Revoked) if same => {
                    return Verdict::Revoked {
                        place: place.clone(),
                    };
                }
                None if same => verdict = Verdict::Known,
                None if entry.public_key().algorithm() == key.algorithm()
                    && verdict == Verdict::Unknown =>
                {
                    verdict = Verdict::Changed {
                        place: place.clone(),
                    };
                }
                _ => {}
            }
        }
        verdict
    }

    /// The keys of the server with this name, but for those that are revoked anywhere.
    fn keys(&self, name: &str) -> Vec<&PublicKey> {
        let of = |marker: Option<Marker>| {
            let lines = self.lines.iter().map(|(_, entry)| entry);
            let fitting = lines
                .filter(move |entry| entry.marker() == marker.as_ref() && matches(entry, name));
            fitting.map(Entry::public_key).collect::<Vec<_>>()
        };
        let revoked = of(Some(Marker::Revoked));
        let is_revoked = |key: &&PublicKey| {
            revoked
                .iter()
                .any(|other| other.key_data() == key.key_data())
        };
        let mut keys = of(None);
        keys.retain(|key| !is_revoked(key));
        keys
    }

    /// The types of the keys known for this server: the ones to ask it for.
    pub(super) fn algorithms(&self, host: &str, port: u16) -> Vec<Algorithm> {
        let names = [name_of(host, port), name_of(host, SSH_PORT)];
        let known = self.lines.iter().filter(|(_, entry)| {
            entry.marker().is_none() && names.iter().any(|name| matches(entry, name))
        });
        known
            .map(|(_, entry)| entry.public_key().algorithm())
            .collect()
    }
}

fn matches(entry: &Entry, name: &str) -> bool {
    match entry.host_patterns() {
        HostPatterns::HashedName { salt, hash } => {
            let mac = Hmac::<Sha1>::new_from_slice(salt);
            mac.is_ok_and(|mac| mac.chain_update(name).verify_slice(hash).is_ok())
        }
        HostPatterns::Patterns(patterns) => {
            let hits =
                |pattern: &str| glob(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes());
            let refused = patterns
                .iter()
                .filter_map(|pattern| pattern.strip_prefix('!'));
            !refused.into_iter().any(hits) && patterns.iter().any(|pattern| hits(pattern))
        }
    }
}

/// Whether `name` matches a pattern of `*`, `?` and literal bytes.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stands, and how far into the name it reaches.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, reach)) => {
                    star = Some((at, reach + 1));
                    p = at + 1;
                    n = reach + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";
    const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOIZBb9hrUhKmGdLLbOgzQKVk3/Oxh2BnTWEfhwpIeKKTxHfDgBqZDwgLDNwPYi4cOZSa/0j4m1rUg0OqLZ8kUo=";

    fn judge(text: &str, host: &str, port: u16) -> Verdict {
        let mut known = KnownHosts::default();
        known.add("f", text);
        known.judge(host, port, &ONE.parse().unwrap())
    }

    fn changed(line: u32) -> Verdict {
        Verdict::Changed {
            place: format!("f:{line}"),
        }
    }

    #[test]
    fn names_ports_lists_and_patterns() {
        let cases = [
            (
                format!("example.com {ONE}"),
                "example.com",
                22,
                Verdict::Known,
            ),
            (
                format!("example.com {ONE}"),
                "Example.COM",
                22,
                Verdict::Known,
            ),
            (
                format!("a,example.com\t{ONE} comment"),
                "example.com",
                22,
                Verdict::Known,
            ),
            (
                format!("[example.com]:2222 {ONE}"),
                "example.com",
                2222,
                Verdict::Known,
            ),
            (
                format!("[example.com]:2222 {ONE}"),
                "example.com",
                22,
                Verdict::Unknown,
            ),
            (
                format!("example.com {ONE}"),
                "example.com",
                2222,
                Verdict::Known,
            ),
            (
                format!("example.com {TWO}"),
                "example.com",
                2222,
                Verdict::Unknown,
            ),
            (
                format!("*.com,!evil.com {ONE}"),
                "good.com",
                22,
                Verdict::Known,
            ),
            (
                format!("*.com,!evil.com {ONE}"),
                "evil.com",
                22,
                Verdict::Unknown,
            ),
            (
                format!("ex?mple.com {ONE}"),
                "example.com",
                22,
                Verdict::Known,
            ),
            (
                format!("#example.com {ONE}"),
                "example.com",
                22,
                Verdict::Unknown,
            ),
            (
                format!("nonsense\nexample.com {ONE}"),
                "example.com",
                22,
                Verdict::Known,
            ),
            (format!("::1 {ONE}"), "::1", 22, Verdict::Known),
            (format!("[::1]:2222 {ONE}"), "::1", 2222, Verdict::Known),
            (String::new(), "example.com", 22, Verdict::Unknown),
        ];
        for (text, host, port, verdict) in cases {
            assert_eq!(judge(&text, host, port), verdict, "{text} {host}:{port}");
        }
    }

    #[test]
    fn another_key_of_the_type_is_a_change_unless_the_right_one_stands_there_too() {
        let both = format!("h {TWO}\nh {ONE}\n");
        assert_eq!(judge(&format!("# c\nh {TWO}\n"), "h", 22), changed(2));
        assert_eq!(judge(&both, "h", 22), Verdict::Known);
        assert_eq!(judge(&format!("h {P256}\n"), "h", 22), Verdict::Unknown);
    }

    #[test]
    fn a_revoked_key_is_refused_wherever_it_stands_and_authorities_are_passed_over() {
        let revoked = format!("h {ONE}\n@revoked * {ONE}\n");
        let place = "f:2".to_owned();
        assert_eq!(judge(&revoked, "h", 22), Verdict::Revoked { place });
        assert_eq!(
            judge(&format!("@revoked h {TWO}\n"), "h", 22),
            Verdict::Unknown
        );
        assert_eq!(
            judge(&format!("@cert-authority h {ONE}\n"), "h", 22),
            Verdict::Unknown
        );
    }

    #[test]
    fn names_hashed_by_ssh_keygen_match() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        std::fs::write(
            &file,
            format!("example.com {ONE}\n[example.com]:2222 {TWO}\n"),
        )
        .unwrap();
        let hashed = std::process::Command::new("ssh-keygen")
            .args(["-q", "-H", "-f"])
            .arg(&file)
            .output();
        assert!(hashed.unwrap().status.success());
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("|1|"));
        let known = KnownHosts::read(&[file, dir.path().join("absent")]).unwrap();
        let key = ONE.parse().unwrap();
        assert_eq!(known.judge("example.com", 22, &key), Verdict::Known);
        assert!(matches!(
            known.judge("other.com", 22, &key),
            Verdict::Unknown
        ));
        assert_eq!(
            known.algorithms("example.com", 2222),
            [Algorithm::Ed25519, Algorithm::Ed25519]
        );
    }

    #[test]
    fn the_line_to_add_is_what_ssh_keygen_finds() {
        assert_eq!(
            known_hosts_line("Example.com", 22, ONE),
            format!("example.com {ONE}")
        );
        let line = known_hosts_line("::1", 2222, &format!("{ONE} root@host"));
        assert_eq!(line, format!("[::1]:2222 {ONE}"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}", host in ".{0,20}") {
            judge(&text, &host, 22);
        }

        #[test]
        fn a_star_matches_whatever_stands_between(a in "[a-c]{0,4}", b in "[a-c]{0,4}", c in "[a-c]{0,4}") {
            let (pattern, name) = (format!("{a}*{c}"), format!("{a}{b}{c}"));
            proptest::prop_assert!(glob(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
