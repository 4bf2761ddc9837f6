//! Updates a branch's newest image: by an update layer, or from scratch where a layer cannot carry what
//! changed.

use super::create::{Baked, Create};
use super::missing::no_image;
use super::squash;
use super::transport::TransportOptions;
use super::update_layer::Update;
use crate::app::Context;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result, quoted};
use crate::image::dockerfile::Dockerfile;
use crate::image::search::newest_of_exact_ref;
use crate::image::{BakedImage, Images};

/// What to do when `.dkr.conf` changed in a way that needs a rebuild from scratch (`--drift`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriftAnswer {
    /// Ask on a terminal; rebuild from scratch without one.
    Ask,
    /// Rebuild from scratch.
    Bake,
    /// Update anyway.
    Ignore,
    /// Fail.
    Fail,
}

/// How an update ended.
pub enum Updated {
    /// The image, with this tag, was up to date.
    Current(String),
    /// A new image was built.
    Baked(Baked),
}

/// Updates the newest of `images` of exactly this branch; with `force` even if it is up to date.
///
/// # Errors
/// `NotFound` if there is no image yet; `Stale` if the configuration drifted and `answer` is to fail;
/// as [`Create::run`].
pub async fn update_image(
    create: &Create<'_>,
    images: &Images,
    answer: DriftAnswer,
    force: bool,
    engine: &Engine,
    options: &TransportOptions,
    cx: &Context,
) -> Result<Updated> {
    let waiting = cx.ui.waiting("listing images");
    let update = newest_update(create, images)?;
    let image = update.image;
    if update.is_current() && !force {
        return Ok(Updated::Current(shown(image)));
    }
    let chosen = choose(update, images, answer, engine, cx).await?;
    drop(waiting);
    let baked = match chosen {
        Some((update, dockerfile)) => update.run(&dockerfile, engine, options, cx).await?,
        None => create.run(engine, options, cx).await?,
    };
    Ok(Updated::Baked(baked))
}

/// The layer to build for `update`, and its Dockerfile: the same, or one that squashes the chain. `None`
/// if the image must be rebuilt from scratch; a message has then said why.
///
/// # Errors
/// `Stale` if the configuration drifted and `answer` is to fail; when the engine does not answer.
pub async fn choose<'a>(
    update: Update<'a>,
    images: &'a Images,
    answer: DriftAnswer,
    engine: &Engine,
    cx: &Context,
) -> Result<Option<(Update<'a>, Dockerfile)>> {
    if bakes_anew(&update, answer, cx)? {
        return Ok(None);
    }
    squash::choose(update, images, engine, cx).await
}

/// The update of the newest image of exactly this branch.
///
/// # Errors
/// `NotFound` if there is none.
pub fn newest_update<'a>(create: &'a Create<'a>, images: &'a Images) -> Result<Update<'a>> {
    let (path, reference) = (create.repo.root(), &create.target.ref_name);
    let image = newest_of_exact_ref(images, path, reference).ok_or_else(|| {
        let typed = &create.target.branch_from;
        no_image(images, Some(create.repo), Some(typed))
    })?;
    Ok(Update::new(create, image))
}

fn shown(image: &BakedImage) -> String {
    image.shown_tag().unwrap_or(&image.id).to_owned()
}

/// Whether to rebuild from scratch because of a drift that no layer can carry.
fn bakes_anew(update: &Update<'_>, answer: DriftAnswer, cx: &Context) -> Result<bool> {
    if update.drift.is_empty() {
        return Ok(false);
    }
    let carried = update.drift.within_a_layer().join("; ");
    if !carried.is_empty() {
        cx.ui.message(&format!("`.dkr.conf` changed: {carried}"));
    }
    let changes = update.drift.beyond_a_layer().join("; ");
    if changes.is_empty() {
        return Ok(false);
    }
    cx.ui.warning(&format!(
        "`.dkr.conf` changed in a way that an update layer cannot carry: {changes}"
    ));
    let stale = || {
        Error::new(
            Kind::Stale,
            "the image was built with a different `.dkr.conf`",
        )
    };
    match answer {
        DriftAnswer::Bake => Ok(true),
        DriftAnswer::Ignore => Ok(false),
        DriftAnswer::Fail => {
            let repo = quoted(update.create.repo.root());
            let typed = quoted(&update.create.target.branch_from);
            let hint = format!("run `dkr create-image {repo} {typed}`");
            Err(stale().cause(changes).hint(hint))
        }
        DriftAnswer::Ask if !cx.ui.terminal().can_ask() => {
            cx.ui
                .message("rebuilding from scratch (change this with `--drift`)");
            Ok(true)
        }
        DriftAnswer::Ask => {
            let choices = ["rebuild from scratch", "update anyway", "quit"];
            match cx.ui.choose("What now?", &choices, 0, "--drift")? {
                0 => Ok(true),
                1 => Ok(false),
                _ => Err(stale()),
            }
        }
    }
}
