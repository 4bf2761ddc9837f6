//! The work in one container or many, compared with the host's repository.

use std::collections::HashMap;

use futures_util::future::join_all;

use super::host::{SavedRefs, needs_tree, on_host, repository};
use super::probe::{Probe, has_run};
use super::report::WorkReport;
use super::unsaved::UnsavedWork;
use crate::container::Containers;
use crate::engine::ListedContainer;
use crate::engine::containers::ContainerId;
use crate::error::Result;
use crate::git::{COMPARE_LIMIT, Repository};
use crate::image::labels::{REF, REPO_PATH};

/// The work in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerWork {
    /// All of it.
    pub report: WorkReport,
    /// The unsaved part.
    pub unsaved: UnsavedWork,
    /// How many commits the image's branch has by now that the work is not based on; `None` if
    /// unknown.
    pub behind: Option<usize>,
}

/// The work in each container, without starting any; `None` for one that cannot be checked.
pub async fn list_work(
    probe: &Probe<'_>,
    containers: &[&ListedContainer],
) -> Vec<Option<ContainerWork>> {
    let reports = containers.iter().map(|container| async {
        match probe.look(container).await {
            Ok(None) if container.state == "created" => Some(None),
            Ok(report) => report.map(Some),
            Err(_) => None,
        }
    });
    let mut repos: HashMap<&str, Option<Repository>> = HashMap::new();
    let mut held = Vec::new();
    for (container, report) in containers.iter().zip(join_all(reports).await) {
        let path = container.labels.get(REPO_PATH).map_or("", String::as_str);
        let repo = repos.entry(path).or_insert_with(|| repository(container));
        held.push(match report {
            None => None,
            Some(None) => Some(ContainerWork::default()),
            Some(Some(report)) => Some(weigh(probe, container, report, repo.as_ref()).await),
        });
    }
    held
}

/// The work in one container, which is started if needed.
///
/// # Errors
/// When it cannot be checked.
pub async fn work_of(probe: &Probe<'_>, container: &ListedContainer) -> Result<ContainerWork> {
    if !has_run(probe.engine, &container.id).await? {
        return Ok(ContainerWork::default());
    }
    let repo = repository(container);
    let places = SavedRefs::of(container);
    let mut report = probe.ask(&container.id, false).await?;
    if needs_tree(repo.as_ref(), &places, &report) {
        report = probe.ask(&container.id, true).await?;
    }
    Ok(hold(container, report, repo.as_ref()))
}

/// The work in the container with this id.
///
/// # Errors
/// As [`work_of`]; `NotFound` if it no longer exists.
pub async fn work_in(probe: &Probe<'_>, id: &ContainerId) -> Result<ContainerWork> {
    let containers = Containers::read(probe.engine, probe.env()).await?;
    match containers.any(id) {
        Some(container) => work_of(probe, &container).await,
        None => Ok(ContainerWork::default()),
    }
}

/// The same for a listing, which starts no container.
async fn weigh(
    probe: &Probe<'_>,
    container: &ListedContainer,
    mut report: WorkReport,
    repo: Option<&Repository>,
) -> ContainerWork {
    if container.state == "running"
        && needs_tree(repo, &SavedRefs::of(container), &report)
        && let Ok(weighed) = probe.ask(&container.id, true).await
    {
        report = weighed;
    }
    hold(container, report, repo)
}

fn hold(
    container: &ListedContainer,
    report: WorkReport,
    repo: Option<&Repository>,
) -> ContainerWork {
    let host = on_host(repo, &SavedRefs::of(container), &report);
    let unsaved = UnsavedWork::of(&report, &host);
    let behind = repo.and_then(|repo| {
        let reference = container.labels.get(REF)?;
        let fork = report.fork.as_ref()?;
        repo.compare(fork, reference, COMPARE_LIMIT).behind()
    });
    ContainerWork {
        report,
        unsaved,
        behind,
    }
}
