//! Reading one file of a commit without checking anything out.

use git2::ObjectType;

use super::{CommitId, Repository};
use crate::error::{Error, Result};

/// What a commit's tree holds under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileAt {
    /// Nothing.
    Missing,
    /// A regular file, executable or not, as it is stored: no filter and no line ending applied.
    Regular(Vec<u8>),
    /// A regular file of more bytes than were allowed; it was not loaded.
    TooLarge(usize),
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A submodule.
    Submodule,
}

/// The bits of a tree entry's mode that say it is a symbolic link (gitformat-index(5)).
const MODE_SYMLINK: i32 = 0o120_000;

impl Repository {
    /// Reads the file `name` (a path relative to the root) of `commit`, if it has at most `limit`
    /// bytes.
    ///
    /// # Errors
    /// If the commit does not exist, or one of the objects on the way is missing or corrupt.
    pub fn read_file_at(&self, commit: &CommitId, name: &str, limit: usize) -> Result<FileAt> {
        let failed = |e: git2::Error| {
            Error::failed(format!(
                "cannot read `{name}` of commit `{}` in `{}`",
                commit.short(),
                self.root()
            ))
            .cause(e.message())
        };
        let commit = self.inner.find_commit(commit.oid()).map_err(failed)?;
        let mut tree = commit.tree().map_err(failed)?;
        let (parents, last) = name.rsplit_once('/').unwrap_or(("", name));
        // Not `Tree::get_path`: it reports a missing tree in the same way as a missing entry.
        for parent in parents.split('/').filter(|part| !part.is_empty()) {
            let Some(entry) = tree.get_name(parent) else {
                return Ok(FileAt::Missing);
            };
            if entry.kind() != Some(ObjectType::Tree) {
                return Ok(FileAt::Missing);
            }
            let id = entry.id();
            drop(entry);
            tree = self.inner.find_tree(id).map_err(failed)?;
        }
        let Some(entry) = tree.get_name(last) else {
            return Ok(FileAt::Missing);
        };
        match entry.kind() {
            Some(ObjectType::Tree) => return Ok(FileAt::Directory),
            Some(ObjectType::Commit) => return Ok(FileAt::Submodule),
            _ if entry.filemode() == MODE_SYMLINK => return Ok(FileAt::Symlink),
            _ => {}
        }
        let odb = self.inner.odb().map_err(failed)?;
        let (size, _) = odb.read_header(entry.id()).map_err(failed)?;
        if size > limit {
            return Ok(FileAt::TooLarge(size));
        }
        let blob = self.inner.find_blob(entry.id()).map_err(failed)?;
        Ok(FileAt::Regular(blob.content().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::TestRepo;

    #[test]
    fn each_kind_of_entry_is_told_apart() {
        let repo = TestRepo::new();
        let base = repo.commit("plain", "a\r\nb");
        repo.commit("empty", "");
        repo.commit("dir/inner", "in");
        repo.git(&["update-index", "--chmod=+x", "empty"]);
        std::os::unix::fs::symlink("plain", repo.path().join("link")).unwrap();
        repo.git(&["add", "link"]);
        let submodule = format!("160000,{base},sub");
        repo.git(&["update-index", "--add", "--cacheinfo", &submodule]);
        repo.git(&["commit", "-q", "-m", "kinds"]);
        // What is checked out does not matter.
        repo.write("plain", "changed");

        let commit = repo.head().parse().unwrap();
        let opened = repo.open();
        let read = |name: &str| opened.read_file_at(&commit, name, 4).unwrap();
        assert_eq!(read("plain"), FileAt::Regular(b"a\r\nb".to_vec()));
        assert_eq!(read("empty"), FileAt::Regular(Vec::new()));
        assert_eq!(read("dir/inner"), FileAt::Regular(b"in".to_vec()));
        assert_eq!(read("link"), FileAt::Symlink);
        assert_eq!(read("dir"), FileAt::Directory);
        assert_eq!(read("sub"), FileAt::Submodule);
        assert_eq!(read("absent"), FileAt::Missing);
        assert_eq!(read("plain/absent"), FileAt::Missing);
        let small = opened.read_file_at(&commit, "plain", 3).unwrap();
        assert_eq!(small, FileAt::TooLarge(4));
    }

    #[test]
    fn a_missing_object_is_an_error_and_not_a_missing_file() {
        let repo = TestRepo::new();
        let commit = repo.commit("a", "1").parse().unwrap();
        let blob = repo.git(&["rev-parse", "HEAD:a"]);
        let file = format!(".git/objects/{}/{}", &blob[..2], &blob[2..]);
        std::fs::remove_file(repo.path().join(file)).unwrap();
        let error = repo.open().read_file_at(&commit, "a", 10).unwrap_err();
        assert!(
            error.message.contains("cannot read `a` of commit"),
            "{error}"
        );
        assert_eq!(error.causes.len(), 1);
    }
}
