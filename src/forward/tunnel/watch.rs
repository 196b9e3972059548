//! Detects the dead ends of a stream that may be silent for hours: a client that is
//! gone, and an upstream that is dead.
//!
//! The end of a client's bytes does not tell whether the client is gone or still
//! reads. At a Unix socket the kernel knows at once. Over TCP a program that has
//! closed its socket looks the same, until it resets the connection at a write or at
//! one of keep-alive's tries.
//!
//! TCP reports a process that has died, and a machine that has gone while no
//! data waits for an acknowledgement: keep-alive runs only then. It does not
//! report a process that is stopped, for its kernel acknowledges in its place.
//! `TCP_USER_TIMEOUT` would report the machine in any case, but it also bounds
//! how long a reader may keep its window closed (Linux `tcp_probe_timer`), and
//! a terminal stopped with Ctrl-S would lose its stream. So, in doubt, this
//! module sends the upstream's agent a request.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::platform::Hangup;

/// Tries in a row without a sign of life after which the upstream is dead. With
/// a try's usual length this takes as long as keep-alive.
const TRIES: u32 = 9;

/// The pause between two looks for a hangup.
const LOOK: Duration = Duration::from_secs(1);

/// How to check that an upstream is alive.
pub(crate) trait Watch: Sync {
    /// Resolves when the upstream may be dead: waiting for an answer is useless.
    fn lost(&self) -> impl Future<Output = ()> + Send;

    /// Asks once.
    fn answers(&self) -> impl Future<Output = bool> + Send;

    /// The length of one try.
    fn try_for(&self) -> Duration;
}

/// Counts the bytes from the upstream, and records the end of those to it.
#[derive(Debug, Default)]
pub(super) struct Activity {
    bytes: AtomicU64,
    input_ended: AtomicBool,
}

impl Activity {
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Resolves when the client is gone and its last byte was passed on. Before that,
/// reading from the client finds out.
pub(super) async fn gone(hangup: Option<&Hangup>, activity: &Activity) {
    let Some(hangup) = hangup else {
        return std::future::pending().await;
    };
    while !activity.input_ended.load(Ordering::Relaxed) || !hangup.has_come() {
        sleep(LOOK).await;
    }
}

/// Resolves when the upstream has neither answered nor sent a byte for `TRIES`
/// tries in a row.
pub(super) async fn silence(watch: &impl Watch, activity: &Activity) {
    let mut tries = 0;
    while tries < TRIES {
        if tries == 0 {
            watch.lost().await;
        }
        let before = activity.bytes();
        let end = Instant::now() + watch.try_for();
        let answered = timeout_at(end, watch.answers()).await.unwrap_or(false);
        sleep_until(end).await;
        let alive = answered || activity.bytes() != before;
        tries = if alive { 0 } else { tries + 1 };
    }
}

/// The upstream's connection, which counts the bytes read.
pub(super) struct WatchedStream<'a> {
    pub(super) stream: Stream,
    pub(super) activity: &'a Activity,
}

impl AsyncRead for WatchedStream<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.activity.add(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedStream<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.input_ended.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const TRY: Duration = Duration::from_secs(10);
    const PATIENCE: Duration = TRY.saturating_mul(TRIES);

    /// An agent that may answer probes, and may answer this module's requests.
    #[derive(Default)]
    struct Agent {
        probed: AtomicBool,
        answers: AtomicBool,
        activity: Activity,
    }

    impl Watch for Agent {
        async fn lost(&self) {
            while self.probed.load(Ordering::Relaxed) {
                sleep(Duration::from_secs(1)).await;
            }
        }

        async fn answers(&self) -> bool {
            while !self.answers.load(Ordering::Relaxed) {
                sleep(Duration::from_secs(1)).await;
            }
            true
        }

        fn try_for(&self) -> Duration {
            TRY
        }
    }

    impl Agent {
        async fn is_gone_within(&self, time: Duration) -> bool {
            timeout(time, silence(self, &self.activity)).await.is_ok()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_without_a_sign_of_life_is_dead_only_after_all_tries() {
        let agent = Agent::default();
        let early = PATIENCE - Duration::from_secs(1);
        assert!(!agent.is_gone_within(early).await);
        assert!(agent.is_gone_within(PATIENCE + TRY).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_of_a_member_that_answers_is_never_ended() {
        let day = Duration::from_secs(86_400);
        for set in [
            |agent: &Agent| agent.probed.store(true, Ordering::Relaxed),
            // Probes fail for an agent that a new secret cuts off, and for one
            // that shuts down while its streams finish.
            |agent: &Agent| agent.answers.store(true, Ordering::Relaxed),
        ] {
            let agent = Agent::default();
            set(&agent);
            assert!(!agent.is_gone_within(day).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_a_sign_of_life() {
        let agent = Agent::default();
        let speaking = async {
            for _ in 0..1000 {
                sleep(TRY / 2 * 3).await;
                agent.activity.add(1);
            }
        };
        tokio::select! {
            () = silence(&agent, &agent.activity) => panic!("a stream that sends bytes was ended"),
            () = speaking => {}
        }
        assert!(agent.is_gone_within(PATIENCE + TRY).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_restarts_the_count_of_tries() {
        let agent = Agent::default();
        let answering = async {
            loop {
                sleep(PATIENCE - TRY * 2).await;
                agent.answers.store(true, Ordering::Relaxed);
                sleep(TRY).await;
                agent.answers.store(false, Ordering::Relaxed);
            }
        };
        tokio::select! {
            gone = agent.is_gone_within(PATIENCE * 100) => assert!(!gone),
            () = answering => {}
        }
    }
}
