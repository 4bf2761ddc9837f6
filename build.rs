//! Tells the program which commit it is built from, for `dkr --version`: the variable `DKR_VERSION` is
//! `0.1.0 (1a2b3c4d5e 2026-11-30)` in a git checkout of dkr, and `0.1.0` elsewhere; `DKR_DATE` is the
//! date alone, or empty.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = env!("CARGO_PKG_VERSION");
    let commit = commit();
    let shown = commit.as_ref().map_or(version.to_owned(), |(id, date)| {
        format!("{version} ({id} {date})")
    });
    let date = commit.map_or(String::new(), |(_, date)| date);
    println!("cargo::rustc-env=DKR_VERSION={shown}");
    println!("cargo::rustc-env=DKR_DATE={date}");
}

/// The short id and the date of the commit, and a line for cargo about each file that a change of it
/// changes. None in a source archive, also in one that is unpacked within another repository.
fn commit() -> Option<(String, String)> {
    if !Path::new(".git").exists() {
        return None;
    }
    let log = git(&[
        "-c",
        "log.showSignature=false",
        "log",
        "-1",
        "--format=%H %cs",
    ])?;
    watch();
    let (id, date) = log.split_once(' ')?;
    Some((id.get(..10)?.to_owned(), date.to_owned()))
}

/// Runs this again when HEAD moves: to another branch, or with its branch. In a linked worktree HEAD is
/// the worktree's own, and branches are in the repository.
fn watch() {
    let path = |name: &str| git(&["rev-parse", "--git-path", name]).map(PathBuf::from);
    let mut paths = vec![path("HEAD")];
    if let Some(branch) = git(&["symbolic-ref", "--quiet", "HEAD"]) {
        let file = path(&branch);
        let is_packed = file.as_ref().is_some_and(|file| !file.exists());
        if is_packed {
            // The next commit makes a file of it, in a folder that may be missing, too.
            let folder = file.as_deref().and_then(|file| {
                let mut folders = file.ancestors().skip(1);
                folders.find(|folder| folder.exists()).map(Path::to_owned)
            });
            paths.extend([path("packed-refs"), folder]);
        }
        paths.push(file);
    }
    // One that is missing would mean that it has always changed.
    for path in paths.into_iter().flatten().filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// What git prints about the checkout that holds this file; none if it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        // A hook that builds dkr has them set, for another folder maybe.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim_end().to_owned())
}
