//! Progress of long work: phases with a stage, numbers and log lines.
//!
//! `bake` and commands feed it. `--progress` and the terminal decide how it looks: `board` has the
//! spinners and bars of a terminal, `plain` the lines of everything else, and `screen` writes them.
//! What is still running when a [`Progress`] is dropped disappears without a word.

pub(super) mod board;
pub mod hide_on_output;
pub(super) mod plain;

use std::time::{Duration, Instant};

use crate::text::{log_line, sanitize_line};
use crate::ui::progress::board::Key;
use crate::ui::screen::{Display, Shared};
use crate::ui::terminal::Terminal;

/// Work that ends sooner than this is not worth a line.
const WORTH_SHOWING: Duration = Duration::from_millis(500);

/// The values of `--progress`, as `docker buildx build` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgressMode {
    /// `tty` on a terminal that can move its cursor, else `plain`.
    #[default]
    Auto,
    /// Lines.
    Plain,
    /// Bars, redrawn in place; lines where standard error is no terminal.
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

/// Identifies a phase within one [`Progress`]; the caller chooses the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhaseId(pub usize);

/// What a stage's numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Things.
    #[default]
    Count,
    /// Bytes.
    Bytes,
}

/// What a phase is doing now, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// In the program's own words, e.g. `Receiving objects`.
    pub name: String,
    /// How much is done.
    pub current: u64,
    /// How much there is, if that is known.
    pub total: Option<u64>,
    /// What the numbers count.
    pub unit: Unit,
    /// Anything else worth saying, e.g. a speed.
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

    /// With `current` of `total` done; a `total` of 0 is unknown.
    #[must_use]
    pub fn at(mut self, current: u64, total: u64) -> Self {
        self.current = current;
        self.total = (total > 0).then_some(total);
        self
    }

    /// With numbers that are bytes.
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
    /// Well, after so long; without a time, since its start was shown.
    Done {
        /// The time that the work itself took.
        took: Option<Duration>,
    },
    /// Without running, from a cache.
    Cached,
    /// Badly.
    Failed,
}

/// The phases of one piece of work. Calls about a phase that is not running do nothing.
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

    /// Begins a phase, shown as `label`.
    pub fn start(&self, id: PhaseId, label: &str) {
        let label = sanitize_line(label);
        self.screen.start(self.key(id), label, Duration::ZERO);
    }

    /// Says what a phase is doing now.
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

    /// Drops a phase without a word, as one that was given up because another failed.
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

/// One thing that is waited for; a line shows it after half a second and goes when this is
/// dropped.
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

    /// Says what is being done now.
    pub fn stage(&self, stage: Stage) {
        self.progress.stage(PhaseId(0), stage);
    }
}

/// While this lives, no progress is drawn, so that a prompt or a child process has the terminal.
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
