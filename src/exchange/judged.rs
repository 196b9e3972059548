//! A request that its caller's policy allows, head and body.

use bytes::Bytes;
use skep_filters::auth::{BodyBinding, OnBehalfOf};
use skep_filters::endpoint::{Endpoint, Route};
use skep_filters::policy::Redact;
use skep_filters::policy::scope::Scope;

use crate::cluster::reachable::Reachable;
use crate::exchange::Exchange;
use crate::exchange::called::Permission;
use crate::exchange::record::Record;
use crate::exchange::request_id::RequestId;

/// The body of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestBody {
    /// What the signature says of it; also what other agents are told.
    pub(crate) binding: BodyBinding,
    /// The bytes, where they were read and checked.
    pub(crate) held: Option<Bytes>,
}

/// A request that may be routed and forwarded.
pub(crate) struct Judged<'x> {
    /// Its exchange.
    pub(crate) exchange: &'x mut Exchange,
    /// What its caller may reach.
    pub(crate) permission: Permission,
    /// Its row of the endpoint table; `None` for an unknown path.
    pub(crate) endpoint: Option<&'static Endpoint>,
    /// Its body.
    pub(crate) body: RequestBody,
}

impl Judged<'_> {
    /// The request's id.
    pub(crate) fn id(&self) -> &RequestId {
        &self.exchange.id
    }

    /// The outcome, for the logs.
    pub(crate) fn record(&mut self) -> &mut Record {
        &mut self.exchange.record
    }

    /// The caller's text form.
    pub(crate) fn caller(&self) -> &str {
        &self.permission.called.caller.name
    }

    /// The party that other agents are asked for.
    pub(crate) fn on_behalf_of(&self) -> &OnBehalfOf {
        &self.permission.called.on_behalf_of
    }

    /// The nodes that the request may reach.
    pub(crate) fn reachable(&self) -> &Reachable {
        &self.permission.reachable
    }

    /// Whether another agent is calling.
    pub(crate) fn from_peer(&self) -> bool {
        self.permission.called.caller.is_peer()
    }

    /// What is taken out of the answer.
    pub(crate) fn redacts(&self) -> &[Redact] {
        self.permission.called.redacts()
    }

    /// The part of the objects that the caller sees; `None` is all.
    pub(crate) fn scope(&self) -> Option<&Scope> {
        self.permission.called.scope()
    }

    /// The rule that says which node answers; `None` for an unknown path.
    pub(crate) fn route(&self) -> Option<Route> {
        self.endpoint.map(|endpoint| endpoint.route)
    }
}
