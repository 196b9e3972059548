//! Lets the calls of fan-outs begin in turn. So many are on their way that a processor
//! can serve, each request's calls take turns with those of the others, and the time of a
//! node begins with its turn: none is missing because this agent had too much to do.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

/// The calls that begin at the same time.
const AT_ONCE: usize = 256;

/// How long a call keeps others from beginning. One that takes longer waits for its node,
/// and this agent is free for others.
const HOLD: Duration = Duration::from_millis(100);

/// The turns of all fan-outs.
#[derive(Debug)]
pub(crate) struct Turns(Mutex<Waiting>);

#[derive(Debug)]
struct Waiting {
    free: usize,
    /// The calls that wait, by request; the request whose turn is next comes first.
    queues: VecDeque<(String, VecDeque<oneshot::Sender<()>>)>,
}

/// The right to be on the way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Turns);

/// A call that waits for its turn.
struct Ticket<'a> {
    turns: &'a Turns,
    called: oneshot::Receiver<()>,
    is_taken: bool,
}

impl Default for Turns {
    fn default() -> Self {
        Self::of(AT_ONCE)
    }
}

impl Turns {
    fn of(free: usize) -> Self {
        Self(Mutex::new(Waiting {
            free,
            queues: VecDeque::new(),
        }))
    }

    /// Waits for the turn of a call of this request.
    pub(crate) async fn wait(&self, request: &str) -> Turn<'_> {
        let Some(called) = self.queue(request) else {
            return Turn(self);
        };
        let mut ticket = Ticket {
            turns: self,
            called,
            is_taken: false,
        };
        // Its sender is dropped only after it has called.
        let _ = (&mut ticket.called).await;
        ticket.is_taken = true;
        Turn(self)
    }

    /// Takes a free turn, or a place in the queue.
    fn queue(&self, request: &str) -> Option<oneshot::Receiver<()>> {
        let mut waiting = self.waiting();
        if waiting.free > 0 {
            waiting.free -= 1;
            return None;
        }
        let (call, called) = oneshot::channel();
        let mut queues = waiting.queues.iter_mut();
        match queues.find(|(of, _)| of == request) {
            Some((_, queue)) => queue.push_back(call),
            None => waiting
                .queues
                .push_back((request.to_owned(), [call].into())),
        }
        Some(called)
    }

    fn next(&self) {
        let mut waiting = self.waiting();
        while let Some((request, mut queue)) = waiting.queues.pop_front() {
            let call = queue.pop_front();
            if !queue.is_empty() {
                waiting.queues.push_back((request, queue));
            }
            // One that waits no longer is passed over.
            if call.is_some_and(|call| call.send(()).is_ok()) {
                return;
            }
        }
        waiting.free += 1;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Does this work, and gives the turn to another call when it is done or takes long.
    pub(crate) async fn hold<T>(self, work: impl Future<Output = T>) -> T {
        let pass = async {
            sleep(HOLD).await;
            drop(self);
            pending::<()>().await;
        };
        tokio::pin!(work, pass);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = &mut pass => {}
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.next();
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.called.close();
        // It was called, and did not come.
        if !self.is_taken && self.called.try_recv().is_ok() {
            self.turns.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::future::join_all;
    use tokio::time::{Instant, timeout};

    use super::*;

    /// Runs so many calls of a request, each of which takes this time; records the order.
    async fn run(turns: &Turns, request: &'static str, calls: usize, order: &Mutex<Vec<&str>>) {
        let each = (0..calls).map(|_| async {
            let turn = turns.wait(request).await;
            turn.hold(sleep(HOLD / 10)).await;
            order.lock().unwrap().push(request);
        });
        join_all(each).await;
    }

    #[tokio::test(start_paused = true)]
    async fn requests_take_turns_in_whatever_order_they_came() {
        let turns = Turns::of(2);
        let order = Mutex::new(Vec::new());
        futures::join!(
            run(&turns, "long", 100, &order),
            run(&turns, "short", 10, &order)
        );
        let order = order.into_inner().unwrap();
        let last = order.iter().rposition(|request| *request == "short");
        assert!(last.is_some_and(|last| last < 24), "{order:?}");
        assert_eq!(turns.waiting().free, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_wait_for_their_node_do_not_keep_the_others() {
        let turns = Turns::of(2);
        let began = Instant::now();
        let slow = (0..20).map(|_| async {
            let turn = turns.wait("a").await;
            turn.hold(sleep(100 * HOLD)).await;
        });
        let quick = async {
            turns.wait("b").await.hold(sleep(HOLD / 10)).await;
            began.elapsed()
        };
        let (quick, _) = futures::join!(quick, join_all(slow));
        assert!(quick <= 2 * HOLD, "{quick:?}");
        assert!(began.elapsed() <= 112 * HOLD, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_no_longer_waits_costs_no_turn() {
        let turns = Turns::of(1);
        let first = turns.wait("a").await;
        assert!(timeout(HOLD, turns.wait("b")).await.is_err());
        {
            let gone = turns.wait("c");
            tokio::pin!(gone);
            assert!(futures::poll!(&mut gone).is_pending());
            drop(first);
            // It is called, and dropped before it comes.
        }
        timeout(HOLD, turns.wait("d")).await.unwrap();
        assert_eq!(turns.waiting().free, 1);
    }
}
