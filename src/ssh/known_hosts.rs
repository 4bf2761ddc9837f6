//! The host keys that the user knows: looked up with `ssh-keygen -F`, and the lines that pin them
//! elsewhere.
//!
//! `ssh` itself decides whether the key of a server is right. This module finds where a key is listed,
//! and writes the lines with which a build or a container accepts the same keys under a plain name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use super::program;
use crate::env::Env;
use crate::error::{Error, Result};

/// The default port, which `known_hosts` omits.
pub(super) const SSH_PORT: u16 = 22;
const REVOKED: &str = "@revoked";
const AUTHORITY: &str = "@cert-authority";

/// The line that makes OpenSSH accept `key` (`TYPE BASE64`, a comment may follow) for this server.
pub fn known_hosts_line(host: &str, port: u16, key: &str) -> String {
    let key: Vec<&str> = key.split_whitespace().take(2).collect();
    format!("{} {}", name_of(host, port), key.join(" "))
}

/// The server as `known_hosts` names it.
pub(super) fn name_of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == SSH_PORT {
        host
    } else {
        format!("[{host}]:{port}")
    }
}

/// The lines of the user's `known_hosts` for this server, each under its plain name, to pin its
/// keys and authorities elsewhere. Revoked keys are left out.
///
/// # Errors
/// When a file cannot be read.
pub async fn lines_of(host: &str, port: u16, env: &Env) -> Result<Vec<String>> {
    let keys = KnownHosts::of_user(env).find(&name_of(host, port)).await?;
    let is_revoked = |key: &HostKey| {
        let mut others = keys.iter();
        others.any(|other| other.marker == Marker::Revoked && other.key == key.key)
    };
    let kept = keys.iter().filter(|key| !is_revoked(key));
    Ok(kept.map(|key| key.line(host, port)).collect())
}

/// What a line says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// It is the server's.
    Plain,
    /// It signs the keys of servers.
    Authority,
    /// It must be rejected.
    Revoked,
}

/// A line of `known_hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    pub(super) marker: Marker,
    /// The type and the key in base64.
    key: String,
    /// Its file and line.
    pub(super) place: String,
}

impl HostKey {
    /// Reads `[@MARKER] NAMES TYPE BASE64 [COMMENT]`.
    pub(super) fn parse(line: &str, place: String) -> Option<Self> {
        let mut fields = line.split_whitespace().peekable();
        let marker = match *fields.peek()? {
            REVOKED => Marker::Revoked,
            AUTHORITY => Marker::Authority,
            other if other.starts_with(['@', '#']) => return None,
            _ => Marker::Plain,
        };
        let names = usize::from(marker != Marker::Plain);
        let mut fields = fields.skip(names + 1);
        let (kind, key) = (fields.next()?, fields.next()?);
        let key = format!("{kind} {key}");
        Some(HostKey { marker, key, place })
    }

    /// The line that makes OpenSSH accept it for this server.
    pub fn line(&self, host: &str, port: u16) -> String {
        let line = known_hosts_line(host, port, &self.key);
        match self.marker {
            Marker::Plain => line,
            Marker::Authority => format!("{AUTHORITY} {line}"),
            Marker::Revoked => format!("{REVOKED} {line}"),
        }
    }

    /// The type, such as `ssh-ed25519`.
    pub fn kind(&self) -> &str {
        self.key.split(' ').next().unwrap_or_default()
    }

    /// Its fingerprint, as `ssh` shows it.
    pub(super) fn fingerprint(&self) -> Option<String> {
        let blob = BASE64.decode(self.key.split(' ').nth(1)?).ok()?;
        let digest = STANDARD_NO_PAD.encode(Sha256::digest(blob));
        Some(format!("SHA256:{digest}"))
    }
}

/// Files of known host keys, the user's own first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHosts {
    /// The files; some may not exist.
    pub(super) files: Vec<PathBuf>,
    /// The name under which they list the server's key, if it is not its own.
    pub(super) alias: Option<String>,
}

impl KnownHosts {
    /// Where OpenSSH looks by default.
    pub fn of_user(env: &Env) -> Self {
        let home = env.home().map(|home| home.join(".ssh"));
        let own = home
            .iter()
            .flat_map(|dir| [dir.join("known_hosts"), dir.join("known_hosts2")]);
        let system = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"].map(PathBuf::from);
        KnownHosts {
            files: own.chain(system).collect(),
            alias: None,
        }
    }

    /// The same system files, with these user files, which list the server's key under `alias`.
    #[must_use]
    pub fn configured(mut self, own: Vec<PathBuf>, alias: Option<String>) -> Self {
        if !own.is_empty() {
            self.files.retain(|file| file.starts_with("/etc/ssh"));
            self.files.splice(0..0, own);
        }
        self.alias = alias;
        self
    }

    /// Fails if one of the files exists and cannot be read: `ssh` would ignore it.
    ///
    /// # Errors
    /// When a file cannot be read; names it.
    pub(super) fn check(&self) -> Result<()> {
        for file in &self.files {
            match std::fs::read(file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    let message = format!("cannot read the known hosts in `{}`", file.display());
                    return Err(Error::failed(message).source(e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// All lines for the server at `host` and `port`. As with `ssh`, those under the name without the
    /// port are included, and an alias has no port.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) async fn of_server(&self, host: &str, port: u16) -> Result<Vec<HostKey>> {
        if let Some(alias) = &self.alias {
            return self.find(alias).await;
        }
        let mut keys = self.find(&name_of(host, port)).await?;
        if port != SSH_PORT {
            keys.extend(self.find(&name_of(host, SSH_PORT)).await?);
        }
        Ok(keys)
    }

    /// The lines that match this name: hashed, listed, or by a pattern.
    async fn find(&self, name: &str) -> Result<Vec<HostKey>> {
        self.check()?;
        let mut keys = Vec::new();
        for file in self.files.iter().filter(|file| file.exists()) {
            let mut command = program::command("ssh-keygen");
            // Its exit status is 1 if there is none.
            command.arg("-F").arg(name).arg("-f").arg(file);
            let output = program::output(command, b"").await?;
            let text = String::from_utf8_lossy(&output.stdout);
            keys.extend(found(&text, &file.display().to_string()));
        }
        Ok(keys)
    }

    /// The files as the value of an option of `ssh`, which expands patterns in it.
    pub(super) fn option(&self) -> OsString {
        let mut option = OsString::new();
        for file in &self.files {
            let separator = if option.is_empty() { "\"" } else { " \"" };
            option.push(separator);
            option.push(escaped(file.as_os_str()));
            option.push("\"");
        }
        option
    }
}

/// A path in an option of `ssh`, which would expand `%` sequences in it.
pub(super) fn escaped(path: &OsStr) -> OsString {
    let bytes = path.as_bytes().iter();
    let escaped = bytes.flat_map(|byte| std::iter::repeat_n(*byte, 1 + usize::from(*byte == b'%')));
    OsString::from_vec(escaped.collect())
}

/// Reads what `ssh-keygen -F` prints: before each line `# Host NAME found: line NUMBER`.
fn found(text: &str, file: &str) -> Vec<HostKey> {
    let mut place = file.to_owned();
    let mut keys = Vec::new();
    for line in text.lines() {
        if let Some((_, rest)) = line
            .split_once(" found: line ")
            .filter(|_| line.starts_with('#'))
        {
            let number = rest.split_whitespace().next().unwrap_or_default();
            place = format!("{file}:{number}");
        } else {
            keys.extend(HostKey::parse(line, place.clone()));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

    /// The lines of a file with this text for the server, under its plain name.
    async fn lines(text: &str, host: &str, port: u16) -> Vec<String> {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        std::fs::write(home.path().join(".ssh/known_hosts"), text).unwrap();
        let env = Env::from_iter([("HOME", home.path())]);
        lines_of(host, port, &env).await.unwrap()
    }

    #[tokio::test]
    async fn keys_are_found_by_names_ports_lists_and_patterns() {
        let one = |name: &str| format!("{name} {ONE}");
        for (name, host, port, is_found) in [
            ("example.com", "example.com", 22, true),
            ("example.com", "Example.COM", 22, true),
            ("a,example.com", "example.com", 22, true),
            ("[example.com]:2222", "example.com", 2222, true),
            ("[example.com]:2222", "example.com", 22, false),
            ("*.com,!evil.com", "good.com", 22, true),
            ("*.com,!evil.com", "evil.com", 22, false),
            ("ex?mple.com", "example.com", 22, true),
            ("#example.com", "example.com", 22, false),
            ("nonsense\nexample.com", "example.com", 22, true),
            ("::1", "::1", 22, true),
            ("[::1]:2222", "::1", 2222, true),
            ("@cert-authority other", "example.com", 22, false),
        ] {
            let expected = known_hosts_line(host, port, ONE);
            let expected = if is_found { vec![expected] } else { Vec::new() };
            assert_eq!(
                lines(&one(name), host, port).await,
                expected,
                "{name} {host}"
            );
        }
        let authority = lines(&one("@cert-authority *.com"), "h.com", 2222).await;
        assert_eq!(authority, [] as [String; 0]);
        let authority = lines(&one("@cert-authority [*.com]:2222"), "h.com", 2222).await;
        assert_eq!(authority, [format!("@cert-authority [h.com]:2222 {ONE}")]);
    }

    #[tokio::test]
    async fn what_is_revoked_is_no_key_of_the_server() {
        let text = format!("h {ONE}\nh {TWO} me\n@revoked * {ONE}\n");
        assert_eq!(lines(&text, "h", 22).await, [format!("h {TWO}")]);
    }

    #[tokio::test]
    async fn names_that_ssh_keygen_hashed_are_found_with_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known hosts");
        let text = format!("example.com {ONE}\n[example.com]:2222 {TWO}\n");
        std::fs::write(&file, text).unwrap();
        let mut hash = std::process::Command::new("ssh-keygen");
        let hashed = hash.args(["-q", "-H", "-f"]).arg(&file).output().unwrap();
        assert!(hashed.status.success());
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("|1|"));
        let own = vec![folder.path().join("absent"), file.clone()];
        let known = KnownHosts::of_user(&Env::default()).configured(own, None);
        let keys = known.of_server("example.com", 2222).await.unwrap();
        let places: Vec<&str> = keys.iter().map(|key| key.place.as_str()).collect();
        let at = |line| format!("{}:{line}", file.display());
        assert_eq!(places, [at(2), at(1)]);
        assert_eq!((keys[1].kind(), &*keys[1].key), ("ssh-ed25519", ONE));
        assert_eq!(known.of_server("other.com", 2222).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let own = vec![folder.path().to_owned()];
        let known = KnownHosts::of_user(&Env::default()).configured(own, None);
        let error = known.of_server("h", 22).await.unwrap_err();
        let path = folder.path().to_str().unwrap();
        assert!(error.message.contains(path), "{error}");
    }

    #[test]
    fn a_fingerprint_is_what_ssh_keygen_shows() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pub");
        std::fs::write(&file, ONE).unwrap();
        let mut show = std::process::Command::new("ssh-keygen");
        let shown = show.args(["-l", "-f"]).arg(&file).output().unwrap();
        let key = HostKey::parse(&format!("h {ONE}"), String::new()).unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains(&key.fingerprint().unwrap()), "{shown}");
    }

    #[test]
    fn the_line_to_add_is_what_ssh_keygen_finds() {
        let line = known_hosts_line("Example.com", 22, ONE);
        assert_eq!(line, format!("example.com {ONE}"));
        let line = known_hosts_line("::1", 2222, &format!("{ONE} root@host"));
        assert_eq!(line, format!("[::1]:2222 {ONE}"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}", host in ".{0,20}") {
            for key in found(&text, "f") {
                key.fingerprint();
                key.line(&host, 22);
            }
        }
    }
}
