//! Images and containers as JSON (pure): the keys are a contract.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde::Serialize;

use super::stock::{Stock, Stocked};
use crate::conf::{ConfLabel, Drift};
use crate::engine::ListedContainer;
use crate::image::labels::{BRANCH_FROM, COMMIT, REPO_PATH};
use crate::image::{Row, Staleness};
use crate::start::labels::{KEEP, RUNS, working_branch};
use crate::work::Held;

/// An image in a listing.
#[derive(Debug, Clone, Serialize)]
pub struct ImageRow<'a> {
    #[serde(flatten)]
    row: Row<'a>,
    /// Bytes of the layers that it does not share with what it was built on.
    own_size: u64,
    containers: Vec<ContainerRow<'a>>,
    /// Null if it was not asked for.
    staleness: Option<StalenessRow<'a>>,
}

impl<'a> ImageRow<'a> {
    /// The row of an image.
    pub fn new(stock: &'a Stock, image: &'a Stocked, staleness: Option<&'a Staleness>) -> Self {
        let containers = stock.containers_of(&image.image.id).into_iter();
        ImageRow {
            row: Row::from(&image.image),
            own_size: stock.own_bytes(image),
            containers: containers.map(ContainerRow::from).collect(),
            staleness: staleness.map(StalenessRow::from),
        }
    }
}

/// An image by itself.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReport<'a> {
    #[serde(flatten)]
    row: ImageRow<'a>,
    /// Bytes of the layers that it shares with what it was built on.
    shared_size: u64,
    /// The number of its layers.
    layers: usize,
    architecture: &'a str,
    /// The images that it was built on, the nearest first.
    chain: Vec<Row<'a>>,
    /// What was in force of `.dkr.conf`.
    config: Option<ConfLabel>,
    /// What changed in `.dkr.conf` since; null if that is not known.
    drift: Option<Vec<String>>,
    labels: &'a BTreeMap<String, String>,
}

impl<'a> ImageReport<'a> {
    /// The report on an image.
    pub fn new(
        stock: &'a Stock,
        image: &'a Stocked,
        staleness: &'a Staleness,
        drift: Option<&Drift>,
        labels: &'a BTreeMap<String, String>,
    ) -> Self {
        let chain = stock.chain(image).into_iter();
        let config = image.image.labels.config.as_deref();
        ImageReport {
            row: ImageRow::new(stock, image, Some(staleness)),
            shared_size: image.layers.bytes() - stock.own_bytes(image),
            layers: image.layers.count(),
            architecture: &image.architecture,
            chain: chain.map(|parent| Row::from(&parent.image)).collect(),
            config: config.and_then(|text| ConfLabel::parse(text).ok()),
            drift: drift.map(Drift::describe),
            labels,
        }
    }
}

/// A repository with all that dkr made of it.
#[derive(Debug, Clone, Serialize)]
pub struct RepositoryReport<'a> {
    /// The repository.
    pub repository: RepositoryRow<'a>,
    /// Its images, the newest first.
    pub images: Vec<FreshRow<'a>>,
    /// Its containers, the newest first.
    pub containers: Vec<WorkRow<'a>>,
    /// Bytes of the layers of its images, object images included and base images not.
    pub disk_used: u64,
}

/// A repository.
#[derive(Debug, Clone, Serialize)]
pub struct RepositoryRow<'a> {
    /// Its path.
    pub path: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The branch that HEAD is on, or its commit; null before the first commit.
    pub branch: Option<String>,
    /// The commit of HEAD; null before the first one.
    pub commit: Option<String>,
}

/// An image and how its configuration stands to that of today.
#[derive(Debug, Clone, Serialize)]
pub struct FreshRow<'a> {
    #[serde(flatten)]
    row: ImageRow<'a>,
    /// What changed in `.dkr.conf` since; null if that is not known.
    drift: Option<Vec<String>>,
}

impl<'a> FreshRow<'a> {
    /// The row of an image.
    pub fn new(row: ImageRow<'a>, drift: Option<&Drift>) -> Self {
        FreshRow {
            row,
            drift: drift.map(Drift::describe),
        }
    }
}

/// A container.
#[derive(Debug, Clone, Serialize)]
pub struct ContainerRow<'a> {
    /// Its full id.
    id: &'a str,
    /// Its working branch, or its name on the engine if dkr did not start it.
    name: &'a str,
    /// Its name on the engine.
    container: &'a str,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    state: &'a str,
    /// When it was made (RFC 3339, UTC).
    created_at: String,
    /// The id of its image.
    image: &'a str,
}

impl<'a> From<&'a ListedContainer> for ContainerRow<'a> {
    fn from(container: &'a ListedContainer) -> Self {
        ContainerRow {
            id: &container.id.0,
            name: working_branch(container),
            container: &container.name,
            state: &container.state,
            created_at: container.created.to_rfc3339_opts(SecondsFormat::Secs, true),
            image: &container.image,
        }
    }
}

/// A container and the work in it.
#[derive(Debug, Clone, Serialize)]
pub struct WorkRow<'a> {
    #[serde(flatten)]
    row: ContainerRow<'a>,
    /// The repository that it was made from.
    repo_path: &'a str,
    /// The branch that it was made from, as the user typed it.
    branch_from: &'a str,
    /// The commit of its image.
    commit: &'a str,
    /// Whether it is kept when it has ended; null if dkr did not start it.
    keep: Option<&'a str>,
    /// What it was started for, `session` or `command`; null if dkr did not start it.
    runs: Option<&'a str>,
    /// The programs in its session.
    programs: Vec<&'a str>,
    /// Null if it does not say what work it holds.
    work: Option<WorkFacts<'a>>,
}

/// The work in a container.
#[derive(Debug, Clone, Serialize)]
pub struct WorkFacts<'a> {
    /// The branch that it is on; null for a detached HEAD.
    branch: Option<&'a str>,
    /// Commits since its branch point.
    ahead: usize,
    /// Commits that the branch it was made from has by now; null if that cannot be told.
    behind: Option<usize>,
    /// The operation of git's that is in progress, or null.
    operation: Option<&'a str>,
    /// Changed and removed files.
    changed: usize,
    /// New files.
    untracked: usize,
    /// Repositories in it, submodules included, with work of their own.
    nested: usize,
    /// Files of which an index holds what no file does.
    staged: usize,
    /// Changed and new files of other worktrees.
    worktrees: usize,
    /// Entries of the stash.
    stashed: usize,
    /// What is nowhere else.
    only_there: OnlyThereRow<'a>,
    /// Whether there is nothing of that.
    safe: bool,
}

/// Work that is nowhere else.
#[derive(Debug, Clone, Serialize)]
pub struct OnlyThereRow<'a> {
    commits: usize,
    changed: usize,
    untracked: usize,
    nested: usize,
    staged: usize,
    worktrees: usize,
    unsaved: usize,
    stashed: usize,
    operation: Option<&'a str>,
}

impl<'a> WorkRow<'a> {
    /// The row of a container that holds that, if it says so.
    pub fn new(container: &'a ListedContainer, held: Option<&'a Held>) -> Self {
        let label = |name: &str| container.labels.get(name).map(String::as_str);
        let programs = held.map(|held| &held.report.runs).into_iter().flatten();
        WorkRow {
            row: ContainerRow::from(container),
            repo_path: label(REPO_PATH).unwrap_or_default(),
            branch_from: label(BRANCH_FROM).unwrap_or_default(),
            commit: label(COMMIT).unwrap_or_default(),
            keep: label(KEEP),
            runs: label(RUNS),
            programs: programs.map(String::as_str).collect(),
            work: held.map(WorkFacts::from),
        }
    }
}

impl<'a> From<&'a Held> for WorkFacts<'a> {
    fn from(held: &'a Held) -> Self {
        let (report, only) = (&held.report, &held.only_there);
        WorkFacts {
            branch: report.branch.as_deref(),
            ahead: report.ahead,
            behind: held.behind,
            operation: report.operation(),
            changed: report.changed,
            untracked: report.new_files(),
            nested: report.nested,
            staged: report.staged.iter().map(|(files, _)| files).sum(),
            worktrees: report.worktrees.iter().map(|tree| tree.files).sum(),
            stashed: report.stash.len(),
            only_there: OnlyThereRow {
                commits: only.commits,
                changed: only.changed,
                untracked: only.untracked,
                nested: only.nested,
                staged: only.staged,
                worktrees: only.worktrees,
                unsaved: only.unsaved,
                stashed: only.stashed,
                operation: only.operation.as_deref(),
            },
            safe: only.is_empty(),
        }
    }
}

/// How an image stands to its branch.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StalenessRow<'a> {
    /// `current`, `behind`, `ahead`, `diverged`, `apart` or `unknown`.
    state: &'static str,
    /// Commits that only the branch has.
    behind: Option<usize>,
    /// Commits that only the image has.
    ahead: Option<usize>,
    /// Whether there may be more of them than were counted.
    at_least: bool,
    /// Why it is unknown.
    reason: Option<&'a str>,
}

impl<'a> From<&'a Staleness> for StalenessRow<'a> {
    fn from(staleness: &'a Staleness) -> Self {
        let state = |state| StalenessRow {
            state,
            ..StalenessRow::default()
        };
        match staleness {
            Staleness::Current => StalenessRow {
                behind: Some(0),
                ahead: Some(0),
                ..state("current")
            },
            Staleness::Behind { commits, at_least } => StalenessRow {
                behind: Some(*commits),
                ahead: Some(0),
                at_least: *at_least,
                ..state("behind")
            },
            Staleness::Ahead { commits, at_least } => StalenessRow {
                behind: Some(0),
                ahead: Some(*commits),
                at_least: *at_least,
                ..state("ahead")
            },
            Staleness::Diverged { behind, ahead } => StalenessRow {
                behind: Some(*behind),
                ahead: Some(*ahead),
                ..state("diverged")
            },
            Staleness::FarApart { behind, .. } => StalenessRow {
                behind: Some(*behind),
                at_least: true,
                ..state("apart")
            },
            Staleness::Unknown { reason } => StalenessRow {
                reason: Some(reason),
                ..state("unknown")
            },
        }
    }
}
