//! Which refs of the host an image holds, and under which names.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use git2::{ObjectType, Oid};

use super::ref_list::ListedRef;
use super::{CommitId, Repository, Target, TargetKind};
use crate::error::Result;

/// Where the host's branches, or those of one of its remotes, are in an image.
const IN_IMAGE: &str = "refs/remotes/host/";
const TAGS: &str = "refs/tags/";
/// The refs that every branch image of a repository may need objects of.
const SHARED: [&str; 3] = ["refs/heads/", "refs/remotes/", TAGS];
/// Keeps the commit that an object image was built for, which may not be on any branch.
const KEPT: &str = "refs/dkr/kept";

/// A ref that an image holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExportedRef {
    /// Its full name in the image.
    pub name: String,
    /// The full id of what it points to.
    pub id: String,
    /// What that points to, if it is an annotated tag.
    pub peeled: Option<String>,
}

impl Target {
    /// The prefix of the refs that the image of this target follows, where they share one: the
    /// host's branches, or what the host knows of one of its remotes.
    fn followed(&self) -> Option<&str> {
        match &self.kind {
            TargetKind::RemoteBranch(remote) => remote.tracking_ref.strip_suffix(&remote.branch),
            _ => Some("refs/heads/"),
        }
    }

    /// The refspec of the image's remote `host`.
    pub fn refspec(&self) -> String {
        match self.followed() {
            Some(prefix) => format!("+{prefix}*:{IN_IMAGE}*"),
            None => format!("+{}:{IN_IMAGE}{}", self.ref_name, self.branch),
        }
    }

    /// Whether an image of it is on a branch; tags and bare commits are checked out detached.
    pub fn is_branch(&self) -> bool {
        matches!(self.kind, TargetKind::Branch | TargetKind::RemoteBranch(_))
    }
}

impl Repository {
    /// The refs that an image of `target` holds, sorted by name. Those whose names are not UTF-8
    /// are left out: nobody could type them in a container.
    ///
    /// # Errors
    /// If the refs cannot be read.
    pub fn exported_refs(&self, target: &Target) -> Result<Vec<ExportedRef>> {
        self.refs_as(|name| {
            let inside = match target.followed() {
                Some(prefix) => name
                    .strip_prefix(prefix)
                    .map(|rest| format!("{IN_IMAGE}{rest}")),
                None => (name == target.ref_name).then(|| format!("{IN_IMAGE}{}", target.branch)),
            };
            inside.or_else(|| name.starts_with(TAGS).then(|| name.to_owned()))
        })
    }

    /// The refs that an object image holds, sorted by name: all that any branch image may need,
    /// under the names that they have here, and `commit`.
    ///
    /// # Errors
    /// If the refs cannot be read.
    pub fn shared_refs(&self, commit: &CommitId) -> Result<Vec<ExportedRef>> {
        let shared = |name: &str| SHARED.iter().any(|prefix| name.starts_with(prefix));
        let mut refs = self.refs_as(|name| shared(name).then(|| name.to_owned()))?;
        refs.push(ExportedRef {
            name: KEPT.to_owned(),
            id: commit.to_string(),
            peeled: None,
        });
        refs.sort();
        Ok(refs)
    }

    /// The refs that `inside` maps to a name, under that name, sorted.
    fn refs_as(&self, inside: impl Fn(&str) -> Option<String>) -> Result<Vec<ExportedRef>> {
        let listed = self.list_refs(|name| inside(name).is_some())?.refs;
        let export = |listed: ListedRef| {
            let id = listed.id?;
            let peeled = match listed.peeled {
                None if listed.name.starts_with(TAGS) => self.peeled(id),
                known => known,
            };
            Some(ExportedRef {
                name: inside(&listed.name)?,
                id: id.to_string(),
                peeled: peeled.map(|id| id.to_string()),
            })
        };
        let mut exported: Vec<_> = listed.into_iter().filter_map(export).collect();
        exported.sort();
        Ok(exported)
    }

    fn peeled(&self, id: Oid) -> Option<Oid> {
        let (_, kind) = self.inner.odb().ok()?.read_header(id).ok()?;
        if kind != ObjectType::Tag {
            return None;
        }
        let tag = self.inner.find_object(id, Some(kind)).ok()?;
        Some(tag.peel(ObjectType::Any).ok()?.id())
    }
}

/// The ids of the refs.
pub fn ids(refs: &[ExportedRef]) -> BTreeSet<String> {
    refs.iter().map(|exported| exported.id.clone()).collect()
}

/// The refs, sorted by name, as git's `packed-refs` file has them (refs/packed-backend.c).
pub fn packed_refs(refs: &[ExportedRef]) -> String {
    let mut text = "# pack-refs with: peeled sorted \n".to_owned();
    for exported in refs {
        let _ = writeln!(text, "{} {}", exported.id, exported.name);
        if let Some(peeled) = &exported.peeled {
            let _ = writeln!(text, "^{peeled}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::TestRepo;

    fn target(repo: &Repository, spec: &str) -> Target {
        repo.resolve(repo.locate(Some(spec)).unwrap()).unwrap()
    }

    #[test]
    fn branches_become_the_remotes_and_tags_stay() {
        let test = TestRepo::new();
        let id = test.commit("a", "a");
        test.git(&["branch", "-M", "main"]);
        test.git(&["tag", "v1"]);
        test.git(&["update-ref", "refs/remotes/space/main", "HEAD"]);
        test.git(&["remote", "add", "space", "/nonexistent"]);
        let repo = test.open();
        let names = |spec| {
            let refs = repo.exported_refs(&target(&repo, spec)).unwrap();
            assert!(refs.iter().all(|exported| exported.id == id));
            refs.into_iter()
                .map(|exported| exported.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("main"), ["refs/remotes/host/main", "refs/tags/v1"]);
        test.git(&["branch", "other"]);
        assert_eq!(
            names("space/main"),
            ["refs/remotes/host/main", "refs/tags/v1"]
        );
    }

    #[test]
    fn git_reads_the_refs_back() {
        let test = TestRepo::new();
        test.commit("a", "a");
        test.git(&["branch", "-M", "main"]);
        test.git(&["tag", "light"]);
        test.git(&["tag", "-m", "x", "packed"]);
        test.git(&["pack-refs", "--all"]);
        test.git(&["tag", "-m", "x", "annotated"]);
        test.git(&["tag", "-m", "x", "nested", "annotated"]);
        test.git(&["branch", "odd-name"]);
        test.git(&["update-ref", "refs/remotes/space/main", "HEAD"]);
        test.git(&[
            "symbolic-ref",
            "refs/remotes/space/HEAD",
            "refs/remotes/space/main",
        ]);
        test.git(&["update-ref", "refs/stash", "HEAD"]);
        let repo = test.open();
        let commit = target(&repo, "main").commit;
        let refs = repo.shared_refs(&commit).unwrap();
        assert!(ids(&refs).contains(&commit.to_string()));

        let format = "--format=%(objectname) %(*objectname) %(refname)";
        let list = || {
            test.git(&[
                "for-each-ref",
                format,
                "refs/heads",
                "refs/tags",
                "refs/dkr",
            ])
        };
        test.git(&["update-ref", KEPT, "HEAD"]);
        let before = list();
        for folder in ["heads", "tags", "dkr"] {
            std::fs::remove_dir_all(test.path().join(".git/refs").join(folder)).unwrap();
        }
        std::fs::create_dir(test.path().join(".git/refs/heads")).unwrap();
        test.write(".git/packed-refs", packed_refs(&refs));
        assert_eq!(list(), before);
        assert_eq!(before.lines().count(), 7);
    }

    #[test]
    fn the_refspec_follows_the_remote() {
        let test = TestRepo::new();
        test.commit("a", "a");
        test.git(&["branch", "-M", "main"]);
        test.git(&["remote", "add", "a/b", "/nonexistent"]);
        test.git(&["update-ref", "refs/remotes/a/b/x/y", "HEAD"]);
        let repo = test.open();
        assert_eq!(
            target(&repo, "main").refspec(),
            "+refs/heads/*:refs/remotes/host/*"
        );
        let refspec = target(&repo, "a/b/x/y").refspec();
        assert_eq!(refspec, "+refs/remotes/a/b/*:refs/remotes/host/*");
    }
}
