//! `dkr start-image`: starts a container on its own working branch.

mod arguments;

pub use arguments::{EXAMPLES, StartImageArgs};

use super::create_image::{ssh_flags, transport};
use super::reattach::{find_existing, reattach_to};
use crate::app::Context;
use crate::bake::create::Create;
use crate::bake::images::{list, warn_of};
use crate::bake::missing::no_image;
use crate::bake::moving_tags::list_mended;
use crate::bake::source;
use crate::bake::transport::{TransportMode, TransportOptions};
use crate::bake::update::{DriftAnswer, update_image};
use crate::cli::{BuildArgs, LimitArgs, Settings};
use crate::container::channel::{Folder, Lease};
use crate::container::forward_agent::ForwardedAgent;
use crate::container::labels::RECORD;
use crate::container::lookup::branches_of;
use crate::container::spec::{ContainerOptions, HostRemote, StartContext, container_spec};
use crate::container::staleness::{Decision, compare, decide};
use crate::container::start::{
    StartedContainer, run as run_container, run_detached, terminal_variables,
};
use crate::container::watch;
use crate::container::work::host::prefix_of_this_machine;
use crate::container::{Containers, Keep};
use crate::engine::containers;
use crate::engine::containers::{ContainerId, ContainerSpec};
use crate::engine::limits::Limits;
use crate::engine::{Engine, ListedContainer, Location};
use crate::error::{Error, Kind, Result, quoted};
use crate::git::serve::{PushPrefix, push_obstacle};
use crate::git::working_branch::{check_beside, check_working_branch};
use crate::git::{Repository, TargetKind, short};
use crate::image::names::random_name;
use crate::image::search::{best, newest_of_exact_ref};
use crate::image::{BakedImage, Images, Query};
use crate::ssh::settings::{Mounted, SshSettings};

/// Runs the command; returns the exit status of the container's command.
///
/// # Errors
/// The reason why it failed; everything that can be checked is checked before the container starts.
pub async fn run(cx: &Context, args: &StartImageArgs, settings: &Settings) -> Result<u8> {
    let terminal = cx.ui.terminal().stdin && cx.ui.terminal().stdout;
    let options = options(cx, args, terminal)?;
    // For an update of the image before the start.
    let build = BuildArgs {
        host_volumes: args.host_volumes.clone(),
        ..settings.without_flags()?
    };
    let allow = build.allow();
    // A key is mounted only if that was asked for.
    let by_ssh = transport(&args.given, args.transport)? == TransportMode::Ssh;
    if options.command.is_empty() && !terminal && !args.detach {
        return Err(
            Error::usage("cannot start a tmux session without a terminal")
                .hint("run a command: `dkr start-image -- CMD`")
                .hint("run in the background: `dkr start-image --detach`"),
        );
    }

    let waiting = cx.ui.waiting("looking up the image");
    let engine = Engine::connect(&cx.env).await?;
    // With a name they are needed first; otherwise they are listed concurrently with the rest.
    let containers = match args.name {
        Some(_) => Containers::read(&engine, &cx.env).await?,
        None => Containers::default(),
    };
    if let Some(state) = find_existing(args, &engine, &containers).await? {
        drop(waiting);
        return reattach_to(cx, args, terminal, &engine, &state).await;
    }
    let others = async {
        match args.name {
            Some(_) => Ok(Vec::new()),
            None => engine.containers().await,
        }
    };
    let (mut image, location, others) =
        tokio::try_join!(choose(cx, args, &engine), engine.location(), others)?;
    let prefix = prefix_of_this_machine();
    let repo = Repository::at(&image.labels.repo_path);
    if let Some(name) = &args.name {
        check_working_branch(name, &image.labels.branch)?;
        check_beside(name, &branches_of(&containers.own, &image.labels.repo_path))?;
        if let Ok(repo) = &repo {
            repo.check_push_target(prefix.as_str(), name)?;
        }
    }
    let staleness = compare(repo.as_ref(), &image);
    let broken_refs = repo.as_ref().ok().and_then(Repository::broken_refs);
    drop(waiting);
    if let Some(notice) = &broken_refs {
        cx.ui.warning(notice);
    }
    let max_behind = usize::try_from(args.max_behind).unwrap_or(usize::MAX);
    if decide(&staleness, &image, max_behind, args.stale, cx)? == Decision::Update {
        image = update(cx, args, &build, repo.as_ref(), &image, &engine).await?;
    }

    let waiting = cx.ui.waiting("creating the container");
    let agent = if args.forward_agent {
        Some(ForwardedAgent::find(&engine, repo.as_ref().ok(), cx).await?)
    } else {
        None
    };
    let branch = branch(args, repo.as_ref().ok(), &others);
    let identity = repo.as_ref().ok().and_then(Repository::identity);
    let mut around = StartContext {
        image: &image,
        branch: &branch,
        tip: repo.as_ref().ok().and_then(|repo| tip(repo, &image)),
        identity,
        hostname: prefix.to_string(),
        way: HostRemote::None,
        broken_refs: broken_refs.is_some(),
        agent: agent.as_ref(),
        terminal,
        detached: args.detach,
        allow: &allow,
    };
    let mounted = if by_ssh {
        Some(mounted(cx, args, &location).await?)
    } else {
        None
    };
    // The repository that the channel serves.
    let served = repo.as_ref().ok().filter(|_| !by_ssh);
    let folder = match served {
        Some(_) => Some(watch::prepare(&location, cx)?),
        None => watch::prepare_watch(cx),
    };
    let source = folder.as_ref().map(Folder::mount_source);
    around.way = match (&mounted, served, &source) {
        (Some(mounted), ..) => HostRemote::Ssh(mounted),
        (None, Some(_), Some(source)) => HostRemote::Channel(source),
        _ => {
            cx.ui.warning(&unreachable(repo.as_ref().err()));
            HostRemote::None
        }
    };
    let (made, obstacle) = tokio::join!(
        make(&engine, &options, &around, folder.as_ref(), served, &prefix),
        obstacle(served, &prefix, cx),
    );
    if let (Err(_), Some(folder)) = (&made, &folder) {
        // Nobody would use it; the error to report is the one of the container.
        let _ = folder.remove();
    }
    let (id, spec, _hold) = made?;
    drop(waiting);
    if let Some(obstacle) = obstacle {
        cx.ui.warning(&format!(
            "`git push` in the container will fail: {obstacle}"
        ));
    }
    let status = start_new(cx, args, &options, &engine, &id, &spec, &branch).await;
    watch::sweep(&engine, cx).await;
    status
}

/// The warning for a repository that cannot be opened.
fn unreachable(error: Option<&Error>) -> String {
    let why = match error {
        Some(error) if error.kind != Kind::NotFound => {
            let causes = error.causes.iter().map(|cause| format!(": {cause}"));
            error.message.clone() + &causes.collect::<String>()
        }
        _ => "the repository is gone".to_owned(),
    };
    format!("{why}: `git fetch` and `git push` will not work")
}

/// Why no push through the channel can succeed. If that cannot be checked, the push will report it.
async fn obstacle(
    served: Option<&Repository>,
    prefix: &PushPrefix,
    cx: &Context,
) -> Option<String> {
    let checked = push_obstacle(served?.git_dir(), prefix, &cx.env).await;
    checked.unwrap_or_default()
}

/// Creates the container, and opens its channel if it has one.
async fn make(
    engine: &Engine,
    options: &ContainerOptions,
    around: &StartContext<'_>,
    folder: Option<&Folder>,
    served: Option<&Repository>,
    prefix: &PushPrefix,
) -> Result<(ContainerId, ContainerSpec, Option<Lease>)> {
    let mut spec = container_spec(options, around)?;
    let Some(folder) = folder else {
        return Ok((containers::create(engine, &spec).await?, spec, None));
    };
    let hold = watch::plan(folder, engine, served, &around.image.labels, prefix).await?;
    let name = folder.name().into_owned();
    spec.labels.insert(RECORD.to_owned(), name);
    let id = containers::create(engine, &spec).await?;
    match watch::open(folder, engine, &id).await {
        Ok(()) => Ok((id, spec, Some(hold))),
        Err(error) => {
            // It never ran, so it has no unsaved work.
            let _ = containers::remove(engine, &id).await;
            Err(error)
        }
    }
}

async fn start_new(
    cx: &Context,
    args: &StartImageArgs,
    options: &ContainerOptions,
    engine: &Engine,
    id: &ContainerId,
    spec: &ContainerSpec,
    name: &str,
) -> Result<u8> {
    let keep = options.keep;
    let target = StartedContainer {
        engine,
        id,
        name,
        keep,
    };
    if args.detach {
        run_detached(&target, spec.command.is_empty(), cx).await
    } else {
        run_container(&target, spec, cx).await
    }
}

/// The user's key, to be mounted in the container.
async fn mounted(cx: &Context, args: &StartImageArgs, location: &Location) -> Result<Mounted> {
    let ssh = SshSettings::new(&ssh_flags(&args.ssh), &cx.env, location).await?;
    let (mounted, unanswered) = ssh.mounted(&cx.env).await?;
    cx.ui.message(&format!(
        "mounting the key `{}` in the container (read-only), for {}@{}",
        mounted.key.display(),
        mounted.user,
        mounted.host
    ));
    if let Some(error) = unanswered {
        cx.ui.warning(&format!(
            "the host's SSH server does not answer, so `git push` will not work: {}",
            error.causes.first().unwrap_or(&error.message)
        ));
    }
    Ok(mounted)
}

fn options(cx: &Context, args: &StartImageArgs, terminal: bool) -> Result<ContainerOptions> {
    let env = if terminal && !args.command.is_empty() {
        terminal_variables(&cx.env)
    } else {
        Vec::new()
    };
    let options = ContainerOptions {
        env,
        anthropic_key: args.anthropic_key.clone(),
        network: args.network.clone(),
        command: args.command.clone(),
        limits: limits(&args.limits),
        keep: if args.rm { Keep::Never } else { args.keep },
        ..ContainerOptions::default()
    };
    options.check(&args.volumes, &args.env, &args.ports, &cx.env)
}

/// The resource limits of the container.
fn limits(args: &LimitArgs) -> Limits {
    Limits {
        nano_cpus: args.cpus,
        memory: args.memory,
        pids: args.pids_limit,
        gpus: args.gpus.clone(),
    }
}

/// The newest image of all, or of the repository and ref that were given.
async fn choose(cx: &Context, args: &StartImageArgs, engine: &Engine) -> Result<BakedImage> {
    let images = list_mended(engine, &cx.env).await?;
    let repo = match &args.target.repo {
        Some(path) => Some(Repository::discover(path)?),
        None => None,
    };
    let reference = args.target.reference.as_deref();
    let full_name = source::full_name(repo.as_ref(), reference);
    let query = Query {
        repo_path: repo.as_ref().map(Repository::root),
        reference,
        ref_name: full_name.as_deref(),
    };
    let image = best(&images, query);
    let image = image.ok_or_else(|| no_image(&images, repo.as_ref(), reference))?;
    let mut rivals = images.rivals(query);
    rivals.retain(|rival| rival.image.labels.created_at >= image.labels.created_at);
    warn_of(&rivals, &images, &cx.ui);
    if let (Some(repo), None) = (&repo, reference) {
        say_which(repo, &images, image, cx);
    }
    Ok(image.clone())
}

/// Without REF the newest image of the repository is used: reports it if that is not the image of HEAD.
fn say_which(repo: &Repository, images: &Images, image: &BakedImage, cx: &Context) {
    let Ok(head) = repo.locate(None) else {
        return;
    };
    if head.ref_name == image.labels.ref_name {
        return;
    }
    let (path, head_name) = (quoted(repo.root()), &head.branch_from);
    let on = match head.kind {
        TargetKind::Commit => format!("at {}", short(head_name)),
        _ => format!("on `{head_name}`"),
    };
    let typed = quoted(head_name);
    let but = match newest_of_exact_ref(images, repo.root(), &head.ref_name) {
        Some(_) => format!("whose image is older (use it with `dkr start-image {path} {typed}`)"),
        None => format!("which has no image (bake one with `dkr create-image {path} {typed}`)"),
    };
    cx.ui.message(&format!(
        "using the newest image, of `{}`; HEAD is {on}, {but}",
        image.labels.branch_from
    ));
}

async fn update(
    cx: &Context,
    args: &StartImageArgs,
    build: &BuildArgs,
    repo: std::result::Result<&Repository, &Error>,
    image: &BakedImage,
    engine: &Engine,
) -> Result<BakedImage> {
    let repo = repo.map_err(Clone::clone)?;
    let key = args.given.has("ssh-key").then_some(TransportMode::Ssh);
    let transport = TransportOptions {
        ssh: ssh_flags(&args.ssh),
        transport: key.unwrap_or(build.transport),
        build_network: build.build_network,
    };
    let mut create = Create::resolve(repo, Some(&image.labels.ref_name), &build.allow(), cx)?;
    create.clone = build.clone;
    // The new image keeps the name that the user once typed.
    create
        .target
        .branch_from
        .clone_from(&image.labels.branch_from);
    let images = list(engine).await?;
    update_image(
        &create,
        &images,
        DriftAnswer::Ask,
        false,
        engine,
        &transport,
        cx,
    )
    .await?;
    let images = list(engine).await?;
    let newest = newest_of_exact_ref(&images, repo.root(), &create.target.ref_name);
    newest
        .cloned()
        .ok_or_else(|| Error::failed("the updated image is gone"))
}

/// The working branch: the requested one, or a random one that no branch of the host and no container
/// has.
fn branch(args: &StartImageArgs, repo: Option<&Repository>, others: &[ListedContainer]) -> String {
    if let Some(name) = &args.name {
        return name.clone();
    }
    let branches = repo
        .and_then(|repo| repo.branch_names().ok())
        .unwrap_or_default();
    let taken = |name: &str| {
        let mut parts = branches.iter().flat_map(|branch| branch.split('/'));
        parts.any(|part| part == name) || others.iter().any(|other| other.name == name)
    };
    random_name(&mut rand::rng(), taken)
}

fn tip(repo: &Repository, image: &BakedImage) -> Option<String> {
    let located = repo.locate(Some(&image.labels.ref_name)).ok()?;
    let target = repo.resolve(located).ok()?;
    Some(target.commit.to_string())
}
