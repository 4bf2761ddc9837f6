//! Which loose objects are in use: they are copied with the packs, and unreachable ones are not.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use git2::Oid;

use super::Repository;
use super::pack_index::PackIndex;
use super::packs::Packs;

type Reason = String;

impl Repository {
    /// The ids of the loose objects that `tips` reach, sorted.
    ///
    /// What the largest pack reaches is in it: a clone or a repack wrote it whole. So only commits
    /// that are not in it are walked, with their trees; git's own `--unpacked` would trust every
    /// pack, and a fetched pack leaves out what the repository had at that time, in loose objects of
    /// branches that may have been deleted since.
    ///
    /// # Errors
    /// The reason why the packs cannot be copied unchanged: an object in use is in a cruft pack, or the
    /// objects cannot be walked.
    pub fn loose_in_use(
        &self,
        packs: &Packs,
        tips: &BTreeSet<String>,
    ) -> Result<Vec<String>, Reason> {
        let loose = loose_ids(packs)?;
        if loose.is_empty() && packs.cruft.is_empty() {
            return Ok(Vec::new());
        }
        let indexes = open_all(&packs.indexes())?;
        let cruft = !packs.cruft.is_empty();
        let whole = |id: &Oid| match indexes.first() {
            Some(index) => holds(index, id),
            None => Ok(false),
        };
        let (tips, boundary) = self.outside(tips, &whole)?;
        let mut used = BTreeSet::new();
        self.each_object(&tips, &boundary, &mut |id| {
            if loose.contains(&id) {
                used.insert(id.to_string());
                return Ok(());
            }
            let mut packed = !cruft;
            for index in &indexes {
                packed = packed || holds(index, &id)?;
            }
            if packed {
                Ok(())
            } else {
                Err("a cruft pack holds objects that are in use".to_owned())
            }
        })?;
        Ok(used.into_iter().collect())
    }

    /// The tips that are not in `whole`, and the commits in it that they reach.
    fn outside(
        &self,
        tips: &BTreeSet<String>,
        whole: &dyn Fn(&Oid) -> Result<bool, Reason>,
    ) -> Result<(Vec<Oid>, Vec<Oid>), Reason> {
        let lost =
            |e: git2::Error| format!("cannot read the repository's commits ({})", e.message());
        let mut outside = Vec::new();
        let mut boundary = Vec::new();
        let mut seen = HashSet::new();
        let mut queue = Vec::new();
        for tip in tips {
            let id: Oid = tip.parse().map_err(lost)?;
            if whole(&id)? {
                continue;
            }
            outside.push(id);
            let object = self.inner.find_object(id, None).map_err(lost)?;
            // A tag of a blob or a tree has no commits.
            if let Ok(commit) = object.peel_to_commit() {
                queue.push(commit.id());
            }
        }
        while let Some(id) = queue.pop() {
            if !seen.insert(id) {
                continue;
            }
            if whole(&id)? {
                boundary.push(id);
                continue;
            }
            let commit = self.inner.find_commit(id).map_err(lost)?;
            queue.extend(commit.parent_ids());
        }
        Ok((outside, boundary))
    }

    /// Calls `each` for every object that `tips` reach and the commits of `boundary` do not.
    fn each_object(
        &self,
        tips: &[Oid],
        boundary: &[Oid],
        each: &mut dyn FnMut(Oid) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        if tips.is_empty() {
            return Ok(());
        }
        let mut reason = None;
        let walked = self.rev_list("--no-object-names", tips, boundary, &mut |line| {
            let each = line
                .parse()
                .map_err(|e| unwalkable(&e))
                .and_then(&mut *each);
            each.map_err(|e| reason = Some(e)).is_ok()
        });
        match reason {
            Some(reason) => Err(reason),
            None => walked.map_err(|e| unwalkable(&e)),
        }
    }
}

fn unwalkable(e: &dyn std::fmt::Display) -> Reason {
    format!("cannot walk the repository's objects ({e})")
}

fn open_all(paths: &[PathBuf]) -> Result<Vec<PackIndex>, Reason> {
    let open = |path: &PathBuf| PackIndex::open(path).map_err(|e| unreadable(path, &e));
    paths.iter().map(open).collect()
}

fn holds(index: &PackIndex, id: &Oid) -> Result<bool, Reason> {
    let id = id.as_bytes().try_into().expect("an id has 20 bytes");
    let found = index.contains(id);
    found.map_err(|e| format!("cannot read a pack's index ({e})"))
}

/// The ids of all loose objects in the object directories.
fn loose_ids(packs: &Packs) -> Result<HashSet<Oid>, Reason> {
    let mut ids = HashSet::new();
    for objects in &packs.objects {
        for first in 0..=255_u8 {
            let first = format!("{first:02x}");
            let Ok(entries) = fs::read_dir(objects.join(&first)) else {
                continue;
            };
            for entry in entries {
                let entry = entry.map_err(|e| unreadable(objects, &e))?;
                let rest = entry.file_name();
                // Others are leftovers: `tmp_obj_…`.
                let name = rest.to_str().filter(|rest| rest.len() == 38);
                let id = name.and_then(|rest| Oid::from_str(&format!("{first}{rest}")).ok());
                ids.extend(id);
            }
        }
    }
    Ok(ids)
}

fn unreadable(path: &Path, e: &std::io::Error) -> Reason {
    format!("cannot read `{}` ({e})", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::TestRepo;

    fn in_use(repo: &TestRepo) -> Result<Vec<String>, Reason> {
        let refs = repo.git(&["for-each-ref", "--format=%(objectname)"]);
        let tips = refs.lines().map(str::to_owned).collect();
        let opened = repo.open();
        opened.loose_in_use(&opened.packs()?, &tips)
    }

    fn expire(repo: &TestRepo) {
        repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    }

    #[test]
    fn what_is_reached_is_found_and_garbage_is_not() {
        let repo = TestRepo::new();
        repo.commit("a", "1");
        repo.write("garbage", "secret");
        let garbage = repo.git(&["hash-object", "-w", "garbage"]);
        let all: BTreeSet<String> = repo
            .git(&["rev-list", "--objects", "--no-object-names", "--all"])
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(in_use(&repo).unwrap(), Vec::from_iter(all));
        assert!(!in_use(&repo).unwrap().contains(&garbage));

        repo.git(&["repack", "-adq"]);
        repo.git(&["prune-packed"]);
        assert_eq!(in_use(&repo).unwrap(), Vec::<String>::new());
        repo.commit("b", "2");
        let new = repo.git(&["rev-list", "--objects", "--no-object-names", "HEAD^.."]);
        let new: BTreeSet<&str> = new.lines().collect();
        assert_eq!(in_use(&repo).unwrap(), Vec::from_iter(new));
    }

    #[test]
    fn a_loose_object_behind_a_packed_commit_is_found() {
        let repo = TestRepo::new();
        for number in 0..20 {
            repo.commit("big", &number.to_string());
        }
        repo.git(&["repack", "-adq"]);
        repo.git(&["prune-packed"]);
        repo.commit("a", "squashed");
        let blob = repo.git(&["rev-parse", "HEAD:a"]);
        // A pack with the commit and its tree alone, as a fetch leaves it when the file was there.
        let tree = repo.git(&["rev-parse", "HEAD^{tree}"]);
        let list = repo.path().join("list");
        std::fs::write(&list, format!("{}\n{tree}\n", repo.head())).unwrap();
        let packed = std::process::Command::new("git")
            .current_dir(repo.path())
            .args(["pack-objects", "-q", ".git/objects/pack/pack"])
            .stdin(std::fs::File::open(list).unwrap())
            .output()
            .unwrap();
        assert!(packed.status.success());
        repo.git(&["prune-packed"]);
        assert_eq!(in_use(&repo).unwrap(), [blob]);
    }

    #[test]
    fn a_cruft_pack_matters_only_if_something_in_it_is_used() {
        let repo = TestRepo::new();
        repo.commit("a", "1");
        let lost = repo.commit("b", "2");
        repo.git(&["reset", "-q", "--hard", "HEAD~"]);
        expire(&repo);
        repo.git(&["gc", "-q", "--cruft", "--prune=1.day.ago"]);
        assert_eq!(in_use(&repo).unwrap(), Vec::<String>::new());
        repo.git(&["branch", "found", &lost]);
        let reason = in_use(&repo).unwrap_err();
        assert!(reason.contains("cruft pack"), "{reason}");
    }

    #[test]
    fn a_lost_commit_is_a_reason() {
        let repo = TestRepo::new();
        repo.commit("a", "1");
        let gone = repo.commit("b", "2");
        repo.commit("c", "3");
        let (first, rest) = gone.split_at(2);
        std::fs::remove_file(repo.path().join(format!(".git/objects/{first}/{rest}"))).unwrap();
        assert!(in_use(&repo).is_err());
    }
}
