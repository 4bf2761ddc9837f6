//! Checks how stale an image is before a container starts, and what to do about it.

use chrono::Utc;

use crate::app::Context;
use crate::error::{Error, Kind, Result, quoted};
use crate::git::{COMPARE_LIMIT, Repository};
use crate::image::staleness::{judge, sentence};
use crate::image::{BakedImage, Staleness, Verdict};
use crate::text::ago;

/// What to do with a stale image (`--stale`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleAnswer {
    /// Ask on a terminal; warn and proceed without one.
    Ask,
    /// Update it first.
    Update,
    /// Start it as it is.
    Proceed,
    /// Fail.
    Fail,
}

/// What to do before the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Start,
    /// An update.
    Update,
}

/// Compares the image with the branch that it was built from.
pub fn compare(repo: std::result::Result<&Repository, &Error>, image: &BakedImage) -> Staleness {
    let labels = &image.labels;
    match repo {
        Ok(repo) => repo.compare(&labels.commit, &labels.ref_name, COMPARE_LIMIT),
        Err(error) => Staleness::unknown(&error.message),
    }
}

/// Reports how stale the image is, and decides what to do about it.
///
/// # Errors
/// `Stale` with `--stale fail`, or if the user does not want to start.
pub fn decide(
    staleness: &Staleness,
    image: &BakedImage,
    max_behind: usize,
    answer: StaleAnswer,
    cx: &Context,
) -> Result<Decision> {
    let labels = &image.labels;
    let tag = image.shown_tag().unwrap_or(&image.id);
    let built = ago(labels.created_at, Utc::now());
    let said = sentence(staleness, tag, &labels.branch_from, &built);
    let verdict = judge(staleness, max_behind);
    let Some(command) = verdict.command() else {
        cx.ui.message(&said);
        return Ok(Decision::Start);
    };
    cx.ui.warning(&said);
    let hint = format!(
        "run `dkr {command} {} {}`",
        quoted(&labels.repo_path),
        quoted(&labels.branch_from)
    );
    let stale = || Error::new(Kind::Stale, "the image is stale").hint(hint.clone());
    match answer {
        StaleAnswer::Update => Ok(Decision::Update),
        StaleAnswer::Proceed => Ok(Decision::Start),
        StaleAnswer::Fail => Err(stale().cause(said)),
        StaleAnswer::Ask if !cx.ui.terminal().can_ask() => {
            cx.ui.hint(&hint);
            Ok(Decision::Start)
        }
        StaleAnswer::Ask => {
            if verdict == Verdict::OfferBake {
                cx.ui.hint(&hint);
            }
            let choices = ["update the image first", "start it as it is", "quit"];
            match cx.ui.choose("What now?", &choices, 0, "--stale")? {
                0 => Ok(Decision::Update),
                1 => Ok(Decision::Start),
                _ => Err(stale()),
            }
        }
    }
}
