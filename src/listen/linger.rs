//! Ends a connection so that its last answer arrives (RFC 9112 §9.6).
//!
//! An answer may come before the request's body has ended. If the connection were
//! closed then, the client's next write would fail, and over TCP its kernel would
//! also drop the answer that it has not read yet: the user would read `broken
//! pipe` instead of the reason. So only the sending half is closed, and whatever
//! still comes is read and dropped until the client closes its half, within bounds.

use std::time::Duration;

use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

/// How long connections may linger after the agent has begun to stop.
const AT_THE_END: Duration = Duration::from_millis(500);

/// The bytes that one read takes.
const READ: usize = 32 << 10;

/// The bounds for one kind of client.
struct Bounds {
    /// The connections that linger at a time; further ones are closed at once.
    at_once: usize,
    /// The bytes that one of them may still send.
    bytes: u64,
    /// The longest pause between two of its reads.
    pause: Duration,
    /// The time that it has in any case, however little it sends.
    slow: Duration,
    /// Beyond that time it has to send as many bytes in a second, on average.
    rate: u64,
    /// The time that it has at most.
    time: Duration,
}

/// For authenticated clients. Some send an image of gigabytes to its
/// end before they read the answer.
const KNOWN: Bounds = Bounds {
    at_once: 1024,
    bytes: 8 << 30,
    pause: Duration::from_secs(30),
    slow: Duration::from_secs(60),
    rate: 256 << 10,
    time: Duration::from_secs(1800),
};

/// For the others: as much time as for a head, and more only for a fast client.
const UNKNOWN: Bounds = Bounds {
    at_once: 128,
    bytes: 256 << 20,
    pause: Duration::from_secs(10),
    slow: Duration::from_secs(20),
    rate: 1 << 20,
    time: Duration::from_secs(60),
};

/// The free places of all connections of one agent.
#[derive(Debug)]
pub(crate) struct Places {
    known: Semaphore,
    unknown: Semaphore,
}

/// A connection after its last answer.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) stream: Stream,
    /// Whether a request of this connection was authenticated.
    pub(crate) known: bool,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            known: Semaphore::new(KNOWN.at_once),
            unknown: Semaphore::new(UNKNOWN.at_once),
        }
    }
}

impl Bounds {
    /// The time that a client has which has sent so many bytes.
    fn time(&self, bytes: u64) -> Duration {
        let earned = Duration::from_secs(bytes / self.rate);
        self.time.min(self.slow + earned)
    }
}

/// Ends the connection that the proxy has left behind, if there is one.
pub(crate) async fn finish(
    mut left: oneshot::Receiver<Left>,
    places: &Places,
    mut stopped: ShutdownWatch,
) {
    // The proxy is done: it has left the connection, or closed it.
    let Ok(Left { stream, known }) = left.try_recv() else {
        return;
    };
    let (places, bounds) = if known {
        (&places.known, &KNOWN)
    } else {
        (&places.unknown, &UNKNOWN)
    };
    let Ok(_place) = places.try_acquire() else {
        tracing::debug!("closed a connection at once: too many wait for their clients to read");
        return;
    };
    let stops = async {
        // Fails only if the agent has ended.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        sleep(AT_THE_END).await;
    };
    tokio::select! {
        () = linger(stream, bounds) => {}
        () = stops => {}
    }
}

async fn linger(stream: Stream, bounds: &Bounds) {
    let (mut reading, mut writing) = split(stream);
    let begin = Instant::now();
    let dropped = async {
        let mut buffer = vec![0; READ];
        let mut bytes = 0;
        while bytes <= bounds.bytes {
            let end = begin + bounds.time(bytes);
            let end = end.min(Instant::now() + bounds.pause);
            match timeout_at(end, reading.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(n)) => bytes += n as u64,
                Err(_) => break,
            }
        }
        tracing::debug!(
            "closed a connection: its client went on for {bytes} bytes after the answer"
        );
    };
    // The rest of the answer may wait for a client that does not read yet.
    let closed = async {
        let _ = writing.shutdown().await;
    };
    tokio::pin!(dropped, closed);
    tokio::select! {
        () = &mut dropped => {}
        () = &mut closed => dropped.await,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::future::join_all;
    use tokio::io::{DuplexStream, duplex};
    use tokio::sync::watch;
    use tokio::time::timeout;

    use super::*;

    /// A client that sends `piece` and then pauses, again and again; returns the time and the
    /// number of bytes until it is cut off.
    async fn cut_off(bounds: &Bounds, piece: usize, pause: Duration) -> (Duration, u64) {
        let (near, far) = duplex(64 << 10);
        let begin = Instant::now();
        let client = async {
            let (mut far, mut sent) = (far, 0);
            let piece = vec![0; piece];
            while far.write_all(&piece).await.is_ok() {
                sent += piece.len() as u64;
                sleep(pause).await;
            }
            sent
        };
        let ((), sent) = tokio::join!(linger(Box::new(near), bounds), client);
        (begin.elapsed(), sent)
    }

    fn left(known: bool) -> (oneshot::Receiver<Left>, DuplexStream) {
        let (near, far) = duplex(1024);
        let (sender, receiver) = oneshot::channel();
        let stream = Box::new(near);
        assert!(sender.send(Left { stream, known }).is_ok());
        (receiver, far)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_reads_the_end_at_once_and_may_still_send() {
        let (near, mut far) = duplex(1024);
        let ends = tokio::spawn(async move { linger(Box::new(near), &KNOWN).await });
        assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
        far.write_all(&[0; 5000]).await.unwrap();
        drop(far);
        timeout(Duration::from_millis(1), ends)
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_a_slow_and_an_endless_client_are_cut_off() {
        for bounds in [&KNOWN, &UNKNOWN] {
            let (near, _far) = duplex(1024);
            let begin = Instant::now();
            linger(Box::new(near), bounds).await;
            assert_eq!(begin.elapsed(), bounds.pause);
            let (time, _) = cut_off(bounds, 1, Duration::from_secs(1)).await;
            assert!(time >= bounds.slow && time <= 2 * bounds.slow, "{time:?}");
            let steady = usize::try_from(2 * bounds.rate).unwrap();
            let (time, _) = cut_off(bounds, steady, Duration::from_secs(1)).await;
            assert!(
                time > bounds.slow && time <= bounds.time + bounds.pause,
                "{time:?}"
            );
        }
        let (_, sent) = cut_off(&UNKNOWN, 1 << 20, Duration::ZERO).await;
        let expected = UNKNOWN.bytes..=UNKNOWN.bytes + (2 << 20);
        assert!(expected.contains(&sent), "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_linger_at_a_time_and_none_after_the_end() {
        let places = Places::default();
        let (stopping, stopped) = watch::channel(false);
        let mut open = Vec::new();
        for _ in 0..UNKNOWN.at_once {
            let (receiver, far) = left(false);
            let mut lingers = Box::pin(finish(receiver, &places, stopped.clone()));
            assert!(futures::poll!(&mut lingers).is_pending());
            open.push((lingers, far));
        }
        let (receiver, _far) = left(false);
        let one_more = pin!(finish(receiver, &places, stopped.clone()));
        assert!(futures::poll!(one_more).is_ready());
        let (receiver, _far) = left(true);
        let known = pin!(finish(receiver, &places, stopped.clone()));
        assert!(
            futures::poll!(known).is_pending(),
            "they have places of their own"
        );
        stopping.send(true).unwrap();
        let begin = Instant::now();
        let (lingering, _far): (Vec<_>, Vec<_>) = open.into_iter().unzip();
        join_all(lingering).await;
        assert_eq!(begin.elapsed(), AT_THE_END);
    }
}
