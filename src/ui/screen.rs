//! The two output streams and the running board under them: the only writer to either.
//!
//! Everything printed while phases are running goes above them, because it goes through here. The
//! cursor is never hidden and no mode of the terminal is changed, so there is nothing to restore
//! when dkr ends suddenly.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::text::{cut, duration, log_line};
use crate::ui::board::{Board, Key, Phase, rows, widths};
use crate::ui::plain;
use crate::ui::progress::{Outcome, Stage};
use crate::ui::style::Style;

/// How often the running board is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// A board that is redrawn in place.
    Board,
    /// Plain lines.
    Lines,
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
    /// Whether plain lines also say what is only waited for.
    waits_announced: bool,
    style: Style,
    board: Board,
    /// The width of each line of the board that is on the terminal.
    drawn: Vec<usize>,
    suspensions: usize,
    ticking: bool,
    groups: u64,
}

impl Screen {
    /// A screen with nothing running; `size` gives columns and rows of the terminal.
    pub fn new(out: Stream, err: Stream, size: fn() -> (usize, usize)) -> Self {
        Screen {
            out,
            err,
            size,
            display: Display::Nothing,
            waits_announced: false,
            style: Style {
                colour: false,
                unicode: false,
            },
            board: Board::default(),
            drawn: Vec::new(),
            suspensions: 0,
            ticking: false,
            groups: 0,
        }
    }

    /// Sets how progress is shown.
    pub fn set_display(&mut self, display: Display, style: Style) {
        self.display = display;
        self.style = style;
    }

    /// Sets whether plain lines also say what is only waited for.
    pub fn announce_waits(&mut self, wanted: bool) {
        self.waits_announced = wanted;
    }

    /// Writes whole lines to standard error, above the board. A stream that nobody reads any
    /// more is no reason to stop working.
    pub fn print(&mut self, text: &str) {
        let now = Instant::now();
        self.draw(text, now);
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
        self.board.remove(key);
        self.board.add(Phase::new(key, label, now, shown_from));
        self.tick(now);
    }

    /// Says what a phase is doing now.
    pub fn stage(&mut self, key: Key, stage: Stage, now: Instant) {
        let Some(phase) = self.board.get_mut(key) else {
            return;
        };
        let silent = self.display != Display::Lines || phase.shown_from > now;
        let line = if silent {
            None
        } else {
            plain::stage(phase, &stage, now)
        };
        phase.stage = Some(stage);
        if let Some(line) = line {
            self.print(&(line + "\n"));
        }
    }

    /// Adds a line of a phase's output.
    pub fn log(&mut self, key: Key, line: &str) {
        let Some(phase) = self.board.get_mut(key) else {
            return;
        };
        match self.display {
            Display::Board => phase.push_log(log_line(line)),
            Display::Lines => {
                let line = plain::log(phase, line);
                self.print(&(line + "\n"));
            }
            Display::Nothing => {}
        }
    }

    /// Ends a phase, and leaves a line that says how.
    pub fn finish(&mut self, key: Key, outcome: Outcome, now: Instant) {
        let Some(phase) = self.board.remove(key) else {
            return;
        };
        let took = match outcome {
            Outcome::Done { took: Some(took) } => took,
            _ => now.saturating_duration_since(phase.since),
        };
        match self.display {
            Display::Board => {
                let (sign, end) = match outcome {
                    Outcome::Done { .. } => (self.style.done(), duration(took)),
                    Outcome::Cached => (self.style.done(), "cached".to_owned()),
                    Outcome::Failed => (self.style.failed(), duration(took)),
                };
                // The label gives way so that the line stays one line.
                let room = (self.size)().0.saturating_sub(end.len() + 5);
                let label = cut(&phase.label, room, self.style.ellipsis());
                self.print(&format!("{sign} {label}  {end}\n"));
            }
            Display::Lines => {
                let line = plain::finished(&phase.label, outcome, took);
                self.print(&(line + "\n"));
            }
            Display::Nothing => {}
        }
    }

    /// Drops a phase without a word.
    pub fn forget(&mut self, key: Key) {
        if self.board.remove(key).is_some() {
            self.draw("", Instant::now());
        }
    }

    /// Drops all phases of a progress without a word.
    pub fn forget_group(&mut self, group: u64) {
        self.board.remove_group(group);
        self.draw("", Instant::now());
    }

    /// Shows what changed with time.
    pub fn tick(&mut self, now: Instant) {
        match self.display {
            Display::Board => self.draw("", now),
            Display::Lines => {
                let mut lines = String::new();
                for phase in self.board.phases_mut() {
                    if phase.shown_from <= now && !phase.announced.start {
                        phase.announced.start = true;
                        if !phase.is_wait() {
                            lines += &(plain::started(&phase.label) + "\n");
                        } else if self.waits_announced {
                            lines += &format!("{}{}\n", phase.label, self.style.ellipsis());
                        }
                    }
                }
                self.draw(&lines, now);
            }
            Display::Nothing => {}
        }
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
        let mut output = self.erasure();
        output += text;
        if self.display == Display::Board && self.suspensions == 0 {
            let (width, height) = (self.size)();
            // The cursor waits in the row below the board.
            let size = (width, height.saturating_sub(1));
            let lines = self.board.lines(now, size, self.style);
            for line in &lines {
                output += line;
                output.push('\n');
            }
            self.drawn = widths(&lines);
        }
        self.write(&output);
    }

    /// The sequence that removes the board, and what was typed below it: up row by row, clearing
    /// each. (To clear all from the
    /// first row at once makes tmux push them into its history if that is the top of the screen.)
    /// The rows are counted for the width that the terminal has now, as it wraps again what is on
    /// it when it is resized.
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
            if screen.board.is_empty() {
                screen.ticking = false;
                return;
            }
            screen.tick(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
