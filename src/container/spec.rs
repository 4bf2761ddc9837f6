//! The specification of a container: its branch, environment, mounts and network.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::forward_agent::{self, ForwardedAgent};
use crate::container::Keep;
use crate::engine::containers::{ContainerMount, ContainerSpec};
use crate::engine::limits::Limits;
use crate::engine::ports::{PublishedPort, parse_ports};
use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::image::BakedImage;
use crate::image::dkr_conf::{Allow, ConfLabel, Volume};
use crate::image::runtime::{CHANNEL_MOUNT_POINT, REMOTE_CONFIG};
use crate::ssh::settings::Mounted;

use super::labels::{COMMAND, IMAGE, KEEP, PUSH_PREFIX, RUNS, SESSION, WORK_BRANCH};

/// The volume that all containers share for Bazel's caches.
const BAZEL_CACHE: &str = "bazel-cache:/bazel-cache";
/// Where the entrypoint looks for the key (`apiKeyHelper`).
const ANTHROPIC_KEY: &str = "/run/secrets/anthropic_key";

/// The options of the user for a container, validated before anything starts.
#[derive(Debug, Clone, Default)]
pub struct ContainerOptions {
    /// Volumes and host paths, as `docker run -v` takes them.
    pub volumes: Vec<Volume>,
    /// `NAME=VALUE`; the last one of a name wins.
    pub env: Vec<String>,
    /// Ports to publish on the host.
    pub ports: Vec<PublishedPort>,
    /// A file with an Anthropic API key.
    pub anthropic_key: Option<PathBuf>,
    /// The network; `None`: depends on the transport.
    pub network: Option<String>,
    /// Limits on CPU, memory, processes and GPUs.
    pub limits: Limits,
    /// Whether to keep it when it has ended.
    pub keep: Keep,
    /// The command; empty: a tmux session.
    pub command: Vec<String>,
}

impl ContainerOptions {
    /// Parses volumes, variables and ports from the command line.
    ///
    /// # Errors
    /// When one of them is malformed, or a key file cannot be read.
    pub fn check(
        mut self,
        volumes: &[String],
        variables: &[String],
        ports: &[String],
        env: &Env,
    ) -> Result<Self> {
        for text in volumes {
            self.volumes.push(Volume::parse(text)?);
        }
        self.env.extend(environment(variables, env)?);
        for text in ports {
            self.ports.extend(parse_ports(text)?);
        }
        self.anthropic_key = self.anthropic_key.as_deref().map(readable).transpose()?;
        Ok(self)
    }
}

/// Parses variables from the command line.
///
/// # Errors
/// When one of them is malformed.
pub fn environment(variables: &[String], env: &Env) -> Result<Vec<String>> {
    let read = variables.iter().map(|text| variable(text, env));
    let read: Vec<Option<String>> = read.collect::<Result<_>>()?;
    Ok(read.into_iter().flatten().collect())
}

/// `KEY=VALUE`, or `KEY` with its value from dkr's own environment, if it is set there.
fn variable(text: &str, env: &Env) -> Result<Option<String>> {
    let (name, value) = text
        .split_once('=')
        .map_or((text, None), |(n, v)| (n, Some(v)));
    if name.is_empty() || text.contains('\0') {
        let error = Error::usage(format!("invalid value `{text}` for `--env`"));
        return Err(error.cause("expected `KEY=VALUE`, or `KEY` to pass on your own"));
    }
    let value = value.or_else(|| env.get(name));
    Ok(value.map(|value| format!("{name}={value}")))
}

/// The absolute path of a file that can be read.
fn readable(path: &Path) -> Result<PathBuf> {
    let refused = || Error::usage(format!("cannot read the API key `{}`", path.display()));
    let meta = std::fs::metadata(path).map_err(|e| {
        let error = refused().source(&e);
        if e.kind() == std::io::ErrorKind::NotFound {
            Error {
                kind: Kind::NotFound,
                ..error
            }
        } else {
            error
        }
    })?;
    if !meta.is_file() {
        return Err(refused().cause("it is not a file"));
    }
    std::fs::File::open(path).map_err(|e| refused().source(e))?;
    std::fs::canonicalize(path).map_err(|e| refused().source(e))
}

/// How a container reaches the host's repository.
#[derive(Debug, Clone, Copy)]
pub enum HostRemote<'a> {
    /// Through a channel, without a key or a network. The value is the folder to mount.
    Channel(&'a Path),
    /// Over SSH, with the user's key.
    Ssh(&'a Mounted),
    /// Not at all: the repository no longer exists.
    None,
}

/// What else is known when the container is created.
pub struct StartContext<'a> {
    pub image: &'a BakedImage,
    /// The working branch.
    pub branch: &'a str,
    /// The commit at the tip of the image's branch, if it could be read.
    pub tip: Option<String>,
    /// Name and e-mail address of the user in the host's repository.
    pub identity: Option<(String, String)>,
    /// The name of this machine.
    pub hostname: String,
    /// How it reaches the host's repository.
    pub way: HostRemote<'a>,
    /// Whether some refs of that repository are broken, so that git must be told to skip them.
    pub broken_refs: bool,
    /// The user's SSH agent, if it is forwarded.
    pub agent: Option<&'a ForwardedAgent>,
    /// Whether dkr's own stdin and stdout are terminals.
    pub terminal: bool,
    /// Whether dkr detaches once it has started.
    pub detached: bool,
    /// Which host paths the repository may mount.
    pub allow: &'a Allow,
}

/// Builds the specification of the container.
///
/// # Errors
/// When the image's configuration names a host path that the user does not allow, or the key file
/// has an unsupported name.
pub fn container_spec(
    options: &ContainerOptions,
    around: &StartContext<'_>,
) -> Result<ContainerSpec> {
    let labels = &around.image.labels;
    let session = options.command.is_empty();
    let mut env = vec![
        format!("DKR_WORK_BRANCH={}", around.branch),
        format!("DKR_CONTAINER={}", container_name(around.branch)),
        format!("DKR_KEEP={}", options.keep.as_str()),
    ];
    let mut set = |name: &str, value: Option<&str>| {
        env.extend(value.map(|value| format!("{name}={value}")));
    };
    let identity = around.identity.as_ref();
    set("DKR_USER_NAME", identity.map(|(name, _)| name.as_str()));
    set("DKR_USER_EMAIL", identity.map(|(_, email)| email.as_str()));
    set("DKR_TIP", around.tip.as_deref());
    set("DKR_ATTACH", session.then_some("1"));
    let (mut mounts, network) = match around.way {
        HostRemote::Channel(folder) => {
            let (_, url) = REMOTE_CONFIG[0];
            set("DKR_HOST_URL", Some(url));
            (vec![read_only(folder, CHANNEL_MOUNT_POINT)], "bridge")
        }
        HostRemote::Ssh(ssh) => {
            let key = key_name(&ssh.key)?;
            set("DKR_HOST_URL", Some(&ssh.url(&labels.repo_path)));
            set("DKR_SSH_KEY", Some(&key));
            set("DKR_SSH_HOST", Some(&ssh.host));
            set("DKR_SSH_USER", Some(&ssh.user));
            set("DKR_SSH_PORT", Some(&ssh.port.to_string()));
            set("DKR_KNOWN_HOSTS", ssh.known_hosts.as_deref());
            set("DKR_BROKEN_REFS", around.broken_refs.then_some("1"));
            (
                vec![read_only(&ssh.key, &format!("/root/.ssh/{key}"))],
                "host",
            )
        }
        HostRemote::None => (Vec::new(), "bridge"),
    };
    if let Some(forwarded) = around.agent {
        set("SSH_AUTH_SOCK", Some(forward_agent::MOUNT_POINT));
        set("DKR_ORIGIN_KNOWN_HOSTS", Some(&forwarded.known_hosts));
        mounts.push(read_only(&forwarded.socket, forward_agent::MOUNT_POINT));
    }
    env.extend(options.env.iter().cloned());
    if let Some(path) = &options.anthropic_key {
        mounts.push(read_only(path, ANTHROPIC_KEY));
    }
    let own = [
        (WORK_BRANCH, around.branch),
        (IMAGE, &around.image.id),
        (KEEP, options.keep.as_str()),
        (RUNS, if session { SESSION } else { COMMAND }),
        (PUSH_PREFIX, &around.hostname),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(ContainerSpec {
        image: around.image.id.clone(),
        name: Some(container_name(around.branch)),
        command: options.command.clone(),
        env,
        labels: HashMap::from(own),
        mounts,
        binds: binds(options, around)?,
        network: Some(
            options
                .network
                .clone()
                .unwrap_or_else(|| network.to_owned()),
        ),
        ports: options.ports.clone(),
        hostname: Some(around.hostname.clone()),
        tty: around.terminal && !session && !around.detached,
        // A detached container gets no input.
        stdin: !session && !around.detached,
        limits: options.limits.clone(),
    })
}

/// The volumes of the repository, of every container, and of the user. Of several at one path, the
/// last one wins.
fn binds(options: &ContainerOptions, around: &StartContext<'_>) -> Result<Vec<String>> {
    let config = around.image.labels.config.as_deref();
    let config = config.and_then(|text| ConfLabel::parse(text).ok());
    let mut volumes = vec![Volume::parse(BAZEL_CACHE)?];
    for text in config.map(|config| config.volumes).unwrap_or_default() {
        let volume = Volume::parse(&text)?;
        around.allow.check(&volume, "of the image")?;
        volumes.push(volume);
    }
    volumes.extend(options.volumes.iter().cloned());
    let mut kept: Vec<Volume> = Vec::new();
    for volume in volumes {
        kept.retain(|earlier| earlier.target != volume.target);
        kept.push(volume);
    }
    Ok(kept.iter().map(ToString::to_string).collect())
}

fn read_only(path: &Path, target: &str) -> ContainerMount {
    ContainerMount {
        source: path.to_string_lossy().into_owned(),
        target: target.to_owned(),
        read_only: true,
    }
}

/// The file name of the key, which it has in the container, too.
fn key_name(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match name {
        Some(name) if name.chars().all(fits) && !name.starts_with('-') => Ok(name.to_owned()),
        _ => Err(
            Error::usage(format!("cannot mount the key `{}`", path.display()))
                .cause("its name may contain only letters, digits, `.`, `_` and `-`"),
        ),
    }
}

/// The name of the container of a working branch, with what the engine does not accept replaced
/// (`[a-zA-Z0-9][a-zA-Z0-9_.-]+`).
pub fn container_name(branch: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = branch
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    if name.len() < 2 {
        format!("dkr-{name}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_set_passed_on_or_left_out() {
        let env = Env::from_iter([("LANG", "C")]);
        let read = |text| variable(text, &env).unwrap();
        assert_eq!(read("A=b=c").as_deref(), Some("A=b=c"));
        assert_eq!(read("LANG").as_deref(), Some("LANG=C"));
        assert_eq!(read("NOT_SET"), None);
        assert!(variable("=x", &env).is_err());
    }

    #[test]
    fn a_container_is_named_after_its_branch() {
        assert_eq!(container_name("fix-parser"), "fix-parser");
        assert_eq!(container_name("feature/ü x"), "feature---x");
        assert_eq!(container_name("_"), "dkr-");
    }

    #[test]
    fn a_key_keeps_its_name() {
        assert_eq!(
            key_name(Path::new("/home/me/.ssh/id_rsa")).unwrap(),
            "id_rsa"
        );
        assert!(key_name(Path::new("/home/me/my key")).is_err());
    }
}
