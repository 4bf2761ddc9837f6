//! The least that a first image can cost: the packs copied, the files written, all read once.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use sha2::{Digest, Sha256};
use testkit::Repo;

use crate::Result;
use crate::lab::{Lab, measures};
use crate::meter::run;
use crate::repo;

/// Measures the floor, on the engine's disk.
pub fn measure(lab: &mut Lab<'_>, phase: &str) -> Result<()> {
    let folder = tempfile::tempdir_in(&lab.store.disk.0)?;
    let facts = lab.repo.facts("HEAD")?;
    let meter = lab.meter()?;
    let copy = copy_and_check_out(lab, folder.path())?;
    let mut sum = Sha256::new();
    read(folder.path(), &mut sum)?;
    std::hint::black_box(sum.finalize());
    let cost = meter.stop()?;
    let found = repo::facts(&copy, "HEAD")?;
    let status = copy.output(["status", "--porcelain"]);
    let good = found == facts && status.is_empty();
    let checked = good
        .then_some(())
        .ok_or(format!("found {found:?} {status}"));
    lab.note_checked(phase, "floor", checked, &measures(&cost));
    Ok(())
}

fn copy_and_check_out(lab: &Lab<'_>, folder: &Path) -> Result<Repo> {
    let git = lab.repo.path().join(".git");
    let copy = ["-r".as_ref(), git.as_path(), folder];
    run(lab.sandbox.command("cp", copy).into_command())?;
    fs::remove_file(folder.join(".git/index"))?;
    let check_out = ["-c", "checkout.workers=0", "reset", "--quiet", "--hard"];
    Ok(Repo::at(folder).git(check_out))
}

/// So much of a file is read at once, in bytes.
const PIECE: usize = 64 * 1024;

fn read(folder: &Path, sum: &mut Sha256) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            read(&entry.path(), sum)?;
        } else if kind.is_file() {
            let mut file = BufReader::with_capacity(PIECE, File::open(entry.path())?);
            loop {
                let piece = file.fill_buf()?;
                if piece.is_empty() {
                    break;
                }
                sum.update(piece);
                let length = piece.len();
                file.consume(length);
            }
        }
    }
    Ok(())
}
