//! Everything in a repository that dkr must not change, to compare before and after.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Repo;

/// The mode and contents of every file of the work tree and of the git directory (HEAD, index,
/// refs, stash, configuration, hooks, logs), except the objects.
#[derive(Clone, PartialEq, Eq)]
pub struct RepoState(BTreeMap<PathBuf, (u32, Vec<u8>)>);

impl RepoState {
    /// The state of `repo` now.
    pub fn of(repo: &Repo) -> Self {
        let git = repo.output(["rev-parse", "--path-format=absolute", "--git-common-dir"]);
        let git = Path::new(&git);
        let mut files = BTreeMap::new();
        read(git, &git.join("objects"), Path::new("git:"), &mut files);
        if git != repo.path() {
            read(repo.path(), git, Path::new("work:"), &mut files);
        }
        RepoState(files)
    }

    /// The files that differ from `before`, with the prefix `git:` or `work:`.
    pub fn changed_since(&self, before: &RepoState) -> Vec<String> {
        let names = self.0.keys().chain(before.0.keys());
        let mut changed: Vec<String> = names
            .filter(|name| self.0.get(*name) != before.0.get(*name))
            .map(|name| name.display().to_string())
            .collect();
        changed.sort();
        changed.dedup();
        changed
    }
}

/// Reads all files below `folder`, except those below `skipped`, under the name `name`.
fn read(folder: &Path, skipped: &Path, name: &Path, files: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("the test made it") {
        let path = entry.expect("it can be listed").path();
        let name = name.join(path.file_name().expect("an entry has a name"));
        let found = fs::symlink_metadata(&path).expect("it was just listed");
        if path == skipped {
            continue;
        } else if found.is_dir() {
            // An empty folder counts too: git's reftable and rebases leave such traces.
            files.insert(name.clone(), (found.permissions().mode(), Vec::new()));
            read(&path, skipped, &name, files);
        } else {
            let contents = match found.is_symlink() {
                true => fs::read_link(&path)
                    .expect("it was just listed")
                    .into_os_string()
                    .into_encoded_bytes(),
                false if found.is_file() => fs::read(&path).expect("it was just listed"),
                // A socket or pipe has no contents.
                false => Vec::new(),
            };
            files.insert(name, (found.permissions().mode(), contents));
        }
    }
}
