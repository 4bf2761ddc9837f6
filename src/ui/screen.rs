//! The two output streams and the running board under them: the only writer to either.
//!
//! Everything printed while phases are running goes above them, because it goes through here. The
//! cursor is never hidden and no mode of the terminal is changed, so there is nothing to restore
//! when dkr ends suddenly.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::text::{columns, cut, duration, log_line};
use crate::ui::progress::board::{self, Key, Phase};
use crate::ui::progress::{PhaseEnd, Stage, plain};
use crate::ui::style::Style;

/// How often the running board is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// A board that is redrawn in place.
    Board,
    /// Plain lines; those of `waits` also say what is only waited for.
    Lines { waits: bool },
    /// Not at all.
    Nothing,
}

/// Where text goes to.
pub type Stream = Box<dyn Write + Send>;

/// The streams, what runs, and what of it is on the terminal now.
pub struct Screen {
    out: Stream,
    err: Stream,
    size: fn() -> (usize, usize),
    display: Display,
    style: Style,
    /// Oldest first.
    phases: Vec<Phase>,
    /// The width of each line of the board that is on the terminal.
    drawn: Vec<usize>,
    suspensions: usize,
    ticking: bool,
    groups: u64,
}

impl Screen {
    /// A screen with nothing running; `size` gives columns and rows of the terminal.
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

    /// Writes whole lines to standard error, above the board. A stream that nobody reads any
    /// more is no reason to stop working.
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

    /// A number for a new progress.
    pub fn new_group(&mut self) -> u64 {
        self.groups += 1;
        self.groups
    }

    /// Begins a phase; it stays silent until `shown_from`.
    pub fn start(&mut self, key: Key, label: String, now: Instant, shown_from: Instant) {
        self.phases.retain(|phase| phase.key != key);
        self.phases.push(Phase::new(key, label, now, shown_from));
        self.tick(now);
    }

    /// Says what a phase is doing now.
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

    /// Ends a phase, and leaves a line that says how.
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

    /// The line that stays of a phase on a terminal.
    fn ended(&self, label: &str, outcome: PhaseEnd, took: Duration) -> String {
        let (sign, end) = match outcome {
            PhaseEnd::Done { .. } => (self.style.done(), duration(took)),
            PhaseEnd::Cached => (self.style.done(), "cached".to_owned()),
            PhaseEnd::Failed => (self.style.failed(), duration(took)),
        };
        // The label gives way so that the line stays one line.
        let room = (self.size)().0.saturating_sub(end.len() + 5);
        let label = cut(label, room, self.style.ellipsis());
        format!("{sign} {label}  {end}")
    }

    /// Drops those phases without a word.
    pub fn forget(&mut self, phases: impl Fn(Key) -> bool) {
        self.phases.retain(|phase| !phases(phase.key));
        self.draw("", Instant::now());
    }

    /// Shows what changed with time.
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

    /// Takes the board off the terminal until [`Screen::resume`], for a prompt or a child process.
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

    /// In one write, so that nothing flickers: the old board erased, `text`, the new board.
    fn draw(&mut self, text: &str, now: Instant) {
        let mut output = self.erasure() + text;
        if self.display == Display::Board && self.suspensions == 0 {
            let (width, height) = (self.size)();
            // The cursor waits in the row below the board.
            let size = (width, height.saturating_sub(1));
            for line in board::lines(&self.phases, now, size, self.style) {
                self.drawn.push(columns(&line));
                output += &(line + "\n");
            }
        }
        self.write(&output);
    }

    /// The sequence that removes the board, and what was typed below it: up row by row, clearing
    /// each. (To clear all from the first row at once makes tmux push them into its history if that
    /// is the top of the screen.) The rows are counted for the width that the terminal has now, as it
    /// wraps again what is on it when it is resized.
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
            // Nowhere is left to report a failure of standard error to.
            let _ = self.err.write_all(text.as_bytes());
            let _ = self.err.flush();
        }
    }
}

/// How many rows of a terminal `width` columns wide those lines take, also after it was made
/// narrower than it was when they were written.
fn rows(line_columns: &[usize], width: usize) -> usize {
    let rows = |columns: &usize| columns.div_ceil(width.max(1)).max(1);
    line_columns.iter().map(rows).sum()
}

/// The screen as everything that prints shares it.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Screen>>);

impl Shared {
    /// Shares a screen.
    pub fn new(screen: Screen) -> Self {
        Shared(Arc::new(Mutex::new(screen)))
    }

    /// The screen, alone. A panic elsewhere must not silence the message about it.
    pub fn lock(&self) -> MutexGuard<'_, Screen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a phase, and keeps time for as long as any is running.
    pub fn start(&self, key: Key, label: String, delay: Duration) {
        let now = Instant::now();
        let mut screen = self.lock();
        screen.start(key, label, now, now + delay);
        if screen.display != Display::Nothing && !screen.ticking {
            let shared = self.clone();
            let ticker = std::thread::Builder::new().name("progress".to_owned());
            // Without the thread the board is only drawn when something happens.
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
