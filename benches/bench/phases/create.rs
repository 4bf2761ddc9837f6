//! First image, second branch, and a new image after a force-push.

use crate::Result;
use crate::builds::Context;
use crate::figures::Measure;
use crate::lab::{Lab, measures};
use crate::phases::floor;
use crate::repo::{MAIN, SIDE};
use crate::store::BASE_IMAGE;

pub const FIRST: &str = "create: first image";
pub const SECOND: &str = "create: second branch";
pub const FORCED: &str = "create: after a force-push";

/// The arms of the first image; each repetition begins with another one.
const ARMS: [&str; 5] = ["clone", "copy", "dkr", "floor", "clone'"];

/// What a real repository is measured with besides: dkr's own plain clone.
const FULL: &str = "dkr full";

/// The first image of a repository that the engine has never seen.
pub fn first(lab: &mut Lab<'_>, round: usize) -> Result<()> {
    if lab.options.repo.is_some() {
        let before = lab.store.cache();
        dkr(lab, FIRST, FULL, &[MAIN, "--clone", "full"])?;
        lab.store.remove_of_dkr();
        lab.store.forget(&before);
    }
    for at in 0..ARMS.len() {
        let arm = ARMS[(at + round) % ARMS.len()];
        match arm {
            "dkr" => dkr(lab, FIRST, arm, &[MAIN])?,
            "floor" => floor::measure(lab, FIRST)?,
            "clone" => {
                clone(lab, FIRST, arm, MAIN, round)?;
            }
            _ => {
                let before = lab.store.cache();
                let tag = if arm == "copy" {
                    copy(lab, round)?
                } else {
                    clone(lab, FIRST, arm, MAIN, round)?
                };
                lab.store.remove(&tag);
                lab.store.forget(&before);
            }
        }
    }
    Ok(())
}

/// A second branch of it.
pub fn second(lab: &mut Lab<'_>, round: usize) -> Result<()> {
    both(lab, SECOND, SIDE, round)?;
    let extent = lab.repo.extent()?;
    let bytes = extent.tree_bytes + extent.index_bytes;
    lab.figures.add(SECOND, "floor", Measure::Layers, bytes);
    Ok(())
}

/// The first branch again, whose newest commit was replaced.
pub fn forced(lab: &mut Lab<'_>, round: usize) -> Result<()> {
    lab.repo.force_push();
    both(lab, FORCED, MAIN, round)
}

fn both(lab: &mut Lab<'_>, phase: &str, branch: &str, round: usize) -> Result<()> {
    for turn in [round, round + 1] {
        if turn % 2 == 0 {
            clone(lab, phase, "clone", branch, round)?;
        } else {
            dkr(lab, phase, "dkr", &[branch])?;
        }
    }
    Ok(())
}

/// The tag of the image that was cloned last; it goes on to be updated by hand.
pub fn cloned(lab: &Lab<'_>) -> String {
    lab.store.tag("clone")
}

fn clone(
    lab: &mut Lab<'_>,
    phase: &str,
    arm: &'static str,
    branch: &str,
    round: usize,
) -> Result<String> {
    let tag = if arm == "clone" {
        cloned(lab)
    } else {
        lab.store.tag("again")
    };
    let facts = lab.repo.facts(branch)?;
    // One that loses its tag would stay.
    lab.store.remove(&tag);
    // The step depends on it, so it is never found in the build cache.
    let unique = lab.sandbox.unique(&format!("{round}-{arm}-{phase}"));
    let meter = lab.meter()?;
    let path = lab.repo.path();
    lab.builder.clone(path, branch, &unique, &tag)?;
    let mut measured = measures(&meter.stop()?);
    measured.push((Measure::Layers, above_base(lab, &tag)));
    lab.note(phase, arm, &tag, &facts, &measured);
    Ok(tag)
}

fn copy(lab: &mut Lab<'_>, round: usize) -> Result<String> {
    let tag = lab.store.tag("copy");
    let facts = lab.repo.facts(MAIN)?;
    let unique = lab.sandbox.unique(&round.to_string());
    let context = Context::new(lab.repo.path(), &unique)?;
    let meter = lab.meter()?;
    lab.builder.copy(lab.repo.path(), &context, &tag)?;
    let mut measured = measures(&meter.stop()?);
    measured.push((Measure::Layers, above_base(lab, &tag)));
    lab.note(FIRST, "copy", &tag, &facts, &measured);
    Ok(tag)
}

/// `arguments` are those of `create-image`, the branch first.
pub fn dkr(lab: &mut Lab<'_>, phase: &str, arm: &'static str, arguments: &[&str]) -> Result<()> {
    let branch = arguments[0];
    let facts = lab.repo.facts(branch)?;
    let earlier = lab.newest(MAIN);
    let meter = lab.meter()?;
    let ended = lab.dkr("create-image", arguments)?;
    let cost = meter.stop()?;
    let image = lab.newest(branch)?;
    let layers = match earlier {
        Ok(earlier) if phase != FIRST => {
            let earlier = lab.store.image(&earlier);
            lab.store.image(&image).own_bytes(&earlier)
        }
        _ => above_base(lab, &image),
    };
    let mut measured = measures(&cost);
    measured.push((Measure::Layers, layers));
    measured.push((Measure::Memory, ended.memory));
    measured.push((Measure::Export, exported(&ended.stderr)?));
    lab.note(phase, arm, &image, &facts, &measured);
    Ok(())
}

/// Seconds of exports, as dkr's plain progress tells them: `[exporting to image] done in 1.5s`, or
/// `in 1m 5s`.
fn exported(progress: &str) -> Result<f64> {
    let mut sum = 0.0;
    for line in progress.lines() {
        let Some(took) = line.strip_prefix("[exporting to image] done in ") else {
            continue;
        };
        for part in took.split(' ') {
            let (number, scale) = match part.strip_suffix('m') {
                Some(minutes) => (minutes, 60.0),
                None => (part.trim_end_matches('s'), 1.0),
            };
            sum += number.parse::<f64>()? * scale;
        }
    }
    Ok(sum)
}

fn above_base(lab: &Lab<'_>, image: &str) -> f64 {
    let base = lab.store.image(BASE_IMAGE);
    lab.store.image(image).own_bytes(&base)
}
