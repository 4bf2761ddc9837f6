//! How a build reaches the host's repository: over SSH with the user's key, or through the build
//! session, which needs neither server nor key nor network.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::session_host::{HostStream, SessionHost};
use super::spec::BuildRemote;
use crate::app::Context;
use crate::buildkit::{AgentMount, Gate, MountService};
use crate::engine::{Engine, Location};
use crate::error::{Error, Result};
use crate::git::{Repository, Target, TargetKind};
use crate::image::runtime::REMOTE_CONFIG;
use crate::ssh::settings::{SshAccess, SshFlags, SshSettings, current_user};

/// How long the SSH server may take to accept the user's key, if SSH was not requested.
const PATIENCE: Duration = Duration::from_secs(1);

/// The user's options for the transport.
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// The SSH settings.
    pub ssh: SshFlags,
    /// `--transport`
    pub transport: TransportMode,
    /// `--build-network`
    pub build_network: Option<BuildNetwork>,
}

/// How the repository is reached (`--transport`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportMode {
    /// SSH if that works at once, otherwise the session.
    Auto,
    /// SSH with the user's key.
    Ssh,
    /// dkr itself: through the build session, or a container's channel.
    Session,
}

/// The network of a build's steps (`--build-network`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildNetwork {
    /// The engine's default.
    Default,
    /// The host's.
    Host,
    /// None.
    None,
}

impl BuildNetwork {
    /// Its name, as the engine expects it.
    fn as_str(self) -> &'static str {
        match self {
            BuildNetwork::Default => "default",
            BuildNetwork::Host => "host",
            BuildNetwork::None => "none",
        }
    }
}

/// The transport that was chosen.
pub enum Transport {
    /// An SSH server that accepts the user's key.
    Ssh(Box<SshAccess>),
    /// dkr itself, through the build session.
    Session {
        /// The shared git directory of the repository.
        git_dir: PathBuf,
        /// The remotes whose tracking branches are offered.
        remotes: Vec<String>,
        /// The user on the host.
        user: String,
        /// The network of the build's steps, if not the engine's default.
        network: Option<String>,
    },
}

impl Transport {
    /// Chooses and checks the transport, and prints which it is and why.
    ///
    /// # Errors
    /// When a setting is invalid, or SSH was requested and does not work.
    pub async fn choose(
        engine: &Engine,
        repo: &Repository,
        target: &Target,
        options: &TransportOptions,
        cx: &Context,
    ) -> Result<Self> {
        let network = options.build_network;
        let session = || -> Result<Self> {
            Ok(Transport::Session {
                git_dir: repo.git_dir().to_owned(),
                remotes: followed(target),
                user: current_user(&cx.env)?,
                network: network.map(|network| network.as_str().to_owned()),
            })
        };
        if options.transport == TransportMode::Session {
            return session();
        }
        let asked = options.transport == TransportMode::Ssh;
        // Without the host's network, a build cannot reach an SSH server of the host.
        if let Some(network) = network.filter(|network| *network != BuildNetwork::Host) {
            let cause = format!(
                "`--build-network` is `{}`, and SSH needs `host`",
                network.as_str()
            );
            if asked {
                return Err(Error::usage("cannot reach the repository over SSH")
                    .cause(cause)
                    .hint("use `--transport session`, or leave out `--build-network`"));
            }
            cx.ui.message(&format!("using the build session ({cause})"));
            return session();
        }
        let location = engine.location().await?;
        if asked {
            let ssh = SshSettings::new(&options.ssh, &cx.env, &location).await?;
            let access = ssh.access(cx, true).await?;
            return Ok(Transport::Ssh(Box::new(access)));
        }
        match quick(options, &location, cx).await {
            Ok(access) => {
                cx.ui.message(&format!(
                    "using SSH: `{}` accepts key {}",
                    access.account(),
                    access.identity
                ));
                Ok(Transport::Ssh(Box::new(access)))
            }
            Err(reason) => {
                cx.ui
                    .message(&format!("using the build session ({reason})"));
                session()
            }
        }
    }

    /// What the build's scripts need to know.
    pub fn remote(&self, path: &str) -> BuildRemote {
        match self {
            Transport::Ssh(access) => BuildRemote {
                url: access.url(path),
                known_hosts: format!("{}\n", access.known_hosts),
                user: access.user.clone(),
                host: access.host.clone(),
                port: access.port,
            },
            Transport::Session { user, .. } => BuildRemote {
                url: REMOTE_CONFIG[0].1.to_owned(),
                known_hosts: String::new(),
                user: user.clone(),
                host: String::new(),
                port: 0,
            },
        }
    }

    /// The script by which a step reaches the repository, and the files that it needs.
    pub fn scripts(&self) -> Vec<(&'static str, &'static str)> {
        match self {
            Transport::Ssh(_) => vec![("reach.sh", include_str!("../../assets/ssh.sh"))],
            Transport::Session { .. } => vec![
                ("reach.sh", include_str!("../../assets/session.sh")),
                (
                    "connect.sh",
                    include_str!("../../assets/session-connect.sh"),
                ),
            ],
        }
    }

    /// What answers the ssh mount of dkr's own step while the gate is open; `streams` are the
    /// commands whose output the step may request. Errors on the host that the step cannot see go to
    /// `complaints`.
    ///
    /// # Errors
    /// When the repository cannot be served.
    pub fn service(
        &self,
        gate: Arc<Gate>,
        streams: &HashMap<String, HostStream>,
        complaints: UnboundedSender<String>,
        cx: &Context,
    ) -> Result<Arc<dyn MountService>> {
        Ok(match self {
            Transport::Ssh(access) => Arc::new(AgentMount::new(&access.identity, gate)),
            Transport::Session {
                git_dir, remotes, ..
            } => {
                let (env, remotes, streams) = (&cx.env, remotes.clone(), streams.clone());
                let host = SessionHost::new(gate, env, git_dir, remotes, streams, complaints);
                Arc::new(host?)
            }
        })
    }

    /// The network of the build's steps; SSH needs the host's.
    pub fn network(&self) -> Option<String> {
        match self {
            Transport::Ssh(_) => Some("host".to_owned()),
            Transport::Session { network, .. } => network.clone(),
        }
    }

    /// Why packs probably cannot be copied over this transport, if so.
    pub async fn unusable(&self) -> Option<String> {
        match self {
            Transport::Ssh(access) => access.unusable().await,
            Transport::Session { .. } => None,
        }
    }
}

/// Logs in with the default key, if that works at once and without a question; the error is the reason.
async fn quick(
    options: &TransportOptions,
    location: &Location,
    cx: &Context,
) -> std::result::Result<SshAccess, String> {
    let access = async {
        let ssh = SshSettings::new(&options.ssh, &cx.env, location).await?;
        ssh.access(cx, false).await
    };
    match tokio::time::timeout(PATIENCE, access).await {
        Ok(Ok(access)) => Ok(access),
        Ok(Err(error)) => Err(in_one_line(&error)),
        Err(_) => Err("no SSH server accepted a key within a second".to_owned()),
    }
}

/// What was tried and why that failed: `no SSH key in …: looked for …`.
fn in_one_line(error: &Error) -> String {
    match error.causes.last() {
        Some(cause) => format!("{}: {cause}", error.message),
        None => error.message.clone(),
    }
}

fn followed(target: &Target) -> Vec<String> {
    match &target.kind {
        TargetKind::RemoteBranch(branch) => vec![branch.remote.clone()],
        _ => Vec::new(),
    }
}
