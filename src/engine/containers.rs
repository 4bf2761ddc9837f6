//! Containers: creating, starting, inspecting and removing them. `attach` and `exec` connect to the
//! processes in them.
//!
//! No container is created with auto-removal: that cannot be disabled later, and dkr inspects a
//! container after it ended.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, ContainerWaitResponse, HostConfig, Mount, MountType, PortBinding,
};
use bollard::query_parameters::{
    CreateContainerOptions, KillContainerOptions, RemoveContainerOptions, StopContainerOptions,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::connect::Engine;
use super::error::failed;
use super::limits::{Limits, explained};
use super::ports::PublishedPort;
use super::request;
use super::signals::Signal;
use crate::error::{Error, Reason, Result};

/// A container's full id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(pub String);

impl std::fmt::Display for ContainerId {
    /// The first twelve digits, as `docker ps` shows them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// How a container's main process exited: its status, or 128 plus the signal that killed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus(pub u8);

/// A bind mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerMount {
    /// A file or folder on the engine's machine, which must exist.
    pub source: String,
    /// The absolute path in the container.
    pub target: String,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// The specification of a container to create.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    /// The image's id.
    pub image: String,
    /// The container's name; `None`: the engine chooses one.
    pub name: Option<String>,
    /// The arguments of the image's entrypoint.
    pub command: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// Labels of the container.
    pub labels: HashMap<String, String>,
    /// Bind mounts.
    pub mounts: Vec<ContainerMount>,
    /// Volumes and bind mounts as `docker run -v` spells them, with all its options.
    pub binds: Vec<String>,
    /// `host`, `bridge`, `none` or the name of a network; `None`: the engine's default.
    pub network: Option<String>,
    /// Ports to publish on the host.
    pub ports: Vec<PublishedPort>,
    /// The container's own hostname.
    pub hostname: Option<String>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its stdin is open.
    pub stdin: bool,
    /// Limits on CPU, memory, processes and GPUs.
    pub limits: Limits,
}

/// The inspected state of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerState {
    /// Its full id.
    pub id: ContainerId,
    /// Its name, without the engine's leading slash.
    pub name: String,
    /// The id of its image.
    pub image: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its stdin is open.
    pub stdin: bool,
    /// Whether its main process is running.
    pub running: bool,
    /// When that was last started, as the engine formats it; `None` if never.
    pub started_at: Option<String>,
}

/// Creates a container without starting it.
///
/// # Errors
/// When the engine refuses, e.g. because the name is in use.
pub async fn create(engine: &Engine, spec: &ContainerSpec) -> Result<ContainerId> {
    let options = CreateContainerOptions {
        name: spec.name.clone(),
        ..Default::default()
    };
    let created = engine
        .docker()
        .create_container(Some(options), request(spec))
        .await
        .map_err(|e| failed("cannot create a container", e))?;
    Ok(ContainerId(created.id))
}

/// The request body for `spec`.
fn request(spec: &ContainerSpec) -> ContainerCreateBody {
    let mut bindings: HashMap<_, Option<Vec<_>>> = HashMap::new();
    for port in &spec.ports {
        let binding = PortBinding {
            host_ip: port.host_ip.map(|ip| ip.to_string()),
            host_port: port.host_port.clone(),
        };
        let of_port = bindings.entry(port.key()).or_default();
        of_port.get_or_insert_default().push(binding);
    }
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        hostname: spec.hostname.clone(),
        cmd: Some(spec.command.clone()),
        env: Some(spec.env.clone()),
        labels: Some(spec.labels.clone()),
        exposed_ports: Some(bindings.keys().cloned().collect()),
        tty: Some(spec.tty),
        attach_stdin: Some(spec.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(spec.stdin),
        // The container's stdin closes when dkr's does.
        stdin_once: Some(spec.stdin),
        host_config: Some(HostConfig {
            nano_cpus: spec.limits.nano_cpus,
            memory: spec.limits.memory,
            pids_limit: spec.limits.pids,
            device_requests: spec.limits.gpus.as_ref().map(|gpus| vec![gpus.request()]),
            init: Some(true),
            mounts: Some(spec.mounts.iter().map(mount).collect()),
            binds: Some(spec.binds.clone()),
            network_mode: spec.network.clone(),
            port_bindings: Some(bindings),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn mount(mount: &ContainerMount) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(mount.source.clone()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..Default::default()
    }
}

/// Starts a container that was created or has ended.
///
/// # Errors
/// When the engine fails, e.g. because a port is in use.
pub async fn start(engine: &Engine, id: &ContainerId) -> Result<()> {
    let started = engine.docker().start_container(&id.0, None).await;
    started.map_err(|e| explained(failed(format!("cannot start container `{id}`"), e)))
}

/// Sends a signal to a container's main process. If it has already exited, that is no error.
///
/// # Errors
/// When the container does not exist, or the engine does not answer.
pub async fn kill(engine: &Engine, id: &ContainerId, signal: Signal) -> Result<()> {
    let options = KillContainerOptions {
        signal: signal.name().to_owned(),
    };
    let killed = engine.docker().kill_container(&id.0, Some(options)).await;
    let name = signal.name();
    match killed.map_err(|e| failed(format!("cannot send {name} to container `{id}`"), e)) {
        // It is not running (Engine API, "Kill a container").
        Err(error) if error.reason == Some(Reason::Conflict) => Ok(()),
        killed => killed,
    }
}

/// Terminates a container's main process, and kills it after `seconds`. If it has already exited, that
/// is no error.
///
/// # Errors
/// When the container does not exist, or the engine does not answer.
pub async fn stop(engine: &Engine, id: &ContainerId, seconds: i32) -> Result<()> {
    let options = StopContainerOptions {
        t: Some(seconds),
        ..Default::default()
    };
    let stopped = engine.docker().stop_container(&id.0, Some(options)).await;
    stopped.map_err(|e| failed(format!("cannot stop container `{id}`"), e))
}

/// Removes a stopped container and its anonymous volumes. If its removal is already in progress, that is
/// no error.
///
/// # Errors
/// When it is running, or does not exist.
pub async fn remove(engine: &Engine, id: &ContainerId) -> Result<()> {
    remove_container(engine, id, false).await
}

/// The same for one that may be running: its processes are killed first.
///
/// # Errors
/// When it does not exist.
pub async fn force_remove(engine: &Engine, id: &ContainerId) -> Result<()> {
    remove_container(engine, id, true).await
}

async fn remove_container(engine: &Engine, id: &ContainerId, force: bool) -> Result<()> {
    let options = RemoveContainerOptions {
        v: true,
        force,
        ..Default::default()
    };
    let removed = engine.docker().remove_container(&id.0, Some(options)).await;
    match removed.map_err(|e| failed(format!("cannot remove container `{id}`"), e)) {
        Err(error) if error.reason == Some(Reason::InProgress) => Ok(()),
        removed => removed,
    }
}

/// Inspects the container with this name or id.
///
/// # Errors
/// When it does not exist.
pub async fn inspect(engine: &Engine, name: &str) -> Result<ContainerState> {
    let found = engine
        .docker()
        .inspect_container(name, None)
        .await
        .map_err(|e| failed(format!("cannot inspect container `{name}`"), e))?;
    let state = found.state.unwrap_or_default();
    let running = state.running.unwrap_or_default();
    // The year is 1 before the first start.
    let started_at = state.started_at.filter(|at| !at.starts_with("0001-"));
    let name = found.name.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    Ok(ContainerState {
        id: ContainerId(found.id.unwrap_or_default()),
        name: name.strip_prefix('/').unwrap_or(&name).to_owned(),
        image: found.image.unwrap_or_default(),
        labels: config.labels.unwrap_or_default(),
        tty: config.tty.unwrap_or_default(),
        stdin: config.open_stdin.unwrap_or_default(),
        running,
        started_at,
    })
}

/// Which exit of a container to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// The next one; for a container that is about to start.
    NextExit,
    /// Any; returns at once for a container that is not running.
    NotRunning,
}

/// An exit that the engine will report, even if it happens right after [`wait`] returned.
#[derive(Debug)]
pub struct Exit {
    id: ContainerId,
    body: Incoming,
}

/// Asks the engine to report a container's exit.
///
/// # Errors
/// When the container does not exist.
pub async fn wait(engine: &Engine, id: &ContainerId, until: WaitFor) -> Result<Exit> {
    let condition = match until {
        WaitFor::NextExit => "next-exit",
        WaitFor::NotRunning => "not-running",
    };
    let path = format!("/containers/{}/wait?condition={condition}", id.0);
    // The engine sends the head of the answer once it has begun to wait.
    let answer = request::post(engine, &path, &format!("cannot wait for container `{id}`")).await?;
    Ok(Exit {
        id: id.clone(),
        body: answer.into_body(),
    })
}

impl Exit {
    /// Waits for the exit and returns the status.
    ///
    /// # Errors
    /// When the connection to the engine is lost before.
    pub async fn status(self) -> Result<ExitStatus> {
        let id = self.id;
        let lost = || Error::failed(format!("cannot get the exit status of container `{id}`"));
        let body = self.body.collect().await;
        let body = body.map_err(|e| lost().source(e))?.to_bytes();
        let answer: ContainerWaitResponse =
            serde_json::from_slice(&body).map_err(|e| lost().source(e))?;
        if let Some(message) = answer.error.and_then(|error| error.message) {
            return Err(lost().cause(message));
        }
        exit_status(answer.status_code).ok_or_else(|| {
            lost().cause(format!("the engine reports status {}", answer.status_code))
        })
    }
}

/// Converts the engine's number to an exit status.
pub(super) fn exit_status(code: i64) -> Option<ExitStatus> {
    u8::try_from(code).ok().map(ExitStatus)
}

#[cfg(test)]
mod tests {
    use super::super::ports::parse_ports;
    use super::*;

    #[test]
    fn a_request_has_an_init_and_never_removes_itself() {
        let spec = ContainerSpec {
            ports: parse_ports("127.0.0.1:8080:80").unwrap(),
            mounts: vec![ContainerMount {
                source: "/a:b".to_owned(),
                target: "/c".to_owned(),
                read_only: true,
            }],
            ..Default::default()
        };
        let json = serde_json::to_value(request(&spec)).unwrap();
        let host = &json["HostConfig"];
        assert_eq!(host["Init"], true);
        assert!(host["AutoRemove"].is_null());
        assert_eq!(host["PortBindings"]["80/tcp"][0]["HostPort"], "8080");
        assert_eq!(json["ExposedPorts"]["80/tcp"], serde_json::json!({}));
        assert_eq!(host["Mounts"][0]["Source"], "/a:b");
        assert_eq!(host["Mounts"][0]["Type"], "bind");
    }

    #[test]
    fn a_status_outside_a_process_is_none() {
        assert_eq!(exit_status(137), Some(ExitStatus(137)));
        assert_eq!(exit_status(-1), None);
        assert_eq!(exit_status(256), None);
    }
}
