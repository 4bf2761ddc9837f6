//! A running phase, and how all of them look on a terminal (pure).
//!
//! `screen` keeps these lines below all other output and redraws them.

use std::collections::VecDeque;
use std::time::Instant;

use crate::text::{columns, cut, duration, size};
use crate::ui::progress::plain::Announced;
use crate::ui::progress::{Stage, Unit};
use crate::ui::style::Style;

/// How many log lines to show below a running phase.
const TAIL: usize = 6;

/// Identifies a phase: its progress, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The number of the `Progress` or `Waiting`.
    pub group: u64,
    /// The number of the phase within it.
    pub phase: usize,
}

/// A running phase.
#[derive(Debug)]
pub struct Phase {
    pub key: Key,
    /// Its label, sanitized.
    pub label: String,
    /// When it began.
    pub since: Instant,
    /// When to show it; until then it is hidden.
    pub shown_from: Instant,
    /// What it is currently doing.
    pub stage: Option<Stage>,
    /// What plain lines have already printed about it.
    pub announced: Announced,
    tail: VecDeque<String>,
}

impl Phase {
    /// A phase that started at `since`.
    pub fn new(key: Key, label: String, since: Instant, shown_from: Instant) -> Self {
        Phase {
            key,
            label,
            since,
            shown_from,
            stage: None,
            announced: Announced::default(),
            tail: VecDeque::new(),
        }
    }

    /// Whether it is only a wait: it prints nothing at its start and end.
    pub fn is_wait(&self) -> bool {
        self.shown_from > self.since
    }

    /// Whether it has been running long enough to be shown.
    pub fn is_due(&self, now: Instant) -> bool {
        self.shown_from <= now
    }

    /// Stores a log line; only the last few are kept.
    pub fn push_log(&mut self, line: String) {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Its first line. Label and time come first, since a narrow terminal cuts off the end. A long label,
    /// such as the command of a step, is shortened to make room for the rest, down to half of the line.
    fn headline(&self, now: Instant, width: usize, style: Style) -> String {
        let age = now.saturating_duration_since(self.since);
        let spinner = style.spinner(usize::try_from(age.as_millis() / 100).unwrap_or(0));
        let width_of_text = width.saturating_sub(2);
        let state = self.state(duration(age), width, style);
        let room = width_of_text.saturating_sub(columns(&state) + 2);
        let label = cut(&self.label, room.max(width / 2), style.ellipsis());
        let text = cut(
            &format!("{label}  {state}"),
            width_of_text,
            style.ellipsis(),
        );
        cut(&format!("{spinner} {text}"), width, "")
    }

    /// How long it has been running, and how far it is.
    fn state(&self, took: String, width: usize, style: Style) -> String {
        let mut parts = vec![took];
        if let Some(stage) = &self.stage {
            if let Some(percent) = stage.percent() {
                match width {
                    0..50 => {}
                    50..90 => parts.push(style.bar(percent, 10)),
                    _ => parts.push(style.bar(percent, 20)),
                }
                parts.push(format!("{percent:>3}%"));
            }
            parts.push(stage.name.clone());
            parts.extend(stage.amount());
            parts.extend(stage.detail.clone());
        }
        parts.join("  ")
    }
}

impl Stage {
    /// The percentage, if the total is known.
    pub(super) fn percent(&self) -> Option<u64> {
        let total = self.total.filter(|total| *total > 0)?;
        let percent = u128::from(self.current) * 100 / u128::from(total);
        Some(u64::try_from(percent.min(100)).unwrap_or(100))
    }

    /// `12/100`, or `12` if the total is unknown; `None` before there is any progress.
    pub(super) fn amount(&self) -> Option<String> {
        let shown = |number: u64| match self.unit {
            Unit::Count => number.to_string(),
            Unit::Bytes => size(number),
        };
        match self.total.filter(|total| *total > 0) {
            Some(total) => Some(format!("{}/{}", shown(self.current), shown(total))),
            None if self.current > 0 => Some(shown(self.current)),
            None => None,
        }
    }
}

/// The board of those phases, oldest first, at `now`: at most `height` lines, each narrower than `width`
/// columns, since some terminals wrap after the last column.
pub fn lines(
    phases: &[Phase],
    now: Instant,
    (width, height): (usize, usize),
    style: Style,
) -> Vec<String> {
    let width = width.saturating_sub(1);
    let mut shown: Vec<&Phase> = phases.iter().filter(|phase| phase.is_due(now)).collect();
    // A wait is hidden while a newer one runs within it.
    let newest = shown.last().map(|phase| phase.key);
    shown.retain(|phase| !phase.is_wait() || Some(phase.key) == newest);
    // If the phases do not fit, show the newest: these are the active ones.
    let shown = &shown[shown.len().saturating_sub(height)..];
    let mut spare = height - shown.len();
    let mut lines = Vec::new();
    for phase in shown {
        lines.push(phase.headline(now, width, style));
        let tail = phase.tail.len().min(spare);
        spare -= tail;
        for line in phase.tail.iter().skip(phase.tail.len() - tail) {
            let line = cut(line, width.saturating_sub(4), style.ellipsis());
            lines.push(cut(&format!("    {}", style.dim(&line)), width, ""));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ASCII: Style = Style {
        colour: false,
        unicode: false,
    };
    const FULL: Style = Style {
        colour: true,
        unicode: true,
    };

    fn key(phase: usize) -> Key {
        Key { group: 0, phase }
    }

    fn clone_phase(start: Instant) -> Phase {
        let mut phase = Phase::new(key(1), "clone".into(), start, start);
        phase.stage = Some(Stage {
            detail: Some("3.00 MiB/s".into()),
            ..Stage::new("Receiving objects").at(45, 100)
        });
        phase
    }

    #[test]
    fn a_phase_shows_what_fits() {
        let start = Instant::now();
        let phases = [clone_phase(start)];
        let now = start + Duration::from_millis(12_300);
        let at = |width| lines(&phases, now, (width, 24), ASCII);
        assert_eq!(
            at(100),
            ["/ clone  12.3s  #########...........   45%  Receiving objects  45/100  3.00 MiB/s"]
        );
        assert_eq!(at(40), ["/ clone  12.3s   45%  Receiving obje..."]);
        assert_eq!(at(20), ["/ clone  12.3s  ..."]);
    }

    #[test]
    fn a_long_label_leaves_room_for_time_and_numbers() {
        let start = Instant::now();
        let mut phase = clone_phase(start);
        phase.label = "[post_clone] RUN ./configure --prefix=/usr && make && make install".into();
        let at = |width| lines(std::slice::from_ref(&phase), start, (width, 24), ASCII);
        assert_eq!(
            at(80),
            ["- [post_clone] RUN ./configure --prefi...  0.0s  ####......   45%  Receiving..."]
        );
        assert_eq!(at(40), ["- [post_clone] RUN...  0.0s   45%  R..."]);
        assert_eq!(at(20), ["- [post_...  0.0..."]);
    }

    #[test]
    fn no_line_reaches_the_last_column_and_no_board_the_last_row() {
        let start = Instant::now();
        let mut phases = Vec::new();
        for number in 0..5 {
            let label = format!("phase {number} 漢字 with a long label");
            let mut phase = Phase::new(key(number), label, start, start);
            phase.stage = Some(Stage::new("stage").at(1, 3));
            for _ in 0..9 {
                phase.push_log("a log line that is long enough to be cut 漢字".repeat(3));
            }
            phases.push(phase);
        }
        for style in [ASCII, FULL] {
            for width in 0..120 {
                for height in [0, 1, 4, 5, 6, 20, 60] {
                    let lines = lines(&phases, start, (width, height), style);
                    assert!(lines.len() <= height);
                    let widest = lines.iter().map(|line| columns(line)).max().unwrap_or(0);
                    assert!(widest <= width.saturating_sub(1), "{widest} in {width}");
                }
            }
        }
        assert_eq!(lines(&phases, start, (80, 60), ASCII).len(), 5 + 5 * TAIL);
        assert_eq!(lines(&phases, start, (80, 7), ASCII).len(), 7);
    }

    #[test]
    fn a_phase_is_silent_until_it_is_worth_showing() {
        let start = Instant::now();
        let later = start + Duration::from_millis(500);
        let phases = [Phase::new(key(0), "fetch".into(), start, later)];
        assert!(lines(&phases, start, (80, 24), ASCII).is_empty());
        assert_eq!(lines(&phases, later, (80, 24), ASCII), ["\\ fetch  0.5s"]);
    }

    #[test]
    fn of_waits_within_waits_the_innermost_is_shown() {
        let start = Instant::now();
        let later = start + Duration::from_millis(500);
        let mut phases = vec![
            Phase::new(key(0), "outer".into(), start, later),
            Phase::new(key(1), "inner".into(), start, later),
        ];
        let shown = |phases: &[Phase]| lines(phases, later, (80, 24), ASCII);
        assert_eq!(shown(&phases), ["\\ inner  0.5s"]);
        phases.pop();
        assert_eq!(shown(&phases), ["\\ outer  0.5s"]);
        phases.push(Phase::new(key(2), "build".into(), later, later));
        assert_eq!(shown(&phases), ["- build  0.0s"]);
    }

    #[test]
    fn amounts_are_counts_or_sizes() {
        let bytes = Stage::new("layers").at(1_500_000, 3_000_000).in_bytes();
        assert_eq!(bytes.amount().as_deref(), Some("1.5 MB/3.0 MB"));
        assert_eq!(Stage::new("x").at(7, 0).amount().as_deref(), Some("7"));
        assert_eq!(Stage::new("x").amount(), None);
        assert_eq!(Stage::new("x").at(9, 3).percent(), Some(100));
    }
}
