//! Connects dkr's own streams to a command in a container: copies output and input, and keeps the size of
//! its terminal equal to that of dkr's.
//!
//! `attach`, `exec` and `tmux` each drive one in a loop: [`Interaction::next`] does the copying and returns
//! an [`Event`] whenever the caller has to decide something. Everything runs on the caller's task, so
//! nothing is copied unless `next` is awaited.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::frames::Format;
use super::request::Hijacked;
use super::signals::{Signal, Signals};
use super::streams::{Broken, OutputEnd, Streams, Until};
use super::terminal::{RawMode, set_size};
use crate::error::Result;

/// What the caller of [`Interaction::next`] has to handle.
#[derive(Debug)]
pub(super) enum Event {
    /// The output has ended. Mostly the command has exited, but its status may follow later.
    OutputEnded(OutputEnd),
    /// dkr's input has ended; the end was passed on.
    InputEnded,
    /// The reader of dkr's stdout is gone, or the output cannot be written: the command should get SIGPIPE.
    Unread,
    /// A signal for the command. A change of the window's size is handled here and never returned.
    Signal(Signal),
}

/// A running interaction. With a terminal, dkr's own is in raw mode until this is dropped.
///
/// Each task is polled where it is stored and never restarted: `None` once it has completed.
pub(super) struct Interaction<'a> {
    output: Option<LocalBoxFuture<'a, Result<OutputEnd>>>,
    input: Option<LocalBoxFuture<'a, ()>>,
    size: Option<LocalBoxFuture<'a, Infallible>>,
    window_changed: Arc<Notify>,
    unread: Broken,
    signals: &'a mut Signals,
    _raw: Option<RawMode>,
}

impl<'a> Interaction<'a> {
    /// Connects the streams. With `resize` there is a terminal on both sides; `resize` gives the remote
    /// one the size of dkr's and returns whether that succeeded.
    ///
    /// # Errors
    /// When dkr's terminal cannot be put in raw mode.
    pub(super) fn start<I, O, E>(
        connection: Hijacked,
        streams: Streams<I, O, E>,
        until: Until,
        signals: &'a mut Signals,
        resize: Option<impl AsyncFn() -> bool + 'a>,
    ) -> Result<Self>
    where
        I: AsyncRead + Unpin + 'a,
        O: AsyncWrite + Unpin + 'a,
        E: AsyncWrite + Unpin + 'a,
    {
        let tty = resize.is_some();
        let raw = tty.then(RawMode::enter).transpose()?;
        let unread = Broken::default();
        let (output, input) = streams.join(connection, Format::of(tty), until, &unread);
        let window_changed = Arc::new(Notify::new());
        let changed = Arc::clone(&window_changed);
        Ok(Interaction {
            output: Some(output.boxed_local()),
            input: Some(input.boxed_local()),
            size: resize.map(|resize| keep_size(resize, changed).boxed_local()),
            window_changed,
            unread,
            signals,
            _raw: raw,
        })
    }

    /// Copies until something has to be handled, and returns that. Dropping the future loses nothing: the
    /// tasks stay in `self`, so that callers can use this as a branch of their own `select!`.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn next(&mut self) -> Result<Event> {
        loop {
            // In no particular order: each of these keeps what it has until the next poll. The tasks are
            // stored in `self`, `Notify` stores a notification, and signals wait in a queue.
            tokio::select! {
                end = finished(&mut self.output) => return end.map(Event::OutputEnded),
                () = finished(&mut self.input) => return Ok(Event::InputEnded),
                never = finished(&mut self.size) => match never {},
                () = self.unread.notified() => return Ok(Event::Unread),
                signal = self.signals.next() => match signal {
                    Signal::WindowChange => self.window_changed.notify_one(),
                    signal => return Ok(Event::Signal(signal)),
                },
            }
        }
    }

    /// Fails if output was lost although someone reads it.
    ///
    /// # Errors
    /// Why it was lost.
    pub(super) fn check(&self) -> Result<()> {
        self.unread.check()
    }
}

/// Polls a task to its end; pending for ever once it has completed, so that it yields one event.
async fn finished<T>(task: &mut Option<LocalBoxFuture<'_, T>>) -> T {
    match task {
        Some(running) => {
            let end = running.await;
            *task = None;
            end
        }
        None => pending().await,
    }
}

/// Sets the size now and after each change, one request at a time, so that the last size wins.
async fn keep_size(resize: impl AsyncFn() -> bool, changed: Arc<Notify>) -> Infallible {
    loop {
        set_size(&resize).await;
        changed.notified().await;
    }
}
