//! The arguments that several commands share.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueHint};

use super::completion::Offer;
use super::values::{HostPaths, expecting, host_paths, number, switch, text};
use crate::bake::create::CloneMode;
use crate::bake::transport::{BuildNetwork, TransportMode};
use crate::engine::limits::{self, Gpus};
use crate::image::dkr_conf::Allow;

/// Which repository and which of its refs.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// Path of a repository [default: the current directory's]
    #[arg(value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
    /// Branch, `remote/branch`, tag or commit [default: HEAD]
    #[arg(value_name = "REF", add = Offer::Refs)]
    pub reference: Option<String>,
}

/// Which images to search.
#[derive(Debug, Clone, Args)]
pub struct SearchArgs {
    /// Path of a repository [default: any]
    #[arg(value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
    /// Branch, `remote/branch`, tag or commit [default: any]
    #[arg(value_name = "REF", add = Offer::Refs)]
    pub reference: Option<String>,
}

/// How to connect to the host's SSH server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "SSH")]
pub struct SshArgs {
    /// Private key that the host's SSH server accepts [default: ~/.ssh/id_rsa, id_ed25519 or
    /// id_ecdsa]
    #[arg(long, value_name = "PATH")]
    pub ssh_key: Option<PathBuf>,
    /// User on the host [default: the current user]
    #[arg(long, value_name = "USER", value_parser = text)]
    pub ssh_user: Option<String>,
    /// Address of the host, as seen from the build [default: ::1 if the engine is on this machine]
    #[arg(long, value_name = "HOST", value_parser = text)]
    pub ssh_host: Option<String>,
    /// Port of the SSH server [default: 22]
    #[arg(long, value_name = "PORT", value_parser = number::<u16>(1..=65_535))]
    pub ssh_port: Option<u16>,
    /// File with the passphrase of the key [default: prompt on a terminal]
    #[arg(long, value_name = "FILE")]
    pub ssh_passphrase_file: Option<PathBuf>,
}

/// Whether a repository may mount host paths.
#[derive(Debug, Clone, Args)]
pub struct HostVolumesArg {
    /// Allow host paths in `volumes` of `.dkr.conf`
    #[arg(long, action = ArgAction::SetTrue, value_parser = host_paths)]
    pub allow_host_volumes: HostPaths,
}

/// How an image is built.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Build")]
pub struct BuildArgs {
    /// Print the Dockerfile, labels and tags without building
    #[arg(long, value_parser = switch)]
    pub dry_run: bool,
    /// Do not use the engine's build cache
    #[arg(long, value_parser = switch)]
    pub no_cache: bool,
    /// How to copy the repository: packs (verbatim, shared by all its branches) or full (a plain
    /// clone)
    #[arg(long, value_name = "HOW", default_value = "packs")]
    pub clone: CloneMode,
    /// How the build reaches the repository: ssh, session (the build session, without SSH server or
    /// key) or auto (SSH if the host's server accepts your key, otherwise the session)
    #[arg(long, value_name = "WAY", default_value = "auto")]
    pub transport: TransportMode,
    /// Network of the build steps: default, host or none [default: the engine's; host with SSH]
    #[arg(long, value_name = "MODE")]
    pub build_network: Option<BuildNetwork>,
    /// Allow `.dkr.conf` to mount SSH agents and secrets: its steps could sign with your key
    #[arg(long, value_parser = switch)]
    pub allow_ssh_mounts: bool,
    /// Whether to allow host paths.
    #[command(flatten)]
    pub host_volumes: HostVolumesArg,
}

impl BuildArgs {
    /// What the user allows a repository's `.dkr.conf` to do.
    pub fn allow(&self) -> Allow {
        let host = &self.host_volumes.allow_host_volumes;
        Allow {
            ssh_mounts: self.allow_ssh_mounts,
            host_volumes: *host == HostPaths::Everything,
            host_paths: match host {
                HostPaths::These(paths) => paths.clone(),
                HostPaths::Nothing | HostPaths::Everything => Vec::new(),
            },
        }
    }
}

/// Which container.
#[derive(Debug, Clone, Args)]
pub struct ContainerArg {
    /// Working branch of the container, a unique prefix of it, or an id
    #[arg(allow_hyphen_values = true, add = Offer::Containers)]
    pub name: String,
}

/// Which containers.
#[derive(Debug, Clone, Args)]
pub struct ContainersArg {
    /// Working branches of containers, unique prefixes of them, or ids
    #[arg(value_name = "NAME", required = true, add = Offer::Containers)]
    pub names: Vec<String>,
}

/// Resource limits of a container, as in `docker run`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// CPUs, such as 1.5 [default: all]
    #[arg(long, value_name = "N", value_parser = expecting(limits::CPUS, limits::parse_cpus))]
    pub cpus: Option<i64>,
    /// Memory, such as 512m or 8g [default: all]
    #[arg(long, value_name = "BYTES", value_parser = expecting(limits::MEMORY, limits::parse_memory))]
    pub memory: Option<i64>,
    /// Processes; -1 for unlimited [default: the engine's]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    #[arg(value_parser = expecting(limits::PIDS, limits::parse_pids))]
    pub pids_limit: Option<i64>,
    /// GPUs: all, a number, or device=ID [default: none]
    #[arg(long, value_name = "GPUS", value_parser = expecting(Gpus::EXPECTED, Gpus::parse))]
    #[arg(add = Offer::Words(&["all"]))]
    pub gpus: Option<Gpus>,
}
