//! Progress as plain lines, for logs and pipes (pure).

use std::time::{Duration, Instant};

use crate::text::{duration, log_line};
use crate::ui::progress::board::Phase;
use crate::ui::progress::{PhaseEnd, Stage};

/// The least time between two lines with numbers of one stage.
const INTERVAL: Duration = Duration::from_secs(5);

/// What plain lines have already printed about a phase.
#[derive(Debug, Default)]
pub struct Announced {
    /// That it began.
    pub start: bool,
    stage: Option<(String, Instant, bool)>,
}

/// The prefix of every line of a phase: its label in brackets, or the brackets that begin the label
/// (`[post_clone] RUN ./setup.sh` becomes `[post_clone]`).
pub fn prefix(label: &str) -> String {
    match label.find(']') {
        Some(end) if label.starts_with('[') => label[..=end].to_owned(),
        _ => format!("[{label}]"),
    }
}

/// The line for the start of a phase.
pub fn started(label: &str) -> String {
    if label.starts_with('[') && label.contains(']') {
        label.to_owned()
    } else {
        format!("[{label}] started")
    }
}

/// The line for a new stage or for new numbers, if one is due at `now`: for a stage's first and last
/// numbers, and some in between.
pub fn stage(phase: &mut Phase, stage: &Stage, now: Instant) -> Option<String> {
    let complete = stage.percent() == Some(100);
    if let Some((name, said, was_complete)) = &phase.announced.stage {
        let same = *name == stage.name;
        let due = now.saturating_duration_since(*said) >= INTERVAL || complete;
        if same && (*was_complete || !due) {
            return None;
        }
    }
    phase.announced.stage = Some((stage.name.clone(), now, complete));
    let mut line = format!("{} {}", prefix(&phase.label), stage.name);
    match (stage.percent(), stage.amount()) {
        (Some(percent), Some(amount)) => line += &format!(": {percent}% ({amount})"),
        (_, Some(amount)) => line += &format!(": {amount}"),
        _ => {}
    }
    if let Some(detail) = &stage.detail {
        line += &format!(", {detail}");
    }
    Some(line)
}

/// A log line of the phase `label`.
pub fn log(label: &str, line: &str) -> String {
    let line = format!("{} {}", prefix(label), log_line(line));
    line.trim_end().to_owned()
}

/// The line for the end of a phase.
pub fn finished(label: &str, outcome: PhaseEnd, took: Duration) -> String {
    let prefix = prefix(label);
    match outcome {
        PhaseEnd::Done { .. } => format!("{prefix} done in {}", duration(took)),
        PhaseEnd::Cached => format!("{prefix} cached"),
        PhaseEnd::Failed => format!("{prefix} failed after {}", duration(took)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::progress::board::Key;

    fn phase(label: &str, now: Instant) -> Phase {
        let key = Key { group: 0, phase: 0 };
        Phase::new(key, label.to_owned(), now, now)
    }

    #[test]
    fn a_label_that_has_brackets_keeps_them() {
        assert_eq!(prefix("clone"), "[clone]");
        assert_eq!(prefix("[post_clone] RUN ./setup.sh"), "[post_clone]");
        assert_eq!(started("clone"), "[clone] started");
        assert_eq!(started("[post_clone] RUN x"), "[post_clone] RUN x");
        assert_eq!(started("[odd"), "[[odd] started");
    }

    #[test]
    fn numbers_are_said_first_last_and_now_and_then() {
        let start = Instant::now();
        let mut phase = phase("clone", start);
        let mut say = |name: &str, current, seconds| {
            let now = start + Duration::from_secs(seconds);
            stage(&mut phase, &Stage::new(name).at(current, 100), now)
        };
        let first = say("Receiving objects", 1, 0);
        assert_eq!(
            first.as_deref(),
            Some("[clone] Receiving objects: 1% (1/100)")
        );
        assert_eq!(say("Receiving objects", 2, 1), None);
        assert_eq!(say("Receiving objects", 30, 4), None);
        assert!(say("Receiving objects", 50, 5).is_some());
        assert_eq!(say("Receiving objects", 60, 9), None);
        let last = say("Receiving objects", 100, 9);
        assert_eq!(
            last.as_deref(),
            Some("[clone] Receiving objects: 100% (100/100)")
        );
        assert_eq!(say("Receiving objects", 100, 60), None);
        assert!(say("Resolving deltas", 0, 61).is_some());
    }

    #[test]
    fn lines_carry_their_phase() {
        let line = "\u{1b}[32mSetting up git\u{1b}[0m (1:2.39.5) ...\r\n";
        assert_eq!(
            log("packages", line),
            "[packages] Setting up git (1:2.39.5) ..."
        );
        assert_eq!(log("packages", ""), "[packages]");
        let took = Duration::from_millis(12_300);
        let done = PhaseEnd::Done { took: None };
        assert_eq!(finished("clone", done, took), "[clone] done in 12.3s");
        assert_eq!(finished("clone", PhaseEnd::Cached, took), "[clone] cached");
        let failed = finished("clone", PhaseEnd::Failed, took);
        assert_eq!(failed, "[clone] failed after 12.3s");
    }
}
