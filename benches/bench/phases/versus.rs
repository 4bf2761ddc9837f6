//! Two dkr programs against each other, as before and after a change: the first image and updates by
//! both, in turns, each from the same state of the engine.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::lab::Lab;
use crate::phases::{create, update};
use crate::repo::MAIN;

/// Measures `other` against the program of this checkout.
pub fn measure(lab: &mut Lab<'_>, other: &Path, round: usize) -> Result<()> {
    let programs = [("dkr", testkit::dkr()), ("other", other.to_owned())];
    lab.store.remove_of_dkr();
    lab.repo.renew(round)?;
    let before = lab.store.cache();
    for (arm, program) in in_turn(&programs, round) {
        lab.store.remove_of_dkr();
        lab.store.forget(&before);
        lab.program.clone_from(program);
        create::dkr(lab, create::FIRST, arm, &[MAIN])?;
    }
    for (number, commits) in lab.options.size.updates.iter().enumerate() {
        let phase = update::phase(*commits);
        lab.repo.add_commits(*commits)?;
        let (base, cache) = (lab.newest(MAIN)?, lab.store.cache());
        for (arm, program) in in_turn(&programs, round + number) {
            let newest = lab.newest(MAIN)?;
            if newest != base {
                lab.store.remove(&newest);
                lab.store.forget(&cache);
            }
            lab.program.clone_from(program);
            update::by_dkr(lab, &phase, arm)?;
        }
    }
    lab.store.remove_of_dkr();
    lab.store.forget(&before);
    Ok(())
}

/// Both, the one first that is not in the turn before.
fn in_turn<'a>(
    programs: &'a [(&'static str, PathBuf); 2],
    turn: usize,
) -> impl Iterator<Item = (&'static str, &'a PathBuf)> {
    (turn..turn + 2).map(|turn| {
        let (arm, program) = &programs[turn % 2];
        (*arm, program)
    })
}
