//! A wait that ends with the first output of a container, so that the container finds the terminal clear.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use crate::ui::progress::Waiting;

/// A wait that ends with the first output on any of its streams.
#[derive(Clone)]
pub struct HideOnOutput(Arc<Mutex<Option<Waiting>>>);

impl HideOnOutput {
    /// Keeps `waiting` until one of its streams is written to, or all are dropped.
    pub fn new(waiting: Waiting) -> Self {
        HideOnOutput(Arc::new(Mutex::new(Some(waiting))))
    }

    /// Wraps `inner`: the wait ends before its first byte is written.
    pub fn stream<W>(&self, inner: W) -> HidingStream<W> {
        HidingStream {
            inner,
            waiting: Some(self.clone()),
        }
    }

    fn end(&self) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(waiting);
    }
}

/// A stream that ends the wait.
pub struct HidingStream<W> {
    inner: W,
    waiting: Option<HideOnOutput>,
}

impl<W: AsyncWrite + Unpin> AsyncWrite for HidingStream<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(waiting) = this.waiting.take() {
            waiting.end();
        }
        Pin::new(&mut this.inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::ui::progress::ProgressMode;
    use crate::ui::testing::{Captured, tty};

    /// The sequence that erases one line of the board.
    const ERASED: &str = "\r\u{1b}[K\u{1b}[A\u{1b}[2K";

    #[tokio::test]
    async fn the_first_byte_of_either_stream_finds_the_terminal_free() {
        let Captured { ui, err, .. } = tty(ProgressMode::default());
        let waiting = HideOnOutput::new(ui.waiting("starting container"));
        let (mut first, mut second) = (Vec::new(), Vec::new());
        {
            let mut streams = (waiting.stream(&mut first), waiting.stream(&mut second));
            let limit = Instant::now() + Duration::from_secs(60);
            while !err.text().contains("starting container") {
                assert!(Instant::now() < limit, "{}", err.text());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            streams.1.write_all(b"ready\n").await.unwrap();
            let then = err.text();
            assert!(then.ends_with(ERASED), "{then:?}");
            streams.0.write_all(b"more\n").await.unwrap();
            streams.1.write_all(b"set\n").await.unwrap();
            assert_eq!(err.text(), then);
        }
        assert_eq!((&*first, &*second), (&b"more\n"[..], &b"ready\nset\n"[..]));
    }

    #[tokio::test]
    async fn a_wait_ends_with_its_streams() {
        let Captured { ui, err, .. } = tty(ProgressMode::default());
        let waiting = HideOnOutput::new(ui.waiting("starting container"));
        let stream = waiting.stream(Vec::<u8>::new());
        drop(waiting);
        drop(stream);
        ui.message("done");
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(err.text(), "done\n");
    }
}
