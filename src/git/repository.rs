//! Finds and opens the user's repository, and reads its basic properties.

use std::path::{Path, PathBuf};

use git2::{RepositoryOpenFlags, RepositoryState};

use super::CommitId;
use super::redact::publishable;
use super::refusal;
use crate::error::{Error, Result, quoted};

/// A repository of the user, opened for reading.
pub struct Repository {
    pub(super) inner: git2::Repository,
    root: String,
    name: String,
}

impl Repository {
    /// Finds and opens the repository that contains `path`: a work tree or a directory below it, a
    /// linked worktree, a submodule, a bare repository, or a `.git` directory.
    ///
    /// # Errors
    /// `NotFound` if there is none. Rejected with a reason: sha256 objects, reftable refs, a partial
    /// clone, a repository of another user, a broken HEAD, a path that is not UTF-8.
    pub fn discover(path: &Path) -> Result<Self> {
        let canonical = path.canonicalize().map_err(|e| {
            Error::not_found(format!(
                "cannot find a git repository at `{}`",
                path.display()
            ))
            .source(e)
            .hint(
                Self::ref_hint(path)
                    .unwrap_or_else(|| "name the path of a repository that exists".to_owned()),
            )
        })?;
        // Not `discover`, which loses the work tree from which it found a git directory elsewhere.
        let no_ceiling: [&Path; 0] = [];
        let flags = RepositoryOpenFlags::empty();
        let inner = git2::Repository::open_ext(&canonical, flags, no_ceiling)
            .map_err(|e| refusal::open_error(&canonical, &e))?;
        let root = root_of(&inner)?;
        if let Some(feature) = inner.config().ok().as_ref().and_then(refusal::feature_of) {
            return Err(refusal::refused(&root, &feature));
        }
        if let Some(error) = refusal::broken_head(&root, inner.commondir()) {
            return Err(error);
        }
        let Some(root) = root.to_str().map(str::to_owned) else {
            return Err(Error::usage(format!(
                "cannot use the repository at `{}`: its path is not valid UTF-8",
                root.display()
            ))
            .hint("rename the directory"));
        };
        let name = name_of(&root);
        Ok(Repository { inner, root, name })
    }

    /// The hint if `path`, which does not exist, is a ref of the current directory's repository.
    fn ref_hint(path: &Path) -> Option<String> {
        let name = path.to_str().filter(|name| *name != ".")?;
        let current = Self::discover(Path::new(".")).ok()?;
        current.locate(Some(name)).ok()?;
        Some(format!(
            "`{name}` is a ref of the current repository: name the repository first, as in `. {}`",
            quoted(name)
        ))
    }

    /// The absolute, canonical path of the main worktree or the bare repository, whichever part of
    /// it was opened (the label `dkr.repo_path`).
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The last component of [`Self::root`] without `.git` (the label `dkr.repo_name`).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The git directory that all worktrees share: packs, refs and configuration are here.
    pub fn git_dir(&self) -> &Path {
        self.inner.commondir()
    }

    /// The work tree that was opened, which may be a linked one; `None` in a bare repository, or if the
    /// git directory that was opened does not know its work tree.
    pub fn work_tree(&self) -> Option<&Path> {
        work_tree_of(&self.inner)
    }

    /// Whether `commit` is the one that is checked out in the opened worktree.
    pub fn is_head(&self, commit: &CommitId) -> bool {
        let head = self.inner.refname_to_id("HEAD");
        head.is_ok_and(|head| head == commit.oid())
    }

    /// Whether the history is cut off (`git clone --depth`).
    pub fn is_shallow(&self) -> bool {
        self.inner.is_shallow()
    }

    /// What is in progress in the opened worktree and will not be in an image, as warnings. Only cheap
    /// checks: uncommitted changes in a huge work tree are not searched for.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        let lock = self.inner.path().join("index.lock");
        if lock.exists() {
            notices.push(format!(
                "`{}` exists: another git process is at work, or one has crashed",
                lock.display()
            ));
        }
        let operation = match self.inner.state() {
            RepositoryState::Clean => None,
            RepositoryState::Merge => Some("a merge"),
            RepositoryState::Revert | RepositoryState::RevertSequence => Some("a revert"),
            RepositoryState::CherryPick | RepositoryState::CherryPickSequence => {
                Some("a cherry-pick")
            }
            RepositoryState::Bisect => Some("a bisect"),
            RepositoryState::Rebase
            | RepositoryState::RebaseInteractive
            | RepositoryState::RebaseMerge => Some("a rebase"),
            RepositoryState::ApplyMailbox | RepositoryState::ApplyMailboxOrRebase => {
                Some("`git am`")
            }
        };
        if let Some(operation) = operation {
            notices.push(format!("{operation} is in progress in `{}`", self.root));
        }
        notices.extend(self.broken_refs());
        notices
    }

    /// The name and email that git would commit with here, if both are configured (in the
    /// repository, for the user, or for the machine).
    pub fn identity(&self) -> Option<(String, String)> {
        // The program, not libgit2, which does not know `GIT_CONFIG_GLOBAL`.
        let mut command = self.git_command(&[]);
        command.args(["config", "-z", "--get-regexp", "^user\\.(name|email)$"]);
        let output = command.output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        // The last value of a key wins.
        let value = |key: &str| {
            let pairs = text.split_terminator('\0').rev();
            let mut values = pairs.filter_map(|pair| pair.split_once('\n'));
            let value = values.find(|(name, _)| *name == key)?.1;
            (!value.is_empty()).then(|| value.to_owned())
        };
        Some((value("user.name")?, value("user.email")?))
    }

    /// Where the repository comes from: the URL of the remote `origin` without credentials, if it
    /// names a place that others can reach (the label `org.opencontainers.image.source`).
    pub fn origin_url(&self) -> Option<String> {
        let remote = self.inner.find_remote("origin").ok()?;
        publishable(remote.url().ok()?)
    }

    /// The names of the remotes.
    pub(super) fn remote_names(&self) -> Vec<String> {
        let Ok(names) = self.inner.remotes() else {
            return Vec::new();
        };
        let valid = names.iter().filter_map(|name| name.ok().flatten());
        valid.map(str::to_owned).collect()
    }
}

fn root_of(opened: &git2::Repository) -> Result<PathBuf> {
    let common = opened.commondir();
    let main = git2::Repository::open(common).map_err(|e| refusal::open_error(common, &e))?;
    // With `--separate-git-dir` the git directory does not know its work tree; git then uses the
    // git directory's own path, too (`git worktree list`).
    let root = work_tree_of(&main).unwrap_or(common);
    root.canonicalize()
        .map_err(|e| Error::failed(format!("cannot read the path `{}`", root.display())).source(e))
}

/// The work tree, if the repository is found from there: where nothing else is known, libgit2 uses
/// the folder that contains the git directory, whatever it is.
fn work_tree_of(opened: &git2::Repository) -> Option<&Path> {
    let work_tree = opened.workdir()?;
    let no_ceiling: [&Path; 0] = [];
    let found = git2::Repository::discover_path(work_tree, no_ceiling).ok()?;
    let is_same = found.canonicalize().ok()? == opened.path().canonicalize().ok()?;
    is_same.then_some(work_tree)
}

/// The last component of `root`; that of the directory above if `root` is itself a `.git`.
fn name_of(root: &str) -> String {
    let mut names = root.rsplit('/').filter(|name| !name.is_empty());
    names
        .find_map(|name| {
            let stem = name.strip_suffix(".git").unwrap_or(name);
            (!stem.is_empty()).then(|| stem.to_owned())
        })
        .unwrap_or_else(|| "repository".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{TestRepo, git_in};
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_subdirectory_and_a_linked_worktree_find_the_main_worktree() {
        let repo = TestRepo::new();
        repo.commit("dir/a", "1");
        let elsewhere = tempfile::tempdir().unwrap();
        let linked = elsewhere.path().join("linked");
        repo.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
        for path in [
            repo.path().to_owned(),
            repo.path().join("dir"),
            repo.path().join(".git"),
            linked,
        ] {
            let found = Repository::discover(&path).unwrap();
            assert_eq!(found.root(), repo.path().to_str().unwrap());
            assert_eq!(found.git_dir(), repo.path().join(".git"));
            assert!(!found.is_shallow());
        }
    }

    #[test]
    fn a_bare_repository_a_submodule_and_worktrees_of_both_work() {
        let source = TestRepo::new();
        source.commit("a", "1");
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let url = source.path().to_str().unwrap();
        git_in(&dir, &["clone", "-q", "--bare", url, "linux.git"]);
        let bare = dir.join("linux.git");
        git_in(&bare, &["worktree", "add", "-q", "../linked"]);
        for path in [bare.clone(), dir.join("linked")] {
            let found = Repository::discover(&path).unwrap();
            assert_eq!(found.root(), bare.to_str().unwrap());
            assert_eq!(found.name(), "linux");
        }

        let outer = TestRepo::new();
        let allow = "protocol.file.allow=always";
        outer.git(&["-c", allow, "submodule", "add", "-q", url, "inner"]);
        let inner = outer.path().join("inner");
        let linked = dir.join("linked-inner");
        git_in(&inner, &["worktree", "add", "-q", linked.to_str().unwrap()]);
        for path in [inner.clone(), linked] {
            let found = Repository::discover(&path).unwrap();
            assert_eq!(found.root(), inner.to_str().unwrap());
            assert_eq!(found.name(), "inner");
        }
    }

    #[test]
    fn a_git_directory_elsewhere_is_the_repository_and_its_neighbours_are_others() {
        let source = TestRepo::new();
        source.commit("a", "1");
        let url = source.path().to_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        // A folder that is itself a work tree says nothing about the git directories in it.
        git_in(&dir, &["init", "-q", "work"]);
        for name in ["one", "two"] {
            let apart = format!("--separate-git-dir=work/{name}.git");
            git_in(&dir, &["clone", "-q", &apart, url, name]);
            let (git_dir, tree) = (dir.join(format!("work/{name}.git")), dir.join(name));
            let linked = dir.join(format!("linked-{name}"));
            git_in(&tree, &["worktree", "add", "-q", linked.to_str().unwrap()]);
            std::fs::create_dir(tree.join("below")).unwrap();
            for (path, work_tree) in [
                (tree.join("below"), Some(&tree)),
                (linked.clone(), Some(&linked)),
                (git_dir.clone(), None),
            ] {
                let found = Repository::discover(&path).unwrap();
                assert_eq!(found.root(), git_dir.to_str().unwrap());
                assert_eq!(found.name(), name);
                assert_eq!(found.work_tree(), work_tree.map(PathBuf::as_path));
            }
        }
        // A link to a git directory is no different.
        let linked = dir.join("three");
        std::fs::create_dir(&linked).unwrap();
        std::os::unix::fs::symlink(dir.join("work/one.git"), linked.join(".git")).unwrap();
        let found = Repository::discover(&linked).unwrap();
        assert_eq!(found.root(), dir.join("work/one.git").to_str().unwrap());
    }

    #[test]
    fn a_shallow_clone_is_known_as_one() {
        let source = TestRepo::new();
        source.commit("a", "1");
        source.commit("a", "2");
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}", source.path().display());
        git_in(dir.path(), &["clone", "-q", "--depth=1", &url, "s"]);
        assert!(
            Repository::discover(&dir.path().join("s"))
                .unwrap()
                .is_shallow()
        );
    }

    #[test]
    fn odd_paths_work_and_one_that_is_not_utf8_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        for name in [
            "-x", "a b", "it's", "a$(id)", "a:b", "100%", "a\nb", "ü.git",
        ] {
            git_in(&dir, &["init", "-q", "--", name]);
            let found = Repository::discover(&dir.join(name)).unwrap();
            assert_eq!(found.root(), format!("{}/{name}", dir.display()));
            assert_eq!(found.name(), name.trim_end_matches(".git"));
        }
        let path = dir.join(std::ffi::OsStr::from_bytes(b"\xff"));
        std::fs::create_dir(&path).unwrap();
        git_in(&path, &["init", "-q"]);
        let error = Repository::discover(&path).err().unwrap();
        assert!(error.message.contains("not valid UTF-8"), "{error}");
    }

    #[test]
    fn a_lock_and_an_operation_in_progress_are_noticed() {
        let repo = TestRepo::new();
        repo.commit("a", "1");
        let found = repo.open();
        assert!(found.notices().is_empty());
        std::fs::write(repo.path().join(".git/index.lock"), "").unwrap();
        std::fs::write(repo.path().join(".git/MERGE_HEAD"), repo.head()).unwrap();
        let notices = found.notices();
        assert!(notices[0].contains("index.lock"), "{notices:?}");
        assert!(notices[1].starts_with("a merge is in progress"));
        assert_eq!(notices.len(), 2);
    }

    #[test]
    fn identity_and_origin_come_from_the_configuration() {
        let repo = TestRepo::new();
        assert_eq!(repo.open().origin_url(), None);
        repo.git(&["config", "user.name", "Jo Doe"]);
        repo.git(&["config", "user.email", "jo@example.com"]);
        repo.git(&[
            "remote",
            "add",
            "origin",
            "https://jo:secret@example.com/x.git",
        ]);
        let found = repo.open();
        let identity = ("Jo Doe".to_owned(), "jo@example.com".to_owned());
        assert_eq!(found.identity(), Some(identity));
        assert_eq!(
            found.origin_url().as_deref(),
            Some("https://example.com/x.git")
        );
    }

    #[test]
    fn the_name_is_the_last_component_that_names_something() {
        for (root, name) in [
            ("/srv/linux", "linux"),
            ("/srv/linux.git", "linux"),
            ("/srv/linux/.git", "linux"),
            ("/", "repository"),
        ] {
            assert_eq!(name_of(root), name);
        }
    }
}
