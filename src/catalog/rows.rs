//! Images and containers as JSON (pure). The keys are a contract.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde::Serialize;

use super::images::{Catalog, CatalogImage};
use crate::container::labels::{KEEP, RUNS, working_branch};
use crate::container::work::ContainerWork;
use crate::engine::ListedContainer;
use crate::image::dkr_conf::{ConfLabel, Drift};
use crate::image::labels::{BRANCH_FROM, COMMIT, REPO_PATH};
use crate::image::{Row, Staleness};

/// An image with its size and its containers.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "image"))]
pub struct ImageRow<'a> {
    #[serde(flatten)]
    row: Row<'a>,
    /// Bytes of the layers that are not in the images it was built on.
    own_size: u64,
    /// Its containers.
    containers: Vec<ContainerRow<'a>>,
    /// How it compares with its branch; null without `--stale`, never null in `dkr status`.
    staleness: Option<StalenessRow<'a>>,
}

impl<'a> ImageRow<'a> {
    pub fn new(
        stock: &'a Catalog,
        image: &'a CatalogImage,
        staleness: Option<&'a Staleness>,
    ) -> Self {
        let containers = stock.containers_of(&image.image.id).into_iter();
        ImageRow {
            row: Row::from(&image.image),
            own_size: stock.own_bytes(image),
            containers: containers.map(ContainerRow::from).collect(),
            staleness: staleness.map(StalenessRow::from),
        }
    }
}

/// An image with all details.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "inspected-image"))]
pub struct ImageReport<'a> {
    #[serde(flatten)]
    row: ImageRow<'a>,
    /// Bytes of the layers that it shares with the images it was built on.
    shared_size: u64,
    /// The number of its layers.
    layers: usize,
    /// `amd64`, `arm64`, …
    architecture: &'a str,
    /// The images that it was built on, the nearest first.
    chain: Vec<Row<'a>>,
    /// The settings of `.dkr.conf` that were in force; null if the label cannot be read.
    config: Option<ConfLabel>,
    /// How `.dkr.conf` at the tip of the branch differs from that; null if unknown.
    drift: Option<Vec<String>>,
    /// All its labels.
    labels: &'a BTreeMap<String, String>,
}

impl<'a> ImageReport<'a> {
    pub fn new(
        stock: &'a Catalog,
        image: &'a CatalogImage,
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

/// A repository with its images and containers.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "report-on-the-repository"))]
pub struct RepositoryReport<'a> {
    /// The repository.
    pub repository: RepositoryRow<'a>,
    /// Its images, the newest first.
    pub images: Vec<FreshRow<'a>>,
    /// Its containers, the newest first.
    pub containers: Vec<WorkRow<'a>>,
    /// Bytes of all layers of its images, including object images, excluding base images.
    pub disk_used: u64,
}

/// The repository of a report.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "repository"))]
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

/// An image, compared with its branch and the current `.dkr.conf`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "compared-image"))]
pub struct FreshRow<'a> {
    #[serde(flatten)]
    row: ImageRow<'a>,
    /// How `.dkr.conf` at the tip of the branch differs from that; null if unknown.
    drift: Option<Vec<String>>,
}

impl<'a> FreshRow<'a> {
    pub fn new(row: ImageRow<'a>, drift: Option<&Drift>) -> Self {
        FreshRow {
            row,
            drift: drift.map(Drift::describe),
        }
    }
}

/// A container on the engine.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "container"))]
pub struct ContainerRow<'a> {
    /// Its full id.
    id: &'a str,
    /// Its working branch, or its name on the engine if dkr did not start it.
    name: &'a str,
    /// Its name on the engine.
    container: &'a str,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    state: &'a str,
    /// When it was created.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "working-container"))]
pub struct WorkRow<'a> {
    #[serde(flatten)]
    row: ContainerRow<'a>,
    /// The path of the repository of its image.
    repo_path: &'a str,
    /// The branch of its image, as it was typed.
    branch_from: &'a str,
    /// The commit of its image.
    commit: &'a str,
    /// Whether it is kept when it has ended: `auto`, `always` or `never`; null if dkr did not start it.
    keep: Option<&'a str>,
    /// What it was started for, `session` or `command`; null if dkr did not start it.
    runs: Option<&'a str>,
    /// The programs that run in its session.
    programs: Vec<&'a str>,
    /// The work in it; null if it cannot be checked.
    work: Option<WorkFacts<'a>>,
}

/// The work in a container.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "work"))]
pub struct WorkFacts<'a> {
    /// The branch that HEAD is on; null if HEAD is detached.
    branch: Option<&'a str>,
    /// Commits since its branch point.
    ahead: usize,
    /// Commits that its image's branch has gained since; null if unknown.
    behind: Option<usize>,
    /// The operation in progress: `rebase`, `merge`, `cherry-pick`, `revert`, `bisect` or `am`; null if none.
    operation: Option<&'a str>,
    /// Changed and removed files.
    changed: usize,
    /// New files.
    untracked: usize,
    /// Nested repositories, submodules included, with work of their own.
    nested: usize,
    /// Files whose staged content is in no file.
    staged: usize,
    /// Changed and new files of other worktrees.
    worktrees: usize,
    /// Stash entries.
    stashed: usize,
    /// The part of it that is unsaved.
    only_there: UnsavedRow<'a>,
    /// Whether nothing is unsaved.
    safe: bool,
}

/// Unsaved work: how much of each kind only the container has.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "unsaved-work"))]
pub struct UnsavedRow<'a> {
    /// Commits that are on no ref of the host.
    commits: usize,
    /// Changed and removed files.
    changed: usize,
    /// New files.
    untracked: usize,
    /// Nested repositories with work of their own.
    nested: usize,
    /// Files whose staged content is in no file.
    staged: usize,
    /// Changed and new files of other worktrees.
    worktrees: usize,
    /// Changed and new files that `dkr take` could not save.
    unsaved: usize,
    /// Stash entries.
    stashed: usize,
    /// The operation in progress, as in `work`; null if none.
    operation: Option<&'a str>,
}

impl<'a> WorkRow<'a> {
    pub fn new(container: &'a ListedContainer, held: Option<&'a ContainerWork>) -> Self {
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

impl<'a> From<&'a ContainerWork> for WorkFacts<'a> {
    fn from(held: &'a ContainerWork) -> Self {
        let (report, only) = (&held.report, &held.unsaved);
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
            only_there: UnsavedRow {
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

/// How an image compares with its branch.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "staleness"))]
pub struct StalenessRow<'a> {
    /// `current`, `behind`, `ahead`, `diverged`, `apart` (too far to count) or `unknown`.
    state: &'static str,
    /// Commits that only the branch has; null if unknown.
    behind: Option<usize>,
    /// Commits that only the image has; null if unknown.
    ahead: Option<usize>,
    /// Whether there may be more commits than were counted.
    at_least: bool,
    /// Why the state is unknown.
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
