//! In which order events go out, and which were told already.
//!
//! The past comes from every engine at once and is sorted by time before any
//! of it goes out; what happens now goes out as it comes. Nodes' clocks
//! differ, and no merge can mend that.

use std::collections::VecDeque;
use std::time::Duration;

use skep_filters::aggregate::{Event, EventKey, EventsPlan};
use tokio::time::Instant;

/// How long before its last word another manager is asked to begin, in
/// nanoseconds.
pub(super) const OVERLAP: i64 = 10_000_000_000;

/// Events of the Swarm that are remembered; engines keep as many.
const TOLD: usize = 256;

/// The past has been told when nothing more has come for so long, or when this
/// much of it is there, or after so long in all.
const QUIET: Duration = Duration::from_millis(100);
const MOST: usize = 65_536;
const LATEST: Duration = Duration::from_secs(3);

/// Events on their way out.
pub(super) struct Order {
    passed_on: VecDeque<EventKey>,
    held: Option<Held>,
    out: Vec<Vec<u8>>,
}

struct Held {
    events: Vec<(i64, Vec<u8>)>,
    quiet: Instant,
    latest: Instant,
    /// The stream has an end: it is waited for.
    finite: bool,
}

impl Order {
    /// Holds back what comes first, if the client asked for the past: an engine
    /// tells it to who names a time, be it only that of the end (moby's
    /// `loadBufferedEvents`).
    pub(super) fn new(plan: &EventsPlan, now: Instant) -> Self {
        let past = plan.since.is_some() || plan.until.is_some();
        let held = past.then(|| Held {
            events: Vec::new(),
            quiet: now + QUIET,
            latest: now + LATEST,
            finite: plan.until.as_deref().is_some_and(is_past),
        });
        Self {
            passed_on: VecDeque::new(),
            held,
            out: Vec::new(),
        }
    }

    /// Takes one event in. Those of the Swarm may be told twice.
    pub(super) fn put(&mut self, event: &Event, swarm: bool, bytes: Vec<u8>) {
        if swarm {
            let key = event.key();
            if self.passed_on.contains(&key) {
                return;
            }
            if self.passed_on.len() == TOLD {
                self.passed_on.pop_front();
            }
            self.passed_on.push_back(key);
        }
        match &mut self.held {
            Some(held) if held.events.len() < MOST => {
                held.events.push((event.time_nano(), bytes));
                held.quiet = Instant::now() + QUIET;
            }
            Some(_) => {
                self.settle();
                self.out.push(bytes);
            }
            None => self.out.push(bytes),
        }
    }

    /// What may go out now.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.out)
    }

    /// Whether the past is waited for, and no end of the streams.
    pub(super) fn holds(&self) -> bool {
        self.held.as_ref().is_some_and(|h| !h.finite)
    }

    /// When the past will have been told.
    pub(super) fn settles(&self) -> Instant {
        match &self.held {
            Some(held) => held.quiet.min(held.latest),
            None => Instant::now(),
        }
    }

    /// The past has been told: it goes out by its time.
    pub(super) fn settle(&mut self) {
        if let Some(mut held) = self.held.take() {
            // Stable: an engine's own order stands where times are the same.
            held.events.sort_by_key(|(time, _)| *time);
            self.out.extend(held.events.into_iter().map(|(_, b)| b));
        }
    }
}

/// Whether a time that the client named is over, so that streams end by themselves.
fn is_past(until: &str) -> bool {
    let until = until.parse::<f64>();
    until.is_ok_and(|until| until <= crate::platform::clock::now().as_secs_f64())
}
