//! What is known of one exchange while it lasts: Pingora's per-request
//! context, and what the log line says in the end.

pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod context;
pub(crate) mod reject;
pub(crate) mod request_id;
pub(crate) mod respond;
pub(crate) mod target;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Uri};
use skep_filters::auth::BodyBinding;
use skep_filters::endpoint::{BodyCheck, EndpointId, Match, RequestPath, Route};
use skep_filters::policy::scope::Scope;
use skep_filters::policy::{Redact, RuleSet};
use tokio::sync::OwnedSemaphorePermit;

use crate::cluster::hop::Hop;
use crate::cluster::reachable::Reachable;
use crate::config::Policy;
use crate::exchange::reject::Reason;
use crate::exchange::request_id::RequestId;

/// Characters of a stranger's path that are told.
const UNAUTHENTICATED_PATH: usize = 256;

/// Counts a request among the open ones of its caller until it is dropped.
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

/// One exchange.
pub(crate) struct Exchange {
    /// Its id in the logs of all nodes.
    pub(crate) id: RequestId,
    /// When it began.
    pub(crate) started: Instant,
    /// The client's address.
    pub(crate) from: String,
    /// The method.
    pub(crate) method: Method,
    /// The target; its query may hold secrets (`buildargs`) and is not logged.
    pub(crate) target: Uri,
    /// Who is calling, once proved.
    pub(crate) caller: String,
    /// Another agent asks for itself, not for a caller of its own.
    pub(crate) errand: bool,
    /// A Portainer server is calling, itself or through another agent.
    pub(crate) portainer: bool,
    /// Another agent is calling.
    pub(crate) from_peer: bool,
    /// What is called.
    pub(crate) endpoint: Option<EndpointId>,
    /// What the caller may do.
    pub(crate) policy: Option<Arc<Policy>>,
    /// The rule that decided.
    pub(crate) rule: Cow<'static, str>,
    /// Why it would be denied, if its policy were not only tried out.
    pub(crate) would_deny: Option<String>,
    /// The one node that it goes to, because what it is about was looked at there.
    pub(crate) pinned: Option<Hop>,
    /// The nodes that it may reach.
    pub(crate) reachable: Reachable,
    /// Counts it among the open requests of its caller.
    pub(crate) permit: Permit,
    /// What the signature says of the body.
    pub(crate) body: BodyBinding,
    /// The body, where it was read and checked.
    pub(crate) held: Option<Bytes>,
    /// Where it goes, in words.
    pub(crate) to: Cow<'static, str>,
    /// Whom Pingora is to ask.
    pub(crate) hop: Option<Hop>,
    /// Any other manager would do as well.
    pub(crate) any_manager: bool,
    /// Connections that failed so far.
    pub(crate) failures: usize,
    /// The answer's status; 0 for none.
    pub(crate) status: u16,
    /// Bytes of the answer's body.
    pub(crate) out_bytes: u64,
    /// Why it was refused, in a word.
    pub(crate) refused: Option<Reason>,
    /// The same as the caller was told.
    pub(crate) why: Option<String>,
    /// The session is a dummy: nothing may be asked of it.
    pub(crate) hijacked: bool,
}

/// What is called.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// Its row of the endpoint table; `None` for a path that no table knows.
    pub(crate) found: Option<&'a Match>,
    /// The path.
    pub(crate) path: &'a RequestPath<'a>,
    /// The query, without `?`.
    pub(crate) query: &'a str,
}

/// What is left to do once the way has been gone.
pub(crate) enum Next {
    /// Pingora proxies the request to the exchange's hop.
    Proxy,
    /// It has been answered.
    Answered,
}

impl Exchange {
    /// An exchange that begins now.
    pub(crate) fn new() -> Self {
        Self {
            id: RequestId::random(),
            started: Instant::now(),
            from: String::new(),
            method: Method::GET,
            target: Uri::default(),
            caller: String::new(),
            errand: false,
            portainer: false,
            from_peer: false,
            endpoint: None,
            policy: None,
            rule: Cow::Borrowed(""),
            would_deny: None,
            pinned: None,
            reachable: Reachable::All,
            permit: Permit::default(),
            body: BodyBinding::Empty,
            held: None,
            to: Cow::Borrowed(""),
            hop: None,
            any_manager: false,
            failures: 0,
            status: 0,
            out_bytes: 0,
            refused: None,
            why: None,
            hijacked: false,
        }
    }

    /// Whether the caller's policy wants to see the body.
    pub(crate) fn inspects(&self, found: Option<&Match>) -> bool {
        let policy = self.policy.as_ref();
        policy
            .zip(found)
            .is_some_and(|(policy, found)| policy.rules.inspects(found))
    }

    /// What is taken out of the answer. What other agents ask is seen by them
    /// first, and redacted there.
    pub(crate) fn redacts(&self) -> &[Redact] {
        match self.policy() {
            Some(rules) => rules.redact(),
            None => &[],
        }
    }

    /// Which part of the objects the caller sees; `None` is all.
    pub(crate) fn scope(&self) -> Option<&Scope> {
        self.policy()?.scope()
    }

    /// Whether a service is being made or changed whose networks have to be looked at.
    pub(crate) fn needs_host_network_check(&self, found: Option<&Match>) -> bool {
        found.is_some_and(|found| found.endpoint.body_check() == BodyCheck::ServiceSpec)
            && self
                .policy()
                .is_some_and(|rules| !rules.grants_host_network())
    }

    /// What holds for a caller of this agent's own.
    fn policy(&self) -> Option<&RuleSet> {
        let rules = &self.policy.as_ref()?.rules;
        (!self.from_peer && !rules.audit_only()).then_some(rules)
    }

    /// Which node answers the endpoint; `None` for a path that no table knows.
    pub(crate) fn route(&self) -> Option<Route> {
        self.endpoint.map(|id| id.endpoint().route)
    }

    /// The path, as it was asked for.
    pub(crate) fn path(&self) -> &str {
        self.target.path()
    }

    /// The path, as it is told: whoever has not proved who it is has not much to
    /// say in it.
    pub(crate) fn logged_path(&self) -> &str {
        let path = self.path();
        match self.caller.is_empty() {
            true => bounded(path, UNAUTHENTICATED_PATH),
            false => path,
        }
    }

    /// The container that is inspected, if that is what is asked: the part of the
    /// path before its last.
    pub(crate) fn inspected(&self) -> Option<&str> {
        let inspects = self.endpoint == Some(EndpointId::ContainerInspect);
        inspects.then(|| self.path().rsplit('/').nth(1)).flatten()
    }

    /// Since it began.
    pub(crate) fn milliseconds(&self) -> f64 {
        self.started.elapsed().as_micros() as f64 / 1000.0
    }

    /// Whether it is asked all the time and changes nothing: what agents ask each
    /// other, health checks, and what Portainer's agent answers to anybody.
    pub(crate) fn is_routine(&self) -> bool {
        match self.endpoint.map(EndpointId::endpoint) {
            Some(endpoint) if endpoint.routine => true,
            Some(endpoint) if endpoint.open => self.caller.is_empty(),
            Some(_) | None => self.errand,
        }
    }
}

/// So many characters of a text, or all that it has.
pub(crate) fn bounded(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_stranger_s_path_the_beginning_is_told() {
        let long = format!("/{}", "a".repeat(8000));
        let mut x = Exchange {
            target: long.parse().unwrap(),
            ..Exchange::new()
        };
        assert_eq!(x.logged_path(), &long[..UNAUTHENTICATED_PATH]);
        x.caller = "key:ci".to_owned();
        assert_eq!(x.logged_path(), long);
        assert_eq!(Exchange::new().logged_path(), "/");
    }

    #[test]
    fn what_anybody_may_ask_is_routine_and_what_is_done_is_not() {
        let routine = |endpoint, caller: &str| {
            let caller = caller.to_owned();
            let x = Exchange {
                endpoint,
                caller,
                ..Exchange::new()
            };
            x.is_routine()
        };
        assert!(routine(Some(EndpointId::PortainerPing), ""));
        assert!(routine(Some(EndpointId::PortainerKey), ""));
        assert!(routine(Some(EndpointId::AgentHealth), "operator:a"));
        assert!(!routine(Some(EndpointId::PortainerPing), "key:ci"));
        assert!(!routine(Some(EndpointId::ContainerList), "key:ci"));
        assert!(!routine(None, ""));
    }
}
