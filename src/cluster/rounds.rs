//! Runs the rounds that keep the list of nodes: who this node is, which agents answer,
//! and which nodes a manager lists.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use skep_filters::auth::{BodyBinding, OnBehalfOf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Cluster;
use super::EARLY;
use super::discover::Discovered;
use super::expected;
use super::hop::Hop;
use super::identity::Identity;
use super::own_node::ENGINE_MISSES;
use super::schedule::{FEW, Situation, UNKNOWN};
use crate::platform::clock::Moment;
use crate::upstream::client::Budget;
use crate::upstream::error;
use crate::upstream::request;

/// Bounds `GET /nodes`: ten thousand nodes are about 20 MB.
const NODES_LIMIT: usize = 32 << 20;

/// The shortest time between two rounds, however often a call fails.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest pause between two rounds while a node does not answer.
pub(super) const AWAY: Duration = Duration::from_secs(2);

/// The longest pause between two rounds while this node's engine does not answer.
pub(super) const SILENT: Duration = Duration::from_secs(1);

/// The lists of nodes after which the others are known, even if some do not answer.
const LISTED: u32 = 2;

/// The probes that are on their way at the same time.
const AT_ONCE: usize = 64;

/// The addresses that the first round tries in a large cluster. A round that has found
/// no table of nodes doubles them.
pub(super) const FIRST_UNKNOWN: usize = 16;

/// The same while this agent follows a table, which has the addresses of the others.
const FEW_UNKNOWN: usize = 4;

/// In a large cluster, the rounds between two looks for addresses: of an agent on a
/// manager, which tells the others of new ones, and of one that is told.
const DISCOVERIES: [u32; 2] = [3, 12];

/// The most rounds between two readings of the list of nodes: from this node's engine,
/// which also reports changes, and through another agent.
const READINGS: [u32; 2] = [12, 120];

/// When the list of nodes was last read.
pub(super) struct NodesRead {
    at: Instant,
    nodes: usize,
}

impl Cluster {
    /// Keeps the list of nodes until `stop` changes. Calls `changed` whenever this node's
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
            never = self.follow() => match never {},
            never = self.hear_nodes() => match never {},
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
        } else if self.others().iter().any(|m| m.is_away() && m.is_met) {
            AWAY
        } else {
            usual
        };
        usual.min(most)
    }

    /// One round: reads this node's identity, probes other agents, and asks a manager
    /// for the list of nodes where no table has it.
    pub(crate) async fn round(&self, changed: &impl Fn(&Identity)) {
        self.refresh_identity(changed).await;
        // An engine that has not answered may be part of a Swarm.
        let complete = if self.is_on() {
            self.refresh_members().await
        } else {
            self.me.load().engine.is_some()
        };
        self.unite_guarded();
        if complete {
            self.was_listed();
        }
        self.last_round.store(Arc::new(Instant::now()));
    }

    /// Records that a manager has listed the nodes.
    pub(super) fn was_listed(&self) {
        self.probed.store(true, Ordering::Relaxed);
        if !*self.known.borrow() {
            let listed = self.listed.fetch_add(1, Ordering::Relaxed) + 1;
            if listed >= LISTED || self.others().iter().all(|m| m.is_found()) {
                self.known.send_replace(true);
            }
        }
    }

    /// The pause between two rounds after the start: short until the nodes and their
    /// agents are found.
    fn early_pause(&self) -> Duration {
        let others = self.others();
        if self.probed.load(Ordering::Relaxed) && others.iter().all(|m| m.is_found()) {
            return self.interval;
        }
        let is_told = self.follows.load(Ordering::Relaxed) && !self.me().can_manage();
        let pause = if is_told && !self.is_small() {
            SILENT
        } else {
            PAUSE
        };
        pause.min(self.interval)
    }

    /// Whether every round probes all other agents.
    pub(super) fn is_small(&self) -> bool {
        let discovered = self.discovered.load().addresses.len();
        self.members.len().max(discovered) <= FEW
    }

    /// Whether a manager listed the nodes.
    async fn refresh_members(&self) -> bool {
        let me = self.me.load_full();
        self.members.managers(&me.managers, Moment::now());
        self.discover().await;
        self.probe().await;
        if !me.can_manage() && self.follows.load(Ordering::Relaxed) {
            // The table that it follows has the list.
            return self.probed_once();
        }
        // The next round comes soon, and it decides whether that manager is there.
        let in_doubt = self.manager().is_some_and(|m| self.is_doubtful(&m));
        if in_doubt && !me.can_manage() {
            return false;
        }
        if !self.has_to_list() {
            return true;
        }
        self.list_nodes().await
    }

    /// Looks for the addresses of agents, if it is time.
    async fn discover(&self) {
        let manages = self.me.load().can_manage();
        let is_told = self.follows.load(Ordering::Relaxed) && self.probed_once() && !manages;
        let rounds = match (manages, is_told) {
            (_, true) => DISCOVERIES[1],
            (true, false) => DISCOVERIES[0],
            (false, false) => 1,
        };
        let last = self.discovered.load().at;
        let is_due = last.is_none_or(|at| at.elapsed() >= self.interval * (rounds - 1));
        let is_early = self.began.elapsed() < EARLY && !is_told;
        if !is_due && !is_early && !self.is_small() {
            return;
        }
        let addresses = match self.discovery.addresses().await {
            Ok(addresses) => addresses,
            Err(_) => return,
        };
        self.members.discovered(&addresses, Moment::now());
        let at = Some(Instant::now());
        self.discovered
            .store(Arc::new(Discovered { addresses, at }));
    }

    /// Probes the agents whose turn it is.
    async fn probe(&self) {
        for id in self.followers.overdue(Instant::now()) {
            if let Some(address) = self.members.get(&id).and_then(|m| m.address) {
                self.members.doubt(address);
            }
        }
        let members = self.members.all();
        let discovered = self.discovered.load_full();
        let contacts = members.iter().map(|m| self.members.last_contact(&m.id));
        let follows = self.follows.load(Ordering::Relaxed);
        let is_told = follows && !self.me.load().can_manage();
        let unknown = match is_told {
            true => FEW_UNKNOWN,
            false => self.unknown.load(Ordering::Relaxed),
        };
        let situation = Situation {
            contacts: contacts.collect(),
            members: &members,
            discovered: &discovered.addresses,
            doubts: self.members.doubtful(),
            used: self.uses.ids(),
            unknown,
            now: Instant::now(),
        };
        let chosen = self.schedule.choose(&situation);
        if !is_told {
            self.unknown
                .store((2 * unknown).min(UNKNOWN), Ordering::Relaxed);
        }
        let known: BTreeSet<SocketAddr> = members.iter().filter_map(|m| m.address).collect();
        self.schedule
            .retain(|address| known.contains(address) || discovered.addresses.contains(address));
        stream::iter(chosen)
            .for_each_concurrent(AT_ONCE, |address| async move {
                let answered = self.probe.check(address).await;
                self.schedule.probed(address, answered, Instant::now());
            })
            .await;
    }

    /// Whether it is time to read the list of nodes: in small clusters in every round,
    /// in large ones more rarely, for it is as long as there are nodes.
    fn has_to_list(&self) -> bool {
        let most = READINGS[usize::from(!self.me.load().can_manage())];
        self.nodes_read.load().as_ref().is_none_or(|last| {
            let rounds = u32::try_from(last.nodes / FEW).unwrap_or(most).min(most);
            last.at.elapsed() >= self.interval * rounds
        })
    }

    /// Reads the list of nodes; returns whether a manager gave it.
    pub(super) async fn list_nodes(&self) -> bool {
        let nodes = match timeout(self.deadline, self.expected()).await {
            Ok(Ok(nodes)) => nodes,
            Ok(Err(e)) => {
                tracing::debug!("cannot list the nodes of the Swarm: {e}");
                return false;
            }
            Err(_) => {
                tracing::debug!("no manager listed the nodes in time");
                return false;
            }
        };
        let read = NodesRead {
            at: Instant::now(),
            nodes: nodes.len(),
        };
        self.nodes_read.store(Some(Arc::new(read)));
        if self.members.expected(&nodes, Moment::now()) {
            // Discovery may use addresses that were not known before.
            self.wake.notify_one();
        }
        true
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
