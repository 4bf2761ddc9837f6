//! Progress of long tasks: phases with a stage, numbers and log lines.
//!
//! `bake` and commands report it. `--progress` and the terminal decide how it looks: `board` has the
//! spinners and bars for a terminal, `plain` the lines for everything else, and `screen` writes them.
//! When a [`Progress`] is dropped, phases that are still running disappear without a message.

pub(super) mod board;
pub mod hide_on_output;
pub(super) mod plain;

use std::time::{Duration, Instant};

use crate::text::{log_line, sanitize_line};
use crate::ui::progress::board::Key;
use crate::ui::screen::{Display, Shared};
use crate::ui::terminal::Terminal;

/// Tasks that end sooner than this are not shown.
const WORTH_SHOWING: Duration = Duration::from_millis(500);

/// The values of `--progress`, as in `docker buildx build`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgressMode {
    /// `tty` on a terminal that can move its cursor, else `plain`.
    #[default]
    Auto,
    /// Lines.
    Plain,
    /// Bars that are redrawn in place; lines if standard error is not a terminal.
    Tty,
    /// Nothing.
    Quiet,
}

impl ProgressMode {
    pub(super) fn display(self, terminal: &Terminal) -> Display {
        match self {
            ProgressMode::Quiet => Display::Nothing,
            ProgressMode::Auto | ProgressMode::Tty if terminal.stderr && !terminal.dumb => {
                Display::Board
            }
            ProgressMode::Auto | ProgressMode::Tty => Display::Lines { waits: false },
            ProgressMode::Plain => Display::Lines { waits: true },
        }
    }
}

/// Identifies a phase within one [`Progress`]; chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhaseId(pub usize);

/// The unit of a stage's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Things.
    #[default]
    Count,
    /// Bytes.
    Bytes,
}

/// What a phase is currently doing, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// As the program itself calls it, e.g. `Receiving objects`.
    pub name: String,
    /// How much is done.
    pub current: u64,
    /// The total, if it is known.
    pub total: Option<u64>,
    /// The unit of the numbers.
    pub unit: Unit,
    /// Further information, e.g. a speed.
    pub detail: Option<String>,
}

impl Stage {
    /// A stage without numbers.
    pub fn new(name: impl Into<String>) -> Self {
        Stage {
            name: name.into(),
            current: 0,
            total: None,
            unit: Unit::Count,
            detail: None,
        }
    }

    /// With `current` of `total` done; a `total` of 0 means unknown.
    #[must_use]
    pub fn at(mut self, current: u64, total: u64) -> Self {
        self.current = current;
        self.total = (total > 0).then_some(total);
        self
    }

    /// With numbers in bytes.
    #[must_use]
    pub fn in_bytes(mut self) -> Self {
        self.unit = Unit::Bytes;
        self
    }

    fn sanitized(mut self) -> Self {
        self.name = log_line(&self.name);
        self.detail = self.detail.map(|detail| log_line(&detail));
        self
    }
}

/// How a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseEnd {
    /// Successfully, after this time; `None`: since it was started.
    Done {
        /// The time that the work itself took.
        took: Option<Duration>,
    },
    /// Without running: the result came from a cache.
    Cached,
    /// With a failure.
    Failed,
}

/// The phases of one task. Calls for a phase that is not running have no effect.
pub struct Progress {
    screen: Shared,
    group: u64,
}

impl Progress {
    pub(super) fn new(screen: Shared) -> Self {
        let group = screen.lock().new_group();
        Progress { screen, group }
    }

    fn key(&self, PhaseId(phase): PhaseId) -> Key {
        let group = self.group;
        Key { group, phase }
    }

    /// Starts a phase with this label.
    pub fn start(&self, id: PhaseId, label: &str) {
        let label = sanitize_line(label);
        self.screen.start(self.key(id), label, Duration::ZERO);
    }

    /// Sets what a phase is currently doing.
    pub fn stage(&self, id: PhaseId, stage: Stage) {
        let mut screen = self.screen.lock();
        screen.stage(self.key(id), stage.sanitized(), Instant::now());
    }

    /// Adds a line of a phase's output.
    pub fn log(&self, id: PhaseId, line: &str) {
        self.screen.lock().log(self.key(id), line);
    }

    /// Ends a phase.
    pub fn finish(&self, id: PhaseId, outcome: PhaseEnd) {
        let mut screen = self.screen.lock();
        screen.finish(self.key(id), outcome, Instant::now());
    }

    /// Removes a phase without a message: one that was cancelled because another failed.
    pub fn forget(&self, id: PhaseId) {
        let key = self.key(id);
        self.screen.lock().forget(|other| other == key);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.screen.lock().forget(|key| key.group == self.group);
    }
}

/// A wait: a line that appears after half a second and disappears when this is dropped.
pub struct Waiting {
    progress: Progress,
}

impl Waiting {
    pub(super) fn new(screen: Shared, label: &str) -> Self {
        let progress = Progress::new(screen);
        let key = progress.key(PhaseId(0));
        let label = sanitize_line(label);
        progress.screen.start(key, label, WORTH_SHOWING);
        Waiting { progress }
    }

    /// Changes the label.
    pub fn stage(&self, stage: Stage) {
        self.progress.stage(PhaseId(0), stage);
    }
}

/// While this exists, no progress is drawn: a prompt or a child process uses the terminal.
pub struct Suspended {
    screen: Shared,
}

impl Suspended {
    pub(super) fn new(screen: Shared) -> Self {
        screen.lock().suspend();
        Suspended { screen }
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        self.screen.lock().resume();
    }
}
