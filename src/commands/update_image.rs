//! `dkr update-image`: adds the newest commits to an image.

use std::time::Instant;

use clap::Args;

use super::create_image::{announce, requested, transport_options};
use crate::app::Context;
use crate::bake::images::warn_of;
use crate::bake::moving_tags::list_mended;
use crate::bake::source;
use crate::bake::update::{DriftAnswer, Updated, update_image};
use crate::cli::{BuildArgs, Given, SshArgs, TargetArgs};
use crate::engine::Engine;
use crate::error::Result;
use crate::image::Query;

pub(super) const EXAMPLES: &str = "Examples:
  dkr update-image                       the current repository and branch
  dkr update-image . space/main          the branch `main` of the remote `space`, fetched first
  dkr update-image --drift ignore        even if a change of `.dkr.conf` needs a rebuild";

/// Arguments of `update-image`.
#[derive(Debug, Clone, Args)]
pub struct UpdateImageArgs {
    /// The flags that were given.
    #[command(flatten)]
    pub given: Given,
    /// What to update.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Add an update layer even if the image is up to date
    #[arg(long)]
    pub force: bool,
    /// What to do if a change of `.dkr.conf` needs a rebuild: ask, bake (rebuild from scratch),
    /// ignore or fail
    #[arg(long, value_name = "ANSWER", default_value = "ask")]
    pub drift: DriftAnswer,
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
pub async fn run(cx: &Context, args: &UpdateImageArgs) -> Result<()> {
    let began = Instant::now();
    let build = &args.build;
    let options = transport_options(&args.given, &args.ssh, build)?;
    let answer = args.drift;

    let repo = source::open(args.target.repo.as_deref(), &cx.ui)?;
    let create = requested(cx, &repo, &args.target, build, args.force)?;
    let (engine, images) = {
        let _waiting = cx.ui.waiting("listing images");
        let engine = Engine::connect(&cx.env).await?;
        let images = list_mended(&engine, &cx.env).await?;
        (engine, images)
    };
    let query = Query {
        repo_path: Some(repo.root()),
        reference: Some(&create.target.ref_name),
        ref_name: None,
    };
    warn_of(&images.rivals(query), &images, &cx.ui);
    if build.dry_run {
        return super::create_image::show_update(cx, &create, &images, answer, &engine).await;
    }
    cx.ui.message(&format!(
        "updating the image of `{}` in `{}` to commit {}",
        create.target.branch_from,
        repo.root(),
        create.target.commit.short(),
    ));
    match update_image(&create, &images, answer, args.force, &engine, &options, cx).await? {
        Updated::Current(tag) => {
            cx.ui
                .message(&format!("`{tag}` is up to date (`--force` builds anyway)"));
            cx.ui.data(&format!("{tag}\n"))
        }
        Updated::Baked(baked) => announce(cx, &engine, &baked, &create.target, began).await,
    }
}
