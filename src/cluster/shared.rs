//! The table of nodes as one agent hands it to another: `GET /skep/v1/members`. An
//! agent that has a table gets what differs, and waits while nothing does.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::Cluster;
use super::members::{Member, Revision};
use super::row::{Row, Shared};
use super::versions::Told;
use crate::upstream::clocks::Skew;

/// The endpoint of the table.
pub(crate) const MEMBERS: &str = "/skep/v1/members";

/// The longest wait for a change.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// The longest wait before a manager has listed the nodes.
const UNLISTED: Duration = Duration::from_millis(500);

/// A change waits so long for others: each answer costs every agent that follows.
const COLLECT: Duration = Duration::from_millis(200);

/// How much later than announced an agent may ask again, before it is in doubt.
const LATE: Duration = Duration::from_secs(10);

/// What another agent asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AskedTable {
    /// The table that it has.
    pub(crate) since: Option<Revision>,
    /// How long it waits for a change.
    pub(crate) wait: Duration,
    /// When it last changed what it says of its node.
    pub(crate) changed: Option<u64>,
    /// What it knows of the list of people; absent from an older agent.
    pub(crate) people: Option<AskedPeople>,
}

/// What another agent knows of the list of people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedPeople {
    /// The version that it has.
    pub(crate) own: u64,
    /// The highest one that it has heard of.
    pub(crate) heard: u64,
    /// Whether it knows that its own is the newest.
    pub(crate) is_current: bool,
}

impl Cluster {
    /// The table of nodes, or what differs. Waits for a change as long as is asked, and
    /// not while this agent stops.
    pub(crate) async fn shared(&self, by: &str, asked: AskedTable) -> Shared {
        let longest = match self.probed_once() {
            true => LONGEST,
            // That a manager has listed the nodes is news too.
            false => UNLISTED,
        };
        let end = Instant::now() + asked.wait.min(longest);
        self.is_followed_by(by, end + LATE, asked.changed);
        if let Some(people) = asked.people {
            self.hear_of_people(by, people.own);
        }
        let mut revisions = self.members.revisions();
        let mut versions = self.versions.changes();
        let mut stopping = self.stopping.subscribe();
        loop {
            revisions.borrow_and_update();
            let difference = self.members.since(asked.since);
            let is_stopping = *stopping.borrow_and_update();
            versions.borrow_and_update();
            let has_news = asked.people.is_some_and(|people| self.has_news(people));
            if !difference.is_empty() || has_news || is_stopping || Instant::now() >= end {
                let rows = difference.members.iter().map(|member| self.row(member));
                return Shared {
                    revision: difference.revision.to_string(),
                    whole: difference.is_whole,
                    listed: self.probed_once(),
                    stopping: is_stopping,
                    people: Some(self.versions.told()),
                    nodes: rows.collect(),
                    gone: difference.gone,
                };
            }
            let change = async {
                if revisions.changed().await.is_ok() {
                    sleep(COLLECT).await;
                }
            };
            tokio::select! {
                _ = timeout_at(end, change) => {}
                _ = versions.changed(), if asked.people.is_some() => {}
                _ = stopping.changed() => {}
            }
        }
    }

    /// The row of one node. This agent describes its own, without an address: the agent
    /// that asks knows it.
    fn row(&self, member: &Member) -> Row {
        let me = self.me();
        if member.id == me.node_id {
            let mine = self.all().into_iter().find(|m| m.id == me.node_id);
            if let Some(mine) = mine {
                let mut row = Row::of(&mine, String::new(), Some(Skew::ZERO));
                if let Some(agent) = &mut row.agent {
                    agent.address = None;
                    agent.guarded = me.guarded.clone().unwrap_or_default();
                }
                return row;
            }
        }
        let cluster = self.peers.fingerprint(member.generation);
        let skew = self.peers.clocks().shown(&member.id);
        Row::of(member, cluster.unwrap_or_default().to_owned(), skew)
    }

    /// Another agent follows this one's table, and asks again by then. It may have
    /// changed what it says of its node.
    fn is_followed_by(&self, id: &str, next: Instant, changed: Option<u64>) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        self.members.lives(id);
        self.followers.asks(id, next);
        let is_known = changed.is_none_or(|changed| changed == member.changed);
        if let Some(address) = member.address.filter(|_| !is_known || !member.is_ready()) {
            self.schedule.hurry(address);
            self.wake.notify_one();
        }
    }

    /// Another agent may have a newer list of people than this one.
    fn hear_of_people(&self, node: &str, version: u64) {
        let told = Told {
            version,
            current: false,
        };
        self.versions.hear(node, false, Some(told));
    }

    /// Whether another agent has to learn something about the list of people.
    fn has_news(&self, asked: AskedPeople) -> bool {
        let told = self.versions.told();
        let confirms = told.current && !asked.is_current && told.version == asked.own;
        told.version > asked.own.max(asked.heard) || confirms
    }

    /// Ends the waits of other agents: this one stops.
    pub(crate) fn stop_sharing(&self) {
        self.stopping.send_replace(true);
    }
}
