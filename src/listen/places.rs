//! Counts the open connections of a listener, and bounds them.
//!
//! A connection is unproven until one of its requests is authenticated. Unproven
//! connections have places of their own, so they never take those of callers, nor
//! the reserve of other agents, the operator and health checks. When the unproven
//! places are full, a new connection takes the place of the oldest one of the
//! source that has the most. So a client that sends its request at once is served,
//! however many idle connections others hold.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::bounds;

/// The share of the unproven places that one source may have.
const ONE_SOURCE: usize = 2;

/// The time between two log lines about closed connections.
const PAUSE: Duration = Duration::from_secs(60);

/// The origin of a connection, as far as it can be counted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Source {
    V4(Ipv4Addr),
    /// The first 64 bits: one host may use all addresses behind them.
    V6(u64),
    /// A user of this machine, if the kernel knows it.
    User(Option<u32>),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => Self::V6((v6.to_bits() >> 64) as u64),
        }
    }
}

/// The rank of an authenticated caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing<'a> {
    /// Another agent, the operator, or a health check.
    Reserved,
    /// A caller by this name.
    Caller(&'a str),
}

/// The places are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Full {
    /// By one caller.
    #[error("it has {0} connections open")]
    Caller(usize),
    /// By all together.
    #[error("this agent has no place for another connection")]
    All,
}

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Places {
    unproven: usize,
    callers: usize,
    reserved: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    unproven: usize,
    /// Unproven connections by source and age.
    sources: HashMap<Source, BTreeMap<u64, Arc<Notify>>>,
    callers: usize,
    by_caller: HashMap<Arc<str>, usize>,
    reserved: usize,
    closed: u64,
    logged: Option<Instant>,
}

/// A place, taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    source: Source,
    closing: Arc<Notify>,
    rank: Mutex<Rank>,
}

#[derive(Clone, Debug)]
enum Rank {
    Unproven,
    Caller(Arc<str>),
    Reserved,
}

impl Places {
    /// Places for this many connections, divided as [`bounds`] divides them.
    pub(crate) fn new(all: usize) -> Self {
        let part = |of: usize| (all * of / bounds::CONNECTIONS).max(1);
        Self {
            unproven: part(bounds::UNPROVEN),
            callers: part(bounds::CALLERS),
            reserved: part(bounds::RESERVED),
            taken: Mutex::default(),
        }
    }

    /// A place for a new connection. The connection whose place it takes, if any,
    /// is closed.
    pub(crate) fn take(self: &Arc<Self>, source: Source) -> Place {
        let closing = Arc::new(Notify::new());
        let mut taken = self.lock();
        let id = taken.next;
        taken.next += 1;
        let most = (self.unproven / ONE_SOURCE).max(1);
        let of_source = taken.sources.get(&source).map_or(0, BTreeMap::len);
        if of_source >= most {
            taken.close_oldest(source);
        } else if taken.unproven >= self.unproven {
            let largest = taken.sources.iter().max_by_key(|(_, open)| open.len());
            if let Some(largest) = largest.map(|(source, _)| *source) {
                taken.close_oldest(largest);
            }
        }
        taken.unproven += 1;
        let open = taken.sources.entry(source).or_default();
        open.insert(id, closing.clone());
        Place {
            places: self.clone(),
            id,
            source,
            closing,
            rank: Mutex::new(Rank::Unproven),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn close_oldest(&mut self, source: Source) {
        let open = self.sources.get_mut(&source);
        if let Some((_, closing)) = open.and_then(BTreeMap::pop_first) {
            closing.notify_one();
            self.unproven -= 1;
            self.closed += 1;
            self.log();
        }
        self.forget(source);
    }

    /// Whether the connection still had its place.
    fn remove(&mut self, source: Source, id: u64) -> bool {
        let open = self.sources.get_mut(&source);
        let had = open.and_then(|open| open.remove(&id)).is_some();
        if had {
            self.unproven -= 1;
        }
        self.forget(source);
        had
    }

    fn forget(&mut self, source: Source) {
        if self.sources.get(&source).is_some_and(BTreeMap::is_empty) {
            self.sources.remove(&source);
        }
    }

    fn log(&mut self) {
        let now = Instant::now();
        if self.logged.is_none_or(|logged| now - logged >= PAUSE) {
            let count = std::mem::take(&mut self.closed);
            self.logged = Some(now);
            tracing::warn!(
                count,
                "closed connections of unauthenticated clients: their places are taken"
            );
        }
    }
}

impl Place {
    /// Gives an authenticated caller a place of its rank.
    ///
    /// # Errors
    /// If there is none; the connection remains unproven.
    pub(crate) fn prove(&self, standing: Standing<'_>) -> Result<(), Full> {
        let mut rank = self.rank.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*rank, Rank::Unproven) {
            return Ok(());
        }
        let places = &self.places;
        let mut taken = places.lock();
        let proven = match standing {
            Standing::Reserved if taken.reserved >= places.reserved => return Err(Full::All),
            Standing::Reserved => Rank::Reserved,
            Standing::Caller(_) if taken.callers >= places.callers => return Err(Full::All),
            Standing::Caller(name) => {
                // No more than are free: the first caller gets half of the places, the
                // next one half of the rest, and some are always left.
                let free = places.callers - taken.callers;
                if let Some(has) = taken.by_caller.get(name).filter(|has| **has >= free) {
                    return Err(Full::Caller(*has));
                }
                Rank::Caller(name.into())
            }
        };
        if !taken.remove(self.source, self.id) {
            // Another connection has just taken its place.
            return Err(Full::All);
        }
        match &proven {
            Rank::Caller(name) => {
                taken.callers += 1;
                *taken.by_caller.entry(name.clone()).or_default() += 1;
            }
            Rank::Reserved | Rank::Unproven => taken.reserved += 1,
        }
        *rank = proven;
        Ok(())
    }

    /// Whether one of the connection's requests was authenticated.
    pub(crate) fn is_proven(&self) -> bool {
        let rank = self.rank.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(*rank, Rank::Unproven)
    }

    /// Resolves when another connection has taken the place.
    pub(crate) async fn lost(&self) {
        self.closing.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let rank = self.rank.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self.places.lock();
        match rank {
            Rank::Unproven => {
                taken.remove(self.source, self.id);
            }
            Rank::Caller(name) => {
                taken.callers -= 1;
                if let Some(has) = taken.by_caller.get_mut(name) {
                    *has -= 1;
                    if *has == 0 {
                        taken.by_caller.remove(name);
                    }
                }
            }
            Rank::Reserved => taken.reserved -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn source(n: u8) -> Source {
        Source::from(IpAddr::from([10, 0, 0, n]))
    }

    fn places() -> Arc<Places> {
        Arc::new(Places {
            unproven: 16,
            callers: 24,
            reserved: 24,
            taken: Mutex::default(),
        })
    }

    fn is_lost(place: &Place) -> bool {
        place.lost().now_or_never().is_some()
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_source() {
        let source = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
    }

    #[test]
    fn a_source_at_its_bound_loses_its_oldest_connection_and_no_other_source_does() {
        let places = places();
        let other = places.take(source(2));
        let open: Vec<_> = (0..10).map(|_| places.take(source(1))).collect();
        let lost: Vec<_> = open.iter().map(is_lost).collect();
        assert_eq!(lost[..2], [true, true]);
        assert!(!lost[2..].contains(&true));
        assert!(!is_lost(&other));
    }

    #[test]
    fn a_new_source_gets_a_place_from_the_largest_when_all_are_taken() {
        let places = places();
        let crowd: Vec<_> = (0..5)
            .flat_map(|n| (0..4).map(move |_| n))
            .map(|n| places.take(source(n)))
            .collect();
        assert_eq!(places.lock().unproven, 16);
        let new = places.take(source(9));
        assert_eq!(places.lock().unproven, 16);
        let lost = crowd.into_iter().filter(is_lost).count();
        assert_eq!(lost, 5);
        assert!(!is_lost(&new));
    }

    #[test]
    fn proven_connections_take_no_unproven_place_and_are_never_closed_for_one() {
        let places = places();
        let agents: Vec<_> = (0..24)
            .map(|n| {
                let place = places.take(source(1));
                place.prove(Standing::Reserved).unwrap();
                // A second request changes nothing.
                place.prove(Standing::Caller("key:ci")).unwrap();
                (n, place)
            })
            .collect();
        let _crowd: Vec<_> = (0..100).map(|n| places.take(source(n))).collect();
        assert!(agents.iter().all(|(_, place)| !is_lost(place)));
        let one_more = places.take(source(1));
        assert_eq!(one_more.prove(Standing::Reserved), Err(Full::All));
        drop(agents);
        assert_eq!(one_more.prove(Standing::Reserved), Ok(()));
    }

    #[test]
    fn one_caller_leaves_places_for_others_and_callers_leave_the_reserve() {
        let places = places();
        let prove = |name: &str| {
            let place = places.take(source(1));
            place.prove(Standing::Caller(name)).map(|()| place)
        };
        let mut open: Vec<_> = (0..12).map(|_| prove("key:ci").unwrap()).collect();
        assert_eq!(prove("key:ci").unwrap_err(), Full::Caller(12));
        open.extend((0..12).map(|n| prove(&format!("key:{n}")).unwrap()));
        assert_eq!(prove("key:else").unwrap_err(), Full::All);
        let agent = places.take(source(1));
        assert_eq!(agent.prove(Standing::Reserved), Ok(()));
        drop(open);
        assert!(prove("key:ci").is_ok());
        drop(agent);
        let taken = places.lock();
        assert_eq!((taken.unproven, taken.callers, taken.reserved), (0, 0, 0));
        assert!(taken.sources.is_empty() && taken.by_caller.is_empty());
    }

    #[test]
    fn greedy_callers_together_leave_places_for_others() {
        let places = places();
        let mut open = Vec::new();
        let mut has = |name: &str| {
            let before = open.len();
            loop {
                let place = places.take(source(1));
                match place.prove(Standing::Caller(name)) {
                    Ok(()) => open.push(place),
                    Err(full) => {
                        assert_eq!(full, Full::Caller(open.len() - before));
                        return open.len() - before;
                    }
                }
            }
        };
        let each = ["key:a", "key:b", "key:c"].map(&mut has);
        assert_eq!(each, [12, 6, 3]);
    }

    #[test]
    fn a_connection_that_lost_its_place_is_not_proven_any_more() {
        let places = places();
        let open: Vec<_> = (0..9).map(|_| places.take(source(1))).collect();
        assert_eq!(open[0].prove(Standing::Reserved), Err(Full::All));
        assert_eq!(open[1].prove(Standing::Reserved), Ok(()));
        drop(open);
        assert_eq!(places.lock().unproven, 0);
    }
}
