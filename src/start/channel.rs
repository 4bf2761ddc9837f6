//! The git channel of a container, from its making to its end: joins `channel`, which knows no
//! engine, with the engine.

use std::path::Path;

use crate::bake::Context;
use crate::channel::{self, Channel, ContainerState, Folder, Patience, wait_for_end};
use crate::engine::containers::{self, ContainerId, WaitFor};
use crate::engine::{Engine, Location};
use crate::error::{Error, Kind, Result};
use crate::git::Repository;
use crate::git::service::PushPrefix;
use crate::image::Labels;

/// Makes the folder of a channel, where an engine at `location` can mount one.
///
/// # Errors
/// When it cannot, because the engine does not share this machine's sockets.
pub fn prepare(location: &Location, cx: &Context) -> Result<Folder> {
    let elsewhere = match location {
        Location::ThisMachine => return Folder::create(&cx.env),
        Location::DockerDesktop => "Docker Desktop".to_owned(),
        Location::Elsewhere(host) => format!("the engine on `{host}`"),
    };
    Err(Error::failed("cannot open a git channel to the container")
        .cause(format!("{elsewhere} cannot mount a socket of this machine"))
        .hint("use SSH instead: `--transport ssh`"))
}

/// Opens the channel of a container that was made but does not run yet.
///
/// # Errors
/// When its process cannot be started.
pub async fn open(
    folder: &Folder,
    engine: &Engine,
    id: &ContainerId,
    repo: &Repository,
    labels: &Labels,
    prefix: &PushPrefix,
) -> Result<()> {
    folder.assign(&Channel {
        container: id.0.clone(),
        engine: engine.describe(),
        git_dir: repo.git_dir().to_owned(),
        prefix: prefix.as_str().to_owned(),
        remotes: remote(labels).into_iter().collect(),
    })?;
    channel::ensure_running(folder).await
}

/// The remote whose branches the image follows, if it follows one.
fn remote(labels: &Labels) -> Option<String> {
    let below = labels.ref_name.strip_prefix("refs/remotes/")?;
    let remote = below.strip_suffix(&labels.branch)?.strip_suffix('/')?;
    Some(remote.to_owned())
}

/// Brings the channel of a container back, if it has one: after a reboot, say.
///
/// # Errors
/// When its process cannot be started.
pub async fn bring_back(engine: &Engine, id: &ContainerId, cx: &Context) -> Result<()> {
    match Folder::of_container(&cx.env, &engine.describe(), &id.0)? {
        Some(folder) => channel::ensure_running(&folder).await,
        None => Ok(()),
    }
}

/// Removes what is left of the channels of containers that are gone.
pub async fn sweep(engine: &Engine, cx: &Context) {
    let exists = async |id: &str| Ok(state(engine, id).await? != ContainerState::Gone);
    if let Err(error) = channel::sweep(&cx.env, &engine.describe(), exists).await {
        cx.ui.detail(&error.to_string());
    }
}

/// The life of the process that serves the channel in the folder at `root`.
///
/// # Errors
/// When the channel cannot be served.
pub async fn serve(root: &Path, cx: &Context) -> Result<()> {
    // Signals are the channel's: it has to take its sockets away.
    cx.hand_over_signals();
    let container = Folder::open(root)?.channel()?.container;
    let id = ContainerId(container);
    let ended = async {
        let inspect = async || state(&Engine::connect(&cx.env).await?, &id.0).await;
        let next_exit = async || {
            let engine = Engine::connect(&cx.env).await?;
            let exit = containers::wait(&engine, &id, WaitFor::NextExit).await?;
            exit.status().await.map(drop)
        };
        wait_for_end(&Patience::default(), inspect, next_exit).await
    };
    channel::run(root, &cx.env, ended).await
}

async fn state(engine: &Engine, id: &str) -> Result<ContainerState> {
    match containers::inspect(engine, id).await {
        Ok(state) if state.running => Ok(ContainerState::Running),
        Ok(_) => Ok(ContainerState::Stopped),
        Err(error) if error.kind == Kind::NotFound => Ok(ContainerState::Gone),
        Err(error) => Err(error),
    }
}
