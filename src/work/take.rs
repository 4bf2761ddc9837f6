//! Bringing a container's work into the host's repository, whether the container runs or not.
//!
//! The container says which commits there are and packs them; dkr decides which refs they become,
//! and git's hardened `receive-pack` checks the pack before any of them is written.

use std::collections::BTreeSet;

use tokio::io::AsyncWriteExt;

use super::ask::{Probe, SCRIPT};
use super::host::{Places, on_host};
use super::report::Report;
use super::safety::OnlyThere;
use crate::engine::ListedContainer;
use crate::engine::containers::ExitStatus;
use crate::engine::question::{Tail, UNREAD};
use crate::engine::streams::Streams;
use crate::env::Env;
use crate::error::{Error, Result, quoted};
use crate::git::service::{Program, RefUpdate, Service};
use crate::git::{CommitAt, CommitId, Repository};

/// Bytes of a pack on their way.
const BUFFER: usize = 256 * 1024;
/// Packs what standard input names.
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
    /// What it is: `the branch`, `the uncommitted state`, …
    pub what: String,
}

impl Taken {
    fn new(name: String, commit: &str, what: String) -> Self {
        let commit = commit.to_owned();
        let update = RefUpdate { name, commit };
        Taken { update, what }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The refs that were written; none if there was nothing new.
    pub taken: Vec<Taken>,
    /// What could not be taken.
    pub left: OnlyThere,
    /// Files that were taken as they are, without their filters: full paths.
    pub raw: Vec<String>,
    /// Repositories in the repository and files that git cannot save: full paths.
    pub untaken: Vec<String>,
}

/// Takes the work of a container. With `force`, its branch takes the place of one on the host that
/// has other commits.
///
/// # Errors
/// When the container cannot be asked, or git refuses: nothing was taken then.
pub async fn take(
    probe: &Probe<'_>,
    container: &ListedContainer,
    repo: &Repository,
    force: bool,
    env: &Env,
) -> Result<Outcome> {
    let take = async || take_awake(probe, container, repo, force, env).await;
    probe.awake(&container.id, take).await
}

async fn take_awake(
    probe: &Probe<'_>,
    container: &ListedContainer,
    repo: &Repository,
    force: bool,
    env: &Env,
) -> Result<Outcome> {
    let report = snapshot(probe, container).await?;
    let places = Places::of(container);
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
    let taken = plan.make();
    if !taken.is_empty() {
        let delivered = deliver(probe, container, repo, &report, &taken, force, env).await;
        delivered.map_err(|error| refused(error, container, &places))?;
    }
    let left = OnlyThere::of(&report, &on_host(Some(repo), &places, &report));
    let untaken = [report.repositories, report.unsaved].concat();
    Ok(Outcome {
        taken,
        left,
        raw: report.raw,
        untaken,
    })
}

async fn snapshot(probe: &Probe<'_>, container: &ListedContainer) -> Result<Report> {
    let id = &container.id;
    let attempt = format!("cannot save the work in container `{id}`");
    probe.save(id, &[SCRIPT, "take", &id.0], attempt).await
}

/// Adds what helps to git's words.
fn refused(error: Error, container: &ListedContainer, places: &Places) -> Error {
    let said = |words: &str| error.causes.iter().any(|cause| cause.contains(words));
    let name = &container.name;
    let branch = places.branch().unwrap_or_default();
    if said("non-fast-forward") {
        let message = format!("`{branch}` has commits that the container does not have");
        return error.cause(message).hint(format!(
            "`dkr take --force {}` replaces it all the same",
            quoted(name)
        ));
    }
    if said("checked out") {
        return error.hint(format!(
            "switch to another branch where `{branch}` is checked out"
        ));
    }
    error
}

/// What decides which refs are written.
struct Plan<'a> {
    report: &'a Report,
    places: &'a Places,
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
            // The commit may be a branch's, too.
            let what = format!("HEAD in the middle of a {}", operation.name);
            let head = self.alone(head, what);
            taken.retain(|taken| taken.update.name != head.update.name);
            taken.push(head);
        }
        for worktree in report.worktrees.iter().filter(|tree| is_new(&tree.commit)) {
            let what = format!("the uncommitted state of the worktree `{}`", worktree.path);
            taken.push(self.alone(&worktree.commit, what));
        }
        for (_, id) in report.staged.iter().filter(|(_, id)| is_new(id)) {
            taken.push(self.alone(id, "what only the index holds".to_owned()));
        }
        for id in report.stash.iter().filter(|id| is_new(id)) {
            taken.push(self.alone(id, "an entry of the stash".to_owned()));
        }
        taken.extend(self.uncommitted());
        // A branch may stand at an entry of the stash.
        let mut names = BTreeSet::new();
        taken.retain(|taken| names.insert(taken.update.name.clone()));
        taken
    }

    /// A commit by itself.
    fn alone(&self, commit: &str, what: String) -> Taken {
        Taken::new(self.places.taken(commit), commit, what)
    }

    /// The uncommitted state, and that of another container that it takes the place of.
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
                let what = "what an earlier container of that name left".to_owned();
                taken.push(self.alone(&before.id, what));
            }
        }
        let what = "the uncommitted state".to_owned();
        taken.push(Taken::new(self.places.wip(), wip, what));
        taken
    }
}

/// What a ref of the container, or a detached HEAD, is called.
fn describe(name: &str) -> String {
    let kinds = [("refs/heads/", "the branch"), ("refs/tags/", "the tag")];
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

async fn deliver(
    probe: &Probe<'_>,
    container: &ListedContainer,
    repo: &Repository,
    report: &Report,
    taken: &[Taken],
    force: bool,
    env: &Env,
) -> Result<()> {
    let updates: Vec<RefUpdate> = taken.iter().map(|taken| taken.update.clone()).collect();
    let refs = updates.iter().map(|update| update.name.clone()).collect();
    let service = Service::new(repo.git_dir(), Program::Deliver { refs, force })?;
    let revisions = revisions(repo, report, &updates);
    let (mut far, near) = tokio::io::duplex(BUFFER);
    let mut errors = Tail::default();
    let packing = async {
        let streams = Streams {
            stdin: Some(revisions.as_bytes()),
            stdout: &mut far,
            stderr: &mut errors,
        };
        let packed = probe.pipe(&container.id, &PACK, streams, false).await;
        // A reader that has gone says why itself.
        let _ = far.shutdown().await;
        drop(far);
        packed
    };
    let (packed, delivered) = tokio::join!(packing, service.deliver(&updates, near, env));
    match packed? {
        ExitStatus(0) | UNREAD => delivered,
        status => {
            let id = &container.id;
            let error = Error::failed(format!("cannot pack the work in container `{id}`"));
            Err(error.cause(errors.reason(status)))
        }
    }
}

/// What is packed, and what the host has of it already.
fn revisions(repo: &Repository, report: &Report, updates: &[RefUpdate]) -> String {
    let is_here = |id: &String| {
        let id = id.parse::<CommitId>();
        id.is_ok_and(|id| repo.has_commit(&id))
    };
    let known = [&report.fork, &report.base].into_iter().flatten();
    let known = known.chain([&report.head]).chain(&report.have);
    let known = known.filter(|id| is_here(id)).map(|id| format!("^{id}\n"));
    // What is here already is an older state of another container.
    let wanted = updates.iter().map(|update| &update.commit);
    let wanted = wanted.filter(|id| !is_here(id)).map(|id| format!("{id}\n"));
    wanted.chain(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::containers::ContainerId;
    use crate::start::labels::{PUSH_PREFIX, WORK_BRANCH};
    use crate::work::report::Operation;

    fn places() -> Places {
        let labels = [(WORK_BRANCH, "fix"), (PUSH_PREFIX, "box")];
        Places::of(&ListedContainer {
            id: ContainerId("c1".to_owned()),
            name: "fix".to_owned(),
            image: String::new(),
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            state: "running".to_owned(),
            command: String::new(),
            created: 0,
        })
    }

    fn planned(report: &Report, safe: &[&str], wip: Option<CommitAt>) -> Vec<(String, String)> {
        let plan = Plan {
            report,
            places: &places(),
            container: "c1",
            is_safe: &|id: &str| safe.contains(&id),
            is_taken: &|id: &str| safe.contains(&id),
            wip,
        };
        let taken = plan.make().into_iter();
        taken
            .map(|taken| (taken.update.name, taken.update.commit))
            .collect()
    }

    fn pairs(refs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pair = |(name, id): &(&str, &str)| ((*name).to_owned(), (*id).to_owned());
        refs.iter().map(pair).collect()
    }

    #[test]
    fn each_piece_of_work_has_its_place() {
        let tip = |id: &str, name: &str| (id.to_owned(), name.to_owned());
        let mut report = Report {
            head: "c".into(),
            tips: vec![
                tip("a", "refs/heads/fix"),
                tip("b", "refs/heads/topic"),
                tip("c", "HEAD"),
            ],
            stash: vec!["s".into()],
            tree: Some("t".into()),
            wip: Some("w".into()),
            ..Report::default()
        };
        let all = pairs(&[
            ("refs/heads/box/fix", "a"),
            ("refs/dkr/taken/fix/b", "b"),
            ("refs/dkr/taken/fix/c", "c"),
            ("refs/dkr/taken/fix/s", "s"),
            ("refs/dkr/wip/fix", "w"),
        ]);
        assert_eq!(planned(&report, &[], None), all);
        let rest = pairs(&[("refs/dkr/taken/fix/c", "c"), ("refs/dkr/wip/fix", "w")]);
        assert_eq!(planned(&report, &["a", "b", "s"], None), rest);
        report.operations = vec![Operation {
            name: "rebase".into(),
            head: None,
        }];
        report.tips.retain(|(_, name)| name != "HEAD");
        assert_eq!(planned(&report, &["a", "b", "s"], None), rest);
        report.tips[0].0 = "c".into();
        let both = pairs(&[
            ("refs/heads/box/fix", "c"),
            ("refs/dkr/taken/fix/c", "c"),
            ("refs/dkr/wip/fix", "w"),
        ]);
        assert_eq!(planned(&report, &["b", "s"], None), both);
    }

    #[test]
    fn an_uncommitted_state_is_taken_once_and_never_lost() {
        let report = Report {
            head: "h".into(),
            tree: Some("t".into()),
            wip: Some("w2".into()),
            ..Report::default()
        };
        let before = |tree: &str, container: &str| {
            Some(CommitAt {
                id: "w1".into(),
                tree: tree.into(),
                parent: Some("h".into()),
                message: format!("Uncommitted work of fix\n\nContainer: {container}\n"),
            })
        };
        assert_eq!(planned(&report, &[], before("t", "c1")), []);
        let own = pairs(&[("refs/dkr/wip/fix", "w2")]);
        assert_eq!(planned(&report, &[], before("x", "c1")), own);
        let other = pairs(&[("refs/dkr/taken/fix/w1", "w1"), ("refs/dkr/wip/fix", "w2")]);
        assert_eq!(planned(&report, &[], before("x", "c2")), other);
    }
}
