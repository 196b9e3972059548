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
//! module asks the other agent for a sign of life, over new connections. A machine
//! that accepts no connection any more is gone. One that accepts them may be busy, and
//! its agent has longer to answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::join;
use futures::stream::{FuturesUnordered, StreamExt};
use pingora::http::ResponseHeader;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::platform::Hangup;

/// Tries in a row after which a machine that accepts no connection is gone.
const UNREACHED: u32 = 3;

/// Tries in a row after which an agent that does not answer has hung.
const UNANSWERED: u32 = 5;

/// The pause between two looks for a hangup.
const LOOK: Duration = Duration::from_secs(1);

/// The end of a stream that another agent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Upstream,
    Client,
}

/// How to check that the other agent of a stream is alive.
pub(crate) trait Watch: Sync {
    /// Resolves when the upstream is given up: waiting for an answer is useless.
    fn lost(&self) -> impl Future<Output = ()> + Send;

    /// Resolves when the other agent may be dead.
    fn doubtful(&self) -> impl Future<Output = ()> + Send {
        self.lost()
    }

    /// Whether an answer goes to the client. If not, the exchange fails with its status
    /// before the client gets a byte.
    fn accepts(&self, _: &ResponseHeader) -> bool {
        true
    }

    /// Whether its machine accepts connections.
    fn reaches(&self) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }

    /// Asks once.
    fn answers(&self) -> impl Future<Output = bool> + Send;

    /// The length of one try.
    fn try_for(&self) -> Duration;

    /// The tries in a row after which an agent that does not answer has hung.
    fn tries(&self) -> u32 {
        UNANSWERED
    }

    /// The end that the other agent holds.
    fn end(&self) -> End {
        End::Upstream
    }

    /// The message to a client whose stream ends.
    fn last_words(&self) -> String;
}

/// Counts the bytes from both ends, and records the end of those to the upstream.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    bytes: AtomicU64,
    input: AtomicU64,
    input_ended: AtomicBool,
}

impl Activity {
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The bytes from the upstream.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The bytes to the upstream.
    pub(crate) fn input(&self) -> u64 {
        self.input.load(Ordering::Relaxed)
    }

    fn from(&self, end: End) -> u64 {
        match end {
            End::Upstream => self.bytes(),
            End::Client => self.input(),
        }
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

/// Resolves when the other agent has given no sign of life in all of its tries.
pub(crate) async fn silence(watch: &impl Watch, activity: &Activity) {
    loop {
        watch.doubtful().await;
        if is_dead(watch, activity).await {
            return;
        }
    }
}

/// Whether the other agent neither answers nor sends a byte in several tries in a row.
/// A late answer to an earlier try is an answer.
async fn is_dead(watch: &impl Watch, activity: &Activity) -> bool {
    let before = activity.from(watch.end());
    let mut asked = FuturesUnordered::new();
    let (mut unanswered, mut unreached) = (0, 0);
    while unanswered < watch.tries() && unreached < UNREACHED {
        asked.push(Box::pin(watch.answers()));
        let end = Instant::now() + watch.try_for();
        let answered = async {
            while let Some(answered) = asked.next().await {
                if answered {
                    return true;
                }
            }
            false
        };
        let (reached, answered) =
            join(timeout_at(end, watch.reaches()), timeout_at(end, answered)).await;
        sleep_until(end).await;
        if answered.unwrap_or(false) || activity.from(watch.end()) != before {
            return false;
        }
        unanswered += 1;
        let is_reached = reached.unwrap_or(false);
        unreached = if is_reached { 0 } else { unreached + 1 };
    }
    true
}

/// The upstream's connection, which counts the bytes read.
pub(super) struct WatchedStream<'a, S> {
    pub(super) stream: S,
    pub(super) activity: &'a Activity,
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<'_, S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.activity
            .input
            .fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
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
    const PATIENCE: Duration = TRY.saturating_mul(UNANSWERED);

    /// An agent that may answer probes, and may answer this module's requests.
    #[derive(Default)]
    struct Agent {
        probed: AtomicBool,
        answers: AtomicBool,
        is_cut_off: AtomicBool,
        holds_client: AtomicBool,
        /// How long an answer takes, in seconds.
        slow: AtomicU64,
        activity: Activity,
    }

    impl Watch for Agent {
        async fn lost(&self) {
            while self.probed.load(Ordering::Relaxed) {
                sleep(Duration::from_secs(1)).await;
            }
        }

        async fn reaches(&self) -> bool {
            if self.is_cut_off.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            true
        }

        async fn answers(&self) -> bool {
            sleep(Duration::from_secs(self.slow.load(Ordering::Relaxed))).await;
            while !self.answers.load(Ordering::Relaxed) {
                sleep(Duration::from_secs(1)).await;
            }
            true
        }

        fn try_for(&self) -> Duration {
            TRY
        }

        fn end(&self) -> End {
            match self.holds_client.load(Ordering::Relaxed) {
                true => End::Client,
                false => End::Upstream,
            }
        }

        fn last_words(&self) -> String {
            String::new()
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
    async fn a_machine_that_accepts_no_connection_is_gone_sooner() {
        let agent = Agent::default();
        agent.is_cut_off.store(true, Ordering::Relaxed);
        let patience = TRY * UNREACHED;
        assert!(
            !agent
                .is_gone_within(patience - Duration::from_secs(1))
                .await
        );
        assert!(agent.is_gone_within(patience + TRY).await);
        // An answer over another connection says more.
        agent.answers.store(true, Ordering::Relaxed);
        assert!(!agent.is_gone_within(PATIENCE * 100).await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_takes_longer_than_one_try_is_a_sign_of_life() {
        let agent = Agent::default();
        agent.answers.store(true, Ordering::Relaxed);
        for (slow, gone) in [(1, false), (15, false), (35, false), (60, true)] {
            agent.slow.store(slow, Ordering::Relaxed);
            assert_eq!(agent.is_gone_within(PATIENCE * 20).await, gone, "{slow} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_bytes_of_the_other_end_are_no_sign_of_life() {
        let agent = Agent::default();
        agent.holds_client.store(true, Ordering::Relaxed);
        let speaking = async {
            loop {
                sleep(TRY).await;
                agent.activity.add(1);
            }
        };
        tokio::select! {
            gone = agent.is_gone_within(PATIENCE + TRY) => assert!(gone),
            () = speaking => {}
        }
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
