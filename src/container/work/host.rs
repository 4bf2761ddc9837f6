//! Which parts of a container's work the host's repository has.

use crate::container::labels::{PUSH_PREFIX, working_branch};
use crate::engine::ListedContainer;
use crate::git::Repository;
use crate::git::serve::PushPrefix;
use crate::git::working_branch::WIP;
use crate::image::labels::REPO_PATH;

use super::report::WorkReport;
use super::unsaved::OnHost;

/// The refs in the host's repository that hold the work taken from a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedRefs {
    name: String,
    prefix: Option<PushPrefix>,
}

impl SavedRefs {
    /// The refs for a container.
    pub fn of(container: &ListedContainer) -> Self {
        let prefix = container.labels.get(PUSH_PREFIX);
        SavedRefs {
            name: working_branch(container).to_owned(),
            prefix: prefix.and_then(|prefix| PushPrefix::parse(prefix).ok()),
        }
    }

    /// The working branch.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host's branch that the container pushes to, if dkr started it.
    pub fn branch(&self) -> Option<String> {
        let prefix = self.prefix.as_ref()?;
        Some(format!("{}{}", prefix.namespace(), self.name))
    }

    /// The ref of the uncommitted changes.
    pub fn wip(&self) -> String {
        format!("{WIP}{}", self.name)
    }

    /// The ref of a single commit.
    pub fn taken(&self, commit: &str) -> String {
        let short = commit.get(..12).unwrap_or(commit);
        format!("{}{short}", self.all_taken())
    }

    /// The prefix of all refs of [`SavedRefs::taken`].
    pub fn all_taken(&self) -> String {
        format!("refs/dkr/taken/{}/", self.name)
    }
}

/// The repository that a container was made from.
pub fn repository(container: &ListedContainer) -> Option<Repository> {
    Repository::at(container.labels.get(REPO_PATH)?).ok()
}

/// The namespace of the branches that containers of this machine push to.
pub fn prefix_of_this_machine() -> PushPrefix {
    let system = rustix::system::uname();
    PushPrefix::of_hostname(&system.nodename().to_string_lossy())
}

/// Whether a report with the tree of the uncommitted changes is needed to tell if they were taken.
pub fn needs_tree(repo: Option<&Repository>, places: &SavedRefs, report: &WorkReport) -> bool {
    let taken = || repo.is_some_and(|repo| repo.commit_at(&places.wip()).is_some());
    report.is_dirty() && report.tree.is_none() && taken()
}

/// Which parts of the work the repository has; none if it no longer exists.
pub fn on_host(repo: Option<&Repository>, places: &SavedRefs, report: &WorkReport) -> OnHost {
    let Some(repo) = repo else {
        return OnHost::default();
    };
    let asked: Vec<&String> = report.listed.iter().chain(report.ends()).collect();
    let wip = repo.commit_at(&places.wip());
    OnHost {
        commits: repo.on_some_ref(&asked),
        wip: wip.and_then(|wip| Some((wip.tree, wip.parent?))),
        taken: repo.commits_below(&places.all_taken()),
    }
}
