//! Which refs a service shows. git knows each pattern from its command line, which has a limit.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use git2::{Odb, Oid};

use super::hardened_git;
use super::ref_files::RefFiles;
use crate::env::Env;

/// The most folders that are shown by one command.
const MOST_FOLDERS: usize = 64;
/// The most refs that one command hides by their names.
const MOST_HIDDEN: usize = 1000;

/// The folders that `refs` lie in, as `refs/heads/box/`; those above them where there are too many.
pub(super) fn folders_of(refs: &[String]) -> Vec<String> {
    let mut folders: BTreeSet<&str> = refs.iter().map(|name| folder_of(name)).collect();
    while folders.len() > MOST_FOLDERS {
        folders = folders.into_iter().map(folder_of).collect();
    }
    folders.into_iter().map(str::to_owned).collect()
}

fn folder_of(name: &str) -> &str {
    let name = name.strip_suffix('/').unwrap_or(name);
    name.rfind('/').map_or("", |end| &name[..=end])
}

/// The refs in `folders` that are hidden all the same: git's server programs end at a ref that leads
/// nowhere, and would tell of what a symbolic ref leads to.
pub(super) async fn unfit(env: &Env, git_dir: &Path, folders: &[String]) -> Vec<PathBuf> {
    let (env, git_dir, folders) = (env.clone(), git_dir.to_owned(), folders.to_owned());
    let look = move || {
        let missing = |objects: &BTreeSet<Oid>| missing(&env, &git_dir, objects);
        let unfit = RefFiles(&git_dir).unfit(&folders, missing);
        unfit.into_iter().take(MOST_HIDDEN).collect()
    };
    let looked = tokio::task::spawn_blocking(look).await;
    looked.unwrap_or_default()
}

/// Those of `objects` that are not there. git has the last word: it finds alternates that libgit2 does
/// not.
fn missing(env: &Env, git_dir: &Path, objects: &BTreeSet<Oid>) -> BTreeSet<Oid> {
    let mut missing = objects.clone();
    if let Ok(odb) = Odb::new()
        && let Some(path) = git_dir.join("objects").to_str()
        && odb.add_disk_alternate(path).is_ok()
    {
        missing.retain(|object| !odb.exists(*object));
    }
    match missing.is_empty() {
        true => missing,
        // What git cannot tell is shown.
        false => missing_for_git(env, git_dir, &missing).unwrap_or_default(),
    }
}

fn missing_for_git(
    env: &Env,
    git_dir: &Path,
    objects: &BTreeSet<Oid>,
) -> std::io::Result<BTreeSet<Oid>> {
    let mut git = hardened_git(env, git_dir).into_std();
    git.arg("--git-dir").arg(git_dir);
    git.args(["cat-file", "--batch-check"]);
    git.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut git = git.spawn()?;
    let mut input = git.stdin.take().expect("it is piped");
    let list: String = objects.iter().map(|object| format!("{object}\n")).collect();
    let writing = std::thread::spawn(move || input.write_all(list.as_bytes()));
    let output = git.wait_with_output()?;
    // It is read to its end, or git has ended.
    let _ = writing.join();
    let lines = String::from_utf8_lossy(&output.stdout);
    let missing = lines
        .lines()
        .filter_map(|line| line.strip_suffix(" missing"));
    Ok(missing.filter_map(|object| object.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(refs: impl IntoIterator<Item = String>) -> Vec<String> {
        folders_of(&refs.into_iter().collect::<Vec<_>>())
    }

    #[test]
    fn refs_are_shown_by_their_folders_however_many_they_are() {
        let taken = (0..30_000).map(|number| format!("refs/dkr/taken/fix/{number}"));
        let all = taken.chain(["refs/dkr/wip/fix", "refs/heads/box/a/b"].map(String::from));
        let expected = ["refs/dkr/taken/fix/", "refs/dkr/wip/", "refs/heads/box/a/"];
        assert_eq!(folders(all), expected);
        let spread = (0..1000).map(|number| format!("refs/heads/box/{number}/a"));
        assert_eq!(folders(spread), ["refs/heads/box/"]);
        let wide = (0..1000).map(|number| format!("refs/{number}/a"));
        assert_eq!(folders(wide), ["refs/"]);
    }
}
