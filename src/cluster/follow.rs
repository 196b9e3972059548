//! Follows the tables of managers' agents: each question waits there until something
//! differs, so it costs nothing while nothing does.
//!
//! An agent on a worker follows one manager's. An agent on a manager has its own list
//! of nodes, and follows the other managers' for what their followers say. An agent that
//! has found no manager yet takes any other agent's table, which names the managers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::{AbortHandle, abortable};
use futures::stream::{FuturesUnordered, StreamExt};
use http::StatusCode;
use skep_filters::auth::{BodyBinding, OnBehalfOf};
use tokio::time::{Instant, sleep, sleep_until};

use super::Cluster;
use super::hop::Hop;
use super::members::{Learned, Learner, Member};
use super::row::Shared;
use super::shared::MEMBERS;
use crate::platform::clock::Moment;
use crate::upstream::client::Budget;
use crate::upstream::error;
use crate::upstream::request;

/// How long a question waits for a change.
const WAIT: Duration = Duration::from_secs(25);

/// The same for the table of an agent that is not on a manager, until one is found.
const SHORT_WAIT: Duration = Duration::from_secs(2);

/// Bounds a table: a thousand nodes are about 1 MB.
const LIMIT: usize = 32 << 20;

/// The pause after a failure, and after the answer of an agent that stops.
const AGAIN: Duration = Duration::from_secs(1);

/// The pause after the answer of an agent that has no table to give: it is older.
const OLD: Duration = Duration::from_secs(60);

/// The least time between two looks at whom to follow.
const LOOK: Duration = Duration::from_millis(100);

/// The longest time between them.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What this agent knows of one that it follows.
#[derive(Default)]
struct Source {
    /// The revision of the table that it has given.
    has: Option<String>,
    /// Ends the question that is on its way.
    asking: Option<AbortHandle>,
    /// Not asked before that.
    rests_until: Option<Instant>,
    /// Whether it gives no table.
    is_old: bool,
}

/// Why there is no table.
enum Failure {
    /// The agent is older than these tables.
    Old,
    Failed(String),
}

impl Cluster {
    /// Follows for ever.
    pub(super) async fn follow(&self) -> Infallible {
        let mut sources: BTreeMap<String, Source> = BTreeMap::new();
        let mut questions = FuturesUnordered::new();
        let mut changes = self.members.changes();
        let mut last_change = (self.me().changed, self.versions.own());
        loop {
            let wanted = self.wanted(&sources);
            sources.retain(|id, source| {
                let is_wanted = wanted.iter().any(|member| member.id == *id);
                if !is_wanted && let Some(asking) = source.asking.take() {
                    asking.abort();
                }
                is_wanted
                    || source
                        .rests_until
                        .is_some_and(|until| until > Instant::now())
            });
            let now = (self.me().changed, self.versions.own());
            if std::mem::replace(&mut last_change, now) != now {
                // Those who are followed have to learn what this agent says of its node,
                // and which list of people it has.
                for source in sources.values_mut() {
                    source.asking.take().inspect(AbortHandle::abort);
                }
            }
            let mut next = Instant::now() + LOOK_AGAIN;
            for member in wanted {
                let source = sources.entry(member.id.clone()).or_default();
                if let Some(until) = source.rests_until.filter(|until| *until > Instant::now()) {
                    next = next.min(until);
                } else if source.asking.is_none() {
                    let asked = self.question(member, source.has.clone(), last_change.0);
                    let (asked, handle) = abortable(asked);
                    source.asking = Some(handle);
                    questions.push(asked);
                }
            }
            self.follows.store(
                sources.values().any(|source| source.asking.is_some()),
                Ordering::Relaxed,
            );
            let look = async {
                let changed = async {
                    // Its sender lives as long as this agent.
                    let _ = changes.changed().await;
                    sleep(LOOK).await;
                };
                tokio::select! {
                    () = changed => {}
                    () = self.own_change.notified() => {}
                    () = sleep_until(next) => {}
                }
            };
            tokio::select! {
                Some(answer) = questions.next() => {
                    if let Ok((member, answer)) = answer {
                        let source = sources.entry(member.id.clone()).or_default();
                        source.asking = None;
                        self.answered(&member, source, answer);
                    }
                }
                () = look => {}
            }
        }
    }

    /// The agents whose tables this one follows.
    fn wanted(&self, sources: &BTreeMap<String, Source>) -> Vec<Arc<Member>> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut ready = self.others();
        ready.retain(|m| m.is_ready() && !sources.get(&m.id).is_some_and(|s| s.is_old));
        let managers: Vec<_> = ready.iter().filter(|m| m.manager).cloned().collect();
        if self.me().can_manage() && !managers.is_empty() {
            return managers;
        }
        let rests = |m: &&Arc<Member>| {
            let rests = sources.get(&m.id).and_then(|s| s.rests_until);
            rests.is_some_and(|until| until > Instant::now())
        };
        let awake = |m: &&Arc<Member>| !rests(m) && !self.is_doubtful(m);
        let among = if managers.is_empty() { ready } else { managers };
        let current = among.iter().filter(|m| {
            let source = sources.get(&m.id);
            source.is_some_and(|s| s.asking.is_some() || s.has.is_some())
        });
        let current = current.clone().find(awake);
        let order = |m: &&Arc<Member>| self.schedule.order(&m.id);
        let other = || among.iter().filter(awake).min_by_key(order);
        let any = || among.iter().min_by_key(order);
        let one = current.or_else(other).or_else(any);
        one.cloned().into_iter().collect()
    }

    fn answered(&self, member: &Member, source: &mut Source, answer: Result<Shared, Failure>) {
        match answer {
            Ok(shared) => {
                self.members.lives(&member.id);
                self.versions
                    .hear(&member.id, member.manager, shared.people);
                self.learn(member, &shared);
                source.rests_until = shared.stopping.then(|| Instant::now() + AGAIN);
                source.has = Some(shared.revision);
            }
            Err(Failure::Old) => {
                source.is_old = true;
                source.rests_until = Some(Instant::now() + OLD);
            }
            Err(Failure::Failed(reason)) => {
                tracing::debug!("the table of node {} is not known: {reason}", member.name());
                source.rests_until = Some(Instant::now() + AGAIN);
            }
        }
    }

    /// Takes what another agent's table says.
    fn learn(&self, from: &Member, shared: &Shared) {
        let clocks = self.peers.clocks();
        let way = clocks.of(&from.id);
        for row in &shared.nodes {
            if let Some(skew) = row.agent.as_ref().and_then(|agent| agent.clock_skew_ms) {
                clocks.told(&row.id, way.and(skew));
            }
        }
        let rows: Vec<_> = shared
            .nodes
            .iter()
            .map(|row| {
                let cluster = row.agent.as_ref().map(|agent| agent.cluster.as_str());
                Learned {
                    row,
                    generation: cluster.and_then(|cluster| self.peers.generation_of(cluster)),
                }
            })
            .collect();
        let takes_list = !self.me().can_manage();
        let me = self.me();
        let learner = Learner {
            me: &me.node_id,
            takes_list,
        };
        let learning = self.members.learn(learner, shared, &rows, Moment::now());
        let hurries = learning.addresses_changed || !learning.ask.is_empty();
        for address in learning.ask {
            self.schedule.hurry(address);
        }
        if hurries {
            self.wake.notify_one();
        }
        if takes_list && shared.listed {
            self.was_listed();
        }
    }

    /// Asks one agent for what differs from the table that it has given.
    async fn question(
        &self,
        member: Arc<Member>,
        has: Option<String>,
        changed: u64,
    ) -> (Arc<Member>, Result<Shared, Failure>) {
        let wait = if member.manager { WAIT } else { SHORT_WAIT };
        let asked = self.ask_for_table(&member, has.as_deref(), wait, changed);
        let asked = self.lateness.within(wait + self.deadline, asked).await;
        let answer = asked.unwrap_or_else(|| {
            if let Some(address) = member.address {
                self.members.doubt(address);
                self.wake.notify_one();
            }
            Err(Failure::Failed("no answer in time".to_owned()))
        });
        (member, answer)
    }

    async fn ask_for_table(
        &self,
        member: &Arc<Member>,
        has: Option<&str>,
        wait: Duration,
        changed: u64,
    ) -> Result<Shared, Failure> {
        let hop = Hop::Agent(member.clone());
        let failed = |e: Box<pingora::Error>| {
            let reason = error::explain(&e);
            hop.failed(self, &e, &reason);
            Failure::Failed(reason)
        };
        let mut target = format!("{MEMBERS}?wait={}&changed={changed}", wait.as_secs());
        let (own, heard) = (self.versions.own(), self.versions.heard());
        let current = u8::from(self.versions.is_current());
        target.push_str(&format!("&people={own}&heard={heard}&current={current}"));
        if let Some(has) = has {
            target.push_str("&since=");
            target.push_str(has);
        }
        let mut head = request::get(&target).map_err(failed)?;
        self.peers
            .sign(
                &mut head,
                member.generation,
                &member.id,
                &OnBehalfOf::Agent,
                BodyBinding::Empty,
            )
            .map_err(failed)?;
        let peer = hop.peer(&self.engine, &self.peers).await.map_err(failed)?;
        let budget = Budget::one(LIMIT);
        let answer = self.client.fetch(&peer, head, &budget).await;
        let answer = answer.map_err(failed)?;
        match answer.head.status {
            StatusCode::OK => {
                serde_json::from_slice(&answer.body).map_err(|e| Failure::Failed(e.to_string()))
            }
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Err(Failure::Old),
            status => Err(Failure::Failed(format!("answered {}", status.as_u16()))),
        }
    }
}
