//! Knows which exchanges are open, so that an agent that stops can go on accepting
//! until the long ones have ended.

use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Exchanges that end within this time are short: an agent that stops does not wait
/// until there are none of them.
pub(crate) const SHORT: Duration = Duration::from_secs(1);

/// An open exchange, until it is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    _open: mpsc::Sender<Infallible>,
}

/// The open exchanges of one agent.
#[derive(Debug)]
pub(crate) struct Exchanges {
    /// The exchanges that have begun since the last turn hold a sender.
    now: Mutex<(mpsc::Sender<Infallible>, mpsc::Receiver<Infallible>)>,
    is_draining: AtomicBool,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self {
            now: Mutex::new(mpsc::channel(1)),
            is_draining: AtomicBool::new(false),
        }
    }
}

impl Exchanges {
    /// Counts one more exchange as open.
    pub(crate) fn begin(&self) -> Exchange {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        Exchange {
            _open: now.0.clone(),
        }
    }

    /// Whether the agent has begun to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Resolves when no long exchange is open, or at the deadline.
    pub(crate) async fn drain(&self, deadline: Instant) {
        self.is_draining.store(true, Ordering::Relaxed);
        loop {
            let begun = Instant::now();
            let ended = timeout_at(deadline, self.all_ended()).await;
            if ended.is_err() || begun.elapsed() < SHORT {
                return;
            }
        }
    }

    /// Resolves when all exchanges have ended that are open now.
    fn all_ended(&self) -> impl Future<Output = ()> + use<> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, mut receiver) = std::mem::replace(&mut *now, mpsc::channel(1));
        drop(sender);
        async move {
            // No message is ever sent: `None` says that all senders are gone.
            let _ = receiver.recv().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::sleep;

    use super::*;

    /// The time until the exchanges have drained, of at most a minute.
    async fn drained(exchanges: &Exchanges) -> Duration {
        let begun = Instant::now();
        exchanges.drain(begun + Duration::from_secs(60)).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_without_open_exchanges_ends_at_once() {
        let exchanges = Exchanges::default();
        drop(exchanges.begin());
        assert!(!exchanges.is_draining());
        assert_eq!(drained(&exchanges).await, Duration::ZERO);
        assert!(exchanges.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_serves_until_the_long_exchanges_have_ended() {
        let exchanges = Arc::new(Exchanges::default());
        let stream = exchanges.begin();
        let others = exchanges.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(20)).await;
            // A pull that begins during the drain is waited for as well.
            let pull = others.begin();
            drop(stream);
            sleep(Duration::from_secs(5)).await;
            drop(pull);
        });
        assert_eq!(drained(&exchanges).await, Duration::from_secs(25));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flow_of_short_exchanges_does_not_keep_an_agent() {
        let exchanges = Arc::new(Exchanges::default());
        let flow = exchanges.clone();
        let flows = tokio::spawn(async move {
            let mut last = flow.begin();
            loop {
                sleep(SHORT / 2).await;
                // There is always one open.
                last = std::mem::replace(&mut last, flow.begin());
            }
        });
        assert!(drained(&exchanges).await < SHORT);
        flows.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_exchange_is_waited_for_until_the_deadline() {
        let exchanges = Exchanges::default();
        let _stream = exchanges.begin();
        assert_eq!(drained(&exchanges).await, Duration::from_secs(60));
    }
}
