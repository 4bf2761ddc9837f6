//! What an engine reports about itself, and where it runs relative to this machine.

use bollard::models::SystemInfo;
use chrono::{DateTime, Utc};

use super::connect::Engine;
use super::endpoint::Endpoint;
use super::error::failed;
use super::images::time;
use crate::error::Result;

/// The name of Docker Desktop's operating system (`OperatingSystem` of `GET /info`).
const DOCKER_DESKTOP: &str = "Docker Desktop";
/// `driver-type` of an engine with containerd's image store (moby `daemon/info.go`).
const CONTAINERD_STORE: &str = "io.containerd.snapshotter.v1";

/// The part of `GET /info` that dkr uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineInfo {
    /// The name of the engine's machine.
    pub name: String,
    /// The operating system for display, e.g. `Debian GNU/Linux 12 (bookworm)`.
    pub operating_system: String,
    /// The machine's architecture as the kernel names it, e.g. `x86_64`.
    pub architecture: String,
    /// The storage driver, e.g. `overlay2`.
    pub driver: String,
    /// The folder of images and containers on the engine's machine.
    pub data_root: String,
    /// Whether images are in containerd's store.
    pub containerd_store: bool,
}

/// Where an engine runs, relative to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Here: its network and folders are those of this machine.
    ThisMachine,
    /// In a virtual machine of Docker Desktop on this machine.
    DockerDesktop,
    /// On another machine, with this name.
    Elsewhere(String),
}

impl Engine {
    /// Information about the engine; requested once.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn info(&self) -> Result<&EngineInfo> {
        let ask = async || self.ask().await.map(EngineInfo::from);
        self.info.get_or_try_init(ask).await
    }

    /// The current time of the engine's clock; `None` if it does not report it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn clock(&self) -> Result<Option<DateTime<Utc>>> {
        let info = self.ask().await?;
        Ok(info.system_time.as_deref().and_then(time))
    }

    async fn ask(&self) -> Result<SystemInfo> {
        let info = self.docker().info().await;
        info.map_err(|e| failed(format!("cannot get information about {self}"), e))
    }

    /// The versions of the engine's components: `containerd`, `runc` and others, as far as it reports
    /// them.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn components(&self) -> Result<Vec<(String, String)>> {
        let version = self.docker().version().await;
        let attempt = || format!("cannot list the components of {self}");
        let version = version.map_err(|e| failed(attempt(), e))?;
        let components = version.components.unwrap_or_default().into_iter();
        Ok(components.map(|one| (one.name, one.version)).collect())
    }

    /// Where the engine runs. A TCP port on this machine counts as this machine.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn location(&self) -> Result<Location> {
        Ok(locate(
            self.endpoint(),
            &self.info().await?.operating_system,
        ))
    }
}

impl From<SystemInfo> for EngineInfo {
    fn from(info: SystemInfo) -> Self {
        let status = info.driver_status.unwrap_or_default();
        EngineInfo {
            name: info.name.unwrap_or_default(),
            operating_system: info.operating_system.unwrap_or_default(),
            architecture: info.architecture.unwrap_or_default(),
            driver: info.driver.unwrap_or_default(),
            data_root: info.docker_root_dir.unwrap_or_default(),
            containerd_store: status
                .iter()
                .any(|pair| matches!(&pair[..], [key, value] if key == "driver-type" && value == CONTAINERD_STORE)),
        }
    }
}

fn locate(endpoint: &Endpoint, operating_system: &str) -> Location {
    match endpoint {
        Endpoint::Ssh { host, .. } => Location::Elsewhere(host.clone()),
        Endpoint::Tcp { host, .. } if !is_loopback(host) => Location::Elsewhere(host.clone()),
        _ if operating_system == DOCKER_DESKTOP => Location::DockerDesktop,
        _ => Location::ThisMachine,
    }
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{env, fake};

    #[test]
    fn a_place_follows_from_the_endpoint_and_from_what_the_engine_is() {
        let at =
            |address: &str, system: &str| locate(&Endpoint::parse(address, None).unwrap(), system);
        let elsewhere = |host: &str| Location::Elsewhere(host.to_owned());
        assert_eq!(at("unix://", "Debian"), Location::ThisMachine);
        assert_eq!(at("unix://", DOCKER_DESKTOP), Location::DockerDesktop);
        for host in ["127.0.0.1", "127.8.0.1", "[::1]", "localhost", "LOCALHOST"] {
            assert_eq!(at(&format!("tcp://{host}:1"), "x"), Location::ThisMachine);
        }
        assert_eq!(
            at("tcp://localhost:1", DOCKER_DESKTOP),
            Location::DockerDesktop
        );
        assert_eq!(at("tcp://10.0.0.7:1", "x"), elsewhere("10.0.0.7"));
        assert_eq!(
            at("tcp://localhost.example:1", "x"),
            elsewhere("localhost.example")
        );
        assert_eq!(at("ssh://me@far", DOCKER_DESKTOP), elsewhere("far"));
    }

    #[tokio::test]
    async fn an_engine_is_asked_what_it_is() {
        let info = r#"{"Name":"vm","OperatingSystem":"Docker Desktop","Driver":"overlayfs",
            "DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],"DockerRootDir":"/d",
            "SystemTime":"2026-01-01T00:00:00.5Z"}"#;
        let fake = fake([("GET /info", 200, info)]);
        let engine = Engine::connect(&env(&fake)).await.unwrap();
        let info = engine.info().await.unwrap();
        assert!(info.containerd_store);
        assert_eq!(
            (&*info.driver, &*info.data_root, &*info.name),
            ("overlayfs", "/d", "vm")
        );
        assert_eq!(engine.location().await.unwrap(), Location::DockerDesktop);
        let clock = engine.clock().await.unwrap();
        assert_eq!(clock.unwrap().timestamp(), 1_767_225_600);
    }
}
