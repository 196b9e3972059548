//! Probes an agent for its identity. A member becomes ready only by a probe,
//! also after a failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::lb::Backend;
use pingora::lb::health_check::HealthCheck;
use pingora::{Error, ErrorType};
use skep_filters::auth::{BodyBinding, OnBehalfOf};

use super::identity::Identity;
use super::members::Members;
use crate::platform::clock::Moment;
use crate::platform::lateness::Lateness;
use crate::upstream::client::{Budget, Client};
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
        }
    }

    async fn ask(&self, address: SocketAddr) -> Result<(), Failure> {
        // During a rollover an agent may know only the old secret. Each probe
        // tries the new one first: otherwise agents that know both would stay
        // with the old one, and lose each other when it is removed.
        let mut failure = Failure::Failed(String::new());
        for generation in 0..self.peers.generations() {
            let asked = self.identity(address, generation);
            match self.lateness.within(self.deadline, asked).await {
                Some(Ok(identity)) => {
                    let now = Moment::now();
                    self.members.heard(address, generation, &identity, now);
                    return Ok(());
                }
                Some(Err(e)) if matches!(failure, Failure::Failed(_)) => failure = e,
                Some(Err(_)) => {}
                None => failure = Failure::Late(format!("no answer within {:?}", self.deadline)),
            }
        }
        Err(failure)
    }

    async fn identity(&self, address: SocketAddr, generation: usize) -> Result<Identity, Failure> {
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
            .sign(
                &mut head,
                generation,
                ANY_NODE,
                &OnBehalfOf::Agent,
                BodyBinding::Empty,
            )
            .map_err(explain)?;
        let answer = self
            .client
            .fetch(&peer, head, &Budget::one(LIMIT))
            .await
            .map_err(explain)?;
        if answer.head.status != 200 {
            return Err(Failure::Failed(format!(
                "the agent answered {}: {}",
                answer.head.status.as_u16(),
                String::from_utf8_lossy(&answer.body).trim()
            )));
        }
        serde_json::from_slice(&answer.body).map_err(|e| Failure::Failed(e.to_string()))
    }
}

#[async_trait]
impl HealthCheck for Probe {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        let Some(address) = target.addr.as_inet().copied() else {
            return Err(Error::explain(ErrorType::InternalError, "not an address"));
        };
        let now = Moment::now;
        let reason = match self.ask(address).await {
            Ok(()) => return Ok(()),
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
        Err(Error::explain(ErrorType::ConnectError, reason))
    }

    fn health_threshold(&self, _success: bool) -> usize {
        1
    }
}
