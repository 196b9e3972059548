//! The log of a fake engine's requests, and the state that its connections share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::broadcast;

use super::config::Config;
use crate::payload::Tally;
use crate::wire::Head;

/// The maximum number of logged requests.
const MOST: usize = 65_536;

/// A request as far as the engine has received it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The number of its connection, from 1. The same number means a reused connection.
    pub connection: u64,
    /// The method.
    pub method: String,
    /// The unchanged target.
    pub target: String,
    /// The target without API version and query.
    pub path: String,
    /// The head with its original fields.
    pub head: Head,
    /// The body so far, without its chunking.
    pub body: Tally,
    /// The bytes after a hijack.
    pub raw: Tally,
    /// The number of bytes sent so far of a streamed answer's body, without chunking.
    pub sent: u64,
    /// Whether the client ended its direction during a stream, a hijacked exchange
    /// or a delayed answer.
    pub client_closed: bool,
}

impl Seen {
    /// The value of the first header field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as JSON; `None` if it is not JSON, or longer than 64 KiB.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body.start).ok()
    }
}

/// The number of events that a listener may lag behind.
const PUBLISHED: usize = 1024;

/// The state that the handle and all connections of an engine share.
pub(super) struct Shared {
    config: Mutex<Arc<Config>>,
    seen: Mutex<Vec<Seen>>,
    published: broadcast::Sender<Value>,
    accepted: AtomicU64,
    open: AtomicU64,
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config: Mutex::new(Arc::new(config)),
            seen: Mutex::default(),
            published: broadcast::channel(PUBLISHED).0,
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
        }
    }

    pub(super) fn config(&self) -> Arc<Config> {
        lock(&self.config).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Config)) {
        change(Arc::make_mut(&mut lock(&self.config)));
    }

    /// Adds an event to the past and sends it to the listeners.
    pub(super) fn publish(&self, event: Value) {
        let mut config = lock(&self.config);
        let known = Arc::make_mut(&mut config);
        let mut events = known.rows("events").to_vec();
        events.push(event.clone());
        known.put("events", events);
        // Fails without a listener.
        let _ = self.published.send(event);
    }

    /// The events from now on, and the past events.
    pub(super) fn listen(&self) -> (Arc<Config>, broadcast::Receiver<Value>) {
        let config = lock(&self.config);
        (config.clone(), self.published.subscribe())
    }

    pub(super) fn listeners(&self) -> usize {
        self.published.receiver_count()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(super) fn open(&self) -> u64 {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn connected(self: &Arc<Self>) -> Connected {
        self.open.fetch_add(1, Ordering::SeqCst);
        let number = self.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        let shared = Arc::clone(self);
        Connected { shared, number }
    }
}

/// An open connection, counted until it is dropped.
pub(super) struct Connected {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
}

impl Connected {
    pub(super) fn remember(&self, seen: Seen) -> Ticket {
        let mut all = lock(&self.shared.seen);
        let index = all.len();
        if index < MOST {
            all.push(seen);
        }
        let shared = Arc::clone(&self.shared);
        Ticket { shared, index }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The log entry of one request.
pub(super) struct Ticket {
    shared: Arc<Shared>,
    index: usize,
}

impl Ticket {
    /// The body so far, as JSON.
    pub(super) fn body(&self) -> Option<Value> {
        lock(&self.shared.seen).get(self.index)?.json()
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = lock(&self.shared.seen).get_mut(self.index) {
            change(seen);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
