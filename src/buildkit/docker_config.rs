//! Registry credentials from the user's Docker configuration, `config.json`: its `auths`, and the
//! helper programs that `credHelpers` and `credsStore` name.
//!
//! The helpers' protocol: <https://github.com/docker/docker-credential-helpers>.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::env::Env;
use crate::text::strip_controls;

/// How much a helper may write, in bytes.
const OUTPUT: u64 = 64 * 1024;
/// BuildKit's name of Docker Hub, and the one under which clients store its credentials.
const HUB_HOST: &str = "registry-1.docker.io";
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A login for a registry; both empty: none. An identity token has no user name.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct RegistryLogin {
    pub(super) username: String,
    pub(super) secret: String,
}

/// The parts of `config.json` that are used here.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DockerConfig {
    auths: HashMap<String, Auth>,
    cred_helpers: HashMap<String, String>,
    creds_store: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase", default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// Where the user's configuration is: `DOCKER_CONFIG`, or else `~/.docker`.
pub(super) fn file(env: &Env) -> Option<PathBuf> {
    let folder = env
        .path("DOCKER_CONFIG")
        .or_else(|| Some(env.home()?.join(".docker")));
    Some(folder?.join("config.json"))
}

impl DockerConfig {
    /// Reads the configuration; a file that does not exist is an empty one.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        match std::fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| e.to_string()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// The helper responsible for `host`, and what to ask it for.
    pub(super) fn helper(&self, host: &str) -> Option<(&str, String)> {
        let key = stored_name(host);
        let own = self
            .cred_helpers
            .iter()
            .find(|(name, _)| same_registry(name, host));
        let helper = own.map_or(self.creds_store.as_str(), |(_, helper)| helper);
        (!helper.is_empty()).then(|| (helper, key.to_owned()))
    }

    /// What the file itself holds for `host`.
    pub(super) fn stored(&self, host: &str) -> Option<RegistryLogin> {
        let exact = self.auths.get(stored_name(host));
        let similar = || {
            self.auths
                .iter()
                .find(|(name, _)| same_registry(name, host))
                .map(|(_, auth)| auth)
        };
        exact.or_else(similar)?.login()
    }
}

impl Auth {
    fn login(&self) -> Option<RegistryLogin> {
        if !self.identitytoken.is_empty() {
            return Some(RegistryLogin {
                username: String::new(),
                secret: self.identitytoken.clone(),
            });
        }
        let decoded = BASE64
            .decode(self.auth.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let login = match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((username, secret)) => RegistryLogin {
                username: username.to_owned(),
                // Old clients padded it.
                secret: secret.trim_end_matches('\0').to_owned(),
            },
            None => RegistryLogin {
                username: self.username.clone(),
                secret: self.password.clone(),
            },
        };
        (!login.secret.is_empty()).then_some(login)
    }
}

fn stored_name(host: &str) -> &str {
    if host == HUB_HOST { HUB_KEY } else { host }
}

/// Keys may be written as a URL (`https://host/v1/`) or as a host.
fn same_registry(key: &str, host: &str) -> bool {
    let bare = |name: &str| -> String {
        let name = name
            .strip_prefix("https://")
            .or_else(|| name.strip_prefix("http://"))
            .unwrap_or(name);
        name.split('/')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let key = bare(key);
    key == bare(stored_name(host)) || (host == HUB_HOST && key == "docker.io")
}

/// Asks `docker-credential-NAME` for the credentials of `server`; `None` if it has none.
///
/// It must answer within `limit`. The error is the reason why it could not be asked.
pub(super) async fn ask_helper(
    name: &str,
    server: &str,
    env: &Env,
    limit: Duration,
) -> Result<Option<RegistryLogin>, String> {
    if name.contains('/') {
        return Err("its name is a path".to_owned());
    }
    let mut command = Command::new(format!("docker-credential-{name}"));
    command.arg("get").kill_on_drop(true);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    for variable in ["PATH", "HOME"] {
        if let Some(value) = env.path(variable) {
            command.env(variable, value);
        }
    }
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let talk = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read reports that by its status.
            let _ = stdin.write_all(server.as_bytes()).await;
        }
        let mut output = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(OUTPUT).read_to_end(&mut output).await?;
        }
        Ok::<_, std::io::Error>((child.wait().await?, output))
    };
    let (status, output) = tokio::time::timeout(limit, talk)
        .await
        .map_err(|_| format!("no answer within {} s", limit.as_secs()))?
        .map_err(|e| e.to_string())?;
    if !status.success() {
        let text = String::from_utf8_lossy(&output);
        // The usual message of helpers.
        if text.contains("credentials not found") {
            return Ok(None);
        }
        let text = strip_controls(text.lines().next().unwrap_or_default());
        return Err(format!("{status}: {text}"));
    }
    parse_helper(&output).map(Some)
}

fn parse_helper(output: &[u8]) -> Result<RegistryLogin, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    // The text of serde's error could hold a part of the secret.
    let answer: Answer =
        serde_json::from_slice(output).map_err(|_| "cannot parse its answer".to_owned())?;
    let token = answer.username == "<token>";
    Ok(RegistryLogin {
        username: if token {
            String::new()
        } else {
            answer.username
        },
        secret: answer.secret,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> DockerConfig {
        serde_json::from_str(json).unwrap()
    }

    fn login(username: &str, secret: &str) -> RegistryLogin {
        RegistryLogin {
            username: username.to_owned(),
            secret: secret.to_owned(),
        }
    }

    #[test]
    fn logins_in_the_file_are_found_however_the_registry_is_written() {
        let both = BASE64.encode("user:pa:ss");
        let json = format!(
            r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{both}"}},
                 "https://r.example.com:5000/v2/": {{"username": "u", "password": "p"}},
                 "t.example.com": {{"identitytoken": "tok"}}, "e.example.com": {{}}}}, "other": 1}}"#
        );
        let config = config(&json);
        let stored = |host| config.stored(host);
        assert!(stored("registry-1.docker.io") == Some(login("user", "pa:ss")));
        assert!(stored("r.example.com:5000") == Some(login("u", "p")));
        assert!(stored("t.example.com") == Some(login("", "tok")));
        assert!(stored("e.example.com").is_none());
        assert!(stored("r.example.com").is_none());
    }

    #[test]
    fn a_registrys_own_helper_comes_before_the_store() {
        let json = r#"{"credsStore": "desktop", "credHelpers": {"gcr.io": "gcloud", "x.io": ""}}"#;
        let config = config(json);
        assert_eq!(
            config.helper("gcr.io"),
            Some(("gcloud", "gcr.io".to_owned()))
        );
        let hub = Some(("desktop", HUB_KEY.to_owned()));
        assert_eq!(config.helper("registry-1.docker.io"), hub);
        assert_eq!(config.helper("x.io"), None);
    }

    #[test]
    fn a_helpers_token_has_no_user_name_and_garbage_is_not_repeated() {
        let parse = |json: &str| parse_helper(json.as_bytes());
        assert!(parse(r#"{"Username": "<token>", "Secret": "s"}"#) == Ok(login("", "s")));
        assert!(
            parse(r#"{"ServerURL": "", "Username": "u", "Secret": "s"}"#) == Ok(login("u", "s"))
        );
        assert!(!parse("secret").err().unwrap().contains("secret"));
    }
}
