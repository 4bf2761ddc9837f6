//! The Docker Engine: whether it answers, its version and disk, and whether a build session works.

use std::collections::HashMap;
use std::time::Duration;

use super::{Check, Status, escapes};
use crate::buildkit::RegistryAuth;
use crate::buildkit::session::Session;
use crate::engine::{Engine, EngineInfo, Location};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::text::size;

/// Less free space than this is a failure: no image can be built.
const TOO_LITTLE: u64 = 1_000_000_000;
/// Less free space than this is a warning.
const LITTLE: u64 = 10_000_000_000;
/// An engine checks the health of a new session within a second (20.10), and ends it if that fails.
const FIRST_QUESTION: Duration = Duration::from_millis(1200);

/// All checks of an engine that answers.
pub async fn checks(engine: &Engine, env: &Env) -> Vec<Check> {
    let versions = engine.versions();
    let mut checks = vec![Check::ok(
        "engine",
        format!("{engine}, API {}", versions.api),
    )];
    match engine.info().await {
        Ok(info) => {
            checks.push(Check::ok("store", store(info)));
            checks.push(disk(engine, info).await);
        }
        Err(error) => checks.push(Check::error("store", Status::Fail, &error)),
    }
    checks.push(Check::of("session", session(engine, env).await));
    match engine.components().await {
        Ok(components) => checks.extend(escapes::check(&versions.engine, &components)),
        Err(error) => checks.push(Check::error("escapes", Status::Warn, &error)),
    }
    checks
}

fn store(info: &EngineInfo) -> String {
    let store = if info.containerd_store {
        "containerd's image store"
    } else {
        "the engine's own image store"
    };
    let EngineInfo {
        driver,
        operating_system,
        architecture,
        ..
    } = info;
    format!("{store} with {driver}, on {operating_system} ({architecture})")
}

/// The free space where the engine keeps its data, if this machine can see it.
async fn disk(engine: &Engine, info: &EngineInfo) -> Check {
    let folder = &info.data_root;
    let hidden = |why: &str| Check::ok("disk", format!("cannot check `{folder}`: {why}"));
    match engine.location().await {
        Ok(Location::ThisMachine) => {}
        Ok(Location::DockerDesktop) => return hidden("it is in Docker Desktop's virtual machine"),
        Ok(Location::Elsewhere(host)) => return hidden(&format!("it is on `{host}`")),
        Err(error) => return Check::error("disk", Status::Warn, &error),
    }
    match rustix::fs::statvfs(folder.as_str()) {
        Ok(found) => judge_disk(folder, found.f_bavail.saturating_mul(found.f_frsize)),
        Err(error) => hidden(&error.to_string()),
    }
}

fn judge_disk(folder: &str, free: u64) -> Check {
    let found = format!("{} free in `{folder}`", size(free));
    if free >= LITTLE {
        return Check::ok("disk", found);
    }
    let status = if free < TOO_LITTLE {
        Status::Fail
    } else {
        Status::Warn
    };
    Check {
        status,
        ..Check::warn(
            "disk",
            found,
            "remove images that newer ones have replaced with `dkr prune`",
        )
    }
}

/// Opens a build session, waits for the engine's health check, and closes it.
async fn session(engine: &Engine, env: &Env) -> Result<String> {
    let (auth, _warnings) = RegistryAuth::new(env);
    let session = Session::open(engine, HashMap::new(), auth).await?;
    match tokio::time::timeout(FIRST_QUESTION, session.lost()).await {
        Err(_) => Ok("BuildKit sessions work".to_owned()),
        Ok(()) => Err(
            Error::failed("the engine closed a BuildKit session immediately")
                .hint("see the engine's log, `journalctl -u docker`"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_space_is_a_warning_and_none_a_failure() {
        let at = |free| judge_disk("/d", free).status;
        assert_eq!(at(LITTLE), Status::Ok);
        assert_eq!(at(LITTLE - 1), Status::Warn);
        assert_eq!(at(TOO_LITTLE - 1), Status::Fail);
        assert!(judge_disk("/d", 5).hint.is_some());
    }
}
