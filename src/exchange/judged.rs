//! Defines the phase of a request whose head and body the caller's policy allows.

use bytes::Bytes;
use skep_filters::auth::{BodyBinding, OnBehalfOf};
use skep_filters::endpoint::{Endpoint, EndpointId, Merge, Route};
use skep_filters::policy::scope::Scope;
use skep_filters::policy::{EffectiveApi, Redact};
use skep_filters::translate::Translation;

use crate::cluster::reachable::Reachable;
use crate::exchange::Exchange;
use crate::exchange::called::Permission;
use crate::exchange::record::Record;
use crate::exchange::request_id::RequestId;

/// The body of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestBody {
    /// The part that the signature covers; requests to other agents are signed with
    /// the same binding.
    pub(crate) binding: BodyBinding,
    /// The bytes, if they were read and checked.
    pub(crate) held: Option<Bytes>,
}

/// A request that may be routed and forwarded.
pub(crate) struct Judged<'x> {
    pub(crate) exchange: &'x mut Exchange,
    pub(crate) permission: Permission,
    /// `None` for an unknown path.
    pub(crate) endpoint: Option<&'static Endpoint>,
    pub(crate) body: RequestBody,
    /// The API in which the body was judged.
    pub(crate) judged_in: EffectiveApi,
    /// Set if this node's engine is asked in another version than the client's.
    pub(crate) translation: Option<Translation>,
}

impl Judged<'_> {
    pub(crate) fn id(&self) -> &RequestId {
        &self.exchange.id
    }

    pub(crate) fn record(&mut self) -> &mut Record {
        &mut self.exchange.record
    }

    /// The caller's text form.
    pub(crate) fn caller(&self) -> &str {
        &self.permission.called.caller.name
    }

    /// The party for which other agents are asked.
    pub(crate) fn on_behalf_of(&self) -> &OnBehalfOf {
        &self.permission.called.on_behalf_of
    }

    /// The nodes that the request may reach.
    pub(crate) fn reachable(&self) -> &Reachable {
        &self.permission.reachable
    }

    /// Whether the caller is another agent.
    pub(crate) fn is_from_peer(&self) -> bool {
        self.permission.called.caller.is_peer()
    }

    /// The translation of the answer of this node's engine, if it needs one.
    pub(crate) fn mapping(&self) -> Option<(Translation, EndpointId)> {
        let (translation, id) = (self.translation?, self.endpoint?.id);
        translation.maps_answer(id).then_some((translation, id))
    }

    /// The values to remove from the answer.
    pub(crate) fn redacts(&self) -> &[Redact] {
        self.permission.called.redacts()
    }

    /// The part of the objects that the caller sees; `None` is all.
    pub(crate) fn scope(&self) -> Option<&Scope> {
        self.permission.called.scope()
    }

    /// Whether the answer lists containers, and some of them are hidden from the caller.
    pub(crate) fn hides_helpers(&self) -> bool {
        let lists = matches!(
            self.route(),
            Some(Route::EveryNode(Merge::Containers | Merge::DataUsage))
        );
        lists && self.permission.called.hides_helpers()
    }

    /// The endpoint's column `route`; `None` for an unknown path.
    pub(crate) fn route(&self) -> Option<Route> {
        self.endpoint.map(|endpoint| endpoint.route)
    }
}
