//! The signals that dkr receives: which end it, and which it passes on to the command that it runs, as
//! `docker run --sig-proxy` does.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// A signal that dkr receives while it is attached, or sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The terminal was closed.
    Hangup,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    /// A request to terminate.
    Terminate,
    /// Kills at once. dkr only sends it.
    Kill,
    /// For the program's own use.
    User1,
    /// For the program's own use.
    User2,
    /// The reader of the output is gone. dkr only sends it, and ignores it itself.
    Pipe,
    /// The size of the terminal changed.
    WindowChange,
}

impl Signal {
    /// Its name in the Engine API.
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

    /// Whether it asks a process to terminate.
    pub fn ends(self) -> bool {
        use Signal::{Hangup, Interrupt, Quit, Terminate};
        matches!(self, Hangup | Interrupt | Quit | Terminate)
    }
}

/// Decides who handles a signal that asks to terminate: dkr itself, or the command that it runs, for as
/// long as that runs. Each such signal is handled exactly once, no matter when it arrives.
#[derive(Debug, Clone, Default)]
pub struct Router {
    addressee: Arc<Mutex<Option<UnboundedSender<Signal>>>>,
    interrupt: CancellationToken,
}

impl Router {
    /// Cancelled when dkr itself is asked to terminate.
    pub fn interrupt(&self) -> &CancellationToken {
        &self.interrupt
    }

    /// Hands the signals over: the owner of the result handles them until it is dropped.
    ///
    /// # Errors
    /// `Interrupted` if dkr was already asked to terminate; when the signals cannot be received.
    pub fn hand_over(&self) -> Result<Signals> {
        let (sender, ends) = unbounded_channel();
        let signals = Signals::listen(ends)?;
        let mut addressee = self.addressee();
        if self.interrupt.is_cancelled() {
            return Err(Error::interrupted());
        }
        *addressee = Some(sender);
        Ok(signals)
    }

    /// Routes all signals that ask to terminate, for ever. Calls `insisted` when dkr itself is asked
    /// again.
    pub async fn run(self, insisted: impl Fn()) {
        let Ok(mut source) = EndSignals::listen() else {
            return;
        };
        loop {
            let signal = source.next().await;
            if !self.deliver(signal) {
                insisted();
            }
        }
    }

    /// Whether the signal changed anything.
    fn deliver(&self, signal: Signal) -> bool {
        let addressee = self.addressee();
        // Once the command has ended, signals are for dkr itself again.
        if addressee.as_ref().is_some_and(|to| to.send(signal).is_ok()) {
            return true;
        }
        let first = !self.interrupt.is_cancelled();
        self.interrupt.cancel();
        first
    }

    fn addressee(&self) -> MutexGuard<'_, Option<UnboundedSender<Signal>>> {
        let addressee = self.addressee.lock();
        addressee.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The signals that ask a process to terminate and that a terminal or another process may send.
struct EndSignals {
    hangup: unix::Signal,
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl EndSignals {
    fn listen() -> io::Result<Self> {
        Ok(EndSignals {
            hangup: unix::signal(SignalKind::hangup())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Hangup,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

/// The signals for the command that dkr runs. Meanwhile none of them ends dkr itself.
#[derive(Debug)]
pub struct Signals {
    ends: UnboundedReceiver<Signal>,
    quit: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
    window_change: unix::Signal,
}

impl Signals {
    fn listen(ends: UnboundedReceiver<Signal>) -> Result<Self> {
        let others = || -> io::Result<[unix::Signal; 4]> {
            Ok([
                unix::signal(SignalKind::quit())?,
                unix::signal(SignalKind::user_defined1())?,
                unix::signal(SignalKind::user_defined2())?,
                unix::signal(SignalKind::window_change())?,
            ])
        };
        let others = others().map_err(|e| Error::failed("cannot receive signals").source(e))?;
        let [quit, user1, user2, window_change] = others;
        Ok(Signals {
            ends,
            quit,
            user1,
            user2,
            window_change,
        })
    }

    /// The next signal. Cancelling this loses none.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(signal) = self.ends.recv() => signal,
            _ = self.quit.recv() => Signal::Quit,
            _ = self.user1.recv() => Signal::User1,
            _ = self.user2.recv() => Signal::User2,
            _ = self.window_change.recv() => Signal::WindowChange,
        }
    }

    /// Fails if dkr was asked to terminate before there is a command to pass that on to.
    ///
    /// # Errors
    /// `Interrupted`.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.ends.try_recv() {
            Ok(_) => Err(Error::interrupted()),
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn a_request_to_end_has_one_addressee_whenever_it_comes() {
        let router = Router::default();
        let mut signals = router.hand_over().unwrap();
        assert!(router.deliver(Signal::Interrupt) && router.deliver(Signal::Terminate));
        assert!(!router.interrupt().is_cancelled());
        assert_eq!(signals.next().await, Signal::Interrupt);
        assert_eq!(signals.check().unwrap_err().kind, Kind::Interrupted);
        assert!(signals.check().is_ok());
        drop(signals);
        assert!(router.deliver(Signal::Interrupt));
        assert!(router.interrupt().is_cancelled());

        let router = Router::default();
        assert!(router.deliver(Signal::Interrupt));
        assert!(!router.deliver(Signal::Interrupt));
        assert!(router.interrupt().is_cancelled());
        assert_eq!(router.hand_over().unwrap_err().kind, Kind::Interrupted);
    }
}
