//! A request's way, from who to how. [`Gateway::handle`] is the whole of it:
//! authenticate, classify, authorise, route, exchange.
//!
//! The hooks in `proxy.rs` call it; each step lives in its own module.

mod answer;
mod dispatch;
pub mod guard;
pub mod hooks;
pub mod own;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Uri;
use http::header::CONTENT_TYPE;
use pingora::Error;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use skep_filters::auth::digest::sha256;
use skep_filters::auth::{AuthError, BodyBinding, Principal};
use skep_filters::endpoint::{BadPath, Body, Match, RequestPath, classify};

use crate::authenticate;
use crate::authorise::scope;
use crate::cluster::Cluster;
use crate::cluster::hop::Hop;
use crate::cluster::known::Known;
use crate::config::{Config, InfoOf};
use crate::exchange::Exchange;
use crate::exchange::body;
use crate::exchange::caller::Caller;
use crate::exchange::reject::{self, Reject};
use crate::gateway::guard::Guard;
use crate::listen::visitor::Visitor;
use crate::portainer::{self, Portainer};
use crate::route::place::Pulls;
use crate::route::{Destination, Request, route};
use crate::telemetry::audit::Audit;
use crate::telemetry::strangers::Strangers;
use crate::trust::Trust;
use crate::upstream::client::Client;
use crate::upstream::engine::Engine;
use crate::upstream::error;
use crate::upstream::peers::Peers;

/// Everything a request's way needs.
pub struct Gateway {
    /// What the operator set.
    pub config: Config,
    /// The local engine.
    pub engine: Arc<Engine>,
    /// Makes our own requests.
    pub client: Arc<Client>,
    /// The way to other agents.
    pub peers: Arc<Peers>,
    /// Who belongs to the cluster.
    pub trust: Arc<Trust>,
    /// Which nodes there are.
    pub cluster: Arc<Cluster>,
    /// Who is let in, and with what. It is replaced when the configuration changes.
    pub guard: Arc<ArcSwap<Guard>>,
    /// Which Portainer servers are let in; `None` is none of them.
    pub portainer: Option<Arc<Portainer>>,
    /// Who is told of every request; `None` is nobody.
    pub audit: Option<Arc<Audit>>,
    /// How much is told of strangers.
    pub strangers: Arc<Strangers>,
    /// Where objects were seen.
    pub known: Known,
    /// Where images were lacking.
    pub pulls: Pulls,
}

/// What is called.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its row of the endpoint table; `None` for a path that no table knows.
    pub found: Option<&'a Match>,
    /// The path.
    pub path: &'a RequestPath<'a>,
    /// The query, without `?`.
    pub query: &'a str,
}

/// What is left to do once the way has been gone.
pub enum Next {
    /// Pingora proxies the request to the exchange's hop.
    Proxy,
    /// It has been answered.
    Answered,
}

impl Gateway {
    /// Goes a request's way.
    ///
    /// The longer ways are boxed: a future has room for the largest of its
    /// branches, and this one is allocated and moved for every request.
    ///
    /// # Errors
    /// Says why the request is not answered by an engine.
    pub async fn handle(&self, session: &mut Session, x: &mut Exchange) -> Result<Next, Reject> {
        // Who?
        let mut uri = plain_target(session)?;
        let guard = self.guard.load_full();
        let mut newcomer = None;
        let caller = match &self.portainer {
            Some(_) if portainer::is_open(session.req_header()) => {
                return Box::pin(portainer::open(self, session, x)).await;
            }
            Some(portainer)
                if portainer::is_meant(&session.req_header().headers)
                    && Visitor::of(session).is_none() =>
            {
                let proved = portainer.authenticate(&session.req_header().headers)?;
                newcomer = proved.newcomer;
                proved.caller
            }
            _ => authenticate::authenticate(session, &guard)?,
        };
        x.caller = caller.principal.to_string();
        x.errand = caller.principal.is_errand();
        x.from_peer = matches!(caller.principal, Principal::Peer { .. });
        x.portainer = caller.principal.is_portainer();
        let grant = guard.grant(&caller.principal, &x.caller, address(session))?;
        x.policy = Some(grant.policy.clone());
        x.place = guard.place(&caller.principal, &x.caller, grant)?;
        if let (Some(portainer), Some(key)) = (&self.portainer, newcomer) {
            Box::pin(portainer.settle(&key)).await?;
        }
        if let Some(served) = self.served(x, &uri) {
            session.req_header_mut().set_uri(served.clone());
            uri = served;
        }
        // What?
        let path = RequestPath::parse(uri.path())?;
        let query = uri.query().unwrap_or_default();
        let found = classify(session.req_header().method.as_str(), &path);
        x.endpoint = found.as_ref().map(|m| m.endpoint.id);
        // May?
        let asked = Asked {
            found: found.as_ref(),
            path: &path,
            query,
        };
        self.authorise(x, session.req_header(), &asked)?;
        self.body(session, x, &caller, asked.found).await?;
        self.authorise_body(x, session.req_header(), asked.found)?;
        // Where?
        let who = &caller.principal;
        let to = self.route(session, x, who, &asked)?;
        if x.may_not_join_the_host(asked.found) {
            Box::pin(scope::keep_off_the_hosts_network(self, x, &asked, &to)).await?;
        }
        // How?
        match x.scope() {
            None => self.go(session, x, to, asked).await,
            Some(_) => Box::pin(self.go_in_scope(session, x, who, &to, asked)).await,
        }
    }

    fn route(
        &self,
        session: &Session,
        x: &Exchange,
        who: &Principal,
        asked: &Asked<'_>,
    ) -> Result<Destination, Reject> {
        let request = Request {
            found: asked.found,
            query: asked.query,
            headers: &session.req_header().headers,
            body: x.held.as_deref(),
            totals: self.config.aggregate.info == InfoOf::Cluster,
        };
        Ok(route(&self.cluster, &request, who)?)
    }

    /// A manager other than this node.
    ///
    /// # Errors
    /// If none answered its last probe.
    pub fn manager(&self) -> Result<Hop, Reject> {
        let none = || Reject::NoManager {
            from: self.cluster.me().name().to_owned(),
            reason: self.cluster.managers_in_words(),
        };
        self.cluster.manager().map(Hop::Agent).ok_or_else(none)
    }

    /// Resolves when there is no more hope of an answer. An engine answers or
    /// closes its socket; another agent may fall silent.
    pub async fn lost(&self, hop: &Hop) {
        match hop {
            Hop::Engine => std::future::pending().await,
            Hop::Agent(member) => self.cluster.lost(member).await,
        }
    }

    /// Resolves when there is no more hope of an answer to what is only read:
    /// a hung engine neither answers nor closes, and reading again does no harm.
    pub async fn silent(&self, hop: &Hop) {
        self.cluster.silent(hop).await;
    }

    /// Passive failure: what a broken connection says of who was called.
    pub fn hop_failed(&self, hop: &Hop, error: &Error, reason: &str) {
        match hop {
            Hop::Engine => self.engine.lost(),
            Hop::Agent(member) => {
                if let (true, Some(address)) = (error::was_not_reached(error), member.address) {
                    self.cluster.failed(address, reason);
                }
            }
        }
    }

    /// Holds the body to what was signed: reads and checks a digested one,
    /// lets an unsigned one through where the endpoint takes streams.
    async fn body(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        caller: &Caller,
        found: Option<&Match>,
    ) -> Result<(), Reject> {
        x.body = caller.body;
        match caller.body {
            BodyBinding::Empty => Ok(()),
            BodyBinding::Digest(_) => {
                let body = Box::pin(body::read(session)).await?;
                caller.body.check(&body)?;
                x.held = Some(body);
                Ok(())
            }
            BodyBinding::Unsigned
                if portainer::sends_it_whole(&caller.principal, found)
                    || x.from_peer && x.inspects(found) =>
            {
                let body = Box::pin(body::read(session)).await?;
                // Other agents are to get what was read here.
                x.body = BodyBinding::Digest(sha256(&body));
                x.held = Some(body);
                Ok(())
            }
            BodyBinding::Unsigned if caller.principal.binds_no_body() => {
                session.set_read_timeout(None);
                Ok(())
            }
            BodyBinding::Unsigned => {
                let streams = found.is_some_and(|m| m.endpoint.body == Body::Stream);
                let from_peer = matches!(caller.principal, Principal::Peer { .. });
                if from_peer || streams && caller.unsigned_streams {
                    // A build may pause for hours between two chunks.
                    session.set_read_timeout(None);
                    return Ok(());
                }
                Err(AuthError::UnsignedBody("this endpoint and key take signed bodies only").into())
            }
        }
    }

    /// Portainer's UI asks in versions that newer engines do not serve any more,
    /// and its agent lets them answer in their newest: the target in the nearest
    /// version that this node's engine serves, if it does not serve the one asked
    /// for.
    fn served(&self, x: &Exchange, asked: &Uri) -> Option<Uri> {
        if !x.portainer {
            return None;
        }
        let version = RequestPath::parse(asked.path()).ok()?.version()?;
        let me = self.cluster.me();
        let nearest = me.engine.as_ref()?.nearest(version)?;
        let target = asked.path_and_query()?.as_str();
        let rest = target.strip_prefix(&format!("/v{version}"))?;
        (nearest != version).then(|| format!("/v{nearest}{rest}").parse().ok())?
    }

    /// What a failed call to a hop means, to the caller and to the members.
    pub fn failed(&self, hop: &Hop, error: &Error) -> Reject {
        let me = self.cluster.me();
        reject::of_proxy(error, |reason| {
            self.hop_failed(hop, error, &reason);
            hop.reject(me.name(), &self.engine, reason)
        })
    }
}

/// The caller's address; none on a socket of this machine.
fn address(session: &Session) -> Option<IpAddr> {
    let address = session.client_addr()?.as_inet()?;
    Some(address.ip())
}

/// The target of a request, if it means the same to everybody.
fn plain_target(session: &Session) -> Result<Uri, Reject> {
    let head = session.req_header();
    plain(head)?;
    let form = head.headers.get(CONTENT_TYPE);
    let form = form.is_some_and(|t| {
        let t = t.as_bytes();
        t.len() >= 33 && t[..33].eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    });
    // Without a body it says nothing: axios sends it beside none.
    let form = form && BodyBinding::uncovered(&head.headers)? == BodyBinding::Unsigned;
    // Go reads parameters out of such a body and lets them win over the
    // query, which is what was judged (net/http `ParseForm`). Go before 1.17
    // also took `;` in a query for a separator.
    if form || head.uri.query().is_some_and(|q| q.contains(';')) {
        return Err(Reject::Ambiguous);
    }
    Ok(head.uri.clone())
}

/// What is verified and judged has to be what goes out. Pingora keeps a target
/// that is not in origin form (`http://docker/info`, `foo:/info`) apart from
/// the URI it shows, and sends the former.
///
/// # Errors
/// If the two differ.
pub fn plain(head: &RequestHeader) -> Result<(), Reject> {
    let shown = head.uri.path_and_query().map_or("", |t| t.as_str());
    if head.raw_path() == shown.as_bytes() {
        Ok(())
    } else {
        Err(BadPath::NotAbsolute.into())
    }
}

/// What should not happen, such as a header of ours that is none.
pub fn internal(error: Box<Error>) -> Reject {
    Reject::Internal(error::explain(&error))
}
