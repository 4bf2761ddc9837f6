//! Standard input as a stream that can be dropped: a pending read must not take the next key from the code
//! that reads input afterwards, nor keep dkr from exiting. Callers of `attach` and `exec` pass it in as one
//! of their streams.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Standard input, read by a thread that ends when this is dropped.
#[derive(Debug)]
pub struct Stdin {
    chunks: StreamReader<ReceiverStream<io::Result<Bytes>>, Bytes>,
    // Closing it wakes the thread.
    _awake: io::PipeWriter,
}

impl Stdin {
    /// Starts reading.
    ///
    /// # Errors
    /// When a thread or pipe cannot be created.
    pub fn open() -> io::Result<Self> {
        let (dropped, awake) = io::pipe()?;
        let (sender, receiver) = mpsc::channel(2);
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || read_all(&dropped, &sender))?;
        Ok(Stdin {
            chunks: StreamReader::new(ReceiverStream::new(receiver)),
            _awake: awake,
        })
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.chunks).poll_read(context, buffer)
    }
}

fn read_all(dropped: &io::PipeReader, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let stdin = io::stdin();
    let mut buffer = vec![0; CHUNK];
    loop {
        let chunk = match read_unless_dropped(&stdin, dropped, &mut buffer) {
            Ok(None | Some(0)) => return,
            Ok(Some(count)) => Ok(Bytes::copy_from_slice(&buffer[..count])),
            Err(error) => Err(error),
        };
        let failed = chunk.is_err();
        if sender.blocking_send(chunk).is_err() || failed {
            return;
        }
    }
}

/// The number of bytes read, 0 at the end; `None` when the stream was dropped.
fn read_unless_dropped(
    stdin: &io::Stdin,
    dropped: &io::PipeReader,
    buffer: &mut [u8],
) -> io::Result<Option<usize>> {
    loop {
        let mut both = [
            PollFd::new(stdin, PollFlags::IN),
            PollFd::new(dropped, PollFlags::IN),
        ];
        match poll(&mut both, None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        if !both[1].revents().is_empty() {
            return Ok(None);
        }
        match rustix::io::read(stdin.as_fd(), &mut *buffer) {
            // Another process may have made the terminal non-blocking and read the key.
            Err(Errno::INTR | Errno::AGAIN) => {}
            result => return Ok(Some(result?)),
        }
    }
}
