//! The signals that dkr passes on to what it runs, as `docker run --sig-proxy` does.

use std::io;

use tokio::signal::unix::{self, SignalKind};

use crate::error::{Error, Result};

/// A signal that reaches dkr while it is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The terminal is gone.
    Hangup,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    /// A request to end.
    Terminate,
    /// An end without asking. dkr sends it only.
    Kill,
    /// Free for the program's own use.
    User1,
    /// Free for the program's own use.
    User2,
    /// Nobody reads the output any more. dkr sends it, and ignores it for itself.
    Pipe,
    /// The terminal has another size.
    WindowChange,
}

impl Signal {
    /// The name by which the engine sends it.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Hangup => "SIGHUP",
            Signal::Interrupt => "SIGINT",
            Signal::Quit => "SIGQUIT",
            Signal::Terminate => "SIGTERM",
            Signal::Kill => "SIGKILL",
            Signal::User1 => "SIGUSR1",
            Signal::User2 => "SIGUSR2",
            Signal::Pipe => "SIGPIPE",
            Signal::WindowChange => "SIGWINCH",
        }
    }

    /// Whether it asks a process to end.
    pub fn ends(self) -> bool {
        use Signal::{Hangup, Interrupt, Quit, Terminate};
        matches!(self, Hangup | Interrupt | Quit | Terminate)
    }

    /// Its number on Linux; a process that it ended has the status 128 plus this.
    pub fn number(self) -> u8 {
        match self {
            Signal::Hangup => 1,
            Signal::Interrupt => 2,
            Signal::Quit => 3,
            Signal::Kill => 9,
            Signal::User1 => 10,
            Signal::User2 => 12,
            Signal::Pipe => 13,
            Signal::Terminate => 15,
            Signal::WindowChange => 28,
        }
    }
}

/// Listens to the signals. None of them ends this process any more, until it exits.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
    window_change: unix::Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self> {
        let signals = Self::listen_to_all();
        signals.map_err(|e| Error::failed("cannot listen to signals").because(e))
    }

    fn listen_to_all() -> io::Result<Self> {
        Ok(Signals {
            hangup: unix::signal(SignalKind::hangup())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            quit: unix::signal(SignalKind::quit())?,
            terminate: unix::signal(SignalKind::terminate())?,
            user1: unix::signal(SignalKind::user_defined1())?,
            user2: unix::signal(SignalKind::user_defined2())?,
            window_change: unix::signal(SignalKind::window_change())?,
        })
    }

    /// The next signal. Cancelling loses none.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Hangup,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.quit.recv() => Signal::Quit,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.user1.recv() => Signal::User1,
            _ = self.user2.recv() => Signal::User2,
            _ = self.window_change.recv() => Signal::WindowChange,
        }
    }
}
