//! The repository that a label or a record names by its path.

use std::path::Path;

use super::Repository;
use crate::error::{Error, Result};

impl Repository {
    /// Opens the repository whose [`root`](Self::root) is `path`, and not one around it: if this one
    /// is gone, nothing may be written to another.
    ///
    /// # Errors
    /// As [`Repository::discover`]; `NotFound` if `path` is inside another repository.
    pub fn at(path: &str) -> Result<Self> {
        let found = Self::discover(Path::new(path))?;
        let root = Path::new(path).canonicalize();
        if root.is_ok_and(|root| root == Path::new(found.root())) {
            return Ok(found);
        }
        let around = format!("it is part of the repository `{}`", found.root());
        Err(
            Error::not_found(format!("there is no git repository at `{path}` any more"))
                .cause(around),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::git::testing::{TestRepo, git_in};

    #[test]
    fn a_repository_is_found_by_its_root_and_by_no_other_path() {
        let repo = TestRepo::new();
        repo.commit("dir/a", "1");
        let path = repo.path().to_str().unwrap();
        let other = tempfile::tempdir().unwrap();
        let link = other.path().join("link");
        std::os::unix::fs::symlink(path, &link).unwrap();
        let bare = other.path().canonicalize().unwrap().join("linux.git");
        git_in(other.path(), &["clone", "-q", "--bare", path, "linux.git"]);
        for (named, root) in [(path, path), (link.to_str().unwrap(), path)] {
            assert_eq!(Repository::at(named).unwrap().root(), root);
        }
        let bare = bare.to_str().unwrap();
        assert_eq!(Repository::at(bare).unwrap().root(), bare);
        for part in ["dir", ".git"] {
            let within = repo.path().join(part);
            let error = Repository::at(within.to_str().unwrap()).err().unwrap();
            assert_eq!(error.kind, Kind::NotFound, "{part}");
        }
    }
}
