//! How far an image's commit is behind a branch, without reading more history than needed.

use std::collections::{BinaryHeap, HashMap};

use git2::Oid;

use super::{CommitId, Repository};
use crate::image::Staleness;

/// A `limit` for [`Repository::compare`]; reaching it takes 10 to 80 ms (reading a commit
/// takes 7 to 15 µs in repositories of both 80,000 and 1,000,000 commits).
pub const COMPARE_LIMIT: usize = 5_000;

impl Repository {
    /// Compares the commit `baked` with the tip of `tip_ref` (a full ref name, or the full id of
    /// a commit). It reads at most about `limit` commits, however much history is between them.
    ///
    /// Whether one commit is an ancestor of the other is exact, whatever the commits' dates.
    /// Counts can only be wrong where commits are dated long before their own ancestors.
    pub fn compare(&self, baked: &str, tip_ref: &str, limit: usize) -> Staleness {
        let Ok(baked) = baked.parse::<CommitId>() else {
            return Staleness::unknown(format!("`{baked}` is not the id of a commit"));
        };
        let tip = match tip_ref.parse::<CommitId>() {
            Ok(id) => id,
            Err(_) => match self.read_ref(tip_ref) {
                Ok(id) => id,
                Err(_) => {
                    return Staleness::unknown(format!("`{tip_ref}` is not in `{}`", self.root()));
                }
            },
        };
        if let Some(gone) = [baked, tip].iter().find(|id| !self.has_commit(id)) {
            return Staleness::unknown(format!(
                "commit `{}` is not in `{}`",
                gone.short(),
                self.root()
            ));
        }
        if baked == tip {
            return Staleness::Current;
        }
        let mut walk = Walk::new(self, limit);
        match walk.run(tip.oid(), baked.oid()) {
            Ok(complete) => walk.verdict(tip.oid(), baked.oid(), complete),
            Err(e) => Staleness::unknown(e.message().to_owned()),
        }
    }
}

/// Reachable from the tip.
const TIP: u8 = 1;
/// Reachable from the baked commit.
const BAKED: u8 = 2;
const BOTH: u8 = TIP | BAKED;

/// How many commits that both reach are visited after the histories have met, so that counts are right
/// even if some commits in between have wrong dates. (git has a similar margin.)
const MARGIN: usize = 64;

/// A commit that was read.
struct Visit {
    time: i64,
    parents: Vec<Oid>,
    reached: u8,
    is_queued: bool,
}

/// Walks both histories at once, newest commits first, and marks each commit with who reaches it.
struct Walk<'a> {
    repository: &'a Repository,
    limit: usize,
    visits: HashMap<Oid, Visit>,
    queue: BinaryHeap<(i64, Oid)>,
    /// How many commits in the queue only one side has reached.
    open: usize,
    /// How many more to visit once no commit is open.
    margin: usize,
}

impl<'a> Walk<'a> {
    fn new(repository: &'a Repository, limit: usize) -> Self {
        Walk {
            repository,
            limit,
            visits: HashMap::new(),
            queue: BinaryHeap::new(),
            open: 0,
            margin: MARGIN,
        }
    }

    /// Walks until all remaining commits are reached by both: then it is known which is an ancestor, because
    /// nothing below a commit that both reach can change that. False if the limit was reached first.
    fn run(&mut self, tip: Oid, baked: Oid) -> Result<bool, git2::Error> {
        self.reach(tip, TIP)?;
        self.reach(baked, BAKED)?;
        while self.open > 0 || self.margin > 0 {
            if self.visits.len() >= self.limit {
                return Ok(self.open == 0);
            }
            let Some((_, id)) = self.queue.pop() else {
                break;
            };
            if self.open == 0 {
                self.margin -= 1;
            }
            let Some(visit) = self.visits.get_mut(&id) else {
                continue;
            };
            visit.is_queued = false;
            let (reached, parents) = (visit.reached, visit.parents.clone());
            if reached != BOTH {
                self.open -= 1;
            }
            for parent in parents {
                self.reach(parent, reached)?;
            }
        }
        Ok(true)
    }

    /// Records that `side` reaches the commit, and queues it if that is new.
    fn reach(&mut self, id: Oid, side: u8) -> Result<(), git2::Error> {
        let visit = match self.visits.entry(id) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let commit = self.repository.inner.find_commit(id)?;
                entry.insert(Visit {
                    time: commit.time().seconds(),
                    parents: commit.parent_ids().collect(),
                    reached: 0,
                    is_queued: false,
                })
            }
        };
        let before = visit.reached;
        visit.reached |= side;
        if visit.reached == before {
            return Ok(());
        }
        if visit.is_queued {
            // It was open for one side, and now both reach it.
            self.open -= 1;
            return Ok(());
        }
        if before != 0 {
            // It had been counted for one side; its ancestors may have been, too.
            self.margin = MARGIN;
        }
        visit.is_queued = true;
        self.open += usize::from(visit.reached != BOTH);
        self.queue.push((visit.time, id));
        Ok(())
    }

    fn verdict(&self, tip: Oid, baked: Oid, complete: bool) -> Staleness {
        let reached = |id| self.visits.get(&id).map_or(0, |visit| visit.reached);
        // A commit in the queue may turn out to be reached by both.
        let count = |side| {
            let settled = self.visits.values().filter(|visit| !visit.is_queued);
            settled.filter(|visit| visit.reached == side).count()
        };
        let (behind, ahead) = (count(TIP), count(BAKED));
        let at_least = !complete;
        if reached(baked) == BOTH {
            return Staleness::Behind {
                commits: behind,
                at_least,
            };
        }
        if reached(tip) == BOTH {
            return Staleness::Ahead {
                commits: ahead,
                at_least,
            };
        }
        if !complete {
            return Staleness::FarApart { behind, ahead };
        }
        if self.repository.is_shallow() {
            return Staleness::unknown(format!(
                "`{}` is a shallow clone: its history ends before the commits meet",
                self.repository.root()
            ));
        }
        Staleness::Diverged { behind, ahead }
    }
}

#[cfg(test)]
mod tests;
