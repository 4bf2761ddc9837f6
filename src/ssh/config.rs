//! What the user's `~/.ssh/config` sets for a host, as `ssh -G` resolves it.
//!
//! Only what the file sets counts: for the rest dkr has its own defaults, which differ from those of
//! `ssh`. Without the file nothing runs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::program;
use crate::env::Env;
use crate::error::{Error, Result};

/// The settings of one host; what is not set is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostConfig {
    /// `HostName`
    pub host_name: Option<String>,
    /// `User`
    pub user: Option<String>,
    /// `Port`
    pub port: Option<u16>,
    /// `IdentityFile`, in the order in which they are tried.
    pub identity_files: Vec<PathBuf>,
    /// `HostKeyAlias`
    pub host_key_alias: Option<String>,
    /// `UserKnownHostsFile`
    pub known_hosts: Vec<PathBuf>,
}

impl HostConfig {
    /// Reads what the user's file sets for `host`.
    ///
    /// # Errors
    /// When `ssh` rejects the file.
    pub async fn read(host: &str, env: &Env) -> Result<Self> {
        let file = env.home().map(|home| home.join(".ssh/config"));
        let Some(file) = file.filter(|file| file.is_file()) else {
            return Ok(HostConfig::default());
        };
        let set = resolve(host, &file).await?;
        let defaults = resolve(host, Path::new("none")).await?;
        let values = |key: &str| -> &[String] {
            match set.get(key) {
                Some(values) if defaults.get(key) != Some(values) => values,
                _ => &[],
            }
        };
        let one = |key| values(key).first().cloned();
        let files = |words: &mut dyn Iterator<Item = &str>| {
            let words = words.filter(|word| *word != "none");
            words.map(|word| expand(word, host, env)).collect()
        };
        Ok(HostConfig {
            host_name: one("hostname"),
            user: one("user"),
            port: one("port").and_then(|port| port.parse().ok()),
            identity_files: files(&mut values("identityfile").iter().map(String::as_str)),
            host_key_alias: one("hostkeyalias"),
            known_hosts: files(
                &mut values("userknownhostsfile")
                    .iter()
                    .flat_map(|line| line.split_whitespace()),
            ),
        })
    }
}

/// All settings that `ssh` has for `host` with this file, each with its values.
async fn resolve(host: &str, file: &Path) -> Result<HashMap<String, Vec<String>>> {
    let mut command = program::command("ssh");
    command.arg("-F").arg(file).args(["-T", "-G", "--", host]);
    let output = program::output(command, b"").await?;
    if !output.status.success() {
        let message = format!("cannot read your SSH configuration `{}`", file.display());
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(Error::failed(message).cause(why.lines().next().unwrap_or_default()));
    }
    let mut settings = HashMap::<String, Vec<String>>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        settings
            .entry(key.to_owned())
            .or_default()
            .push(value.to_owned());
    }
    Ok(settings)
}

/// Expands what `ssh` leaves unexpanded: `~` and `%d`, the home directory, and `%h`, the host.
fn expand(word: &str, host: &str, env: &Env) -> PathBuf {
    let home = env.home().unwrap_or_default();
    let word = match word.strip_prefix("~/") {
        Some(rest) => home.join(rest).to_string_lossy().into_owned(),
        None => word.to_owned(),
    };
    let path = word
        .replace("%%", "\0")
        .replace("%d", &home.to_string_lossy())
        .replace("%h", host)
        .replace('\0', "%");
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(host: &str, text: &str) -> Result<HostConfig> {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        std::fs::write(home.path().join(".ssh/config"), text).unwrap();
        let env = Env::from_iter([("HOME", home.path())]);
        HostConfig::read(host, &env).await
    }

    #[tokio::test]
    async fn what_the_file_sets_for_the_host_counts_and_nothing_else() {
        let text = "Host box\n  HostName 10.0.0.9\n  User me\n  Port 2222\n  HostKeyAlias key-of-box\n  \
                    IdentityFile /keys/one\n  IdentityFile /keys/two\n  \
                    UserKnownHostsFile /a /b\n";
        let config = read("box", text).await.unwrap();
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let expected = HostConfig {
            host_name: Some("10.0.0.9".into()),
            user: Some("me".into()),
            port: Some(2222),
            identity_files: paths(&["/keys/one", "/keys/two"]),
            host_key_alias: Some("key-of-box".into()),
            known_hosts: paths(&["/a", "/b"]),
        };
        assert_eq!(config, expected);
        assert_eq!(read("other", text).await.unwrap(), HostConfig::default());
        let none = Env::from_iter([("HOME", "/nonexistent")]);
        let without = HostConfig::read("box", &none).await.unwrap();
        assert_eq!(without, HostConfig::default());
    }

    #[tokio::test]
    async fn a_file_that_ssh_refuses_is_named_with_its_reason() {
        let error = read("box", "Host box\n  Nonsense yes\n").await.unwrap_err();
        assert!(error.message.contains(".ssh/config"), "{error}");
        assert!(
            error.causes[0].contains("Bad configuration option"),
            "{error}"
        );
    }

    #[test]
    fn a_path_is_expanded_as_ssh_does_it_later() {
        let env = Env::from_iter([("HOME", "/home/me")]);
        for (word, path) in [
            ("~/.ssh/x", "/home/me/.ssh/x"),
            ("%d/.ssh/%h.key", "/home/me/.ssh/box.key"),
            ("/a%%b", "/a%b"),
            ("/a%%d", "/a%d"),
            ("/%x", "/%x"),
        ] {
            assert_eq!(expand(word, "box", &env), Path::new(path), "{word}");
        }
    }
}
