//! Orders the events of all nodes, and drops those passed on already.
//!
//! Past events come from every engine at once and are sorted by time before any
//! of them goes out; new events go out as they come. Nodes' clocks differ, and
//! no merge can correct that.

use std::collections::VecDeque;
use std::time::Duration;

use skep_filters::aggregate::{Event, EventKey, EventsPlan};
use tokio::time::Instant;

use crate::listen::memory::Share;

/// How far back before the last event of a manager its successor begins, in
/// nanoseconds.
pub(super) const OVERLAP: i64 = 10_000_000_000;

/// How many events of the Swarm to remember; engines keep as many.
const REMEMBERED: usize = 256;

/// The past is complete when no event has come for `QUIET`, at `MOST` events or when
/// there is no memory for more, or after `LATEST` in all.
const QUIET: Duration = Duration::from_millis(100);
const MOST: usize = 65_536;
const LATEST: Duration = Duration::from_secs(3);

/// Events that wait to go out.
pub(super) struct Order {
    passed_on: VecDeque<EventKey>,
    held: Option<Held>,
    out: Vec<Vec<u8>>,
}

struct Held {
    events: Vec<(i64, Vec<u8>)>,
    share: Share,
    quiet: Instant,
    latest: Instant,
    /// The streams end by themselves: the past is complete at their end.
    finite: bool,
}

impl Order {
    /// Holds back the first events if the client asked for the past: an engine
    /// sends past events if the request has a time, even only that of the end
    /// (moby's `loadBufferedEvents`).
    pub(super) fn new(plan: &EventsPlan, now: Instant, share: Share) -> Self {
        let past = plan.since.is_some() || plan.until.is_some();
        let held = past.then(|| Held {
            events: Vec::new(),
            share,
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

    /// Adds one event, unless it is one of the Swarm that was added before.
    pub(super) fn put(&mut self, event: &Event, swarm: bool, bytes: Vec<u8>) {
        if swarm {
            let key = event.key();
            if self.passed_on.contains(&key) {
                return;
            }
            if self.passed_on.len() == REMEMBERED {
                self.passed_on.pop_front();
            }
            self.passed_on.push_back(key);
        }
        let Some(held) = &mut self.held else {
            self.out.push(bytes);
            return;
        };
        if held.events.len() < MOST && held.share.grow(bytes.len()).is_ok() {
            held.events.push((event.time_nano(), bytes));
            held.quiet = Instant::now() + QUIET;
        } else {
            self.settle();
            self.out.push(bytes);
        }
    }

    /// The events that may go out now.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.out)
    }

    /// Whether events are held back until [`Order::settles`].
    pub(super) fn holds(&self) -> bool {
        self.held.as_ref().is_some_and(|h| !h.finite)
    }

    /// When the past counts as complete.
    pub(super) fn settles(&self) -> Instant {
        match &self.held {
            Some(held) => held.quiet.min(held.latest),
            None => Instant::now(),
        }
    }

    /// The past is complete: releases it in the order of time.
    pub(super) fn settle(&mut self) {
        if let Some(mut held) = self.held.take() {
            // Stable: keeps an engine's own order where times are the same.
            held.events.sort_by_key(|(time, _)| *time);
            self.out.extend(held.events.into_iter().map(|(_, b)| b));
        }
    }
}

/// Whether the client's `until` has passed, so that streams end by themselves.
fn is_past(until: &str) -> bool {
    let until = until.parse::<f64>();
    until.is_ok_and(|until| until <= crate::platform::clock::now().as_secs_f64())
}
