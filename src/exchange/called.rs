//! Defines two phases of a request: the caller with its policy, and the permission
//! that the policy gives to the head.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use pingora::http::RequestHeader;
use skep_filters::auth::OnBehalfOf;
use skep_filters::endpoint::{BodyCheck, HeadCheck, Kind, Match};
use skep_filters::policy::scope::Scope;
use skep_filters::policy::{BodyOf, Redact, RuleSet, StoredSpecs};
use tokio::sync::OwnedSemaphorePermit;

use crate::cluster::reachable::Reachable;
use crate::config::{Nodes, Policy};
use crate::exchange::Call;
use crate::exchange::caller::Caller;
use crate::exchange::reject::Reject;
use crate::listen::bounds::{BODY_FACTOR, EACH_REQUEST, HEAD_FACTOR, LIST_FACTOR, ORDINARY_HEAD};
use crate::listen::memory::{Account, Share};

/// Counts a request as open, for the limits of its caller, until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Permit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl From<OwnedSemaphorePermit> for Permit {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self {
            _permit: Some(permit),
        }
    }
}

/// An authenticated caller and its policy.
pub(crate) struct Called {
    pub(crate) caller: Arc<Caller>,
    pub(crate) policy: Arc<Policy>,
    /// The party for which other agents are asked.
    pub(crate) on_behalf_of: OnBehalfOf,
    /// The node on which its objects are created, by id or hostname.
    pub(crate) node: Option<Arc<str>>,
    /// The nodes that it is served.
    pub(crate) nodes: Nodes,
    _permit: Permit,
    /// Pays for the memory of the request.
    pub(crate) account: Account,
    share: Mutex<Share>,
}

impl Called {
    /// Takes the memory that every request needs from the caller's account.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn new(
        caller: Arc<Caller>,
        policy: Arc<Policy>,
        permit: Permit,
        account: Account,
    ) -> Result<Self, Reject> {
        let client = caller.principal.client().cloned();
        Ok(Self {
            on_behalf_of: client.map_or(OnBehalfOf::Agent, OnBehalfOf::Client),
            caller,
            policy,
            node: None,
            nodes: Nodes::All,
            _permit: permit,
            share: Mutex::new(account.take(EACH_REQUEST)?),
            account,
        })
    }

    /// Takes memory for a long head, until the request ends: the head as it came, and
    /// the one that is sent on.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn hold_head(&self, head: &RequestHeader) -> Result<(), Reject> {
        let fields = head.headers.iter();
        let fields = fields.map(|(name, value)| name.as_str().len() + value.len());
        let length = fields.sum::<usize>() + head.raw_path().len();
        match length.checked_sub(ORDINARY_HEAD) {
            Some(more) if more > 0 => self.hold(more.saturating_mul(HEAD_FACTOR)),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes memory for more bytes of a held body, until the request ends.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn hold_body(&self, more: usize) -> Result<(), Reject> {
        self.hold(more.saturating_mul(BODY_FACTOR))
    }

    /// Takes memory for more bytes of a held answer, until the request ends.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn hold_answer(&self, more: usize) -> Result<(), Reject> {
        self.hold(more.saturating_mul(LIST_FACTOR))
    }

    fn hold(&self, bytes: usize) -> Result<(), Reject> {
        let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(share.grow(bytes)?)
    }

    /// The same caller, whose objects are created on this node.
    pub(crate) fn on_node(mut self, node: Option<Arc<str>>) -> Self {
        self.node = node;
        self
    }

    /// The same caller, which is served these nodes.
    pub(crate) fn within(mut self, nodes: Nodes) -> Self {
        self.nodes = nodes;
        self
    }

    /// Whether the caller is served this agent's node only. Another agent's client is
    /// judged by that agent.
    pub(crate) fn sees_own_node_only(&self) -> bool {
        self.nodes == Nodes::Own && !self.caller.is_peer()
    }

    /// Whether the caller's policy inspects the body.
    pub(crate) fn inspects(&self, found: Option<&Match>) -> bool {
        let rules = &self.policy.rules;
        found.is_some_and(|found| rules.inspects(found) || rules.guards(found))
    }

    /// Whether the objects that belong to agents are out of the caller's reach.
    pub(crate) fn is_limited(&self) -> bool {
        !self.policy.rules.is_unrestricted() && !self.policy.rules.audit_only()
    }

    /// Whether the caller does not see the containers that agents make for themselves.
    /// For a client of another agent, that agent hides them.
    pub(crate) fn hides_helpers(&self) -> bool {
        self.is_limited() && !self.caller.is_peer()
    }

    /// The values to remove from the answer. For a client of another agent, that
    /// agent removes them.
    pub(crate) fn redacts(&self) -> &[Redact] {
        self.rules().map_or(&[], RuleSet::redact)
    }

    /// The part of the objects that the caller sees; `None` is all.
    pub(crate) fn scope(&self) -> Option<&Scope> {
        self.rules()?.scope()
    }

    /// Whether the networks of a service's specification have to be inspected:
    /// the policy does not grant the host's network.
    pub(crate) fn needs_host_network_check(&self, found: Option<&Match>) -> bool {
        found.is_some_and(|found| found.endpoint.body_check() == BodyCheck::ServiceSpec)
            && self
                .rules()
                .is_some_and(|rules| !rules.grants_host_network())
    }

    /// The rules by which the secrets and configs of a service's specification
    /// have to be inspected; `None` if there is no need.
    pub(crate) fn limits_secrets(&self, found: Option<&Match>) -> Option<&RuleSet> {
        found.filter(|found| found.endpoint.body_check() == BodyCheck::ServiceSpec)?;
        let all = |rules: &&RuleSet| {
            rules.grants_use(Kind::Secret, "*") && rules.grants_use(Kind::Config, "*")
        };
        self.rules()
            .filter(|rules| !rules.is_unrestricted() && !all(rules))
    }

    /// The specifications of a service that the request can bring back, which have
    /// to be inspected.
    pub(crate) fn stored_specs(&self, asked: &Call<'_>, body: &BodyOf<'_>) -> StoredSpecs {
        let rules = self.rules().zip(asked.found);
        rules.map_or_else(StoredSpecs::default, |(rules, found)| {
            rules.stored_specs(found, asked.query, body)
        })
    }

    /// The rules by which the container that is stopped or removed has to be
    /// inspected: it must be one that could be created again.
    pub(crate) fn keeps_recreatable(&self, found: Option<&Match>) -> Option<&RuleSet> {
        let (rules, found) = self.rules().zip(found)?;
        rules.keeps_recreatable(found).then_some(rules)
    }

    /// Whether the network that is removed has to be inspected: it may be the
    /// ingress network, and the policy does not grant that one.
    pub(crate) fn keeps_ingress(&self, found: Option<&Match>) -> bool {
        found.is_some_and(|found| found.endpoint.head == HeadCheck::NetworkRemoval)
            && self.rules().is_some_and(|rules| !rules.grants_ingress())
    }

    /// The rules that this agent enforces; `None` for another agent and for an
    /// `audit_only` policy.
    fn rules(&self) -> Option<&RuleSet> {
        let rules = &self.policy.rules;
        (!self.caller.is_peer() && !rules.audit_only()).then_some(rules)
    }
}

/// The policy's permission for the head of a request.
#[derive(Clone)]
pub(crate) struct Permission {
    pub(crate) called: Arc<Called>,
    /// The rule that decided.
    pub(crate) rule: Cow<'static, str>,
    /// The nodes on which the policy allows the request.
    pub(crate) reachable: Reachable,
}
