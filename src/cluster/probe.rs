//! Probes an agent for its identity. A member becomes ready only by a probe,
//! also after a failure.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pingora::Error;
use serde::Deserialize;
use skep_filters::auth::{BodyBinding, OnBehalfOf};

use super::identity::Identity;
use super::members::Members;
use crate::platform::clock::Moment;
use crate::platform::lateness::Lateness;
use crate::upstream::client::{Answer, Budget, Client, MAX_AGENTS};
use crate::upstream::clocks::{Asking, Measured, Skew};
use crate::upstream::error;
use crate::upstream::peers::Peers;
use crate::upstream::request;

/// Bounds an agent's answer to a probe.
const LIMIT: usize = 256 << 10;

/// The endpoint of a probe.
pub(crate) const IDENTITY: &str = "/skep/v1/identity";

/// Stands in a signature for a node id that is not known yet. An agent answers
/// only a probe with it, since any other request may be meant for another node.
pub(crate) const ANY_NODE: &str = "*probe";

/// Probes agents and records their answers in the table of members.
pub(crate) struct Probe {
    client: Arc<Client>,
    peers: Arc<Peers>,
    members: Arc<Members>,
    lateness: Arc<Lateness>,
    deadline: Duration,
    /// The clocks of agents that have refused a probe because of its time.
    skews: Mutex<HashMap<SocketAddr, Skew>>,
}

/// The answer to a probe.
struct Probed {
    identity: Identity,
    took: Duration,
    /// Absent from an agent that does not tell its time.
    clock: Option<Measured>,
}

/// Why an agent has not answered a probe as it should.
enum Failure {
    /// It may only be slow.
    Late(String),
    /// It is not there, or it refuses.
    Failed(String),
}

impl Probe {
    /// `deadline` is for one agent and one secret.
    pub(crate) fn new(
        client: Arc<Client>,
        peers: Arc<Peers>,
        members: Arc<Members>,
        lateness: Arc<Lateness>,
        deadline: Duration,
    ) -> Self {
        Self {
            client,
            peers,
            members,
            lateness,
            deadline,
            skews: Mutex::default(),
        }
    }

    /// Probes the agent at this address. Returns whether it answered.
    pub(crate) async fn check(&self, address: SocketAddr) -> bool {
        let now = Moment::now;
        let reason = match self.ask(address).await {
            Ok(()) => return true,
            Err(Failure::Late(reason)) => {
                self.members.late(address, &reason, now());
                reason
            }
            Err(Failure::Failed(reason)) => {
                self.members.failed(address, &reason, now());
                reason
            }
        };
        tracing::debug!("probe of {address}: {reason}");
        false
    }

    async fn ask(&self, address: SocketAddr) -> Result<(), Failure> {
        // During a rollover an agent may know only the old secret. Each probe
        // tries the new one first: otherwise agents that know both would stay
        // with the old one, and lose each other when it is removed.
        let mut failure = Failure::Failed(String::new());
        for generation in 0..self.peers.generations() {
            let asked = self.identity(address, generation);
            match self.lateness.within(self.deadline, asked).await {
                Some(Ok(probed)) => {
                    self.heard(address, generation, &probed);
                    return Ok(());
                }
                Some(Err(e)) if matches!(failure, Failure::Failed(_)) => failure = e,
                Some(Err(_)) => {}
                None => failure = Failure::Late(format!("no answer within {:?}", self.deadline)),
            }
        }
        Err(failure)
    }

    fn heard(&self, address: SocketAddr, generation: usize, probed: &Probed) {
        let Probed {
            identity,
            took,
            clock,
        } = probed;
        if let Some(clock) = clock {
            let clocks = self.peers.clocks();
            clocks.measured(&identity.node_id, identity.name(), *clock);
            self.set_skew(address, clock.skew);
        }
        self.members.took(&identity.node_id, *took);
        let now = Moment::now();
        self.members.heard(address, generation, identity, now);
    }

    async fn identity(&self, address: SocketAddr, generation: usize) -> Result<Probed, Failure> {
        let (mut answer, mut asking) = self.fetch(address, generation).await?;
        let refused = |answer: &Answer, asking: Asking| match answer.head.status.as_u16() {
            401 => asking.refused(&answer.body),
            _ => None,
        };
        if let Some(measured) = refused(&answer, asking) {
            if measured.skew.is_too_great() {
                return Err(Failure::Failed(format!(
                    "its clock is {} of this node's, and agents refuse more than 10 minutes; \
                     set the clocks by NTP",
                    measured.skew
                )));
            }
            self.set_skew(address, measured.skew);
            (answer, asking) = self.fetch(address, generation).await?;
        }
        if answer.head.status != 200 {
            return Err(Failure::Failed(format!(
                "the agent answered {}: {}",
                answer.head.status.as_u16(),
                String::from_utf8_lossy(&answer.body).trim()
            )));
        }
        let failed = |e: serde_json::Error| Failure::Failed(e.to_string());
        let identity = serde_json::from_slice(&answer.body).map_err(failed)?;
        let time: Time = serde_json::from_slice(&answer.body).map_err(failed)?;
        Ok(Probed {
            identity,
            took: asking.took(),
            clock: time.clock_ms.map(|time| asking.answered(time)),
        })
    }

    async fn fetch(
        &self,
        address: SocketAddr,
        generation: usize,
    ) -> Result<(Answer, Asking), Failure> {
        let explain = |e: Box<Error>| {
            let reason = error::explain(&e);
            if error::was_not_reached(&e) && !error::is_late(&e) {
                Failure::Failed(reason)
            } else {
                Failure::Late(reason)
            }
        };
        let peer = self.peers.peer(address, generation).map_err(explain)?;
        let mut head = request::get(IDENTITY).map_err(explain)?;
        self.peers
            .sign_at(
                &mut head,
                generation,
                ANY_NODE,
                &OnBehalfOf::Agent,
                BodyBinding::Empty,
                self.skew(address),
            )
            .map_err(explain)?;
        let asking = Asking::now();
        let answer = self
            .client
            .fetch(&peer, head, &Budget::one(LIMIT))
            .await
            .map_err(explain)?;
        Ok((answer, asking))
    }

    fn skew(&self, address: SocketAddr) -> Skew {
        let skews = self.skews.lock().unwrap_or_else(PoisonError::into_inner);
        skews.get(&address).copied().unwrap_or_default()
    }

    fn set_skew(&self, address: SocketAddr, skew: Skew) {
        let mut skews = self.skews.lock().unwrap_or_else(PoisonError::into_inner);
        if skews.len() >= 2 * MAX_AGENTS {
            skews.clear();
        }
        skews.insert(address, skew);
    }
}

/// The time in the answer to a probe.
#[derive(Deserialize)]
struct Time {
    /// In milliseconds since the Unix epoch.
    #[serde(default)]
    clock_ms: Option<u64>,
}
