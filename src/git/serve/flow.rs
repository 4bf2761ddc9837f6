//! The bytes between a client and a service: both directions, their counts, and when the last
//! one moved.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::packets::{Client, Refusal};

/// The only buffers between client and process, one in each direction.
const BUFFER_BYTES: usize = 64 * 1024;

/// What both directions of one service share.
pub(super) struct Flow {
    began: Instant,
    moved_ms: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    refusal: OnceLock<Refusal>,
    client_closed: watch::Sender<bool>,
}

impl Flow {
    pub fn new() -> Self {
        Flow {
            began: Instant::now(),
            moved_ms: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            refusal: OnceLock::new(),
            client_closed: watch::Sender::new(false),
        }
    }

    /// Bytes that the client sent so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes that the client received so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Why the client was stopped, if it was.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.get()
    }

    /// Completes once no byte has moved for `limit`.
    pub async fn idle_for(&self, limit: Duration) {
        loop {
            let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
            let end = self.began + moved + limit;
            if Instant::now() >= end {
                return;
            }
            sleep_until(end).await;
        }
    }

    /// Passes the client's bytes to the service until the client closes its side, which closes
    /// the service's. Input after a refusal or after the service's end is read and dropped.
    pub async fn feed(
        &self,
        mut client: impl AsyncRead + Unpin,
        service: impl AsyncWrite + Unpin,
        mut rules: Option<Client<'_>>,
    ) -> io::Result<()> {
        let mut service = Some(service);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = client.read(&mut buffer).await?;
            self.moved(&self.received, count);
            if count == 0 {
                self.client_closed.send_replace(true);
                return Ok(());
            }
            let Some(open) = service.as_mut() else {
                continue;
            };
            let written = match rules.as_mut().map(|rules| rules.read(&buffer[..count])) {
                None => open.write_all(&buffer[..count]).await,
                Some(Ok(permitted)) => open.write_all(&permitted).await,
                Some(Err(refusal)) => {
                    // There is one feed to a flow, so nothing is set yet.
                    let _ = self.refusal.set(refusal);
                    Err(io::ErrorKind::PermissionDenied.into())
                }
            };
            if written.is_err() {
                service = None;
            }
        }
    }

    /// Passes the service's output to the client until the service closes its side, and returns the
    /// client's writer. A client that has closed its own side must read each buffer within `stall`.
    pub async fn drain<W: AsyncWrite>(
        &self,
        mut service: impl AsyncRead + Unpin,
        mut client: WriteHalf<W>,
        stall: Duration,
    ) -> io::Result<WriteHalf<W>> {
        let mut closed = self.client_closed.subscribe();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = service.read(&mut buffer).await?;
            if count == 0 {
                return Ok(client);
            }
            let pass_on = async {
                client.write_all(&buffer[..count]).await?;
                client.flush().await
            };
            let stalled = async {
                // The sender lives as long as this flow.
                let _ = closed.wait_for(|closed| *closed).await;
                sleep(stall).await;
            };
            tokio::select! {
                passed = pass_on => passed?,
                () = stalled => return Err(io::ErrorKind::TimedOut.into()),
            }
            self.moved(&self.sent, count);
        }
    }

    fn moved(&self, counter: &AtomicU64, bytes: usize) {
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(now, Ordering::Relaxed);
    }
}
