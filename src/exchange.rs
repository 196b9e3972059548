//! Defines Pingora's context of a request and the types of its phases.
//!
//! Each step returns a type of its own, so that a later fact cannot be read
//! before it is known: [`caller::Caller`] once authenticated, [`called::Called`]
//! once a policy is found, [`called::Permission`] once the policy has judged the
//! head, [`judged::Judged`] once it has judged the body, and [`Upstream`] once
//! the hop is chosen.

pub(crate) mod body;
pub(crate) mod called;
pub(crate) mod caller;
pub(crate) mod content_type;
pub(crate) mod context;
pub(crate) mod dialect;
pub(crate) mod early;
pub(crate) mod hint;
pub(crate) mod judged;
pub(crate) mod record;
pub(crate) mod reject;
pub(crate) mod request_id;
pub(crate) mod respond;
pub(crate) mod target;
pub(crate) mod verdict;
pub(crate) mod version;

use std::collections::BTreeSet;

use http::{Method, Uri};
use skep_filters::auth::BodyBinding;
use skep_filters::endpoint::{ApiVersion, EndpointId, Match, RequestPath};

use crate::cluster::hop::Hop;
use crate::exchange::called::Permission;
use crate::exchange::dialect::{Dialect, Docker};
use crate::exchange::record::Record;
use crate::exchange::request_id::RequestId;

/// The most characters of an unauthenticated client's path in the log.
const UNAUTHENTICATED_PATH: usize = 256;

/// The most characters of an unauthenticated client's method in the log.
const UNAUTHENTICATED_METHOD: usize = 32;

/// A request from its head to its log line.
pub(crate) struct Exchange {
    /// Its id in the logs of all nodes.
    pub(crate) id: RequestId,
    /// The client's address.
    pub(crate) from: String,
    pub(crate) method: Method,
    /// The target; its query may hold secrets (`buildargs`) and is not logged.
    pub(crate) target: Uri,
    /// The client speaks HTTP/1.0: it reads an answer without a length to the end of
    /// the connection.
    pub(crate) is_http_1_0: bool,
    /// The endpoint, once the request is classified.
    pub(crate) endpoint: Option<EndpointId>,
    /// The answers that the caller expects; Docker's until it is authenticated.
    pub(crate) dialect: &'static dyn Dialect,
    /// The API versions, other than that of the request, in which engines answer.
    pub(crate) answered_in: BTreeSet<ApiVersion>,
    /// Set if Pingora proxies the request.
    pub(crate) proxied: Option<Box<Proxied>>,
    /// The connection was hijacked: the session must not be used any more.
    pub(crate) hijacked: bool,
    /// A caller with a policy loads or builds images: one could have the name of the
    /// agent's.
    pub(crate) names_images: bool,
    /// The outcome, for the logs.
    pub(crate) record: Record,
}

/// A call of the API: its row of the endpoint table, and its target in parts.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// `None` for an unknown path.
    pub(crate) found: Option<&'a Match>,
    pub(crate) path: &'a RequestPath<'a>,
    /// The query, without `?`.
    pub(crate) query: &'a str,
}

/// The hop that answers, and whether another one may replace it.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) hop: Hop,
    /// Applies if the hop cannot be reached.
    pub(crate) retry: Retry,
}

/// Whether another hop may answer a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Retry {
    Never,
    AnotherManager,
}

impl Upstream {
    /// This hop, without a retry.
    pub(crate) fn only(hop: Hop) -> Self {
        Self {
            hop,
            retry: Retry::Never,
        }
    }
}

/// A request that Pingora proxies.
pub(crate) struct Proxied {
    pub(crate) upstream: Upstream,
    pub(crate) permission: Permission,
    /// The part of the body that the signature covers.
    pub(crate) binding: BodyBinding,
    /// The number of connections that have failed.
    pub(crate) failures: usize,
}

/// The work that remains after the steps.
pub(crate) enum Next {
    /// Pingora proxies the request.
    Proxy(Upstream),
    /// The request has been answered.
    Answered,
}

impl Exchange {
    /// An exchange with a random id, whose time begins now.
    pub(crate) fn new() -> Self {
        Self {
            id: RequestId::random(),
            from: String::new(),
            method: Method::GET,
            target: Uri::default(),
            is_http_1_0: false,
            endpoint: None,
            dialect: &Docker,
            answered_in: BTreeSet::new(),
            proxied: None,
            hijacked: false,
            names_images: false,
            record: Record::new(),
        }
    }

    /// The path as the client sent it.
    pub(crate) fn path(&self) -> &str {
        self.target.path()
    }

    /// The path for a log line, cut short for an unauthenticated client.
    pub(crate) fn logged_path(&self) -> &str {
        let path = self.path();
        if self.record.caller.is_none() {
            return bounded(path, UNAUTHENTICATED_PATH);
        }
        path
    }

    /// The method for a log line, cut short for an unauthenticated client.
    pub(crate) fn logged_method(&self) -> &str {
        let method = self.method.as_str();
        if self.record.caller.is_none() {
            return bounded(method, UNAUTHENTICATED_METHOD);
        }
        method
    }

    /// The container of a `ContainerInspect`: the last but one segment of the path.
    pub(crate) fn inspected(&self) -> Option<&str> {
        let inspects = self.endpoint == Some(EndpointId::ContainerInspect);
        inspects.then(|| self.path().rsplit('/').nth(1)).flatten()
    }

    /// Whether the request is frequent and changes nothing: requests between
    /// agents, health checks, and the open endpoints of Portainer's agent. A refused
    /// request of an authenticated caller is never routine.
    pub(crate) fn is_routine(&self) -> bool {
        let caller = self.record.caller.as_ref();
        if caller.is_some() && self.record.refused.is_some() {
            return false;
        }
        match self.endpoint.map(EndpointId::endpoint) {
            Some(endpoint) if endpoint.routine => true,
            Some(endpoint) if endpoint.open => caller.is_none(),
            Some(_) | None => caller.is_some_and(|caller| caller.is_agent_itself()),
        }
    }
}

/// The first characters of a text, at most `most`.
pub(crate) fn bounded(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::caller::Caller;

    #[test]
    fn only_the_beginning_of_an_unauthenticated_path_is_logged() {
        let long = format!("/{}", "a".repeat(8000));
        let mut x = Exchange {
            target: long.parse().unwrap(),
            ..Exchange::new()
        };
        assert_eq!(x.logged_path(), &long[..UNAUTHENTICATED_PATH]);
        x.record.caller = Some(Caller::client("key:ci"));
        assert_eq!(x.logged_path(), long);
        assert_eq!(Exchange::new().logged_path(), "/");
    }

    #[test]
    fn open_endpoints_and_probes_are_routine_and_calls_of_clients_are_not() {
        let routine = |endpoint, caller: Option<&str>| {
            let mut x = Exchange::new();
            x.endpoint = endpoint;
            x.record.caller = caller.map(Caller::client);
            x.is_routine()
        };
        assert!(routine(Some(EndpointId::PortainerPing), None));
        assert!(routine(Some(EndpointId::PortainerKey), None));
        assert!(routine(Some(EndpointId::AgentHealth), Some("operator:a")));
        assert!(!routine(Some(EndpointId::PortainerPing), Some("key:ci")));
        assert!(!routine(Some(EndpointId::ContainerList), Some("key:ci")));
        assert!(!routine(None, None));
    }

    #[test]
    fn the_requests_of_an_agent_for_itself_are_routine_until_one_is_refused() {
        let mut x = Exchange::new();
        x.endpoint = Some(EndpointId::ContainerExec);
        x.record.caller = Some(Caller::agent());
        assert!(x.is_routine());
        x.record.refused = Some(reject::Reason::Denied);
        assert!(!x.is_routine());
        x.endpoint = Some(EndpointId::AgentHealth);
        assert!(!x.is_routine());
    }
}
