//! First image, second branch, and a new image after a force-push.

use crate::Result;
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
pub async fn first(lab: &mut Lab<'_>, round: usize) -> Result<()> {
    if lab.options.repo.is_some() {
        let before = lab.store.cache().await?;
        dkr(lab, FIRST, FULL, &[MAIN, "--clone", "full"]).await?;
        lab.store.remove_of_dkr().await?;
        lab.store.forget(&before).await?;
    }
    for at in 0..ARMS.len() {
        let arm = ARMS[(at + round) % ARMS.len()];
        match arm {
            "dkr" => dkr(lab, FIRST, arm, &[MAIN]).await?,
            "floor" => floor::measure(lab, FIRST)?,
            "clone" => {
                clone(lab, FIRST, arm, MAIN, round).await?;
            }
            _ => {
                let before = lab.store.cache().await?;
                let tag = if arm == "copy" {
                    copy(lab, round).await?
                } else {
                    clone(lab, FIRST, arm, MAIN, round).await?
                };
                lab.store.remove(&tag).await?;
                lab.store.forget(&before).await?;
            }
        }
    }
    Ok(())
}

/// A second branch of it.
pub async fn second(lab: &mut Lab<'_>, round: usize) -> Result<()> {
    both(lab, SECOND, SIDE, round).await?;
    let extent = lab.repo.extent()?;
    let bytes = extent.tree_bytes + extent.index_bytes;
    lab.figures.add(SECOND, "floor", Measure::Layers, bytes);
    Ok(())
}

/// The first branch again, whose newest commit was replaced.
pub async fn forced(lab: &mut Lab<'_>, round: usize) -> Result<()> {
    lab.repo.force_push()?;
    both(lab, FORCED, MAIN, round).await
}

async fn both(lab: &mut Lab<'_>, phase: &str, branch: &str, round: usize) -> Result<()> {
    for turn in [round, round + 1] {
        if turn % 2 == 0 {
            clone(lab, phase, "clone", branch, round).await?;
        } else {
            dkr(lab, phase, "dkr", &[branch]).await?;
        }
    }
    Ok(())
}

/// The tag of the image that was cloned last; it goes on to be updated by hand.
pub fn cloned(lab: &Lab<'_>) -> String {
    lab.store.tag("clone")
}

async fn clone(
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
    lab.store.remove(&tag).await?;
    // The step depends on it, so it is never found in the build cache.
    let unique = format!("{}-{round}-{arm}-{phase}", lab.store.run);
    let meter = lab.meter()?;
    let path = lab.repo.path();
    lab.builder.clone(path, branch, &unique, &tag).await?;
    let mut measured = measures(&meter.stop()?);
    measured.push((Measure::Layers, above_base(lab, &tag).await?));
    lab.note(phase, arm, &tag, &facts, &measured).await?;
    Ok(tag)
}

async fn copy(lab: &mut Lab<'_>, round: usize) -> Result<String> {
    let tag = lab.store.tag("copy");
    let facts = lab.repo.facts(MAIN)?;
    let unique = format!("{}-{round}", lab.store.run);
    let meter = lab.meter()?;
    lab.builder.copy(lab.repo.path(), &unique, &tag).await?;
    let mut measured = measures(&meter.stop()?);
    measured.push((Measure::Layers, above_base(lab, &tag).await?));
    lab.note(FIRST, "copy", &tag, &facts, &measured).await?;
    Ok(tag)
}

/// `arguments` are those of `create-image`, the branch first.
async fn dkr(lab: &mut Lab<'_>, phase: &str, arm: &'static str, arguments: &[&str]) -> Result<()> {
    let branch = arguments[0];
    let facts = lab.repo.facts(branch)?;
    let earlier = lab.newest(MAIN).await;
    let meter = lab.meter()?;
    let ended = lab.dkr("create-image", arguments)?;
    let cost = meter.stop()?;
    let image = lab.newest(branch).await?;
    let layers = match earlier {
        Ok(earlier) if phase != FIRST => {
            let earlier = lab.store.image(&earlier).await?;
            lab.store.image(&image).await?.own_bytes(&earlier)
        }
        _ => above_base(lab, &image).await?,
    };
    let mut measured = measures(&cost);
    measured.push((Measure::Layers, layers));
    measured.push((Measure::Memory, ended.memory));
    measured.push((Measure::Export, exported(&ended.stderr)?));
    lab.note(phase, arm, &image, &facts, &measured).await
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

async fn above_base(lab: &Lab<'_>, image: &str) -> Result<f64> {
    let base = lab.store.image(BASE_IMAGE).await?;
    Ok(lab.store.image(image).await?.own_bytes(&base))
}
