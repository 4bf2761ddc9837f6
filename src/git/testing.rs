//! Real repositories for the unit tests of this module, made with the `git` program.

use std::path::{Path, PathBuf};

pub(crate) use testkit::HERMETIC;

use super::Repository;

/// A repository in a directory of its own, on the branch `main`.
pub(crate) struct TestRepo {
    repo: testkit::Repo,
    _dir: tempfile::TempDir,
}

impl TestRepo {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("repo");
        std::fs::create_dir(&path).unwrap();
        let repo = testkit::Repo::at(&path).git(["init", "-q", "-b", "main"]);
        TestRepo { repo, _dir: dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.repo.path()
    }

    pub(crate) fn open(&self) -> Repository {
        Repository::discover(self.path()).unwrap()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.repo.output(args.iter().copied())
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        self.repo.file(name, content);
    }

    /// Commits `content` as the file `name`, and returns the commit's id.
    pub(crate) fn commit(&self, name: &str, content: &str) -> String {
        self.write(name, content);
        self.git(&["add", "--", name]);
        self.git(&["commit", "-q", "--allow-empty-message", "-m", content]);
        self.head()
    }

    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Every file below the root with its bytes, except those that `except` selects.
    pub(crate) fn snapshot(&self, except: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
        Self::snapshot_of(self.path(), except)
    }

    /// The same of any folder.
    pub(crate) fn snapshot_of(
        folder: &Path,
        except: impl Fn(&str) -> bool,
    ) -> Vec<(String, Vec<u8>)> {
        let name = |path: &PathBuf| path.strip_prefix(folder).unwrap().display().to_string();
        let mut files: Vec<_> = testkit::files(folder)
            .into_iter()
            .map(|path| (name(&path), path))
            .filter(|(name, _)| !except(name))
            .map(|(name, path)| (name, std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }
}

/// Runs git in `directory` and returns its output without the last newline.
pub(crate) fn git_in(directory: &Path, args: &[&str]) -> String {
    testkit::Repo::at(directory).output(args.iter().copied())
}

/// Writes an executable shell script.
pub(crate) fn write_script(path: &Path, body: &str) {
    testkit::write_program(path, &format!("#!/bin/sh\n{body}\n"));
}
