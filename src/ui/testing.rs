//! A [`Ui`] that prints to memory, for unit tests.

use std::io;
use std::sync::{Arc, Mutex};

use crate::env::Env;
use crate::ui::Ui;
use crate::ui::progress::ProgressMode;
use crate::ui::terminal::Terminal;

/// A stream that stores what is written to it.
#[derive(Clone, Default)]
pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// Everything written so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A [`Ui`] and its two streams.
pub(crate) struct Captured {
    pub(crate) ui: Ui,
    pub(crate) out: Buffer,
    pub(crate) err: Buffer,
}

/// Streams that are pipes.
pub(crate) fn pipe(progress: ProgressMode) -> Captured {
    capture(Terminal::of_env(&Env::default()), progress)
}

/// Streams that are a terminal with colours, 80 columns wide.
pub(crate) fn tty(progress: ProgressMode) -> Captured {
    let env = Env::from_iter([("TERM", "xterm"), ("LANG", "C.UTF-8")]);
    let terminal = Terminal {
        stdin: true,
        stdout: true,
        stderr: true,
        ..Terminal::of_env(&env)
    };
    capture(terminal, progress)
}

fn capture(terminal: Terminal, progress: ProgressMode) -> Captured {
    let (out, err) = (Buffer::default(), Buffer::default());
    let streams = (Box::new(out.clone()), Box::new(err.clone()));
    let ui = Ui::with_streams(streams.0, streams.1, terminal, progress);
    Captured { ui, out, err }
}
