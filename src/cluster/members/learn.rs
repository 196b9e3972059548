//! Takes the table of another agent into this one's.
//!
//! What an agent says of its node carries the time of its last change, so the newest
//! wins, whichever agent passes it on. Whether an agent answers is this agent's own judgement
//! where it has called that agent lately, and otherwise that of the other table.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Members, row};
use crate::cluster::members::{Member, State};
use crate::cluster::row::{AgentRow, Row, Shared};
use crate::platform::clock::Moment;

/// How long a sign of life counts more than what another agent says.
pub(crate) const FRESH: Duration = Duration::from_secs(15);

/// A row of another table, and the position of the secret by which its agent is called;
/// absent if this agent does not have that secret.
pub(crate) struct Learned<'a> {
    pub(crate) row: &'a Row,
    pub(crate) generation: Option<usize>,
}

/// What follows from another table.
#[derive(Debug, Default)]
pub(crate) struct Learning {
    /// The addresses of agents that are to be asked soon.
    pub(crate) ask: Vec<SocketAddr>,
    /// The addresses of agents that may be away.
    doubts: Vec<SocketAddr>,
    /// Whether the Swarm has other addresses.
    pub(crate) addresses_changed: bool,
}

/// Who learns what.
#[derive(Clone, Copy)]
pub(crate) struct Learner<'a> {
    /// This node, which knows itself best.
    pub(crate) me: &'a str,
    /// Whether this agent takes the list of nodes from that table. One on a manager has
    /// its own.
    pub(crate) takes_list: bool,
}

impl Members {
    /// Takes these rows of another table.
    pub(crate) fn learn(
        &self,
        learner: Learner<'_>,
        shared: &Shared,
        rows: &[Learned<'_>],
        now: Moment,
    ) -> Learning {
        let before = self.swarm_addresses();
        let mut learning = Learning::default();
        let is_fresh = |id: &str| {
            let contact = self.last_contact(id);
            contact.is_some_and(|at| now.instant.saturating_duration_since(at) < FRESH)
        };
        self.change(|table| {
            if learner.takes_list {
                let keeps = |id: &str, m: &Member| id == learner.me || m.is_ready() && is_fresh(id);
                let gone: BTreeSet<_> = shared.gone.iter().map(String::as_str).collect();
                table.retain(|id, m| !gone.contains(id.as_str()) || keeps(id, m));
                // A manager that has not listed the nodes knows only some of them.
                if shared.whole && shared.listed {
                    let ids: BTreeSet<_> = rows.iter().map(|l| l.row.id.as_str()).collect();
                    table.retain(|id, m| ids.contains(id.as_str()) || keeps(id, m));
                }
            }
            let mut owners: HashMap<SocketAddr, String> = table
                .values()
                .filter_map(|m| Some((m.address?, m.id.clone())))
                .collect();
            for Learned {
                row: told,
                generation,
            } in rows
            {
                let member = row(table, &told.id, &told.hostname, now);
                if learner.takes_list && member.list(&told.listed(), now) {
                    learning.doubts.extend(member.address);
                }
                let Some(agent) = told.agent.as_ref().filter(|_| told.id != learner.me) else {
                    continue;
                };
                let fresh = is_fresh(&told.id);
                let moves = member.take(told, agent, *generation, fresh, &mut learning, now);
                let Some(address) = moves else { continue };
                if let Some(owner) = owners.insert(address, told.id.clone())
                    && owner != told.id
                    && let Some(other) = table.get_mut(&owner)
                {
                    Arc::make_mut(other).lose_address(now);
                }
            }
        });
        for address in std::mem::take(&mut learning.doubts) {
            self.doubt(address);
        }
        learning.addresses_changed = self.swarm_addresses() != before;
        learning
    }
}

impl Member {
    /// Takes what another agent knows of this node's agent. Returns the address that it
    /// has from now on, if that is another one.
    fn take(
        &mut self,
        told: &Row,
        agent: &AgentRow,
        generation: Option<usize>,
        is_fresh: bool,
        learning: &mut Learning,
        now: Moment,
    ) -> Option<SocketAddr> {
        let is_newer = agent.changed > self.changed || self.agent.is_none();
        let answers = matches!(told.state, State::Ready | State::NoEngine);
        if is_newer && answers {
            self.hostname.clone_from(&told.hostname);
            self.manager = told.manager;
            self.agent = Some(agent.version.clone());
            self.changed = agent.changed;
            if agent.engine.is_some() {
                self.engine.clone_from(&agent.engine);
            }
            if *self.guarded != agent.guarded {
                self.guarded = Arc::new(agent.guarded.clone());
            }
        }
        if !answers {
            match self.address.filter(|_| self.agent_answers()) {
                Some(address) if is_fresh => learning.doubts.push(address),
                Some(_) => {
                    self.is_met = false;
                    self.enter(told.state.clone(), now);
                }
                None => {}
            }
            return None;
        }
        let is_own_judgement = self.is_met && self.address.is_some();
        if is_own_judgement {
            match self.agent_answers() {
                // Its engine has come or gone.
                true if is_newer => self.enter(told.state.clone(), now),
                true => {}
                // Only its answer makes it ready again.
                false => learning.ask.extend(self.address),
            }
            return None;
        }
        let (address, generation) = agent.address.zip(generation)?;
        let before = self.address.replace(address);
        self.generation = generation;
        self.enter(told.state.clone(), now);
        (before != Some(address)).then_some(address)
    }
}
