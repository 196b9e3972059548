//! Asks the other agents for their pinned key. Agents report it only to agents,
//! over their own channel.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use serde::Deserialize;
use skep_filters::auth::{BodyBinding, OnBehalfOf};
use tokio::time::{Instant, timeout};

use super::pin::Pin;
use crate::cluster::Cluster;
use crate::cluster::members::{Member, State};
use crate::upstream::client::{Budget, Client};
use crate::upstream::error;
use crate::upstream::peers::Peers;
use crate::upstream::request;

/// The endpoint for the pinned key.
const PATH: &str = "/skep/v1/portainer";

/// Bounds an agent's answer.
const LIMIT: usize = 4 << 10;

/// A node without an agent for this many rounds is not going to get one: it is
/// drained, or the agents' service excludes it.
const ROUNDS: u32 = 24;

/// The other agents, with the client to call them.
pub(crate) struct Others {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) client: Arc<Client>,
    pub(crate) peers: Arc<Peers>,
    /// How long one agent may take.
    pub(crate) patience: Duration,
    /// The time between two rounds.
    pub(crate) interval: Duration,
}

/// The keys of the other agents.
#[derive(Default)]
pub(crate) struct PinnedElsewhere {
    /// The oldest key that any of them trusts.
    pub(crate) oldest: Option<Pin>,
    /// The names of agents that may have a key but did not answer.
    pub(crate) silent: Vec<String>,
}

#[derive(Deserialize)]
struct Reported {
    pin: Option<Pin>,
}

impl Others {
    /// Asks all other agents. Nodes that are down or without an agent do not
    /// matter: if one comes back with a key, the older key wins.
    pub(crate) async fn ask(&self) -> PinnedElsewhere {
        let mut found = PinnedElsewhere::default();
        if !self.cluster.is_on() {
            return found;
        }
        let mut others = self.cluster.others();
        let now = Instant::now();
        let among = self.interval * ROUNDS;
        others.retain(|m| match m.state {
            State::Down => false,
            State::NoAgent => now.saturating_duration_since(m.entered) < among,
            State::Ready | State::NoEngine | State::Unreachable(_) => true,
        });
        let answers = join_all(others.iter().map(|member| async move {
            let answer = timeout(self.patience, self.ask_one(member)).await;
            (
                member,
                answer.unwrap_or_else(|_| Err("no answer in time".to_owned())),
            )
        }));
        for (member, answer) in answers.await {
            match answer {
                Ok(pin) => found.oldest = found.oldest.into_iter().chain(pin).min(),
                Err(why) => found.silent.push(format!("{} ({why})", member.name())),
            }
        }
        found
    }

    async fn ask_one(&self, member: &Member) -> Result<Option<Pin>, String> {
        let explain = |e: Box<pingora::Error>| error::explain(&e);
        let address = member.address.ok_or_else(|| member.state.to_string())?;
        let mut head = request::get(PATH).map_err(explain)?;
        self.peers
            .sign(
                &mut head,
                member.generation,
                &member.id,
                &OnBehalfOf::Agent,
                BodyBinding::Empty,
            )
            .map_err(explain)?;
        let peer = self
            .peers
            .peer(address, member.generation)
            .map_err(explain)?;
        let answer = self.client.fetch(&peer, head, &Budget::one(LIMIT)).await;
        let answer = answer.map_err(explain)?;
        match answer.head.status {
            StatusCode::OK => {
                let reported: Reported =
                    serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
                Ok(reported.pin.filter(|pin| pin.key().is_some()))
            }
            // The agent trusts no Portainer server, or is too old to.
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(format!("answered {}", status.as_u16())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::cluster::tests::{calls, cluster, facts};
    use crate::platform::clock::stepped;

    #[tokio::test(start_paused = true)]
    async fn a_node_without_an_agent_counts_for_a_while_when_the_wall_clock_is_set() {
        for step in stepped::STEPS {
            stepped::set(|now| now);
            let (client, peers) = calls();
            let others = Others {
                cluster: Arc::new(cluster(facts())),
                client,
                peers,
                patience: Duration::from_secs(1),
                interval: Duration::from_secs(10),
            };
            let silent = async || others.ask().await.silent;
            advance(Duration::from_secs(239)).await;
            stepped::set(step);
            assert_eq!(silent().await, ["n2 (no agent found)"]);
            advance(Duration::from_secs(1)).await;
            assert!(silent().await.is_empty());
        }
    }
}
