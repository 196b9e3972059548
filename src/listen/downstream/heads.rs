//! Bounds the memory and the time that an incomplete request head can cost,
//! before the client is authenticated.
//!
//! Pingora allows a minute for each read and a megabyte for each head, and it
//! parses a head from its beginning at every read.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::listen::bounds;

/// A head is complete this long after its first byte.
const DEADLINE: Duration = Duration::from_secs(20);

/// The longest head. Cookies, a signature and the credentials of some registries
/// take a few kilobytes.
const LONGEST: usize = 64 << 10;

/// The bytes of a head that every connection may hold outside the budget. Pingora
/// allocates as much for each anyway, and nearly every head is shorter.
const FREE: usize = 4 << 10;

/// The budget for the rest, of all connections together.
const TOGETHER: usize = bounds::HEADS;

/// The bytes of one head that may be parsed, counted at every parse: enough for
/// the longest head in packets of the common size, but not byte by byte.
const PARSED: usize = 2 << 20;

/// The unused budget for long heads, of all connections together.
#[derive(Debug)]
pub(super) struct Budget(AtomicUsize);

/// The head of one connection's next request, as far as it has arrived.
#[derive(Debug)]
pub(super) struct Head {
    budget: Arc<Budget>,
    /// Its length. Atomic, because hooks get only a shared reference.
    bytes: AtomicUsize,
    parsed: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Budget {
    fn take(&self, bytes: usize) -> bool {
        let left = |left: usize| left.checked_sub(bytes);
        let (store, load) = (Ordering::Relaxed, Ordering::Relaxed);
        bytes == 0 || self.0.fetch_update(store, load, left).is_ok()
    }

    fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicUsize::new(TOGETHER))
    }
}

impl Head {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            bytes: AtomicUsize::new(0),
            parsed: 0,
            timer: None,
        }
    }

    /// Starts the next head: this one was complete, or its request was answered.
    pub(super) fn clear(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        self.budget.release(beyond(bytes));
    }

    /// To be called before a read.
    ///
    /// # Errors
    /// If the head is too long already.
    pub(super) fn check_limits(&mut self) -> io::Result<()> {
        match self.bytes.load(Ordering::Relaxed) {
            0 => {
                self.parsed = 0;
                self.timer = None;
                Ok(())
            }
            LONGEST.. => Err(io::ErrorKind::InvalidData.into()),
            _ => Ok(()),
        }
    }

    /// Counts `more` bytes that were read.
    ///
    /// # Errors
    /// If the budget is used up, or the head came in too many pieces.
    pub(super) fn add(&mut self, more: usize) -> io::Result<()> {
        let had = self.bytes.load(Ordering::Relaxed);
        let has = had.saturating_add(more);
        if !self.budget.take(beyond(has) - beyond(had)) {
            tracing::debug!("closed a connection: incomplete heads hold {TOGETHER} bytes");
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.bytes.store(has, Ordering::Relaxed);
        self.parsed = self.parsed.saturating_add(has);
        if self.parsed > PARSED {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    /// To be polled while no bytes come: resolves with an error when a head that
    /// has begun is not complete by the deadline.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.bytes.load(Ordering::Relaxed) == 0 {
            return Poll::Pending;
        }
        // Created only for a head that does not come in one piece.
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(DEADLINE)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The bytes that a head of this length takes from the budget.
fn beyond(bytes: usize) -> usize {
    bytes.saturating_sub(FREE)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use pingora::protocols::Stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::super::{Common, Downstream};
    use super::*;
    use crate::listen::server_headers::ServerHeaders;

    const PAUSE: Duration = Duration::from_secs(5);

    fn connection(common: &Common) -> (Downstream, DuplexStream) {
        let (near, far) = duplex(1 << 20);
        (Downstream::new(Box::new(near), common), far)
    }

    /// Sends the pieces, with `pause` after each.
    async fn slow_request(pieces: &[&[u8]], pause: Duration) -> io::Result<usize> {
        let (mut stream, mut far) = connection(&Common::new(&ServerHeaders::none()));
        let mut read = 0;
        let mut buffer = vec![0; 64 << 10];
        for piece in pieces {
            far.write_all(piece).await.unwrap();
            while let Ok(inner) = timeout(pause, stream.read(&mut buffer)).await {
                read = inner?;
            }
        }
        Ok(read)
    }

    /// Sends the first `bytes` bytes of a head.
    async fn begin(common: &Common, bytes: usize) -> io::Result<(Downstream, DuplexStream)> {
        let (mut stream, mut far) = connection(common);
        far.write_all(&vec![b'a'; bytes]).await?;
        stream.read_exact(&mut vec![0; bytes]).await?;
        Ok((stream, far))
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_too_slowly_is_cut_off_and_a_silent_connection_is_not() {
        let drip: Vec<&[u8]> = vec![b"G"; 10];
        let error = slow_request(&drip, PAUSE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(slow_request(&[], PAUSE).await.is_ok());
        assert!(slow_request(&[b"GET / HTTP/1.1\r\n"], PAUSE).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_head_is_cut_off() {
        let piece = vec![b'a'; 16 << 10];
        let endless: Vec<&[u8]> = vec![&piece; 5];
        let error = slow_request(&endless, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(slow_request(&endless[..3], Duration::ZERO).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_head_may_come_in_packets_and_not_byte_by_byte() {
        let long = vec![b'a'; LONGEST - 1];
        let packets: Vec<&[u8]> = long.chunks(1460).collect();
        assert!(slow_request(&packets, Duration::ZERO).await.is_ok());
        let bytes: Vec<&[u8]> = long.chunks(1).collect();
        let error = slow_request(&bytes, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(slow_request(&bytes[..1000], Duration::ZERO).await.is_ok());
    }

    #[tokio::test]
    async fn all_incomplete_heads_together_hold_no_more_than_the_budget() {
        let common = Common::new(&ServerHeaders::none());
        let mut open = Vec::new();
        let full = loop {
            match begin(&common, LONGEST).await {
                Ok(connection) => open.push(connection),
                Err(e) => break e,
            }
        };
        assert_eq!(full.kind(), ErrorKind::QuotaExceeded);
        assert_eq!(open.len(), TOGETHER / beyond(LONGEST));

        // A connection with a short head is served meanwhile.
        assert!(begin(&common, FREE).await.is_ok());
        // Connections that end release their share, and so do complete heads.
        open.pop();
        let (stream, far) = begin(&common, LONGEST).await.unwrap();
        let stream: Stream = Box::new(stream);
        assert!(begin(&common, LONGEST).await.is_err());
        Downstream::set_request_in_progress(Some(&stream), true);
        let another = begin(&common, LONGEST).await;
        assert!(another.is_ok());
        drop((far, another, open));
        assert_eq!(common.budget.0.load(Ordering::Relaxed), TOGETHER);
    }
}
