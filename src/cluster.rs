//! Keeps the list of nodes: their addresses, and which of them answer.
//!
//! Discovery finds addresses, probes identify the agents behind them, and
//! managers list the nodes that should exist. Swarm itself is the membership
//! protocol; nothing is gossiped. Other modules decide what a node is sent.

pub(crate) mod ask;
pub(crate) mod conditions;
pub(crate) mod copies;
pub(crate) mod discover;
pub(crate) mod expected;
pub(crate) mod hop;
pub(crate) mod identity;
pub(crate) mod known;
pub(crate) mod members;
pub(crate) mod name_locks;
mod own_objects;
pub(crate) mod own_service;
pub(crate) mod probe;
pub(crate) mod published;
pub(crate) mod reachable;
pub(crate) mod removals;
pub(crate) mod residents;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderValue;
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backends, LoadBalancer};
use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use skep_filters::auth::{BodyBinding, OnBehalfOf};
use skep_filters::policy::{Guarded, Marks, Named};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cluster::hop::Hop;
use crate::config::ClusterMode;
use crate::platform::clock::Moment;
use crate::platform::lateness::Lateness;
use crate::upstream::client::{Budget, Client};
use crate::upstream::engine::Engine;
use crate::upstream::error;
use crate::upstream::peers::Peers;
use crate::upstream::request;
use discover::Discovery;
use identity::{ApiRange, Identity};
use members::{Member, Members};
pub(crate) use own_objects::OwnContainer;
use own_objects::OwnObjects;
use own_service::OwnService;
use probe::Probe;
use published::Published;

/// Bounds `GET /nodes`: a thousand nodes are about 2 MB.
const NODES_LIMIT: usize = 32 << 20;

/// The shortest time between two rounds, however often a call fails.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest pause between two rounds while a node does not answer.
const AWAY: Duration = Duration::from_secs(2);

/// The longest pause between two rounds while this node's engine does not answer.
const SILENT: Duration = Duration::from_secs(1);

/// The rounds in a row in which this node's engine may be silent.
const ENGINE_MISSES: u32 = 1;

/// A manager is preferred while its agent answers probes in so many times the time of
/// the quickest, or while nobody notices the difference.
const QUICK: u32 = 4;
const UNNOTICED: Duration = Duration::from_millis(100);

/// How long the other managers come before one that took too long.
const SLOW: Duration = Duration::from_secs(10);

/// The lists of nodes after which the others are known, even if some do not answer.
const LISTED: u32 = 2;

/// The time after the start in which rounds follow each other at that pace, until the
/// others are found: the Swarm's DNS learns of a task only when it is healthy.
const EARLY: Duration = Duration::from_secs(10);

/// How long a call waits for the answer of an agent that does not answer probes.
const MISSED: Duration = Duration::from_secs(3);

/// A call waits for a silent engine at least this long, even if the engine has
/// been silent for much longer.
const SHORTEST: Duration = Duration::from_secs(1);

/// The age of the last round from which a missing node justifies a new one.
const ROUND_AGE: Duration = Duration::from_secs(5);

/// The longest wait for a silent engine: a Portainer server waits for a minute.
const LONGEST: Duration = Duration::from_secs(20);

/// This node and the other nodes of its Swarm.
pub struct Cluster {
    me: ArcSwap<Identity>,
    label: ArcSwap<HeaderValue>,
    members: Arc<Members>,
    balancer: LoadBalancer<RoundRobin>,
    pub(crate) client: Arc<Client>,
    /// This node's engine.
    pub(crate) engine: Arc<Engine>,
    /// The way to other agents.
    pub(crate) peers: Arc<Peers>,
    own: OwnObjects,
    /// The objects of all agents; `None` while those of this one are not known.
    guarded: ArcSwapOption<Guarded>,
    /// The marks that this agent's configuration adds to them.
    marks: ArcSwap<Marks>,
    mode: ClusterMode,
    interval: Duration,
    deadline: Duration,
    /// How long a node may take to answer its part of a list.
    pub(crate) list_deadline: Duration,
    wake: Notify,
    lateness: Arc<Lateness>,
    /// The rounds in a row in which the engine was silent.
    engine_misses: AtomicU32,
    probed: AtomicBool,
    /// The managers that took too long for a call, and when.
    slow: Mutex<HashMap<String, Instant>>,
    /// Counts the choices of a manager.
    turn: AtomicUsize,
    began: Instant,
    /// The lists of nodes that managers have given.
    listed: AtomicU32,
    /// Whether the nodes and their agents are known.
    known: watch::Sender<bool>,
    /// When the last round ended.
    last_round: ArcSwap<Instant>,
    /// Since when this node's engine has not answered, if it does not.
    engine_silent_since: watch::Sender<Option<Instant>>,
}

/// The arguments of [`Cluster::new`].
pub(crate) struct Parts {
    pub(crate) client: Arc<Client>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) config: crate::config::Cluster,
    /// How long a node may take to answer its part of a list.
    pub(crate) list_deadline: Duration,
    /// The port of other agents, where discovery names none.
    pub(crate) port: u16,
    /// This node as its engine described it at the start.
    pub(crate) me: Identity,
    /// The files and folders of the agent that hold secrets and settings.
    pub(crate) paths: Vec<PathBuf>,
    /// What tells its listeners which caller a container is.
    pub(crate) marks: Marks,
}

impl Cluster {
    /// A cluster that knows only this node so far.
    pub(crate) fn new(parts: Parts) -> Self {
        let members = Arc::new(Members::default());
        let own = Arc::new(OwnService::new(parts.client.clone(), parts.engine.clone()));
        let discovery = Discovery::new(parts.config.discover, own, members.clone(), parts.port);
        let lateness = Arc::new(Lateness::default());
        let mut backends = Backends::new(Box::new(discovery));
        backends.set_health_check(Box::new(Probe::new(
            parts.client.clone(),
            parts.peers.clone(),
            members.clone(),
            lateness.clone(),
            parts.config.probe_timeout,
        )));
        let own = OwnObjects::new(
            parts.client.clone(),
            parts.engine.clone(),
            parts.config.container,
            parts.paths,
        );
        let now = Instant::now();
        let engine_silent_since = parts.me.engine.is_none().then_some(now);
        Self {
            last_round: ArcSwap::from_pointee(now),
            engine_silent_since: watch::Sender::new(engine_silent_since),
            label: ArcSwap::from_pointee(label(&parts.me)),
            me: ArcSwap::from_pointee(parts.me),
            members,
            balancer: LoadBalancer::from_backends(backends),
            client: parts.client,
            engine: parts.engine,
            peers: parts.peers,
            own,
            guarded: ArcSwapOption::empty(),
            marks: ArcSwap::from_pointee(parts.marks),
            mode: parts.config.mode,
            interval: parts.config.interval,
            deadline: parts.config.probe_timeout,
            list_deadline: parts.list_deadline,
            wake: Notify::new(),
            lateness,
            engine_misses: AtomicU32::new(0),
            probed: AtomicBool::new(false),
            slow: Mutex::default(),
            turn: AtomicUsize::new(0),
            began: now,
            listed: AtomicU32::new(0),
            known: watch::Sender::new(false),
        }
    }

    /// This node.
    pub fn me(&self) -> Arc<Identity> {
        self.me.load_full()
    }

    /// The value of `Skep-Node` in this node's own answers; empty if its name
    /// cannot stand in a header.
    pub(crate) fn label(&self) -> HeaderValue {
        (**self.label.load()).clone()
    }

    /// Whether this node works with others; outside a Swarm it never does.
    pub fn is_on(&self) -> bool {
        self.mode != ClusterMode::Off && self.me.load().swarm
    }

    /// Whether a round has completed. Before the first one, an empty list of
    /// members means nothing.
    pub fn probed_once(&self) -> bool {
        self.probed.load(Ordering::Relaxed)
    }

    /// Waits after the start until the nodes are known, as long as a client may wait.
    /// Without that, an answer would lack the rows of nodes that nobody could name.
    pub(crate) async fn known(&self) {
        let mut known = self.known.subscribe();
        if !self.is_on() || *known.borrow_and_update() || self.began.elapsed() >= EARLY {
            return;
        }
        drop(timeout(self.list_deadline / 2, known.wait_for(|known| *known)).await);
    }

    /// Every node of the cluster but this one, by node id.
    pub fn others(&self) -> Vec<Arc<Member>> {
        let me = self.me.load();
        let mut all = self.members.all();
        all.retain(|m| m.id != me.node_id);
        all
    }

    /// Every node of the cluster, this one as its engine describes it.
    pub fn all(&self) -> Vec<Arc<Member>> {
        let me = self.me.load();
        let listed = self.members.get(&me.node_id);
        let entered = listed.as_ref().map(|m| (m.since, m.entered));
        let now = Moment::now();
        let (since, entered) = entered.unwrap_or((now.unix, now.instant));
        let mut all = self.others();
        all.push(Arc::new(Member {
            id: me.node_id.clone(),
            hostname: me.hostname.clone(),
            manager: me.manager,
            engine: me.engine.clone(),
            agent: Some(me.agent.clone()),
            guarded: Arc::default(),
            address: listed.as_ref().and_then(|m| m.address),
            availability: listed.as_ref().and_then(|m| m.availability),
            labels: listed.map(|m| m.labels.clone()).unwrap_or_default(),
            spare: None,
            generation: 0,
            state: if me.engine.is_some() {
                members::State::Ready
            } else {
                members::State::NoEngine
            },
            clock_skew_ms: None,
            since,
            entered,
        }));
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The objects that belong to agents: those of this one, and those that the
    /// others announce. `None` while this agent does not know its own.
    pub fn guarded(&self) -> Option<Arc<Guarded>> {
        self.guarded.load_full()
    }

    /// The ports of this node's agent that are published; `None` until they are known.
    pub(crate) fn published(&self) -> Option<Arc<Published>> {
        self.own.published()
    }

    /// Reads who this node is, and what belongs to its agent.
    pub(crate) async fn look(&self) {
        self.refresh_identity(&|_| {}).await;
        self.unite_guarded();
    }

    /// Guards the marks of another configuration.
    pub(crate) fn set_marks(&self, marks: Marks) {
        self.marks.store(Arc::new(marks));
        self.unite_guarded();
        // The others learn of them in its answers.
        self.wake.notify_one();
    }

    /// This agent's own container; `None` if it runs in none.
    ///
    /// # Errors
    /// A sentence, if the engine does not answer.
    pub(crate) async fn own_container(&self) -> Result<Option<OwnContainer>, String> {
        let read = timeout(self.list_deadline, self.own.own_container()).await;
        read.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.list_deadline)))
    }

    /// Guards a container that this agent has made for itself.
    pub(crate) fn guard_helper(&self, helper: Named) {
        self.own.lock_helpers().push(helper);
        self.unite_guarded();
    }

    /// The containers that this agent has made for itself.
    pub(crate) fn helpers(&self) -> Vec<Named> {
        self.own.helpers()
    }

    /// Forgets such a container, which is gone.
    pub(crate) fn forget_helper(&self, id: &str) {
        self.own.lock_helpers().retain(|helper| helper.id != id);
        self.unite_guarded();
    }

    fn unite_guarded(&self) {
        let Some(mut all) = self.me.load().guarded.clone() else {
            return;
        };
        all.marks.add(&self.marks.load());
        for helper in self.own.helpers() {
            if !all.containers.contains(&helper) {
                all.containers.push(helper);
            }
        }
        for member in self.others() {
            all.add(&member.guarded);
        }
        if self.guarded.load().as_deref() != Some(&all) {
            self.guarded.store(Some(Arc::new(all)));
        }
    }

    /// The objects of this node's agent; as before, if the engine does not say.
    async fn own_objects(&self, now: &Identity, before: &Identity) -> Option<Guarded> {
        let others = self.others();
        let services = others.iter().flat_map(|member| &member.guarded.services);
        let services = services.map(|service| service.id.clone()).collect();
        let read = timeout(self.deadline, self.own.read(now.can_manage(), &services)).await;
        let reason = match read {
            Ok(Ok(mut guarded)) => {
                guarded.marks = self.marks.load().as_ref().clone();
                return Some(guarded);
            }
            Ok(Err(reason)) => reason,
            Err(_) => format!("no answer within {:?}", self.deadline),
        };
        match &before.guarded {
            Some(_) => tracing::debug!("the agent's own objects could not be read: {reason}"),
            None => tracing::error!(
                "the agent's own objects are not known, and callers with a policy can only read: {reason}"
            ),
        }
        before.guarded.clone()
    }

    /// Gives the image of this node's agent its name back, if a load or a build has given
    /// the name to another image: the agent would be that one at its next start.
    pub(crate) async fn keep_image_name(&self) {
        let reason = match timeout(self.deadline, self.own.keep_image_name()).await {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(_) => format!("no answer within {:?}", self.deadline),
        };
        tracing::error!(
            "the name of the agent's image could not be checked after a load or a build: {reason}"
        );
    }

    /// The node with this id, unless it is this one.
    pub(crate) fn member(&self, id: &str) -> Option<Arc<Member>> {
        self.members.get(id)
    }

    /// Whether the node with this id last described itself as a manager.
    pub(crate) fn is_manager(&self, id: &str) -> bool {
        self.members.get(id).is_some_and(|m| m.manager)
    }

    /// The API versions of every node that is ready.
    pub(crate) fn ranges(&self) -> Vec<ApiRange> {
        let all = self.all();
        let ready = all.iter().filter(|m| m.state == members::State::Ready);
        ready.filter_map(|m| m.engine.as_ref()?.range()).collect()
    }

    /// A manager that answered its last probe, chosen round robin among those that
    /// answer soon.
    pub(crate) fn manager(&self) -> Option<Arc<Member>> {
        let mut ready = self.others();
        ready.retain(|m| m.manager && m.is_ready());
        let took = |m: &Arc<Member>| self.members.last_took(&m.id).unwrap_or_default();
        let good = ready.iter().filter(|m| self.is_prompt(m));
        let quickest = good.clone().map(took).min().unwrap_or_default();
        let most = (quickest * QUICK).max(quickest + UNNOTICED);
        let mut best: Vec<_> = good.filter(|m| took(m) <= most).collect();
        if best.is_empty() {
            best = ready.iter().collect();
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        best.get(turn % best.len().max(1)).map(|m| (*m).clone())
    }

    /// Whether another manager than this one may answer sooner.
    pub(crate) fn has_other_manager(&self, than: &Member) -> bool {
        let mut others = self.others().into_iter();
        others.any(|m| m.manager && m.id != than.id && m.is_ready() && self.is_prompt(&m))
    }

    /// Records that a manager took too long for a call. For a while the others come
    /// first.
    pub(crate) fn was_slow(&self, id: &str) {
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.retain(|_, since| since.elapsed() < SLOW);
        slow.insert(id.to_owned(), Instant::now());
    }

    fn is_prompt(&self, member: &Member) -> bool {
        let slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        let is_slow = slow.get(&member.id).is_some_and(|t| t.elapsed() < SLOW);
        !is_slow && !self.is_doubtful(member)
    }

    /// Since when a node does not answer, and what follows, for a message.
    pub(crate) fn outlook(&self, member: &Member) -> String {
        let now = self.members.get(&member.id);
        let away = now.filter(|m| m.is_away()).map(|m| m.entered.elapsed());
        let since = match away {
            Some(time) => format!("; it has been away for {} s", time.as_secs()),
            None => String::new(),
        };
        format!("{since}; skep goes on asking it, and `skep nodes` shows when it answers")
    }

    /// The name and state of every known manager, for a message.
    pub(crate) fn managers_in_words(&self) -> String {
        let managers = self.all().into_iter().filter(|m| m.manager);
        let words: Vec<_> = managers
            .map(|m| format!("{} ({}): {}", m.name(), m.id, m.state))
            .collect();
        if words.is_empty() {
            "none was ever found; is the agent running on every manager?".to_owned()
        } else {
            words.join(", ")
        }
    }

    /// Records a failed call: the agent at this address gets no more requests
    /// until it answers a probe. The next round starts at once.
    pub(crate) fn failed(&self, address: SocketAddr, reason: &str) {
        self.members.failed(address, reason, Moment::now());
        self.wake.notify_one();
    }

    /// Records that an agent took too long for a call. Only probes decide whether it is
    /// given up: many calls at once say no more than one.
    pub(crate) fn was_late(&self) {
        self.wake.notify_one();
    }

    /// Another agent has probed this one. If its node did not answer, it may now.
    pub(crate) fn was_probed_by(&self, id: &str) {
        let is_back = self.members.get(id).is_some_and(|m| !m.is_ready());
        if is_back && self.last_round.load().elapsed() >= SILENT {
            self.wake.notify_one();
        }
    }

    /// Whether this member's agent did not answer its last probe in time.
    pub(crate) fn is_doubtful(&self, member: &Member) -> bool {
        let address = member.address;
        address.is_none_or(|address| self.members.is_doubtful(address))
    }

    /// Resolves when this member's agent did not answer its last probe in time.
    pub(crate) async fn doubtful(&self, member: &Member) {
        let mut changes = self.members.changes();
        drop(changes.wait_for(|()| self.is_doubtful(member)).await);
    }

    /// Resolves when this member's agent has not answered probes for a while.
    pub(crate) async fn lost(&self, member: &Member) {
        let answers = || member.address.is_some_and(|a| self.members.answers(a));
        let mut changes = self.members.changes();
        let silent = async {
            loop {
                drop(changes.wait_for(|()| !answers()).await);
                let back = changes.wait_for(|()| answers());
                if timeout(MISSED, back).await.is_err() {
                    return;
                }
            }
        };
        // A call that waits asks for a probe, which finds out sooner.
        let ask = async {
            sleep(SHORTEST).await;
            if self.last_round.load().elapsed() >= AWAY {
                self.wake.notify_one();
            }
            pending::<()>().await;
        };
        tokio::select! {
            () = silent => {}
            () = ask => {}
        }
    }

    /// Resolves when the engine behind this hop has been silent for too long,
    /// whether its agent answers or not; almost at once if it has been already.
    /// An engine that was too busy to answer one probe gets the time of another.
    pub(crate) async fn engine_unresponsive(&self, hop: &Hop) {
        let probe = self.interval.saturating_add(self.deadline);
        let patience = LONGEST.min(MISSED.saturating_add(probe));
        let began = Instant::now();
        let mut ours = self.engine_silent_since.subscribe();
        let mut theirs = self.members.changes();
        let mut again = began + ROUND_AGE;
        loop {
            let given_up = async {
                match self.silence(hop) {
                    Silence::None => pending().await,
                    Silence::Since(then) => {
                        sleep_until((then + patience).max(began + SHORTEST)).await
                    }
                    Silence::UnknownNode => sleep_until(began + SHORTEST).await,
                }
            };
            tokio::select! {
                () = given_up => return,
                _ = ours.changed() => {}
                _ = theirs.changed() => {}
                () = sleep_until(again) => {
                    self.request_round();
                    again = Instant::now() + SHORTEST;
                }
            }
        }
    }

    /// Starts a round now, because a request misses a node; unless the last
    /// round ended only just before.
    pub fn request_round(&self) {
        if self.last_round.load().elapsed() >= ROUND_AGE {
            self.wake.notify_one();
        }
    }

    fn silence(&self, hop: &Hop) -> Silence {
        match hop {
            Hop::Engine => self
                .engine_silent_since
                .borrow()
                .map_or(Silence::None, Silence::Since),
            Hop::Agent(member) => match self.members.get(&member.id) {
                Some(member) if member.is_ready() => Silence::None,
                Some(member) => Silence::Since(member.entered),
                None => Silence::UnknownNode,
            },
        }
    }

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

    async fn refresh_identity(&self, changed: &impl Fn(&Identity)) {
        let before = self.me.load_full();
        let now = match Box::pin(self.ask_engine()).await {
            Asked::Answered(mut now) => {
                self.engine_misses.store(0, Ordering::Relaxed);
                self.set_engine_silent(false);
                now.guarded = self.own_objects(&now, &before).await;
                *now
            }
            Asked::Slow => return,
            asked => {
                self.set_engine_silent(true);
                let misses = self.engine_misses.fetch_add(1, Ordering::Relaxed) + 1;
                let reason = match asked {
                    Asked::Failed(reason) => reason,
                    _ if misses <= ENGINE_MISSES && before.engine.is_some() => return,
                    _ => format!("no answer within {:?}", self.deadline),
                };
                if before.engine.is_some() {
                    tracing::error!("the engine at {} is lost: {reason}", self.engine.address());
                }
                Identity {
                    engine: None,
                    ..(*before).clone()
                }
            }
        };
        if now == *before {
            return;
        }
        if before.engine.is_none() && now.engine.is_some() {
            tracing::info!("the engine at {} answers", self.engine.address());
        }
        if before.node_id != now.node_id {
            self.members.clear();
        }
        if before.node_id == now.node_id && before.manager != now.manager {
            let role = if now.manager { "manager" } else { "worker" };
            tracing::info!("this node is now a {role}");
        }
        self.label.store(Arc::new(label(&now)));
        self.me.store(Arc::new(now.clone()));
        changed(&now);
    }

    /// Asks the engine who this node is. An engine that does not say so in time, but
    /// answers a ping, is slow.
    async fn ask_engine(&self) -> Asked {
        let answers = AtomicBool::new(false);
        let ping = async {
            sleep(self.deadline / 2).await;
            let answered = Box::pin(identity::answers(&self.client, &self.engine)).await;
            answers.store(answered, Ordering::Relaxed);
            pending().await
        };
        let read = async {
            tokio::select! {
                read = Box::pin(identity::read(&self.client, &self.engine)) => read,
                never = ping => never,
            }
        };
        match self.lateness.within(self.deadline, read).await {
            Some(Ok(identity)) => Asked::Answered(Box::new(identity)),
            Some(Err(reason)) => Asked::Failed(reason),
            None if answers.load(Ordering::Relaxed) => Asked::Slow,
            None => Asked::Silent,
        }
    }

    fn set_engine_silent(&self, is_silent: bool) {
        self.engine_silent_since.send_if_modified(|since| {
            let changes = since.is_some() != is_silent;
            if changes {
                *since = is_silent.then(Instant::now);
            }
            changes
        });
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

/// How this node's engine has reacted to the question who it is.
enum Asked {
    Answered(Box<Identity>),
    Failed(String),
    /// It answers a ping, and not this question in time.
    Slow,
    /// It answers nothing.
    Silent,
}

/// How long an engine has been silent.
enum Silence {
    /// It answers.
    None,
    /// It has not answered since this instant.
    Since(Instant),
    /// Its node is not in the table.
    UnknownNode,
}

fn label(me: &Identity) -> HeaderValue {
    HeaderValue::try_from(me.label()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn inet(address: &PeerAddress) -> Option<SocketAddr> {
    address.as_inet().copied()
}
