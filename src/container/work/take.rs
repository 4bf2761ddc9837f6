//! Bringing a container's work into the host's repository, whether the container runs or not.
//!
//! The container says which commits there are and packs them; dkr decides which refs they become,
//! and git's hardened `receive-pack` checks the pack before any of them is written.

use std::collections::BTreeSet;

use tokio::io::AsyncWriteExt;

use super::host::{SavedRefs, on_host};
use super::probe::{Probe, SCRIPT};
use super::report::WorkReport;
use super::unsaved::UnsavedWork;
use crate::engine::ListedContainer;
use crate::engine::containers::ExitStatus;
use crate::engine::question::{Tail, UNREAD};
use crate::engine::streams::Streams;
use crate::env::Env;
use crate::error::{Error, Reason, Result, quoted};
use crate::git::serve::{Program, RefUpdate, Service};
use crate::git::{CommitAt, CommitId, Repository};

/// The capacity of the pipe for a pack, in bytes.
const BUFFER: usize = 256 * 1024;
/// Packs the revisions that it reads on standard input.
const PACK: [&str; 8] = [
    "git",
    "-C",
    "/workspace",
    "pack-objects",
    "--revs",
    "--thin",
    "--stdout",
    "--quiet",
];

/// A ref that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The ref and its commit.
    pub update: RefUpdate,
    /// What the ref holds: `the branch`, `the uncommitted changes`, …
    pub what: String,
}

impl Taken {
    fn new(name: String, commit: &str, what: String) -> Self {
        let commit = commit.to_owned();
        let update = RefUpdate { name, commit };
        Taken { update, what }
    }
}

/// The result of taking work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeResult {
    /// The refs that were written; empty if there was nothing new.
    pub taken: Vec<Taken>,
    /// What could not be taken.
    pub left: UnsavedWork,
    /// What your repository refused or the container could not pack, and why.
    pub refused: Vec<(String, String)>,
    /// Files that were taken unfiltered: full paths.
    pub raw: Vec<String>,
    /// Nested repositories and files that git cannot save: full paths.
    pub untaken: Vec<String>,
}

/// Takes the work of a container, all of it at once, except what leads to missing or broken objects.
/// With `force`, its branch replaces one on the host that has other commits.
///
/// # Errors
/// When the container cannot be checked, or git refuses; then nothing was taken.
pub async fn take(
    probe: &Probe<'_>,
    container: &ListedContainer,
    repo: &Repository,
    force: bool,
    env: &Env,
) -> Result<TakeResult> {
    let take = async || take_awake(probe, container, repo, force, env).await;
    probe.awake(&container.id, take).await
}

async fn take_awake(
    probe: &Probe<'_>,
    container: &ListedContainer,
    repo: &Repository,
    force: bool,
    env: &Env,
) -> Result<TakeResult> {
    let report = snapshot(probe, container).await?;
    let places = SavedRefs::of(container);
    let safe = repo.on_some_ref(&report.ends().collect::<Vec<_>>());
    let taken = repo.commits_below(&places.all_taken());
    let plan = Plan {
        report: &report,
        places: &places,
        container: &container.id.0,
        is_safe: &|id: &str| safe.contains(id),
        is_taken: &|id: &str| taken.contains(id),
        wip: repo.commit_at(&places.wip()),
    };
    let delivery = Delivery {
        probe,
        container,
        repo,
        report: &report,
        force,
        env,
    };
    let delivered = delivery.run(plan.make()).await;
    let (taken, refused) = delivered.map_err(|error| explained(error, container, &places))?;
    let left = UnsavedWork::of(&report, &on_host(Some(repo), &places, &report));
    let untaken = [report.repositories, report.unsaved].concat();
    Ok(TakeResult {
        taken,
        left,
        refused,
        raw: report.raw,
        untaken,
    })
}

async fn snapshot(probe: &Probe<'_>, container: &ListedContainer) -> Result<WorkReport> {
    let id = &container.id;
    let attempt = format!("cannot save the work in container `{id}`");
    probe.save(id, &[SCRIPT, "take", &id.0], attempt).await
}

/// Adds a cause and a hint to git's refusal.
fn explained(error: Error, container: &ListedContainer, places: &SavedRefs) -> Error {
    let branch = places.branch().unwrap_or_default();
    match error.reason {
        Some(Reason::NonFastForward) => error
            .cause(format!(
                "`{branch}` has commits that the container does not have"
            ))
            .hint(format!(
                "replace it with `dkr take --force {}`",
                quoted(&container.name)
            )),
        Some(Reason::CheckedOut) => error.hint(format!(
            "switch to another branch where `{branch}` is checked out"
        )),
        _ => error,
    }
}

/// The input for deciding which refs to write.
struct Plan<'a> {
    report: &'a WorkReport,
    places: &'a SavedRefs,
    container: &'a str,
    is_safe: &'a dyn Fn(&str) -> bool,
    is_taken: &'a dyn Fn(&str) -> bool,
    wip: Option<CommitAt>,
}

impl Plan<'_> {
    fn make(&self) -> Vec<Taken> {
        let report = self.report;
        let work = format!("refs/heads/{}", self.places.name());
        let is_new = |id: &String| !(self.is_safe)(id);
        let new = || report.tips.iter().filter(|(id, _)| is_new(id));
        let mut taken: Vec<Taken> = Vec::new();
        if let Some((id, _)) = new().find(|(_, name)| *name == work)
            && let Some(branch) = self.places.branch()
        {
            let what = format!("the branch `{}`", self.places.name());
            taken.push(Taken::new(branch, id, what));
        }
        for (id, name) in new() {
            if !taken.iter().any(|taken| taken.update.commit == *id) {
                taken.push(self.alone(id, describe(name)));
            }
        }
        for operation in report.operations.iter().filter(|one| one.can_be_taken()) {
            let head = report.head_of(operation);
            if (self.is_taken)(head) {
                continue;
            }
            // A branch may point to the same commit.
            let what = format!("HEAD in the middle of a {}", operation.name);
            let head = self.alone(head, what);
            taken.retain(|taken| taken.update.name != head.update.name);
            taken.push(head);
        }
        for worktree in report.worktrees.iter().filter(|tree| is_new(&tree.commit)) {
            let what = format!(
                "the uncommitted changes of the worktree `{}`",
                worktree.path
            );
            taken.push(self.alone(&worktree.commit, what));
        }
        for (_, id) in report.staged.iter().filter(|(_, id)| is_new(id)) {
            taken.push(self.alone(id, "staged versions of files".to_owned()));
        }
        for id in report.stash.iter().filter(|id| is_new(id)) {
            taken.push(self.alone(id, "a stash entry".to_owned()));
        }
        taken.extend(self.uncommitted());
        // A branch may point to a stash entry.
        let mut names = BTreeSet::new();
        taken.retain(|taken| names.insert(taken.update.name.clone()));
        taken
    }

    /// A ref for a single commit.
    fn alone(&self, commit: &str, what: String) -> Taken {
        Taken::new(self.places.taken(commit), commit, what)
    }

    /// The uncommitted changes, and those of another container that they replace.
    fn uncommitted(&self) -> Vec<Taken> {
        let report = self.report;
        let Some(wip) = &report.wip else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        if let Some(before) = &self.wip {
            let same = Some(&before.tree) == report.tree.as_ref();
            if same && before.parent.as_ref() == Some(&report.head) {
                return Vec::new();
            }
            if !before.message.contains(self.container) {
                let what =
                    "the uncommitted changes of an earlier container of that name".to_owned();
                taken.push(self.alone(&before.id, what));
            }
        }
        let what = "the uncommitted changes".to_owned();
        taken.push(Taken::new(self.places.wip(), wip, what));
        taken
    }
}

/// What messages call a ref of the container, or a detached HEAD.
fn describe(name: &str) -> String {
    let kinds = [
        ("refs/heads/", "the branch"),
        ("refs/tags/", "the commit of the tag"),
    ];
    for (prefix, kind) in kinds {
        if let Some(name) = name.strip_prefix(prefix) {
            return format!("{kind} `{name}`");
        }
    }
    if name.ends_with("/orig-head") {
        return "HEAD from before the rebase".to_owned();
    }
    match name.strip_suffix("/HEAD") {
        Some(worktree) => format!("the detached HEAD of `{worktree}`"),
        None if name == "HEAD" => "the detached HEAD".to_owned(),
        None => format!("`{name}`"),
    }
}

/// How many deliveries to try when git refuses all refs together.
const TRIES: usize = 200;

/// Delivers refs to the repository.
struct Delivery<'a> {
    probe: &'a Probe<'a>,
    container: &'a ListedContainer,
    repo: &'a Repository,
    report: &'a WorkReport,
    force: bool,
    env: &'a Env,
}

impl Delivery<'_> {
    /// Delivers all refs at once. If one of them leads to a missing or broken object, halves the set
    /// until only the good refs are left. Returns what was written, and the rest with the reasons.
    async fn run(&self, refs: Vec<Taken>) -> Result<(Vec<Taken>, Vec<(String, String)>)> {
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        let mut first = None;
        let mut parts = vec![refs];
        let mut tries = 0;
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            tries += 1;
            let Err(error) = self.deliver(&part).await else {
                taken.extend(part);
                continue;
            };
            // One ref leads to a bad object: the others may be fine.
            if error.reason != Some(Reason::BadObject) {
                return Err(error);
            }
            let reason = error.causes.last().unwrap_or(&error.message).clone();
            first.get_or_insert(error);
            if part.len() > 1 && tries < TRIES {
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
            } else {
                refused.extend(part.into_iter().map(|one| (one.what, reason.clone())));
            }
        }
        match first {
            Some(error) if taken.is_empty() => Err(error),
            _ => Ok((taken, refused)),
        }
    }

    async fn deliver(&self, taken: &[Taken]) -> Result<()> {
        let updates: Vec<RefUpdate> = taken.iter().map(|taken| taken.update.clone()).collect();
        let refs = updates.iter().map(|update| update.name.clone()).collect();
        let force = self.force;
        let service = Service::new(self.repo.git_dir(), Program::Deliver { refs, force })?;
        let revisions = revisions(self.repo, self.report, &updates);
        let id = &self.container.id;
        let (mut far, near) = tokio::io::duplex(BUFFER);
        let mut errors = Tail::default();
        let packing = async {
            let streams = Streams {
                stdin: Some(revisions.as_bytes()),
                stdout: &mut far,
                stderr: &mut errors,
            };
            let packed = self.probe.pipe(id, &PACK, streams, false).await;
            // If the reader is gone, it reports the reason itself.
            let _ = far.shutdown().await;
            drop(far);
            packed
        };
        let (packed, delivered) = tokio::join!(packing, service.deliver(&updates, near, self.env));
        match packed? {
            ExitStatus(0) | UNREAD => delivered,
            status => {
                let error = Error::failed(format!("cannot pack the work in container `{id}`"));
                Err(error.cause(errors.reason(status)).reason(Reason::BadObject))
            }
        }
    }
}

/// The revisions to pack, and those that the host already has.
fn revisions(repo: &Repository, report: &WorkReport, updates: &[RefUpdate]) -> String {
    let is_here = |id: &String| {
        let id = id.parse::<CommitId>();
        id.is_ok_and(|id| repo.has_commit(&id))
    };
    let known = [&report.fork, &report.base].into_iter().flatten();
    let known = known.chain([&report.head]).chain(&report.have);
    let known = known.filter(|id| is_here(id)).map(|id| format!("^{id}\n"));
    // A commit that is already here is older work of another container.
    let wanted = updates.iter().map(|update| &update.commit);
    let wanted = wanted.filter(|id| !is_here(id)).map(|id| format!("{id}\n"));
    wanted.chain(known).collect()
}

#[cfg(test)]
mod tests;
