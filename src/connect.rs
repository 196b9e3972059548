//! Implements `skep connect`: a local socket with the plain Docker API, for tools
//! that cannot sign. It signs every request and forwards it to an agent, tries
//! the agents in turn, and stays with the one that answers.
//!
//! All users of the socket have the rights of the key; only its owner can open
//! it.

pub mod access;
pub(crate) mod docker_context;
pub(crate) mod forward;
pub(crate) mod join;
mod missing;
pub(crate) mod pinned;
mod silence;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http::header::CONTENT_LENGTH;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, HttpProxy, ProxyHttp, ProxyWarnLogContext, Session, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use ring::rand::SystemRandom;
use skep_filters::auth::profile::SKEP_TARGET;
use skep_filters::auth::{BodyBinding, digest};
use skep_filters::endpoint::{BadPath, RequestPath, classify};
use tokio::time::timeout;

use crate::cluster::conditions::Conditions;
use crate::config::AgentUrl;
use crate::connect::access::Access;
use crate::connect::missing::MissingNodes;
use crate::connect::silence::{Misses, Signs, StreamWatch};
use crate::exchange::body;
use crate::exchange::early;
use crate::exchange::reject::{self, Reject, Words};
use crate::exchange::target;
use crate::forward::relay;
use crate::forward::tunnel;
use crate::listen::bounds::EACH_REQUEST;
use crate::listen::downstream::Downstream;
use crate::listen::memory::Memory;
use crate::listen::places::Standing;
use crate::listen::server_headers::ServerHeaders;
use crate::platform;
use crate::upstream::client::{Budget, Client};
use crate::upstream::clocks::{Asking, Skew};
use crate::upstream::error;
use crate::upstream::headers;
use crate::upstream::peers;
use crate::upstream::request;

/// Seconds that a local client may be idle between two requests.
const KEEPALIVE: u64 = 300;

/// Bounds the refusal of an agent, in bytes.
const REFUSAL: usize = 64 << 10;

/// The longest wait for an agent's time.
const ASK_TIME: Duration = Duration::from_secs(2);

/// Follows the reason if an agent did not answer a request that changes something.
const MAYBE_DONE: &str =
    "; it may have carried the request out all the same: look before you repeat it";

/// A proxy that signs every request.
pub(crate) struct Connect {
    servers: Vec<AgentUrl>,
    current: AtomicUsize,
    access: Access,
    client: Client,
    memory: Arc<Memory>,
    node: Option<String>,
    missing: MissingNodes,
    signs: Signs,
    /// The agents that have not answered.
    away: Conditions,
    /// The clocks of the agents that have refused this one's time.
    clocks: Mutex<Vec<Skew>>,
    random: SystemRandom,
}

/// The state of one request.
#[derive(Default)]
pub(crate) struct RequestState {
    body: Option<BodyBinding>,
    server: usize,
    asked: usize,
    failures: usize,
    hijacked: bool,
    /// The nodes that the answer is without were named.
    noticed: bool,
}

impl Connect {
    /// A proxy to these agents; `node` is the target of every request.
    pub(crate) fn new(servers: Vec<AgentUrl>, access: Access, node: Option<String>) -> Self {
        Self {
            signs: Signs::of(servers.len()),
            away: Conditions::default(),
            clocks: Mutex::new(vec![Skew::ZERO; servers.len()]),
            servers,
            current: AtomicUsize::new(0),
            access,
            client: Client::new().with_new_connections_for_writes(),
            memory: Arc::default(),
            node,
            missing: MissingNodes::default(),
            random: SystemRandom::new(),
        }
    }

    /// Wraps this in Pingora's proxy.
    pub(crate) fn into_proxy(self) -> Arc<HttpProxy<Self>> {
        let conf = ServerConf {
            ca_file: Some(platform::EMPTY_FILE.to_owned()),
            ..ServerConf::default()
        };
        Arc::new(http_proxy(&Arc::new(conf), self))
    }

    fn server(&self, n: usize) -> &AgentUrl {
        // The list is not empty: the command line requires one agent.
        &self.servers[n % self.servers.len()]
    }

    async fn peer(&self, n: usize) -> Result<HttpPeer> {
        let url = self.server(n);
        let peer = self.access.peer(url).await;
        peer.map_err(|e| Error::because(ErrorType::ConnectError, url.to_string(), e).into_up())
    }

    /// Makes the next agent the current one, because this one is unreachable.
    fn skip(&self, n: usize, reason: &str) {
        let agent = self.server(n).to_string();
        if self.away.holds(&agent) {
            tracing::warn!("{agent} does not answer: {reason}; the next agent is asked");
        }
        let next = n.wrapping_add(1);
        let _ = self
            .current
            .compare_exchange(n, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Says that an agent answers again, if it did not.
    fn answered(&self, n: usize) {
        let agent = self.server(n).to_string();
        if let Some(ended) = self.away.ends(&agent) {
            tracing::info!(
                "{agent} answers again; it was left out {} times in {} s",
                ended.times,
                ended.lasted.as_secs()
            );
        }
    }

    fn next(&self, x: &mut RequestState, error: &Error) {
        self.skip(x.server, &error::explain(error));
        x.server = x.server.wrapping_add(1);
        x.failures += 1;
    }

    /// Asks an agent that has refused a request for its time. Returns whether the time
    /// of the signature was the reason.
    async fn learn_time(&self, server: usize) -> bool {
        let asking = Asking::now();
        let asked = async {
            let mut head = request::get("/skep/v1/health")?;
            self.prepare(&mut head, BodyBinding::Empty, server)?;
            let peer = self.peer(server).await?;
            self.client.fetch(&peer, head, &Budget::one(REFUSAL)).await
        };
        let Ok(Ok(answer)) = timeout(ASK_TIME, asked).await else {
            return false;
        };
        let Some(measured) = asking.refused(&answer.body) else {
            return false;
        };
        let agent = self.server(server);
        tracing::warn!(
            "the clock of {agent} is {} of this machine's; requests are signed by its clock: set \
             the clocks by NTP",
            measured.skew
        );
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = server % clocks.len().max(1);
        if let Some(skew) = clocks.get_mut(slot) {
            *skew = measured.skew;
        }
        true
    }

    fn prepare(&self, head: &mut RequestHeader, body: BodyBinding, server: usize) -> Result<()> {
        if let Some(node) = &self.node {
            head.insert_header(SKEP_TARGET, node)?;
        }
        headers::one_content_type(head)?;
        let skew = {
            let clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
            let skew = clocks.get(server % clocks.len().max(1)).copied();
            skew.unwrap_or_default()
        };
        peers::sign_at(head, &self.access.signer, body, &self.random, skew)
    }

    async fn handle(&self, session: &mut Session, x: &mut RequestState) -> Result<bool, Reject> {
        target::origin(session)?;
        let head = session.req_header();
        let found = match RequestPath::parse(head.uri.path()) {
            Ok(path) => classify(head.method.as_str(), &path),
            // The agent sends the client to another path.
            Err(BadPath::EmptySegment) if target::is_sent_back(head) => None,
            Err(e) => return Err(e.into()),
        };
        let hijack = found.as_ref().is_some_and(|m| m.endpoint.wire.is_tunnel());
        let hijack = hijack || session.is_upgrade_req();
        let stream = found.as_ref().is_some_and(|m| m.endpoint.body.is_stream());
        x.server = self.current.load(Ordering::Relaxed);
        if session.is_body_empty() {
            x.body = Some(BodyBinding::Empty);
        } else if stream {
            session.set_read_timeout(None);
            x.body = Some(BodyBinding::Unsigned);
        } else {
            let share = Mutex::new(self.memory.account(None).take(EACH_REQUEST)?);
            let hold = |bytes| {
                let mut share = share.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(share.grow(bytes)?)
            };
            let body = body::read(session, hold).await?;
            let binding = BodyBinding::Digest(digest::sha256(&body));
            x.body = Some(binding);
            self.send(session, x, body, binding, hijack).await?;
            return Ok(true);
        }
        if hijack || x.body == Some(BodyBinding::Empty) {
            let binding = x.body.unwrap_or(BodyBinding::Empty);
            self.send(session, x, Bytes::new(), binding, hijack).await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Sends a request with its whole body; tries each agent once. A request that an
    /// agent may have carried out goes to no other, unless it only reads.
    async fn send(
        &self,
        session: &mut Session,
        x: &mut RequestState,
        body: Bytes,
        binding: BodyBinding,
        hijack: bool,
    ) -> std::result::Result<(), Reject> {
        let internal = |e: Box<Error>| Reject::Internal(error::explain(&e));
        let reads = matches!(session.req_header().method, Method::GET | Method::HEAD);
        let mut last = None;
        let mut tried = 0;
        let mut asks_time = true;
        while tried < self.servers.len() {
            let server = x.server;
            x.asked = server;
            let mut head = session.req_header().clone();
            headers::strip_hop_by_hop_request(&mut head, hijack).map_err(internal)?;
            head.remove_header("expect");
            if !body.is_empty() {
                head.remove_header("transfer-encoding");
                head.insert_header(CONTENT_LENGTH, body.len())
                    .map_err(internal)?;
            }
            self.prepare(&mut head, binding, server).map_err(internal)?;
            let asked = self.attempt(session, x, head, body.clone(), hijack, asks_time);
            let failed = match asked.await {
                Ok(()) => {
                    self.answered(server);
                    return Ok(());
                }
                Err(e) => e,
            };
            if *failed.etype() == ErrorType::HTTPStatus(401) {
                // The agent has done nothing. Signed anew, or sent again for the client
                // to see why it is refused.
                asks_time = false;
                self.learn_time(server).await;
                continue;
            }
            tried += 1;
            let is_ours = *failed.esource() == ErrorSource::Upstream;
            let not_done = error::was_not_reached(&failed) || (reads && is_ours);
            let mut reject = self.reject(server, &failed);
            if x.hijacked || reject::begun(session) || !not_done {
                if let (Reject::Node { reason, .. }, false) = (&mut reject, not_done) {
                    reason.push_str(MAYBE_DONE);
                }
                return Err(reject);
            }
            self.next(x, &failed);
            last = Some(reject);
        }
        Err(last
            .unwrap_or_else(|| Reject::Internal("connect: the list of agents is empty".to_owned())))
    }

    async fn attempt(
        &self,
        session: &mut Session,
        x: &mut RequestState,
        head: RequestHeader,
        body: Bytes,
        hijack: bool,
        asks_time: bool,
    ) -> Result<()> {
        let peer = self.peer(x.server).await?;
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let misses = if reads && self.servers.len() > 1 {
            Misses::One
        } else {
            Misses::Several
        };
        let watch = &StreamWatch {
            connect: self,
            server: x.server,
            misses: if hijack { Misses::One } else { misses },
            asks_time,
        };
        if hijack {
            let upstream = self
                .client
                .dedicated(&peer)
                .await
                .map_err(|e| e.into_up())?;
            let body = Some(body);
            let server_headers = ServerHeaders::none();
            tunnel::run(
                session,
                upstream,
                head,
                body,
                server_headers,
                watch,
                &mut x.hijacked,
            )
            .await?;
        } else {
            relay::run(
                session,
                &self.client,
                &peer,
                head,
                body,
                // The answer of the agent names its node.
                ServerHeaders::none(),
                watch,
            )
            .await?;
        }
        Ok(())
    }

    /// Names the nodes that the answer is without.
    fn notice(&self, session: &Session, x: &mut RequestState, answer: &ResponseHeader) {
        if !std::mem::replace(&mut x.noticed, true) {
            let path = session.req_header().uri.path();
            self.missing.notice(path, answer);
        }
    }

    fn reject(&self, server: usize, error: &Error) -> Reject {
        let node = self.server(server).to_string();
        reject::of_proxy(error, |reason| Reject::Node { node, reason })
    }
}

#[async_trait]
impl ProxyHttp for Connect {
    type CTX = RequestState;

    fn new_ctx(&self) -> RequestState {
        RequestState::default()
    }

    async fn early_request_filter(
        &self,
        session: &mut Session,
        _: &mut RequestState,
    ) -> Result<()> {
        Downstream::set_request_in_progress(session.stream(), true);
        // The file's mode has admitted the user.
        Downstream::prove(session.stream(), Standing::Reserved)
            .map_err(|e| Error::because(ErrorType::HTTPStatus(503), "no place", e))?;
        // Off where the framing forbids another request (RFC 9112 §6.1).
        if session.get_keepalive().is_some() {
            let more = !Downstream::is_draining(session.stream());
            session.set_keepalive(more.then_some(KEEPALIVE));
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, x: &mut RequestState) -> Result<bool> {
        match self.handle(session, x).await {
            Ok(answered) => Ok(answered),
            Err(reject) => {
                refuse(session, x, &reject).await;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, _: &mut Session, x: &mut RequestState) -> Result<Box<HttpPeer>> {
        loop {
            x.asked = x.server;
            match self.peer(x.server).await {
                Ok(peer) => return Ok(Box::new(peer)),
                Err(e) => {
                    self.next(x, &e);
                    if x.failures >= self.servers.len() {
                        return Err(e);
                    }
                }
            }
        }
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        head: &mut RequestHeader,
        x: &mut RequestState,
    ) -> Result<()> {
        self.prepare(head, x.body.unwrap_or(BodyBinding::Empty), x.server)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        x: &mut RequestState,
    ) -> Result<()> {
        self.notice(session, x, answer);
        early::has_begun(session, answer);
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        x: &mut RequestState,
        mut e: Box<Error>,
    ) -> Box<Error> {
        self.next(x, &e);
        e.set_retry(x.failures < self.servers.len());
        e
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        _: &mut Option<Bytes>,
        last: bool,
        _: &mut RequestState,
    ) -> Result<Option<Duration>> {
        if last {
            early::has_ended(session);
        }
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        e: &Error,
        x: &mut RequestState,
    ) -> FailToProxy {
        if let Some(outcome) = early::outcome(session) {
            return outcome;
        }
        let reject = self.reject(x.asked, e);
        // Pingora closes the connection after a failure; the answer must say so.
        session.set_keepalive(None);
        refuse(session, x, &reject).await;
        FailToProxy {
            error_code: reject.status().as_u16(),
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, x: &mut RequestState) {
        if !x.hijacked {
            // An answer that Pingora has not relayed.
            if let Some(answer) = session.response_written() {
                self.notice(session, x, answer);
            }
            Downstream::set_request_in_progress(session.stream(), false);
        }
    }

    fn suppress_error_log(&self, _: &Session, _: &RequestState, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &RequestState,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

async fn refuse(session: &mut Session, x: &RequestState, reject: &Reject) {
    if x.hijacked {
        return;
    }
    tracing::debug!("{reject}");
    if let Err(e) = Words::of(reject)
        .send(session, &ServerHeaders::none())
        .await
    {
        tracing::debug!("the error could not be sent: {e}");
    }
}
