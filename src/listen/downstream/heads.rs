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
/// take a few kilobytes; of many registries, and of long chains of proxies, more.
const LONGEST: usize = 256 << 10;

/// The bytes that are read and dropped after the refusal of a longer one.
pub(super) const DROPPED: usize = 1 << 20;

/// What another agent may add to it: its signature, and the client's name.
const ADDED: usize = 16 << 10;

/// The part of a head that is long: beyond it, clients that have not authenticated a
/// request yet share a smaller budget.
const LONG: usize = 64 << 10;

/// The bytes of a head that every connection may hold outside the budget. Pingora
/// allocates as much for each anyway, and nearly every head is shorter.
const FREE: usize = 4 << 10;

/// The budget for the rest, of all connections together.
const TOGETHER: usize = bounds::HEADS;

/// The bytes of one head that may be parsed, counted at every parse: enough for a
/// head in packets of the common size, but not byte by byte.
const PARSED: usize = 2 << 20;

/// The same for each byte of a head, where that is more.
const PARSED_EACH: usize = 128;

/// The unused budgets for heads, of all connections together.
#[derive(Debug)]
pub(super) struct Budget {
    all: AtomicUsize,
    /// For the long parts of the heads of unknown clients.
    long: AtomicUsize,
}

/// The head of one connection's next request, as far as it has arrived.
#[derive(Debug)]
pub(super) struct Head {
    budget: Arc<Budget>,
    /// Its length. Atomic, because hooks get only a shared reference.
    bytes: AtomicUsize,
    /// What it holds of the budget for long parts.
    long: AtomicUsize,
    parsed: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Budget {
    fn release(&self, bytes: usize, long: usize) {
        if bytes > 0 {
            self.all.fetch_add(bytes, Ordering::Relaxed);
        }
        if long > 0 {
            self.long.fetch_add(long, Ordering::Relaxed);
        }
    }
}

fn take(from: &AtomicUsize, bytes: usize) -> bool {
    let left = |left: usize| left.checked_sub(bytes);
    let (store, load) = (Ordering::Relaxed, Ordering::Relaxed);
    bytes == 0 || from.fetch_update(store, load, left).is_ok()
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            all: AtomicUsize::new(TOGETHER),
            long: AtomicUsize::new(bounds::LONG_HEADS),
        }
    }
}

impl Head {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            bytes: AtomicUsize::new(0),
            long: AtomicUsize::new(0),
            parsed: 0,
            timer: None,
        }
    }

    /// Starts the next head: this one was complete, or its request was answered.
    pub(super) fn clear(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        let long = self.long.swap(0, Ordering::Relaxed);
        self.budget.release(beyond(bytes, FREE), long);
    }

    /// To be called before a read. Whether the head is too long already; another agent
    /// may be among the clients that are `known`.
    pub(super) fn is_too_long(&mut self, known: bool) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        if bytes == 0 {
            self.parsed = 0;
            self.timer = None;
        }
        bytes >= if known { LONGEST + ADDED } else { LONGEST }
    }

    /// Counts `more` bytes that were read from a client that is `known`, or not.
    ///
    /// # Errors
    /// If a budget is used up, or the head came in too many pieces.
    pub(super) fn add(&mut self, more: usize, known: bool) -> io::Result<()> {
        let had = self.bytes.load(Ordering::Relaxed);
        let has = had.saturating_add(more);
        let long = match known {
            true => 0,
            false => beyond(has, LONG) - beyond(had, LONG),
        };
        if !take(&self.budget.long, long) {
            tracing::debug!("closed a connection: long heads of unknown clients");
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.long.fetch_add(long, Ordering::Relaxed);
        if !take(&self.budget.all, beyond(has, FREE) - beyond(had, FREE)) {
            tracing::debug!("closed a connection: incomplete heads hold {TOGETHER} bytes");
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.bytes.store(has, Ordering::Relaxed);
        self.parsed = self.parsed.saturating_add(has);
        if self.parsed > PARSED.max(has.saturating_mul(PARSED_EACH)) {
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

/// The bytes of a head of this length that are beyond the first.
fn beyond(bytes: usize, first: usize) -> usize {
    bytes.saturating_sub(first)
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
        let endless: Vec<&[u8]> = vec![&piece; 96];
        let error = slow_request(&endless, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(slow_request(&endless[..15], Duration::ZERO).await.is_ok());
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
            match begin(&common, LONG).await {
                Ok(connection) => open.push(connection),
                Err(e) => break e,
            }
        };
        assert_eq!(full.kind(), ErrorKind::QuotaExceeded);
        assert_eq!(open.len(), TOGETHER / beyond(LONG, FREE));

        // A connection with a short head is served meanwhile.
        assert!(begin(&common, FREE).await.is_ok());
        // Connections that end release their share, and so do complete heads.
        open.pop();
        let (stream, far) = begin(&common, LONG).await.unwrap();
        let stream: Stream = Box::new(stream);
        assert!(begin(&common, LONG).await.is_err());
        Downstream::set_request_in_progress(Some(&stream), true);
        let another = begin(&common, LONG).await;
        assert!(another.is_ok());
        drop((far, another, open));
        assert_eq!(common.budget.all.load(Ordering::Relaxed), TOGETHER);
    }

    #[tokio::test]
    async fn long_heads_of_unknown_clients_leave_room_for_others() {
        let common = Common::new(&ServerHeaders::none());
        let mut open = Vec::new();
        let full = loop {
            match begin(&common, LONGEST).await {
                Ok(connection) => open.push(connection),
                Err(e) => break e,
            }
        };
        assert_eq!(full.kind(), ErrorKind::QuotaExceeded);
        assert_eq!(open.len(), bounds::LONG_HEADS / beyond(LONGEST, LONG));
        assert!(begin(&common, LONG).await.is_ok());
        drop(open);
        assert!(begin(&common, LONGEST).await.is_ok());
        let budget = &common.budget;
        assert_eq!(budget.long.load(Ordering::Relaxed), bounds::LONG_HEADS);
        assert_eq!(budget.all.load(Ordering::Relaxed), TOGETHER);
    }

    #[tokio::test]
    async fn a_head_that_is_too_long_gets_an_answer() {
        let common = Common::new(&ServerHeaders::none());
        let (mut stream, mut far) = begin(&common, LONGEST).await.unwrap();
        let client = async {
            far.write_all(&vec![b'a'; 100 << 10]).await.unwrap();
            let mut answer = vec![0; 13];
            far.read_exact(&mut answer).await.unwrap();
            drop(far);
            answer
        };
        let (error, answer) = tokio::join!(stream.read_u8(), client);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(answer, b"HTTP/1.1 431 ");
    }
}
