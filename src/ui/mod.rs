//! All of dkr's output and questions: data on standard output; messages, progress and prompts on
//! standard error.
//!
//! All other modules use it through [`Ui`], which is created once from the environment and the flags.
//! Messages are here, `prompt` asks, `progress` has spinners and bars, `table` listings, `pager` the
//! user's pager. It takes plain values and knows nothing of images or repositories. No other module
//! prints.

pub mod pager;
pub mod progress;
mod prompt;
mod screen;
mod style;
pub mod table;
pub mod terminal;
#[cfg(test)]
pub(crate) mod testing;

use std::io::ErrorKind;

use crate::env::Env;
use crate::error::{Error, Result};
use crate::text::{sanitize, sanitize_line, wrap};
use crate::ui::progress::{Progress, ProgressMode, Suspended, Waiting};
use crate::ui::screen::{Screen, Shared, Stream};
use crate::ui::style::Style;
use crate::ui::table::Table;
use crate::ui::terminal::Terminal;

/// The only printer. Clones share their streams.
#[derive(Clone)]
pub struct Ui {
    screen: Shared,
    terminal: Terminal,
    style: Style,
}

impl Ui {
    /// Prints to this process's streams.
    pub fn new(env: &Env, progress: ProgressMode) -> Self {
        let out = Box::new(std::io::stdout());
        let err = Box::new(std::io::stderr());
        Self::with_streams(out, err, Terminal::of_process(env), progress)
    }

    /// Prints to `out` and `err`, which `terminal` describes.
    pub fn with_streams(
        out: Stream,
        err: Stream,
        terminal: Terminal,
        progress: ProgressMode,
    ) -> Self {
        let style = terminal.stderr_style();
        let size = || terminal::size(std::io::stderr());
        let screen = Screen::new((out, err), size, progress.display(&terminal), style);
        Ui {
            screen: Shared::new(screen),
            terminal,
            style,
        }
    }

    /// The properties of the standard streams.
    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Writes `data` to standard output, unchanged. A closed pipe (`dkr list-images | head -1`) is no
    /// failure: the rest is discarded.
    ///
    /// # Errors
    /// When standard output cannot be written for another reason, such as a full disk.
    pub fn data(&self, data: &str) -> Result<()> {
        match self.screen.lock().data(data) {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => {
                Err(Error::failed("cannot write to standard output").source(e))
            }
            _ => Ok(()),
        }
    }

    /// Writes `table` to standard output, fitted to its terminal; in full if it is not a terminal.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn table(&self, table: &Table) -> Result<()> {
        self.data(&table.render(self.width(), self.style.ellipsis()))
    }

    /// Writes a sentence to standard output, wrapped at spaces if its terminal is too narrow.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn sentence(&self, text: &str) -> Result<()> {
        let text = sanitize_line(text);
        let lines = match self.width() {
            Some(width) => wrap(&text, width),
            None => vec![text],
        };
        self.data(&format!("{}\n", lines.join("\n")))
    }

    /// Writes `table` to standard error, fitted to its terminal: the context of a question.
    pub fn show(&self, table: &Table) {
        let terminal = self.terminal.stderr;
        let width = terminal.then(|| terminal::size(std::io::stderr()).0);
        self.print(&table.render(width, self.style.ellipsis()));
    }

    /// Writes `table` to standard output, each row as a block with one line for each cell.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn record(&self, table: &Table) -> Result<()> {
        self.data(&table.blocks(self.width()))
    }

    /// The width of standard output, if it is a terminal.
    pub fn width(&self) -> Option<usize> {
        let terminal = self.terminal.stdout;
        terminal.then(|| terminal::size(std::io::stdout()).0)
    }

    /// Prints a status message.
    pub fn message(&self, text: &str) {
        self.print(&format!("{}\n", sanitize(text)));
    }

    /// Prints a warning: something that the user should know, though the command continues.
    pub fn warning(&self, text: &str) {
        self.print(&labelled(&self.style.yellow("warning:"), text));
    }

    /// Prints a hint: what to do next, with a command or key that exists.
    pub fn hint(&self, text: &str) {
        self.print(&labelled(&self.style.cyan("hint:"), text));
    }

    /// Prints why the command failed, and what to do.
    pub fn error(&self, error: &Error) {
        let mut text = labelled(&self.style.red("error:"), &error.message);
        for cause in &error.causes {
            text += &labelled("  caused by:", cause);
        }
        for hint in &error.hints {
            text += &labelled(&self.style.cyan("hint:"), hint);
        }
        self.print(&text);
    }

    /// Progress of one task.
    pub fn progress(&self) -> Progress {
        Progress::new(self.screen.clone())
    }

    /// Shows `label` until dropped, if that takes more than half a second. On a terminal nothing of it
    /// remains; elsewhere only `--progress plain` prints it, as a line. Drop it before writing anything
    /// that may be for another program on the terminal.
    pub fn waiting(&self, label: &str) -> Waiting {
        Waiting::new(self.screen.clone(), label)
    }

    /// Hides progress until dropped, for a child process that writes to the terminal. Messages are
    /// still printed.
    pub fn suspend(&self) -> Suspended {
        Suspended::new(self.screen.clone())
    }

    fn print(&self, text: &str) {
        self.screen.lock().print(text);
    }
}

/// `label text`, with further lines indented, so that no text can pass for a line of dkr.
fn labelled(label: &str, text: &str) -> String {
    let indent = if label.starts_with(' ') { 4 } else { 2 };
    let text = sanitize(text.trim_end());
    let text = text.replace('\n', &format!("\n{}", " ".repeat(indent)));
    format!("{label} {text}\n")
}

#[cfg(test)]
mod tests {
    use super::testing::{Captured, pipe, tty};
    use super::*;

    fn speak(ui: &Ui) {
        ui.message("building `dkr:linux-main`");
        ui.warning("image `a` is old");
        ui.hint("run `dkr update-image`");
    }

    #[test]
    fn messages_go_to_stderr_and_data_to_stdout() {
        let Captured { ui, out, err } = pipe(ProgressMode::default());
        speak(&ui);
        ui.data("sha256:1\u{1b}[0m").unwrap();
        assert_eq!(out.text(), "sha256:1\u{1b}[0m");
        assert_eq!(
            err.text(),
            "building `dkr:linux-main`\nwarning: image `a` is old\nhint: run `dkr update-image`\n"
        );
    }

    #[test]
    fn an_error_reads_as_the_style_says() {
        let error = Error::failed("cannot connect to `x`")
            .cause("refused\nerror: forged")
            .hint("start it");
        let Captured { ui, err, .. } = pipe(ProgressMode::default());
        ui.error(&error);
        assert_eq!(
            err.text(),
            "error: cannot connect to `x`\n  caused by: refused\n    error: forged\nhint: start it\n"
        );
        let Captured { ui, err, .. } = tty(ProgressMode::default());
        ui.error(&error);
        let text = err.text();
        assert!(text.starts_with("\u{1b}[1;31merror:\u{1b}[0m cannot connect to `x`\n"));
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let Captured { ui, err, .. } = tty(ProgressMode::default());
        let hostile = "`/tmp/\u{1b}]0;owned\u{7}\u{9b}2J`";
        ui.message(hostile);
        ui.warning(hostile);
        ui.hint(hostile);
        ui.error(&Error::failed(hostile).cause(hostile).hint(hostile));
        let progress = ui.progress();
        progress.start(progress::PhaseId(0), hostile);
        progress.log(progress::PhaseId(0), hostile);
        progress.stage(progress::PhaseId(0), progress::Stage::new(hostile));
        drop(progress);
        let text = err.text();
        assert!(!text.contains("\u{1b}]") && !text.contains(['\u{7}', '\u{9b}']));
    }

    #[test]
    fn a_closed_stdout_ends_quietly_and_a_full_one_fails() {
        use std::io;
        struct Broken(ErrorKind);
        impl io::Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(self.0.into())
            }
        }
        let with = |kind| {
            let streams = (Box::new(Broken(kind)), Box::new(Broken(kind)));
            let terminal = Terminal::of_env(&Env::default());
            Ui::with_streams(streams.0, streams.1, terminal, ProgressMode::default())
        };
        let closed = with(ErrorKind::BrokenPipe);
        speak(&closed);
        assert_eq!(closed.data("x"), Ok(()));
        let full = with(ErrorKind::StorageFull).data("x").unwrap_err();
        assert_eq!(full.message, "cannot write to standard output");
    }
}
