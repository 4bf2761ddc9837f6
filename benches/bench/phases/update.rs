//! Updates: by dkr, and by a Dockerfile that fetches and rebases.

use crate::Result;
use crate::figures::Measure;
use crate::lab::{Lab, measures};
use crate::phases::create::cloned;
use crate::repo::MAIN;

/// The name of the phase of an update by so many commits.
pub fn phase(commits: u64) -> String {
    let plural = if commits == 1 { "" } else { "s" };
    format!("update: {commits} commit{plural}")
}

/// Updates the images of `main`, each on the one before.
pub fn measure(lab: &mut Lab<'_>, round: usize) -> Result<()> {
    let mut last = cloned(lab);
    for (number, commits) in lab.options.size.updates.iter().enumerate() {
        let phase = phase(*commits);
        let old = lab.repo.facts(MAIN)?.commit;
        lab.repo.add_commits(*commits)?;
        let new = lab.repo.facts(MAIN)?.commit;
        let floor = lab.repo.floor_of_update(&old, &new)?;
        lab.figures.add(&phase, "floor", Measure::Layers, floor);
        let tag = lab.store.tag(&format!("hand{number}"));
        for turn in [round + number, round + number + 1] {
            if turn % 2 == 0 {
                by_hand(lab, &phase, &last, &tag, round)?;
            } else {
                by_dkr(lab, &phase, "dkr")?;
            }
        }
        last = tag;
    }
    Ok(())
}

/// The tag of the image that was updated by hand last.
pub fn updated_by_hand(lab: &Lab<'_>) -> String {
    let last = lab.options.size.updates.len() - 1;
    lab.store.tag(&format!("hand{last}"))
}

fn by_hand(lab: &mut Lab<'_>, phase: &str, from: &str, tag: &str, round: usize) -> Result<()> {
    let facts = lab.repo.facts(MAIN)?;
    let earlier = lab.store.image(from);
    let unique = lab.sandbox.unique(&format!("{round}-{phase}"));
    let meter = lab.meter()?;
    lab.builder.update(from, &unique, tag)?;
    let mut measured = measures(&meter.stop()?);
    let bytes = lab.store.image(tag).own_bytes(&earlier);
    measured.push((Measure::Layers, bytes));
    lab.note(phase, "hand", tag, &facts, &measured);
    Ok(())
}

/// Updates dkr's image of `main`.
pub fn by_dkr(lab: &mut Lab<'_>, phase: &str, arm: &'static str) -> Result<()> {
    let facts = lab.repo.facts(MAIN)?;
    let earlier = lab.store.image(&lab.newest(MAIN)?);
    let meter = lab.meter()?;
    let ended = lab.dkr("update-image", &[MAIN])?;
    let mut measured = measures(&meter.stop()?);
    let image = lab.store.image(&lab.newest(MAIN)?);
    measured.push((Measure::Layers, image.own_bytes(&earlier)));
    measured.push((Measure::Memory, ended.memory));
    lab.note(phase, arm, &image.id, &facts, &measured);
    Ok(())
}
