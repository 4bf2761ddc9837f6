//! What a REF argument names: the types, and reading the commit of a ref.
//!
//! It takes two steps, so that a command can fetch in between: [`Repository::locate`] finds what
//! the argument names without any network, [`Repository::resolve`] reads the commit.

use git2::ErrorCode;

use super::{CommitId, Repository};
use crate::error::{Error, Kind, Result};

/// The kind of thing that a REF names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetKind {
    /// A branch of the repository itself.
    Branch,
    /// A branch of one of its remotes.
    RemoteBranch(RemoteBranch),
    /// A tag.
    Tag,
    /// A commit by its id, or by a detached HEAD.
    Commit,
}

/// A branch of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteBranch {
    /// The remote's name; it may contain `/`.
    pub remote: String,
    /// The short name that the branch has there.
    pub branch: String,
    /// The full name of the local ref that follows it, usually `refs/remotes/<remote>/<branch>`.
    pub tracking_ref: String,
}

impl RemoteBranch {
    /// `remote/branch`, as a user types it.
    pub fn name(&self) -> String {
        format!("{}/{}", self.remote, self.branch)
    }
}

/// What a REF names. For a remote branch the commit may still have to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The short name of the branch or tag, for a remote branch the name that it has at the
    /// remote; the full id of a commit (the label `dkr.branch`).
    pub branch: String,
    /// As the user typed it; as `branch` if nothing was typed (the label `dkr.branch_from`).
    pub branch_from: String,
    /// The full name in the repository, such as `refs/remotes/space/main`; the full id of a commit
    /// (the label `dkr.ref`).
    pub ref_name: String,
    /// The kind of thing it is.
    pub kind: TargetKind,
}

impl Located {
    /// The remote branch to fetch first, if it is one.
    pub fn remote_branch(&self) -> Option<&RemoteBranch> {
        match &self.kind {
            TargetKind::RemoteBranch(branch) => Some(branch),
            _ => None,
        }
    }
}

/// A REF with its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As in [`Located`].
    pub branch: String,
    /// As in [`Located`].
    pub branch_from: String,
    /// As in [`Located`].
    pub ref_name: String,
    /// As in [`Located`].
    pub kind: TargetKind,
    /// The commit; of an annotated tag, the one that it points to.
    pub commit: CommitId,
}

impl Repository {
    /// Reads the current commit of `located`.
    ///
    /// # Errors
    /// `NotFound` if the ref is gone (a remote branch: was never fetched); it fails if the ref
    /// points to something other than a commit.
    pub fn resolve(&self, located: Located) -> Result<Target> {
        let commit = match located.kind {
            TargetKind::Commit => located.ref_name.parse()?,
            _ => self.read_ref(&located.ref_name)?,
        };
        // libgit2 trusts a ref; a missing object is noticed here.
        self.inner.find_commit(commit.oid()).map_err(|e| {
            Error::failed(format!(
                "cannot read commit `{commit}` of `{}` in `{}`",
                located.branch_from,
                self.root()
            ))
            .cause(e.message())
        })?;
        Ok(Target {
            branch: located.branch,
            branch_from: located.branch_from,
            ref_name: located.ref_name,
            kind: located.kind,
            commit,
        })
    }

    /// The short names of all local branches, including broken ones: no other can be created in their place.
    ///
    /// # Errors
    /// If the refs cannot be read.
    pub fn branch_names(&self) -> Result<Vec<String>> {
        let list = self.list_refs(|name| name.starts_with("refs/heads/"))?;
        let broken = list.broken.iter().map(|one| &one.name);
        let names = list.refs.iter().map(|one| &one.name).chain(broken);
        let names = names.filter_map(|name| name.strip_prefix("refs/heads/"));
        Ok(names.map(str::to_owned).collect())
    }

    /// The names of refs that a user may type: branches and tags by their short names, those of remotes as
    /// `remote/branch`.
    ///
    /// # Errors
    /// If the refs cannot be read.
    pub fn ref_names(&self) -> Result<Vec<String>> {
        let short = |name: &str| {
            let kinds = ["refs/heads/", "refs/remotes/", "refs/tags/"];
            kinds
                .iter()
                .find_map(|kind| name.strip_prefix(kind).map(str::to_owned))
        };
        let refs = self.list_refs(|name| short(name).is_some())?.refs;
        // A symbolic one (`origin/HEAD`) is another name of one that is listed, too.
        let refs = refs.iter().filter(|one| one.id.is_some());
        Ok(refs.filter_map(|one| short(&one.name)).collect())
    }

    /// Whether the repository holds the commit `id`.
    pub fn has_commit(&self, id: &CommitId) -> bool {
        self.inner.find_commit(id.oid()).is_ok()
    }

    /// The commit that the ref with this full name points to.
    pub(super) fn read_ref(&self, full_name: &str) -> Result<CommitId> {
        let reading = format!("cannot read `{full_name}` in `{}`", self.root());
        let reference = self.inner.find_reference(full_name).map_err(|e| {
            let kind = match e.code() {
                ErrorCode::NotFound => Kind::NotFound,
                _ => Kind::Failed,
            };
            Error::new(kind, reading.clone()).cause(e.message())
        })?;
        match reference.peel(git2::ObjectType::Commit) {
            Ok(commit) => Ok(commit.id().into()),
            Err(e) if e.code() == ErrorCode::Peel => {
                Err(Error::failed(reading).cause("it does not point to a commit"))
            }
            Err(e) => Err(Error::failed(reading).cause(e.message())),
        }
    }

    /// Whether there is such a ref, including a broken one: reading it then fails.
    pub(super) fn ref_exists(&self, full_name: &str) -> bool {
        // A name that no ref can have is one that does not exist.
        let absent = [ErrorCode::NotFound, ErrorCode::InvalidSpec];
        let found = self.inner.find_reference(full_name);
        found.map_or_else(|e| !absent.contains(&e.code()), |_| true)
    }

    /// The names below `prefix`, without it.
    pub(super) fn short_names(&self, prefix: &str) -> Result<Vec<String>> {
        let refs = self.list_refs(|name| name.starts_with(prefix))?.refs;
        let names = refs.iter().filter_map(|one| one.name.strip_prefix(prefix));
        Ok(names.map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    use crate::git::testing::TestRepo;

    #[test]
    fn every_branch_that_git_takes_is_found_by_its_name() {
        let repo = TestRepo::new();
        repo.commit("a", "1");
        let head = git2::Oid::from_str(&repo.head()).unwrap();
        let git = git2::Repository::open(repo.path()).unwrap();
        let opened = repo.open();
        let mut runner = TestRunner::new(Config {
            source_file: Some(file!()),
            ..Config::default()
        });
        // Names that a shell and git's revision syntax interpret.
        let name = "[a-z$`'\"|;&(){}<>%!@=#,é+-]{1,8}(/[a-z$`'\"|;&(){}<>%!@=#,é.+-]{0,4}[a-z])?";
        let ran = runner.run(&name, |name| {
            let full = format!("refs/heads/{name}");
            prop_assume!(git2::Reference::is_valid_name(&full) && name != "main");
            let Ok(mut made) = git.reference(&full, head, true, "") else {
                // A folder of `main`, say.
                return Ok(());
            };
            let located = opened.locate(Some(&name));
            let found = located.and_then(|located| opened.resolve(located));
            made.delete().unwrap();
            let found = found.map_err(|e| TestCaseError::fail(format!("{name:?}: {e}")))?;
            prop_assert_eq!(found.ref_name, full);
            prop_assert_eq!(found.commit.to_string(), head.to_string());
            Ok(())
        });
        ran.unwrap();
    }
}
