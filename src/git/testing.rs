//! Real repositories for the unit tests of this module, made with the `git` program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Repository;

/// A repository in a directory of its own, on the branch `main`.
pub(crate) struct TestRepo {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl TestRepo {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("repo");
        std::fs::create_dir(&path).unwrap();
        git_in(&path, &["init", "-q", "-b", "main"]);
        TestRepo { path, _dir: dir }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn open(&self) -> Repository {
        Repository::discover(&self.path).unwrap()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git_in(&self.path, args)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
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

    /// Every file below the root with its bytes, except those that `except` picks.
    pub(crate) fn snapshot(&self, except: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
        Self::snapshot_of(&self.path, except)
    }

    /// The same of any folder.
    pub(crate) fn snapshot_of(
        folder: &Path,
        except: impl Fn(&str) -> bool,
    ) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut directories = vec![folder.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(folder).unwrap().to_string_lossy();
                if except(&name) {
                    continue;
                }
                if path.is_dir() {
                    directories.push(path);
                } else {
                    files.push((name.into_owned(), std::fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

/// Variables that keep the tests apart from the machine's and the user's configuration.
pub(crate) const HERMETIC: [(&str, &str); 10] = [
    ("HOME", "/nonexistent"),
    ("XDG_CONFIG_HOME", "/nonexistent"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_AUTHOR_NAME", "A U Thor"),
    ("GIT_AUTHOR_EMAIL", "author@example.com"),
    ("GIT_AUTHOR_DATE", "1700000000 +0000"),
    ("GIT_COMMITTER_NAME", "C O Mitter"),
    ("GIT_COMMITTER_EMAIL", "committer@example.com"),
    ("GIT_COMMITTER_DATE", "1700000000 +0000"),
];

/// Writes a script that can be run. A process of its own does it: what this one has open for
/// writing, a child that another test starts just then has open too, and such a file cannot be run.
pub(crate) fn write_script(path: &Path, body: &str) {
    let mut child = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "#!/bin/sh\n{body}").unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// Runs git in `directory` and returns its output without the last newline.
pub(crate) fn git_in(directory: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(directory)
        .args(args)
        .envs(HERMETIC)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {errors}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}
