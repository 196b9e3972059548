//! Runs the rounds that keep the list of nodes: who this node is, which agents answer,
//! and which nodes a manager lists.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use skep_filters::auth::{BodyBinding, OnBehalfOf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Cluster;
use super::EARLY;
use super::expected;
use super::hop::Hop;
use super::identity::Identity;
use super::own_node::ENGINE_MISSES;
use crate::platform::clock::Moment;
use crate::upstream::client::Budget;
use crate::upstream::error;
use crate::upstream::request;

/// Bounds `GET /nodes`: a thousand nodes are about 2 MB.
const NODES_LIMIT: usize = 32 << 20;

/// The shortest time between two rounds, however often a call fails.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest pause between two rounds while a node does not answer.
pub(super) const AWAY: Duration = Duration::from_secs(2);

/// The longest pause between two rounds while this node's engine does not answer.
pub(super) const SILENT: Duration = Duration::from_secs(1);

/// The lists of nodes after which the others are known, even if some do not answer.
const LISTED: u32 = 2;

impl Cluster {
    /// Runs rounds until `stop` changes. Calls `changed` whenever this node's
    /// identity does.
    pub(crate) async fn run(&self, mut stop: watch::Receiver<bool>, changed: impl Fn(&Identity)) {
        let early = Instant::now() + EARLY;
        let rounds = async {
            loop {
                self.round(&changed).await;
                tokio::select! {
                    () = sleep(self.pause(early)) => {}
                    () = self.wake.notified() => sleep(PAUSE).await,
                }
            }
        };
        tokio::select! {
            () = rounds => {}
            never = self.lateness.measure() => match never {},
            _ = stop.changed() => {}
        }
    }

    /// The pause after a round: shorter while something is not as it should be.
    fn pause(&self, early: Instant) -> Duration {
        let usual = if Instant::now() < early {
            self.early_pause()
        } else {
            self.interval
        };
        let in_doubt = self.members.has_doubts()
            || self.engine_misses.load(Ordering::Relaxed) == ENGINE_MISSES;
        let most = if in_doubt {
            PAUSE
        } else if self.me.load().engine.is_none() {
            SILENT
        } else if self.others().iter().any(|m| m.is_away()) {
            AWAY
        } else {
            usual
        };
        usual.min(most)
    }

    /// One round: reads this node's identity, probes the other agents, and asks
    /// a manager for the list of nodes.
    pub(crate) async fn round(&self, changed: &impl Fn(&Identity)) {
        self.refresh_identity(changed).await;
        // An engine that has not answered may be part of a Swarm.
        let complete = if self.is_on() {
            self.refresh_members().await
        } else {
            self.me.load().engine.is_some()
        };
        self.unite_guarded();
        self.probed.fetch_or(complete, Ordering::Relaxed);
        if complete && !*self.known.borrow() {
            let listed = self.listed.fetch_add(1, Ordering::Relaxed) + 1;
            if listed >= LISTED || self.others().iter().all(|m| m.is_found()) {
                self.known.send_replace(true);
            }
        }
        self.last_round.store(Arc::new(Instant::now()));
    }

    /// The pause between two rounds after the start: short until the nodes and their
    /// agents are found, but no heavier for the others in a large cluster.
    fn early_pause(&self) -> Duration {
        let others = self.others();
        if self.probed.load(Ordering::Relaxed) && others.iter().all(|m| m.is_found()) {
            return self.interval;
        }
        let crowd = u32::try_from(others.len() / 16).unwrap_or(u32::MAX);
        PAUSE
            .saturating_mul(crowd.saturating_add(1))
            .min(self.interval)
    }

    /// Whether a manager listed the nodes.
    async fn refresh_members(&self) -> bool {
        let managers = &self.me.load_full().managers;
        self.members.managers(managers, Moment::now());
        if self.balancer.update().await.is_ok() {
            let backends = self.balancer.backends().get_backend();
            let addresses: Vec<_> = backends.iter().filter_map(|b| inet(&b.addr)).collect();
            self.members.discovered(&addresses, Moment::now());
        }
        self.balancer.backends().run_health_check(true).await;
        // The next round comes soon, and it decides whether that manager is there.
        let in_doubt = self.manager().is_some_and(|m| self.is_doubtful(&m));
        if in_doubt && !self.me().can_manage() {
            return false;
        }
        match timeout(self.deadline, self.expected()).await {
            Ok(Ok(nodes)) => {
                if self.members.expected(&nodes, Moment::now()) {
                    // Discovery may use addresses that were not known before.
                    self.wake.notify_one();
                }
                return true;
            }
            Ok(Err(e)) => tracing::debug!("cannot list the nodes of the Swarm: {e}"),
            Err(_) => tracing::debug!("no manager listed the nodes in time"),
        }
        false
    }

    async fn expected(&self) -> Result<Vec<expected::Expected>, String> {
        let explain = |e: Box<pingora::Error>| error::explain(&e);
        let hop = if self.me.load().can_manage() {
            Hop::Engine
        } else {
            Hop::Agent(self.manager().ok_or("no manager is reachable")?)
        };
        let mut head = request::get("/nodes").map_err(explain)?;
        let peer = match &hop {
            Hop::Engine => self.engine.peer().await.map_err(explain)?,
            Hop::Agent(member) => {
                let address = member.address.ok_or("no address")?;
                let body = BodyBinding::Empty;
                self.peers
                    .sign(
                        &mut head,
                        member.generation,
                        &member.id,
                        &OnBehalfOf::Agent,
                        body,
                    )
                    .map_err(explain)?;
                self.peers
                    .peer(address, member.generation)
                    .map_err(explain)?
            }
        };
        let answer = self
            .client
            .fetch(&peer, head, &Budget::one(NODES_LIMIT))
            .await;
        let answer = answer.map_err(explain)?;
        if answer.head.status != 200 {
            return Err(format!("GET /nodes was answered {}", answer.head.status));
        }
        expected::parse(&answer.body).map_err(|e| e.to_string())
    }
}

fn inet(address: &PeerAddress) -> Option<SocketAddr> {
    address.as_inet().copied()
}
