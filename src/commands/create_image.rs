//! `dkr create-image`: bakes a repository into an image.

use std::fmt::Write as _;
use std::time::Instant;

use clap::Args;

use crate::app::Context;
use crate::bake::create::{Baked, Create};
use crate::bake::images::list;
use crate::bake::source;
use crate::bake::transport::{TransportMode, TransportOptions};
use crate::bake::update::{DriftAnswer, choose, newest_update};
use crate::cli::{BuildArgs, Given, SshArgs, TargetArgs};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::git::Repository;
use crate::git::Target;
use crate::image::dockerfile::Dockerfile;
use crate::image::{Images, Labels};
use crate::ssh::settings::SshFlags;
use crate::text::{duration, size};

pub(super) const EXAMPLES: &str = "Examples:
  dkr create-image                       the current repository and branch
  dkr create-image ~/src/linux v6.12     a tag of another repository
  dkr create-image . space/main          the branch `main` of the remote `space`, fetched first
  dkr create-image --dry-run             show the Dockerfile, labels and tags without building";

/// Arguments of `create-image`.
#[derive(Debug, Clone, Args)]
pub struct CreateImageArgs {
    /// The flags that were given.
    #[command(flatten)]
    pub given: Given,
    /// What to bake.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Bake even if the engine's disk appears too full; implies `--no-cache`
    #[arg(long)]
    pub force: bool,
    /// How to reach the repository.
    #[command(flatten)]
    pub ssh: SshArgs,
    /// How to build.
    #[command(flatten)]
    pub build: BuildArgs,
}

/// Runs the command.
///
/// # Errors
/// The reason why it failed; nothing is changed before the build starts.
pub async fn run(cx: &Context, args: &CreateImageArgs) -> Result<()> {
    let began = Instant::now();
    let build = &args.build;
    let options = transport_options(&args.given, &args.ssh, build)?;

    let repo = source::open(args.target.repo.as_deref(), &cx.ui)?;
    let create = requested(cx, &repo, &args.target, build, args.force)?;
    if build.dry_run {
        return show(cx, &create).await;
    }
    let engine = {
        let _waiting = cx.ui.waiting("connecting to the Docker Engine");
        Engine::connect(&cx.env).await?
    };
    cx.ui.message(&format!(
        "baking `{}`, `{}` at commit {}, on `{}`",
        repo.root(),
        create.target.branch_from,
        create.target.commit.short(),
        create.conf.base_image,
    ));
    let baked = create.run(&engine, &options, cx).await?;
    announce(cx, &engine, &baked, &create.target, began).await
}

/// What `create-image` and `update-image` are asked to bake.
///
/// # Errors
/// As [`Create::resolve`].
pub(super) fn requested<'a>(
    cx: &Context,
    repo: &'a Repository,
    target: &TargetArgs,
    build: &BuildArgs,
    force: bool,
) -> Result<Create<'a>> {
    let create = Create::resolve(repo, target.reference.as_deref(), &build.allow(), cx)?;
    source::notice_uncommitted_conf(repo, &create.target, &cx.ui);
    Ok(Create {
        no_cache: build.no_cache || force,
        clone: build.clone,
        force,
        ..create
    })
}

/// Prints the tag of a new image, and a summary.
pub(super) async fn announce(
    cx: &Context,
    engine: &Engine,
    baked: &Baked,
    target: &Target,
    began: Instant,
) -> Result<()> {
    let details = engine.image(&baked.id).await?;
    cx.ui.data(&format!("{}\n", baked.tag))?;
    cx.ui.message(&format!(
        "baked commit {} into `{}` ({}) in {}",
        target.commit.short(),
        baked.tag,
        size(u64::try_from(details.size).unwrap_or_default()),
        duration(began.elapsed()),
    ));
    Ok(())
}

/// The transport options that the user chose.
///
/// # Errors
/// When the SSH host is invalid, or the transport cannot use the key that was given.
pub(super) fn transport_options(
    given: &Given,
    ssh: &SshArgs,
    build: &BuildArgs,
) -> Result<TransportOptions> {
    let ssh = ssh_flags(ssh);
    ssh.check()?;
    Ok(TransportOptions {
        ssh,
        transport: transport(given, build.transport)?,
        build_network: build.build_network,
    })
}

/// The transport to use. A key on the command line selects SSH and overrides variables and the user
/// configuration.
///
/// # Errors
/// When the command line gives a key and a transport that uses none.
pub(super) fn transport(given: &Given, mode: TransportMode) -> Result<TransportMode> {
    if !given.has("ssh-key") {
        return Ok(mode);
    }
    if mode == TransportMode::Session && given.has("transport") {
        let message = "`--ssh-key` cannot be used with `--transport session`";
        let error = Error::usage(message).cause("only the transport `ssh` uses a key");
        return Err(error.hint("leave out one of the two flags"));
    }
    Ok(TransportMode::Ssh)
}

/// The SSH flags as the layers below take them.
pub(super) fn ssh_flags(args: &SshArgs) -> SshFlags {
    SshFlags {
        key: args.ssh_key.clone(),
        user: args.ssh_user.clone(),
        host: args.ssh_host.clone(),
        port: args.ssh_port,
        passphrase_file: args.ssh_passphrase_file.clone(),
    }
}

/// Prints what would be built. Without an engine that answers, the only thing not known is whether
/// another repository has the tag.
async fn show(cx: &Context, create: &Create<'_>) -> Result<()> {
    let waiting = cx.ui.waiting("listing images");
    let images = match Engine::connect(&cx.env).await {
        Ok(engine) => list(&engine).await?,
        Err(error) => {
            cx.ui.warning(&error.message);
            Images::default()
        }
    };
    let (dockerfiles, labels) = create.plan(&images);
    drop(waiting);
    print_plan(cx, create, &dockerfiles, &labels, &images)
}

/// Prints what an update would build. Asks nothing: with drift it shows a rebuild.
pub(super) async fn show_update(
    cx: &Context,
    create: &Create<'_>,
    images: &Images,
    answer: DriftAnswer,
    engine: &Engine,
) -> Result<()> {
    let answer = match answer {
        DriftAnswer::Ask => DriftAnswer::Bake,
        given => given,
    };
    let waiting = cx.ui.waiting("listing images");
    let update = newest_update(create, images)?;
    let (dockerfiles, labels) = match choose(update, images, answer, engine, cx).await? {
        Some((update, dockerfile)) => (vec![dockerfile], update.labels()),
        None => create.plan(images),
    };
    drop(waiting);
    print_plan(cx, create, &dockerfiles, &labels, images)
}

fn print_plan(
    cx: &Context,
    create: &Create<'_>,
    dockerfiles: &[Dockerfile],
    labels: &Labels,
    images: &Images,
) -> Result<()> {
    let texts: Vec<&str> = dockerfiles.iter().map(Dockerfile::text).collect();
    let mut text = texts.join("\n# the branch image, built on the image above\n");
    text.push_str("\n# labels\n");
    for (name, value) in labels.to_map() {
        let _ = writeln!(text, "# {name}={value}");
    }
    let tag = create.moving_tag(images);
    let _ = write!(text, "\n# tags\n# {tag}\n# {tag}-<6 random hex digits>\n");
    cx.ui.data(&text)
}
