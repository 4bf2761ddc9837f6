//! Which containers `prune` can remove: those that have ended and hold no unsaved work.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;

use super::plan::Leave;
use crate::container::Keep;
use crate::container::labels::{KEEP, WORK_BRANCH};
use crate::container::work::list::{list_work, work_of};
use crate::container::work::{ContainerWork, Probe};
use crate::engine::ListedContainer;
use crate::image::labels::REPO_PATH;

/// How many containers to check at a time: some must be started for it.
const AT_ONCE: usize = 4;
/// A container that never ran may be about to start, unless it is older than this.
const STARTING: TimeDelta = TimeDelta::hours(1);

/// The ended containers that dkr started, split into removable and kept ones.
#[derive(Debug, Default)]
pub struct Idle {
    /// Those that can be removed.
    pub going: Vec<ListedContainer>,
    /// Those that are kept.
    pub staying: Vec<Staying>,
}

/// A container that has ended and is kept.
#[derive(Debug)]
pub struct Staying {
    pub container: ListedContainer,
    /// Why it is kept.
    pub reason: String,
    /// Whether the reason is work in it.
    pub holds_work: bool,
}

/// Splits the ended containers among `containers`. With `look`, none is started to be checked; with
/// `force`, work does not keep them.
pub async fn idle(
    probe: &Probe<'_>,
    containers: &[ListedContainer],
    leave: &Leave<'_>,
    look: bool,
    force: bool,
) -> Idle {
    let ended = containers.iter();
    let ended: Vec<&ListedContainer> = ended
        .filter(|container| has_ended(container, leave, Utc::now()))
        .collect();
    let mut idle = Idle::default();
    for some in ended.chunks(AT_ONCE) {
        let asked = some.iter().map(|container| async {
            if force {
                None
            } else {
                staying(probe, container, look).await
            }
        });
        for (container, staying) in some.iter().zip(join_all(asked).await) {
            match staying {
                None => idle.going.push((*container).clone()),
                Some(staying) => idle.staying.push(staying),
            }
        }
    }
    idle
}

/// Whether a container is kept, and why.
async fn staying(probe: &Probe<'_>, container: &ListedContainer, look: bool) -> Option<Staying> {
    let keep = container.labels.get(KEEP);
    let asked_for = keep.map(|word| Keep::of_label(word)) == Some(Keep::Always);
    let reason = if asked_for {
        "it was started with `--keep always`".to_owned()
    } else {
        // One that was started with `--rm` and ended by itself is already removed.
        reason(probe, container, look).await?
    };
    Some(Staying {
        container: container.clone(),
        reason,
        holds_work: !asked_for,
    })
}

/// Whether a container was started by dkr, has ended, and is in the scope of `leave`.
fn has_ended(container: &ListedContainer, leave: &Leave<'_>, now: DateTime<Utc>) -> bool {
    let ended = match &*container.state {
        "exited" | "dead" => true,
        "created" => now - container.created > STARTING,
        _ => false,
    };
    let path = container.labels.get(REPO_PATH).map(String::as_str);
    ended
        && container.labels.contains_key(WORK_BRANCH)
        && leave.other_than.is_none_or(|only| path == Some(only))
        && leave.since.is_none_or(|since| container.created <= since)
}

/// Why a container is kept, if it is.
async fn reason(probe: &Probe<'_>, container: &ListedContainer, look: bool) -> Option<String> {
    let held = if look {
        let held = list_work(probe, &[container]).await.pop().flatten();
        held.ok_or_else(|| "cannot check it for unsaved work".to_owned())
    } else {
        let held = work_of(probe, container).await;
        held.map_err(|error| error.causes.first().unwrap_or(&error.message).clone())
    };
    match held {
        Ok(ContainerWork { unsaved, .. }) if unsaved.is_empty() => None,
        Ok(ContainerWork { unsaved, .. }) => {
            Some(format!("it has unsaved work ({})", unsaved.describe()))
        }
        Err(reason) => Some(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::container;
    use super::*;

    #[test]
    fn only_what_dkr_started_and_has_ended_can_go() {
        let now = DateTime::from_timestamp(100_000, 0).unwrap();
        let leave = Leave {
            other_than: None,
            newest: 2,
            since: None,
        };
        let ended = |state: &str, created: i64, leave: &Leave<'_>| {
            let mut container = container("x", "image", state);
            container.created = DateTime::from_timestamp(created, 0).unwrap();
            container.labels = [(WORK_BRANCH, "x"), (REPO_PATH, "/r")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            has_ended(&container, leave, now)
        };
        assert!(ended("exited", 99_999, &leave));
        assert!(!ended("running", 0, &leave) && !ended("paused", 0, &leave));
        assert!(ended("created", 0, &leave) && !ended("created", 99_999, &leave));
        let other = Leave {
            other_than: Some("/other"),
            ..leave
        };
        assert!(!ended("exited", 0, &other));
        let since = Leave {
            since: DateTime::from_timestamp(50_000, 0),
            ..leave
        };
        assert!(ended("exited", 0, &since) && !ended("exited", 60_000, &since));
        assert!(!has_ended(&container("x", "image", "exited"), &leave, now));
    }
}
