//! `dkr start-image --name BRANCH` where that branch already has a container: reattaches to it.

use super::start_image::StartImageArgs;
use crate::app::Context;
use crate::bake::source;
use crate::container::Containers;
use crate::container::labels::WORK_BRANCH;
use crate::container::lookup::working_on;
use crate::container::own::inspect;
use crate::container::spec::container_name;
use crate::container::start::{StartedContainer, keep_of, reattach, reattach_detached};
use crate::container::watch;
use crate::container::work::Probe;
use crate::engine::Engine;
use crate::engine::containers::{self, ContainerState};
use crate::error::{Error, Result, quoted};
use crate::git::Repository;
use crate::image::labels;

/// The container of the requested working branch, if there is one.
///
/// # Errors
/// When it exists but does not match the request.
pub async fn find_existing(
    args: &StartImageArgs,
    engine: &Engine,
    containers: &Containers,
) -> Result<Option<ContainerState>> {
    let Some(name) = &args.name else {
        return Ok(None);
    };
    let repo = args.target.repo.as_deref();
    let repo = repo.map(Repository::discover).transpose()?;
    let repo_path = repo.as_ref().map(Repository::root);
    let taken = |of: &str| Error::failed(format!("container `{of}` already exists"));
    let other_name = "choose another name with `--name`";
    let on_engine = container_name(name);
    let Some(found) = working_on(&containers.own, name, &on_engine, repo_path) else {
        if containers.foreign.iter().any(|one| one.name == on_engine) {
            let error = taken(&on_engine).cause("it was not created by dkr");
            return Err(error.hint(other_name));
        }
        return Ok(None);
    };
    let state = inspect(engine, found).await?;
    let taken = || taken(&state.name);
    let of_repo = state.labels.get(labels::REPO_PATH).map(String::as_str);
    let is_other = repo_path.is_some_and(|path| Some(path) != of_repo);
    let branch = state.labels.get(WORK_BRANCH);
    if branch != Some(name) || is_other {
        let whose = match (branch, of_repo) {
            (Some(branch), Some(path)) => format!("its working branch is `{branch}` of `{path}`"),
            _ => "it was not created by dkr".to_owned(),
        };
        return Err(taken().cause(whose).hint(other_name));
    }
    let typed = quoted(name);
    let back = format!("reattach to it with `dkr attach {typed}`");
    let remove = format!("remove it with `dkr remove-container {typed}`");
    if !args.command.is_empty() {
        return Err(taken()
            .hint(back)
            .hint(format!(
                "run a command in it with `dkr exec {typed} -- CMD`"
            ))
            .hint(remove));
    }
    if let Some(why) = mismatch(args, repo.as_ref(), &state) {
        return Err(taken().cause(why).hint(back).hint(remove));
    }
    Ok(Some(state))
}

/// How an existing container differs from the requested one, as far as its labels show.
fn mismatch(
    args: &StartImageArgs,
    repo: Option<&Repository>,
    state: &ContainerState,
) -> Option<String> {
    let given = OF_NEW_ONES.iter().filter(|flag| args.given.has(flag));
    let flags: Vec<String> = given.map(|flag| format!("`--{flag}`")).collect();
    if !flags.is_empty() {
        let have = if flags.len() == 1 { "has" } else { "have" };
        let flags = flags.join(", ");
        return Some(format!("{flags} {have} no effect on an existing container"));
    }
    let wanted = source::full_name(repo, args.target.reference.as_deref())?;
    let branch = state.labels.get(labels::BRANCH)?;
    let is_other = state.labels.get(labels::REF) != Some(&wanted);
    is_other.then(|| format!("it was started from an image of `{branch}`"))
}

/// The flags that only have an effect when a container is created.
const OF_NEW_ONES: [&str; 14] = [
    "keep",
    "rm",
    "volume",
    "env",
    "publish",
    "network",
    "cpus",
    "memory",
    "pids-limit",
    "gpus",
    "anthropic-key",
    "transport",
    "ssh-key",
    "forward-agent",
];

/// Reattaches to an existing container.
///
/// # Errors
/// When it cannot be started or attached to.
pub async fn reattach_to(
    cx: &Context,
    args: &StartImageArgs,
    terminal: bool,
    engine: &Engine,
    state: &ContainerState,
) -> Result<u8> {
    cx.ui
        .message(&format!("reattaching to container `{}`", state.name));
    Probe::new(engine, cx).until_left_alone(&state.id).await?;
    let _hold = watch::ensure_running(&state.id, cx).await?;
    let labels = state.labels.clone();
    let now = containers::inspect(engine, &state.id.0).await?;
    let state = &ContainerState { labels, ..now };
    let target = StartedContainer {
        engine,
        id: &state.id,
        name: args.name.as_deref().unwrap_or(&state.name),
        keep: keep_of(state),
    };
    if args.detach {
        reattach_detached(&target, state, cx).await
    } else {
        reattach(&target, state, terminal, cx).await
    }
}
