//! The git channel of a container, from its making to its end: joins `channel`, which knows no
//! engine, with the engine.

use std::path::Path;

use super::finish::end_unattended;
use crate::app::Context;
use crate::container::channel::{
    self, Channel, ChannelTimeouts, ContainerStatus, Folder, Lease, wait_for_end,
};
use crate::engine::containers::{self, ContainerId, WaitFor};
use crate::engine::{Engine, Location};
use crate::error::{Error, Kind, Result};
use crate::git::Repository;
use crate::git::serve::PushPrefix;
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

/// Makes the folder for a container that needs no channel: the record of its start.
pub fn prepare_watch(cx: &Context) -> Option<Folder> {
    Folder::create(&cx.env).ok()
}

/// Writes down what the channel of a container will be for, before the container is made: should this
/// dkr be killed then, the next one knows whose the folder is. It goes to `repo`, if there is one. A
/// process will serve it, or only wait for the container's end; none for a container on another
/// machine, as it would need a connection for as long as the container lives.
///
/// # Errors
/// When it cannot be written down.
pub async fn plan(
    folder: &Folder,
    engine: &Engine,
    repo: Option<&Repository>,
    labels: &Labels,
    prefix: &PushPrefix,
) -> Result<Lease> {
    let watched = !matches!(engine.location().await?, Location::Elsewhere(_));
    let hold = folder.hold().await?;
    folder.assign(&Channel {
        container: String::new(),
        engine: engine.endpoint().resolved().to_string(),
        repository: Some(labels.repo_path.clone()),
        git_dir: repo.map(|repo| repo.git_dir().to_owned()),
        prefix: prefix.as_str().to_owned(),
        remotes: remote(labels).into_iter().collect(),
        watched,
    })?;
    Ok(hold)
}

/// Opens the channel of a container that was made but does not run yet.
///
/// # Errors
/// When its process cannot be started.
pub async fn open(folder: &Folder, engine: &Engine, id: &ContainerId) -> Result<()> {
    folder.give_to(&id.0, &engine.endpoint().resolved().to_string())?;
    ensure_watched(folder).await
}

/// The remote whose branches the image follows, if it follows one.
fn remote(labels: &Labels) -> Option<String> {
    let below = labels.ref_name.strip_prefix("refs/remotes/")?;
    let remote = below.strip_suffix(&labels.branch)?.strip_suffix('/')?;
    Some(remote.to_owned())
}

/// Holds a container, if it has a channel: nobody else sees to its end meanwhile.
///
/// # Errors
/// `NotFound` if it has just been removed.
pub async fn hold(id: &ContainerId, cx: &Context) -> Result<Option<Lease>> {
    let held = held_folder(id, cx).await?;
    Ok(held.map(|(_, hold)| hold))
}

/// The same, and brings its channel back: after a reboot, say.
///
/// # Errors
/// As [`hold`], and when its process cannot be started.
pub async fn ensure_running(id: &ContainerId, cx: &Context) -> Result<Option<Lease>> {
    let Some((folder, hold)) = held_folder(id, cx).await? else {
        return Ok(None);
    };
    ensure_watched(&folder).await?;
    Ok(Some(hold))
}

async fn ensure_watched(folder: &Folder) -> Result<()> {
    match folder.channel()?.watched {
        true => channel::ensure_running(folder).await,
        false => Ok(()),
    }
}

async fn held_folder(id: &ContainerId, cx: &Context) -> Result<Option<(Folder, Lease)>> {
    let Some(folder) = Folder::of_container(&cx.env, &id.0)? else {
        return Ok(None);
    };
    let hold = folder.hold().await;
    if !folder.root().exists() {
        let gone = format!("container `{id}` has ended and was removed");
        return Err(Error::not_found(gone));
    }
    Ok(Some((folder, hold?)))
}

/// Removes what is left of the channels of containers that are gone.
pub async fn sweep(engine: &Engine, cx: &Context) {
    let exists =
        async |id: &str| Ok(state(engine, id, &Before::Runs).await? != ContainerStatus::Gone);
    // Earlier versions wrote down the name that the user had given.
    let names = [engine.endpoint().resolved().to_string(), engine.describe()];
    // What cannot be removed now is found again by the next one.
    let _ = channel::sweep(&cx.env, &names, exists).await;
}

/// The life of the process that serves the channel in the folder at `root`. If the container ends
/// while no dkr holds it, this one sees to its end.
///
/// # Errors
/// When the channel cannot be served; when the engine cannot be asked in the end.
pub async fn serve(root: &Path, cx: &Context) -> Result<()> {
    // Signals are the channel's: it has to take its sockets away.
    let _signals = cx.signals.hand_over()?;
    let folder = Folder::open(root)?;
    let id = ContainerId(folder.channel()?.container);
    let patience = ChannelTimeouts::default();
    let engine = Engine::connect(&cx.env).await?;
    let before = patience.ask(before(&engine, &id)).await?;
    let ended = async {
        let inspect = async || state(&Engine::connect(&cx.env).await?, &id.0, &before).await;
        let next_exit = async || {
            let engine = Engine::connect(&cx.env).await?;
            let begun = containers::wait(&engine, &id, WaitFor::NextExit);
            let exit = patience.ask(begun).await?;
            exit.status().await.map(drop)
        };
        wait_for_end(&patience, inspect, next_exit).await
    };
    if channel::run(root, &cx.env, ended).await? != ContainerStatus::Stopped {
        return Ok(());
    }
    let _alone = folder.wait_released().await?;
    let engine = Engine::connect(&cx.env).await?;
    end_unattended(&engine, &id, cx).await?;
    match patience.ask(state(&engine, &id.0, &Before::Runs)).await? {
        ContainerStatus::Gone => folder.remove(),
        _ => Ok(()),
    }
}

/// When a container was last started, unless it runs: whoever sees another time has missed nothing.
#[derive(Debug, PartialEq, Eq)]
enum Before {
    Ended(Option<String>),
    Runs,
}

async fn before(engine: &Engine, id: &ContainerId) -> Result<Before> {
    let state = containers::inspect(engine, &id.0).await?;
    Ok(match state.running {
        true => Before::Runs,
        false => Before::Ended(state.started_at),
    })
}

/// What a container is to someone who has seen what it was before.
async fn state(engine: &Engine, id: &str, before: &Before) -> Result<ContainerStatus> {
    match containers::inspect(engine, id).await {
        Ok(state) if state.running => Ok(ContainerStatus::Running),
        Ok(state) => Ok(match *before == Before::Ended(state.started_at) {
            true => ContainerStatus::Waiting,
            false => ContainerStatus::Stopped,
        }),
        Err(error) if error.kind == Kind::NotFound => Ok(ContainerStatus::Gone),
        Err(error) => Err(error),
    }
}
