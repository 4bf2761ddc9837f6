//! The two output streams and the progress board below them; nothing else writes to either.
//!
//! Since all output goes through here, it appears above the board while phases are running. The cursor is
//! never hidden and the terminal's modes are never changed, so nothing has to be restored when dkr ends
//! suddenly.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::text::{columns, cut, duration, log_line};
use crate::ui::progress::board::{self, Key, Phase};
use crate::ui::progress::{PhaseEnd, Stage, plain};
use crate::ui::style::Style;

/// How often to redraw the board.
const TICK: Duration = Duration::from_millis(100);

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// A board that is redrawn in place.
    Board,
    /// Plain lines; with `waits`, for waits too.
    Lines { waits: bool },
    /// Not at all.
    Nothing,
}

/// Where text goes to.
pub type Stream = Box<dyn Write + Send>;

/// The streams, the running phases, and what of them is on the terminal.
pub struct Screen {
    out: Stream,
    err: Stream,
    size: fn() -> (usize, usize),
    display: Display,
    style: Style,
    /// Oldest first.
    phases: Vec<Phase>,
    /// The width of each line of the board on the terminal.
    drawn: Vec<usize>,
    suspensions: usize,
    ticking: bool,
    groups: u64,
}

impl Screen {
    /// A screen without phases; `size` returns the columns and rows of the terminal.
    pub fn new(
        (out, err): (Stream, Stream),
        size: fn() -> (usize, usize),
        display: Display,
        style: Style,
    ) -> Self {
        Screen {
            out,
            err,
            size,
            display,
            style,
            phases: Vec::new(),
            drawn: Vec::new(),
            suspensions: 0,
            ticking: false,
            groups: 0,
        }
    }

    /// Writes whole lines to standard error, above the board. If no one reads the stream any more, that is
    /// no reason to stop.
    pub fn print(&mut self, text: &str) {
        self.draw(text, Instant::now());
    }

    /// Writes to standard output, above the board.
    ///
    /// # Errors
    /// As the stream's own.
    pub fn data(&mut self, data: &str) -> io::Result<()> {
        self.erase();
        let written = self.out.write_all(data.as_bytes());
        let written = written.and_then(|()| self.out.flush());
        self.draw("", Instant::now());
        written
    }

    /// A number for a new [`Progress`](super::progress::Progress).
    pub fn new_group(&mut self) -> u64 {
        self.groups += 1;
        self.groups
    }

    /// Starts a phase, which is not shown before `shown_from`.
    pub fn start(&mut self, key: Key, label: String, now: Instant, shown_from: Instant) {
        self.phases.retain(|phase| phase.key != key);
        self.phases.push(Phase::new(key, label, now, shown_from));
        self.tick(now);
    }

    /// Sets what a phase is currently doing.
    pub fn stage(&mut self, key: Key, stage: Stage, now: Instant) {
        let Some(phase) = self.phases.iter_mut().find(|phase| phase.key == key) else {
            return;
        };
        let line = match self.display {
            Display::Lines { .. } if phase.is_due(now) => plain::stage(phase, &stage, now),
            _ => None,
        };
        phase.stage = Some(stage);
        if let Some(line) = line {
            self.print(&(line + "\n"));
        }
    }

    /// Adds a line of a phase's output.
    pub fn log(&mut self, key: Key, line: &str) {
        let Some(phase) = self.phases.iter_mut().find(|phase| phase.key == key) else {
            return;
        };
        match self.display {
            Display::Board => phase.push_log(log_line(line)),
            Display::Lines { .. } => {
                let line = plain::log(&phase.label, line);
                self.print(&(line + "\n"));
            }
            Display::Nothing => {}
        }
    }

    /// Ends a phase and prints a line with the result.
    pub fn finish(&mut self, key: Key, outcome: PhaseEnd, now: Instant) {
        let Some(at) = self.phases.iter().position(|phase| phase.key == key) else {
            return;
        };
        let Phase { label, since, .. } = self.phases.remove(at);
        let took = match outcome {
            PhaseEnd::Done { took: Some(took) } => took,
            _ => now.saturating_duration_since(since),
        };
        let line = match self.display {
            Display::Board => self.ended(&label, outcome, took),
            Display::Lines { .. } => plain::finished(&label, outcome, took),
            Display::Nothing => return,
        };
        self.print(&(line + "\n"));
    }

    /// The line that remains of a phase on a terminal.
    fn ended(&self, label: &str, outcome: PhaseEnd, took: Duration) -> String {
        let (sign, end) = match outcome {
            PhaseEnd::Done { .. } => (self.style.done(), duration(took)),
            PhaseEnd::Cached => (self.style.done(), "cached".to_owned()),
            PhaseEnd::Failed => (self.style.failed(), duration(took)),
        };
        // The label is cut so that it fits on one line.
        let room = (self.size)().0.saturating_sub(end.len() + 5);
        let label = cut(label, room, self.style.ellipsis());
        format!("{sign} {label}  {end}")
    }

    /// Removes those phases without a message.
    pub fn forget(&mut self, phases: impl Fn(Key) -> bool) {
        self.phases.retain(|phase| !phases(phase.key));
        self.draw("", Instant::now());
    }

    /// Shows what has changed with time.
    pub fn tick(&mut self, now: Instant) {
        let mut lines = String::new();
        if let Display::Lines { waits } = self.display {
            for phase in &mut self.phases {
                if phase.is_due(now) && !phase.announced.start {
                    phase.announced.start = true;
                    if !phase.is_wait() {
                        lines += &(plain::started(&phase.label) + "\n");
                    } else if waits {
                        lines += &format!("{}{}\n", phase.label, self.style.ellipsis());
                    }
                }
            }
        }
        self.draw(&lines, now);
    }

    /// Removes the board from the terminal until [`Screen::resume`], for a prompt or a child process.
    pub fn suspend(&mut self) {
        self.suspensions += 1;
        self.erase();
    }

    /// Shows the board again.
    pub fn resume(&mut self) {
        self.suspensions = self.suspensions.saturating_sub(1);
        self.draw("", Instant::now());
    }

    fn erase(&mut self) {
        let sequence = self.erasure();
        self.write(&sequence);
    }

    /// With one write, so that nothing flickers: erases the old board, prints `text` and the new board.
    fn draw(&mut self, text: &str, now: Instant) {
        let mut output = self.erasure() + text;
        if self.display == Display::Board && self.suspensions == 0 {
            let (width, height) = (self.size)();
            // The cursor is in the row below the board.
            let size = (width, height.saturating_sub(1));
            for line in board::lines(&self.phases, now, size, self.style) {
                self.drawn.push(columns(&line));
                output += &(line + "\n");
            }
        }
        self.write(&output);
    }

    /// The sequence that removes the board, and what was typed below it, by clearing row by row upwards.
    /// (When all is cleared at once from the first row, and that is the top of the screen, tmux pushes the
    /// rows into its history.) Rows are counted for the current width, since a terminal that is resized
    /// rewraps its lines.
    fn erasure(&mut self) -> String {
        if self.drawn.is_empty() {
            return String::new();
        }
        let rows = rows(&self.drawn, (self.size)().0);
        self.drawn.clear();
        "\r\u{1b}[K".to_owned() + &"\u{1b}[A\u{1b}[2K".repeat(rows)
    }

    fn write(&mut self, text: &str) {
        if !text.is_empty() {
            // A failure of standard error cannot be reported anywhere.
            let _ = self.err.write_all(text.as_bytes());
            let _ = self.err.flush();
        }
    }
}

/// How many rows those lines take on a terminal `width` columns wide, which may be narrower than when
/// they were written.
fn rows(line_columns: &[usize], width: usize) -> usize {
    let rows = |columns: &usize| columns.div_ceil(width.max(1)).max(1);
    line_columns.iter().map(rows).sum()
}

/// The screen, shared by everything that prints.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Screen>>);

impl Shared {
    /// Shares a screen.
    pub fn new(screen: Screen) -> Self {
        Shared(Arc::new(Mutex::new(screen)))
    }

    /// Locks the screen. A panic elsewhere must not suppress the message about it.
    pub fn lock(&self) -> MutexGuard<'_, Screen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a phase, and a timer that runs while there are phases.
    pub fn start(&self, key: Key, label: String, delay: Duration) {
        let now = Instant::now();
        let mut screen = self.lock();
        screen.start(key, label, now, now + delay);
        if screen.display != Display::Nothing && !screen.ticking {
            let shared = self.clone();
            let ticker = std::thread::Builder::new().name("progress".to_owned());
            // Without the thread, the board is only drawn on events.
            screen.ticking = ticker.spawn(move || shared.keep_time()).is_ok();
        }
    }

    fn keep_time(&self) {
        loop {
            std::thread::sleep(TICK);
            let mut screen = self.lock();
            if screen.phases.is_empty() {
                screen.ticking = false;
                return;
            }
            screen.tick(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
