//! How long `git status` takes in a container of an image: it is slow if the index is wrong.

use std::time::Duration;

use serde::Deserialize;
use tokio::io::{Empty, sink};
use tokio::time::timeout;

use super::{Check, Status};
use crate::catalog::CatalogImage;
use crate::engine::Engine;
use crate::engine::attach::{AttachEnd, run_attached};
use crate::engine::containers::{self, ContainerSpec, ExitStatus};
use crate::engine::signals::Signals;
use crate::engine::streams::Streams;
use crate::engine::temporary;
use crate::error::{Error, Result};
use crate::text::duration;

/// The script to run. git itself reports on stderr how long it took (git, `technical/api-trace2`).
const SCRIPT: &str =
    "cd /workspace && for i in 1 2; do GIT_TRACE2_EVENT=1 git status >/dev/null || exit; done";
/// The time limit of the script.
const LIMIT: Duration = Duration::from_secs(10 * 60);
/// A second `git status` that takes longer than this reads files that it should not need to.
const SLOW: Duration = Duration::from_secs(2);

/// Times `git status` twice in a new container without network, and removes the container.
pub async fn check(engine: &Engine, image: &CatalogImage, signals: &mut Signals) -> Check {
    match time(engine, image, signals).await {
        Ok((first, second)) => judge(image.name(), first, second),
        Err(error) => Check::error("git status", Status::Fail, &error),
    }
}

fn judge(name: &str, first: Duration, second: Duration) -> Check {
    let found = format!(
        "{} in a new container of `{name}`, then {}",
        duration(first),
        duration(second)
    );
    if second > SLOW {
        let hint = "if the repository is not large, its index is wrong: rebuild the image with `dkr create-image`";
        return Check::warn("git status", found, hint);
    }
    Check::ok("git status", found)
}

async fn time(
    engine: &Engine,
    image: &CatalogImage,
    signals: &mut Signals,
) -> Result<(Duration, Duration)> {
    let spec = ContainerSpec {
        image: image.image.id.clone(),
        command: ["sh", "-c", SCRIPT].map(str::to_owned).to_vec(),
        network: Some("none".to_owned()),
        labels: temporary::labels(&image.image.id),
        ..ContainerSpec::default()
    };
    let id = containers::create(engine, &spec).await?;
    let mut said = Vec::new();
    let streams = Streams {
        stdin: None::<Empty>,
        stdout: sink(),
        stderr: &mut said,
    };
    let ended = timeout(LIMIT, run_attached(engine, &id, false, streams, signals)).await;
    // In any case: after a timeout or an interrupt it is still running.
    containers::force_remove(engine, &id).await?;
    let said = String::from_utf8_lossy(&said);
    let failed = || Error::failed(format!("cannot run `git status` in `{}`", image.name()));
    let late = |_| failed().cause(format!("it did not finish within {} s", LIMIT.as_secs()));
    match ended.map_err(late)?? {
        AttachEnd::Exited(ExitStatus(0)) => {}
        AttachEnd::Exited(ExitStatus(status)) => {
            let last = said.lines().rfind(|line| !line.starts_with('{'));
            return Err(failed().cause(format!("status {status}: {}", last.unwrap_or_default())));
        }
        AttachEnd::LeftRunning(_) => return Err(Error::interrupted()),
    }
    match times(&said)[..] {
        [first, second] => Ok((first, second)),
        _ => Err(failed().cause("git did not report how long it took")),
    }
}

/// The times of the git processes that the script started, from their events.
fn times(events: &str) -> Vec<Duration> {
    #[derive(Deserialize)]
    struct Event {
        event: String,
        sid: String,
        t_abs: Option<f64>,
    }
    let events = events
        .lines()
        .filter_map(|line| serde_json::from_str::<Event>(line).ok());
    // The session id of a process that git started has a slash: the parent's id, then its own.
    let ended = events.filter(|event| event.event == "atexit" && !event.sid.contains('/'));
    let seconds = ended.filter_map(|event| event.t_abs);
    seconds
        .filter_map(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_those_of_the_processes_started_by_hand() {
        let events = r#"Working copy updated to 0a1b2c3
{"event":"start","sid":"s1","t_abs":0.001}
{"event":"atexit","sid":"s1/s2","t_abs":9.5,"code":0}
{"event":"exit","sid":"s1","t_abs":0.2,"code":0}
{"event":"atexit","sid":"s1","t_abs":0.25,"code":0}
{"event":"atexit","sid":"s3","t_abs":0.05,"code":0}
{"event":"atexit","sid":"s4","t_abs":-1}
"#;
        assert_eq!(times(events), [250, 50].map(Duration::from_millis));
    }

    #[test]
    fn a_slow_second_run_is_a_warning() {
        let fast = Duration::from_millis(50);
        assert_eq!(judge("i", SLOW * 5, fast).status, Status::Ok);
        assert_eq!(judge("i", fast, SLOW * 2).status, Status::Warn);
        assert_eq!(
            judge("i", SLOW, fast).message,
            "2.0s in a new container of `i`, then 0.1s"
        );
    }
}
