//! The git channel of a container, from its creation to its end: connects `channel`, which knows no
//! engine, to the engine.

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

/// Creates the folder of a channel, if the engine at `location` can mount it.
///
/// # Errors
/// When the engine does not share this machine's sockets, or the folder cannot be created.
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

/// Creates the folder for a container that needs no channel: the record of its start.
pub fn prepare_watch(cx: &Context) -> Option<Folder> {
    Folder::create(&cx.env).ok()
}

/// Records what the channel of a container is for, before the container is created: if this dkr is
/// killed then, the next one knows which container the folder belongs to. A process will serve `repo`
/// in it, or, without one, only wait for the container's end. A container on another machine gets no
/// process, since it would need a connection for the container's whole life.
///
/// # Errors
/// When the record cannot be written.
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

/// Opens the channel of a container that was created but not started.
///
/// # Errors
/// When its process cannot be started.
pub async fn open(folder: &Folder, engine: &Engine, id: &ContainerId) -> Result<()> {
    folder.give_to(&id.0, &engine.endpoint().resolved().to_string())?;
    ensure_watched(folder).await
}

/// The remote whose branch the image follows, if it follows one.
fn remote(labels: &Labels) -> Option<String> {
    let below = labels.ref_name.strip_prefix("refs/remotes/")?;
    let remote = below.strip_suffix(&labels.branch)?.strip_suffix('/')?;
    Some(remote.to_owned())
}

/// Takes a lease on a container, if it has a channel: no other process handles its end meanwhile.
///
/// # Errors
/// `NotFound` if it was just removed.
pub async fn hold(id: &ContainerId, cx: &Context) -> Result<Option<Lease>> {
    let held = held_folder(id, cx).await?;
    Ok(held.map(|(_, hold)| hold))
}

/// The same, and restarts its channel if it is not served, for example after a reboot.
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
    if folder.channel()?.watched {
        channel::ensure_running(folder).await
    } else {
        Ok(())
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

/// Removes the folders of channels whose container no longer exists.
pub async fn sweep(engine: &Engine, cx: &Context) {
    let exists =
        async |id: &str| Ok(state(engine, id, &Before::Runs).await? != ContainerStatus::Gone);
    // Earlier versions recorded the engine's name as the user had typed it.
    let names = [engine.endpoint().resolved().to_string(), engine.describe()];
    // What cannot be removed now is tried again by the next command.
    let _ = channel::sweep(&cx.env, &names, exists).await;
}

/// Runs the process that serves the channel in the folder at `root`. If the container ends while no
/// dkr holds a lease on it, this process removes or keeps it.
///
/// # Errors
/// When the channel cannot be served, or the engine does not answer at the end.
pub async fn serve(root: &Path, cx: &Context) -> Result<()> {
    // The channel handles signals itself, as it must remove its sockets.
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

/// The state of a container before the channel opened: it runs, or when it was last started. If the
/// start time is unchanged later, it has not run since.
#[derive(Debug, PartialEq, Eq)]
enum Before {
    Ended(Option<String>),
    Runs,
}

async fn before(engine: &Engine, id: &ContainerId) -> Result<Before> {
    let state = containers::inspect(engine, &id.0).await?;
    Ok(if state.running {
        Before::Runs
    } else {
        Before::Ended(state.started_at)
    })
}

/// The status of a container, compared with its state before.
async fn state(engine: &Engine, id: &str, before: &Before) -> Result<ContainerStatus> {
    match containers::inspect(engine, id).await {
        Ok(state) if state.running => Ok(ContainerStatus::Running),
        Ok(state) => Ok(if *before == Before::Ended(state.started_at) {
            ContainerStatus::Waiting
        } else {
            ContainerStatus::Stopped
        }),
        Err(error) if error.kind == Kind::NotFound => Ok(ContainerStatus::Gone),
        Err(error) => Err(error),
    }
}
