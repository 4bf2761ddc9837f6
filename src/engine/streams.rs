//! Copies between dkr's own streams and a hijacked connection, byte for byte, with bounded memory. Used by
//! `interaction` and `question`.

use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::codec::FramedRead;

use super::frames::{Demultiplexer, Format, Output};
use crate::error::{Error, Result};

/// Bytes copied at once.
const CHUNK: usize = 64 * 1024;

/// The streams on dkr's side. Without stdin, the other side gets the end of input at once.
#[derive(Debug)]
pub struct Streams<I, O, E> {
    /// The command's input.
    pub stdin: Option<I>,
    /// For the command's output; with a terminal, all of it.
    pub stdout: O,
    /// For the command's errors.
    pub stderr: E,
}

impl<I, O, E> Streams<I, O, E>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    /// Connects them: returns one future that copies output (see [`Outputs::copy_from`]) and one that
    /// copies input. They are separate so that the caller can stop waiting for input. `broken` is notified
    /// when stdout cannot be written any more.
    pub(super) fn join<C: AsyncRead + AsyncWrite>(
        self,
        connection: C,
        format: Format,
        until: Until,
        broken: &Broken,
    ) -> (
        impl Future<Output = Result<OutputEnd>> + use<I, O, E, C>,
        impl Future<Output = ()> + use<I, O, E, C>,
    ) {
        let (source, sink) = tokio::io::split(connection);
        let outputs = Outputs::new(self.stdout, self.stderr, broken);
        let output = outputs.copy_from(source, format, until);
        (output, copy_input(self.stdin, sink))
    }
}

/// What ends the copying of output, besides an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// The other side closes the connection.
    Closed,
    /// That, or a NUL byte on stderr.
    Nul,
    /// That, or no output for this long. Time spent on a slow reader does not count.
    Silent(Duration),
}

/// Why copying of output ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputEnd {
    /// The other side closed the connection.
    Closed,
    /// A NUL byte came on stderr.
    Nul,
    /// There was no output for the given time.
    Silent,
}

/// Whether stdout has failed, and why. Clones share the state.
#[derive(Debug, Clone, Default)]
pub(super) struct Broken {
    noted: Arc<Notify>,
    fault: Arc<OnceLock<String>>,
}

impl Broken {
    /// Waits until stdout cannot be written any more.
    pub async fn notified(&self) {
        self.noted.notified().await;
    }

    /// Fails if output was lost, but not because the reader has closed the pipe: that one wants no more.
    ///
    /// # Errors
    /// Why it was lost.
    pub fn check(&self) -> Result<()> {
        match self.fault.get() {
            Some(fault) => Err(Error::failed(
                "cannot write the output of the command in the container",
            )
            .cause(fault.clone())),
            None => Ok(()),
        }
    }

    fn note(&self, error: &std::io::Error) {
        if error.kind() != ErrorKind::BrokenPipe {
            let _ = self.fault.set(error.to_string());
        }
        self.noted.notify_one();
    }
}

/// The destinations of output. One that fails is dropped, and further output for it is discarded: the
/// command must not block on it. For stdout, the owner of [`Broken`] sends it a signal.
#[derive(Debug)]
struct Outputs<O, E> {
    stdout: Option<O>,
    stderr: Option<E>,
    broken: Broken,
}

impl<O: AsyncWrite + Unpin, E: AsyncWrite + Unpin> Outputs<O, E> {
    /// `broken` is notified when stdout cannot be written any more.
    fn new(stdout: O, stderr: E, broken: &Broken) -> Self {
        Outputs {
            stdout: Some(stdout),
            stderr: Some(stderr),
            broken: broken.clone(),
        }
    }

    async fn write(&mut self, output: Output, bytes: &[u8]) {
        match output {
            Output::Stdout => {
                if let Err(error) = write_or_close(&mut self.stdout, bytes).await {
                    self.broken.note(&error);
                }
            }
            Output::Stderr => {
                let _ = write_or_close(&mut self.stderr, bytes).await;
            }
        }
    }

    /// Flushes both: a buffered stream may report only now that it is broken.
    async fn flush(&mut self) {
        self.write(Output::Stdout, b"").await;
        self.write(Output::Stderr, b"").await;
    }

    /// Copies until the other side closes the connection, or until what `until` names happens.
    async fn copy_from(
        mut self,
        source: impl AsyncRead + Unpin,
        format: Format,
        until: Until,
    ) -> Result<OutputEnd> {
        let mut pieces = FramedRead::with_capacity(source, Demultiplexer::new(format), CHUNK);
        let silence = match until {
            Until::Silent(limit) => limit,
            Until::Closed | Until::Nul => Duration::MAX,
        };
        loop {
            // The limit applies to waiting for output alone. Writing below is not limited: while a reader is
            // slow, nothing is read, and the engine holds the command back.
            let Ok(piece) = timeout(silence, pieces.try_next()).await else {
                return Ok(OutputEnd::Silent);
            };
            let piece = piece.map_err(|e| {
                Error::failed("lost the connection to the command in the container").source(e)
            })?;
            let Some((output, bytes)) = piece else {
                self.flush().await;
                return Ok(OutputEnd::Closed);
            };
            // Only the part before the NUL is output; the rest is not for the user.
            let nul = (until == Until::Nul && output == Output::Stderr)
                .then(|| bytes.iter().position(|byte| *byte == 0))
                .flatten();
            self.write(output, &bytes[..nul.unwrap_or(bytes.len())])
                .await;
            // After each piece, so that a prompt without a line end appears.
            self.flush().await;
            if nul.is_some() {
                return Ok(OutputEnd::Nul);
            }
        }
    }
}

/// Writes, or flushes if `bytes` is empty. A stream that fails is dropped.
async fn write_or_close<W: AsyncWrite + Unpin>(
    stream: &mut Option<W>,
    bytes: &[u8],
) -> std::io::Result<()> {
    let Some(writer) = stream else {
        return Ok(());
    };
    let written = match bytes {
        [] => writer.flush().await,
        bytes => writer.write_all(bytes).await,
    };
    if written.is_err() {
        *stream = None;
    }
    written
}

/// Copies input to its end, and then closes this half of the connection. If the command no longer reads,
/// that is no error.
async fn copy_input<I: AsyncRead + Unpin>(stdin: Option<I>, mut sink: impl AsyncWrite + Unpin) {
    if let Some(mut stdin) = stdin {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count) = stdin.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            if sink.write_all(&buffer[..count]).await.is_err() || sink.flush().await.is_err() {
                return;
            }
        }
    }
    let _: std::io::Result<()> = sink.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    /// A pipe without a reader.
    fn closed() -> tokio::io::DuplexStream {
        tokio::io::duplex(1).0
    }

    #[tokio::test]
    async fn a_closed_stdout_is_reported_and_stderr_goes_on() {
        let broken = Broken::default();
        let mut stderr = Vec::new();
        let outputs = Outputs::new(closed(), &mut stderr, &broken);
        let source = b"\x01\0\0\0\0\0\0\x01a\x02\0\0\0\0\0\0\x01b\x01\0\0\0\0\0\0\x01c";
        let end = outputs
            .copy_from(&source[..], Format::Frames, Until::Closed)
            .await;
        assert_eq!(end, Ok(OutputEnd::Closed));
        assert_eq!(stderr, b"b");
        broken.notified().await;
        assert_eq!(broken.check(), Ok(()));
    }

    /// A full disk.
    struct Full;

    impl AsyncWrite for Full {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            Poll::Ready(Err(ErrorKind::StorageFull.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn output_that_a_full_disk_does_not_take_is_missed() {
        let broken = Broken::default();
        let outputs = Outputs::new(Full, tokio::io::sink(), &broken);
        let end = outputs
            .copy_from(&b"a"[..], Format::Raw, Until::Closed)
            .await;
        assert_eq!(end, Ok(OutputEnd::Closed));
        broken.notified().await;
        assert!(broken.check().is_err());
    }

    #[tokio::test]
    async fn a_stdout_that_breaks_only_when_flushed_is_reported_too() {
        let broken = Broken::default();
        let stdout = tokio::io::BufWriter::new(closed());
        let outputs = Outputs::new(stdout, tokio::io::sink(), &broken);
        let end = outputs
            .copy_from(&b"a"[..], Format::Raw, Until::Closed)
            .await;
        assert_eq!(end, Ok(OutputEnd::Closed));
        broken.notified().await;
    }

    #[tokio::test]
    async fn copying_stops_at_nul_only_on_stderr_and_only_if_asked_to() {
        let source = b"\x01\0\0\0\0\0\0\x01\0\x02\0\0\0\0\0\0\x03a\0b";
        for (until, end, errors) in [
            (Until::Nul, OutputEnd::Nul, &b"a"[..]),
            (Until::Closed, OutputEnd::Closed, b"a\0b"),
        ] {
            let broken = Broken::default();
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let outputs = Outputs::new(&mut stdout, &mut stderr, &broken);
            let ended = outputs.copy_from(&source[..], Format::Frames, until);
            assert_eq!(ended.await, Ok(end));
            assert_eq!((stdout, stderr.as_slice()), (b"\0".to_vec(), errors));
        }
    }

    #[tokio::test]
    async fn silence_ends_it_but_a_slow_reader_does_not() {
        let limit = Duration::from_millis(200);
        let broken = Broken::default();
        let (slow, mut reader) = tokio::io::duplex(1);
        let (mut far, near) = tokio::io::duplex(64);
        let outputs = Outputs::new(slow, tokio::io::sink(), &broken);
        let copying = outputs.copy_from(near, Format::Raw, Until::Silent(limit));
        let reading = async {
            far.write_all(b"abc").await.unwrap();
            tokio::time::sleep(3 * limit).await;
            let mut read = [0; 3];
            reader.read_exact(&mut read).await.unwrap();
            read
        };
        let (end, read) = tokio::join!(copying, reading);
        assert_eq!((end, &read), (Ok(OutputEnd::Silent), b"abc"));
    }

    #[tokio::test]
    async fn the_end_of_input_closes_the_other_side() {
        let (near, mut far) = tokio::io::duplex(64);
        copy_input(Some(&b"hello"[..]), near).await;
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"hello");
    }
}
