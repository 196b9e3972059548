//! A request's way, from who to how. [`Gateway::handle`] is the whole of it:
//! authenticate, classify, authorise, route, exchange.
//!
//! The hooks in `proxy.rs` call it; each step lives in its own module.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use pingora::Error;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use skep_filters::auth::{AuthError, BodyBinding, Principal, Verifier};
use skep_filters::endpoint::{BadPath, Body, Match, RequestPath, Wire, classify};
use skep_filters::policy::{Policy, Verdict};

use crate::agent_api;
use crate::authenticate::{self, Caller};
use crate::client::Client;
use crate::cluster::Cluster;
use crate::cluster::route::{Destination, List, Request, route};
use crate::config::{Config, Partial};
use crate::engine::Engine;
use crate::everyone::{Ask, missing_header};
use crate::exchange::Exchange;
use crate::fanout;
use crate::held;
use crate::hop::{self, Hop};
use crate::locate::{self, Found, Known, Object};
use crate::peers::Peers;
use crate::reject::{self, Reject};
use crate::relay;
use crate::trust::Trust;
use crate::tunnel;

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
    /// Whose signatures hold.
    pub verifier: Verifier,
    /// Where objects were seen.
    pub known: Known,
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
        let target = plain_target(session)?;
        let caller = authenticate::authenticate(session, &self.verifier)?;
        x.caller = caller.principal.to_string();
        x.errand = caller.principal.is_errand();
        // What?
        let path = RequestPath::parse(&target)?;
        let found = classify(session.req_header().method.as_str(), &path);
        x.endpoint = found.as_ref().map(|m| m.endpoint.id);
        // May?
        let Verdict::Allow { rule } = Policy::Admin.judge(found.as_ref());
        x.rule = rule;
        self.body(session, x, &caller, found.as_ref()).await?;
        // Where?
        let query = session
            .req_header()
            .uri
            .query()
            .unwrap_or_default()
            .to_owned();
        let headers = &session.req_header().headers;
        let request = Request {
            found: found.as_ref(),
            query: &query,
            headers,
            body: x.held.as_deref(),
        };
        let to = route(&self.cluster, &request, &caller.principal)?;
        // How?
        match to {
            Destination::Agent(endpoint) => {
                x.to = "agent".into();
                let body = agent_api::answer(&self.cluster, endpoint)?;
                let mut head = ResponseHeader::build(200, Some(4)).map_err(internal)?;
                head.insert_header(CONTENT_TYPE, "application/json")
                    .map_err(internal)?;
                Box::pin(self.answer(session, x, head, body)).await
            }
            Destination::Everyone(list) => {
                x.to = "everyone".into();
                Box::pin(self.everyone(session, x, list, &path, &query)).await
            }
            Destination::Local => self.exchange(session, x, Hop::Engine, found.as_ref()).await,
            Destination::Node(m) => {
                self.exchange(session, x, Hop::Agent(m), found.as_ref())
                    .await
            }
            Destination::Manager => self.at_a_manager(session, x, found.as_ref()).await,
            Destination::Owner(class) => {
                let held = x.held.as_deref();
                let name = found.as_ref().and_then(|m| locate::named(m, &query, held));
                let Some(name) = name else {
                    // It names nothing: the engine knows what to say.
                    return self.exchange(session, x, Hop::Engine, found.as_ref()).await;
                };
                let object = Object {
                    class,
                    name: &name,
                    method: &session.req_header().method,
                    version: path.version(),
                    caller: &x.caller,
                };
                match Box::pin(locate::locate(self, &object)).await? {
                    Found::At(hop) => self.exchange(session, x, hop, found.as_ref()).await,
                    Found::Manager => self.at_a_manager(session, x, found.as_ref()).await,
                }
            }
        }
    }

    async fn at_a_manager(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        found: Option<&Match>,
    ) -> Result<Next, Reject> {
        if self.cluster.me().can_manage() {
            return self.exchange(session, x, Hop::Engine, found).await;
        }
        x.any_manager = true;
        let manager = self.manager()?;
        self.exchange(session, x, manager, found).await
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

    /// Passive failure: what a broken connection says of who was called.
    pub fn hop_failed(&self, hop: &Hop, error: &Error, reason: &str) {
        match hop {
            Hop::Engine => self.engine.lost(),
            Hop::Agent(member) => {
                if let (true, Some(address)) = (reject::was_not_reached(error), member.address) {
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
                let body = Box::pin(held::read(session)).await?;
                caller.body.check(&body)?;
                x.held = Some(body);
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

    async fn exchange(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        hop: Hop,
        found: Option<&Match>,
    ) -> Result<Next, Reject> {
        x.to = hop.in_words();
        x.hop = Some(hop);
        let wire = found.map(|m| m.endpoint.wire);
        if matches!(wire, Some(Wire::Hijack | Wire::WebSocket)) || session.is_upgrade_req() {
            return Box::pin(self.tunnel(session, x)).await;
        }
        match x.held.take() {
            Some(body) if !body.is_empty() => Box::pin(self.relay(session, x, body)).await,
            // Another agent may fall silent, which an engine does not.
            _ if matches!(x.hop, Some(Hop::Agent(_))) && session.is_body_empty() => {
                Box::pin(self.relay(session, x, Bytes::new())).await
            }
            _ => Ok(Next::Proxy),
        }
    }

    async fn relay(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        body: Bytes,
    ) -> Result<Next, Reject> {
        let mut hop = x.hop.clone().unwrap_or(Hop::Engine);
        loop {
            let error = match self.relay_to(&hop, session, x, body.clone()).await {
                Ok(done) => {
                    x.status = done.status.as_u16();
                    x.out_bytes = done.out_bytes;
                    return Ok(Next::Answered);
                }
                Err(error) => error,
            };
            let reject = self.failed(&hop, &error);
            x.failures += 1;
            // Nothing was sent yet: another manager may be asked.
            if !(x.any_manager && reject::was_not_reached(&error) && x.failures < 3) {
                return Err(reject);
            }
            hop = self.manager()?;
            x.to = hop.in_words();
        }
    }

    async fn relay_to(
        &self,
        hop: &Hop,
        session: &mut Session,
        x: &Exchange,
        body: Bytes,
    ) -> pingora::Result<relay::Relayed> {
        let mut head = session.req_header().clone();
        hop::end_of_connection(&mut head, false)?;
        // The body is at hand: no need to ask whether it is wanted.
        head.remove_header("expect");
        head.remove_header("transfer-encoding");
        if !body.is_empty() {
            head.insert_header(CONTENT_LENGTH, body.len())?;
        }
        hop.prepare(&mut head, &self.peers, &x.caller, x.body)?;
        let peer = hop.peer(&self.engine, &self.peers).await?;
        let node = self.cluster.me().label();
        let lost = async {
            match hop {
                Hop::Engine => std::future::pending().await,
                Hop::Agent(member) => self.cluster.lost(member).await,
            }
        };
        relay::run(session, &self.client, &peer, head, body, &node, lost).await
    }

    async fn tunnel(&self, session: &mut Session, x: &mut Exchange) -> Result<Next, Reject> {
        let hop = x.hop.clone().unwrap_or(Hop::Engine);
        let failed = |e: Box<Error>| self.failed(&hop, &e);
        let held = x.held.take();
        let mut head = session.req_header().clone();
        hop::end_of_connection(&mut head, true).map_err(internal)?;
        if held.is_some() {
            head.remove_header("expect");
        }
        hop.prepare(&mut head, &self.peers, &x.caller, x.body)
            .map_err(internal)?;
        let peer = hop.peer(&self.engine, &self.peers).await.map_err(failed)?;
        let upstream = self.client.dedicated(&peer).await;
        let upstream = upstream.map_err(|e| failed(e.into_up()))?;
        let node = self.cluster.me().label();
        let ended = tunnel::run(session, upstream, head, held, &node, &mut x.hijacked).await;
        let ended = ended.map_err(failed)?;
        x.status = ended.status.as_u16();
        x.out_bytes = ended.out_bytes;
        Ok(Next::Answered)
    }

    async fn everyone(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        list: List,
        path: &RequestPath<'_>,
        query: &str,
    ) -> Result<Next, Reject> {
        let ask = Ask {
            head: session.req_header(),
            version: path.version(),
            path: path.path(),
            query,
            caller: &x.caller,
        };
        let listed = fanout::run(self, list, &ask).await?;
        let mut head = listed.head;
        hop::end_of_answer(&mut head);
        head.remove_header("transfer-encoding");
        head.remove_header(crate::NODE_HEADER);
        if !listed.missing.is_empty() {
            let missing = missing_header(&listed.missing);
            log::warn!("{} is without {missing}", x.path);
            if self.config.aggregate.partial == Partial::Refuse {
                return Err(Reject::Partial(missing));
            }
            head.insert_header(crate::MISSING_HEADER, missing)
                .map_err(internal)?;
        }
        self.answer(session, x, head, listed.body).await
    }

    /// Sends an answer that is at hand.
    async fn answer(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        mut head: ResponseHeader,
        body: Bytes,
    ) -> Result<Next, Reject> {
        x.status = head.status.as_u16();
        x.out_bytes = body.len() as u64;
        head.insert_header(CONTENT_LENGTH, body.len())
            .map_err(internal)?;
        hop::say_who(&mut head, &self.cluster.me().label());
        let gone = |e: Box<Error>| Reject::Client(reject::explain(&e));
        session
            .write_response_header(Box::new(head), false)
            .await
            .map_err(gone)?;
        session
            .write_response_body(Some(body), true)
            .await
            .map_err(gone)?;
        Ok(Next::Answered)
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

/// The path of a request, if its target means the same to everybody.
fn plain_target(session: &Session) -> Result<String, Reject> {
    let head = session.req_header();
    plain(head)?;
    let form = head.headers.get(CONTENT_TYPE);
    let form = form.is_some_and(|t| {
        let t = t.as_bytes();
        t.len() >= 33 && t[..33].eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    });
    // Go reads parameters out of such a body and lets them win over the
    // query, which is what was judged (net/http `ParseForm`). Go before 1.17
    // also took `;` in a query for a separator.
    if form || head.uri.query().is_some_and(|q| q.contains(';')) {
        return Err(Reject::Ambiguous);
    }
    Ok(head.uri.path().to_owned())
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

fn internal(error: Box<Error>) -> Reject {
    Reject::Internal(reject::explain(&error))
}
