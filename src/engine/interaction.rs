//! dkr's own streams while they are connected with a command in a container: output and input are
//! copied, and a terminal there has the size of dkr's. What needs a decision comes out as one event
//! after the other; what follows from it `attach`, `exec` and `tmux` know.

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

/// What needs a decision.
#[derive(Debug)]
pub(super) enum Event {
    /// There is no more output.
    OutputEnded(OutputEnd),
    /// There is no more input.
    InputEnded,
    /// Nobody takes the output any more.
    Unread,
    /// A signal that may be for the command; never a change of the window's size.
    Signal(Signal),
}

/// A running interaction. With a terminal, that of dkr is raw until this is dropped.
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
    /// Connects the streams. With `resize` there is a terminal on both sides; it gives the other one
    /// the size of dkr's, and says whether that is done.
    ///
    /// # Errors
    /// When dkr's terminal cannot be used.
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

    /// The next event; copying goes on meanwhile. Cancelling loses none.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn next(&mut self) -> Result<Event> {
        loop {
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

    /// Fails if output was lost that somebody would have read.
    ///
    /// # Errors
    /// Why it was lost.
    pub(super) fn check(&self) -> Result<()> {
        self.unread.check()
    }
}

/// What the task ends with, which happens once.
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

/// One size after the other, so that the last one stays.
async fn keep_size(resize: impl AsyncFn() -> bool, changed: Arc<Notify>) -> Infallible {
    loop {
        set_size(&resize).await;
        changed.notified().await;
    }
}
