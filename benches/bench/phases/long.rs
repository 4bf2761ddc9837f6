//! A hundred and fifty updates in a row: the image still starts and is still updated.

use std::io::Write as _;

use crate::Result;
use crate::lab::Lab;
use crate::phases::start;
use crate::phases::update::by_dkr;
use crate::repo::MAIN;

/// The share of the updates that are told, at the beginning and at the end.
const TOLD: usize = 15;

/// Updates again and again, by one commit each.
pub fn measure(lab: &mut Lab<'_>) -> Result<()> {
    let all = lab.options.size.long;
    let told = all.div_ceil(TOLD);
    for number in 1..=all {
        lab.repo.add_commits(1)?;
        if number <= told {
            by_dkr(lab, &format!("{all} updates: the first {told}"), "dkr")?;
        } else if number > all - told {
            by_dkr(lab, &format!("{all} updates: the last {told}"), "dkr")?;
        } else {
            lab.dkr("update-image", &[MAIN])?;
        }
    }
    let image = lab.store.image(&lab.newest(MAIN)?);
    start::by_dkr(lab, &format!("{all} updates: start"))?;
    let layers = image.depth();
    writeln!(
        std::io::stderr(),
        "bench: {layers} layers after {all} updates"
    )?;
    Ok(())
}
