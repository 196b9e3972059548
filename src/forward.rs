//! Sends a request to the one node that answers it: through Pingora, relayed with
//! a held body, or as a tunnel.
//!
//! `route` has chosen the node. `fanout.rs`, `events.rs` and `broadcast.rs` answer
//! from several nodes.

pub(crate) mod broadcast;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod events;
pub(crate) mod fanout;
pub(crate) mod image;
pub(crate) mod labelled;
pub(crate) mod names;
pub(crate) mod negotiate;
pub(crate) mod relay;
pub(crate) mod replace;
pub(crate) mod spread;
pub(crate) mod tunnel;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};
use skep_filters::auth::{BodyBinding, OnBehalfOf};
use skep_filters::endpoint::{Match, Method, Wire};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tracing::Instrument;

use crate::cluster::ask::GONE;
use crate::cluster::hop::Hop;
use crate::cluster::members::Member;
use crate::cluster::probe::{ANY_NODE, IDENTITY};
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::exchange::{Next, Retry, Upstream};
use crate::forward::tunnel::End;
use crate::upstream::error;
use crate::upstream::headers;
use crate::upstream::request;

/// The shortest try of a stream's other agent, however soon probes are given up.
const SHORTEST_TRY: Duration = Duration::from_secs(1);

/// A manager has this part of a list's deadline while another one can answer. Of three
/// that are asked in turn, the last has as long as it needs.
const HURRY: u32 = 3;

/// Forwards a request to its upstream, in the way that its endpoint needs.
///
/// # Errors
/// If the upstream does not answer.
pub(crate) async fn forward(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    upstream: Upstream,
    found: Option<&Match>,
) -> Result<Next, Reject> {
    let to = upstream.hop.label();
    let span = tracing::debug_span!("hop", to = &*to);
    x.record().to = to;
    let wire = found.map(|m| m.endpoint.wire);
    let hides = x.hides_helpers()
        && (matches!(upstream.hop, Hop::Agent(_)) || !context.cluster.helpers().is_empty());
    if wire == Some(Wire::Json) && (!x.redacts().is_empty() || x.mapping().is_some() || hides) {
        return Box::pin(redacted(context, session, x, &upstream.hop).instrument(span)).await;
    }
    if wire.is_some_and(Wire::is_tunnel) || session.is_upgrade_req() {
        return Box::pin(tunnel(context, session, x, &upstream.hop).instrument(span)).await;
    }
    match x.body.held.take() {
        // Pingora sends on what it reads itself, and this body was read.
        Some(body) if !body.is_empty() || !session.is_body_empty() => {
            let relayed = relay(context, session, x, upstream, body, found);
            Box::pin(relayed.instrument(span)).await
        }
        // Pingora cannot stop waiting when another agent falls silent, or while the
        // engine hangs and the dialect needs an answer. A caller behind another
        // agent gets its answer there: that agent may ask another manager. Nor can
        // Pingora end a quiet stream to an agent that has gone.
        _ if (matches!(upstream.hop, Hop::Agent(_))
            || x.exchange.dialect.needs_an_answer() && !x.is_from_peer()
            || x.is_from_peer() && found.is_some_and(is_stream))
            && session.is_body_empty() =>
        {
            let relayed = relay(context, session, x, upstream, Bytes::new(), found);
            Box::pin(relayed.instrument(span)).await
        }
        _ => Ok(Next::Proxy(upstream)),
    }
}

/// Reads the whole answer, which has to be changed.
async fn redacted(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    hop: &Hop,
) -> Result<Next, Reject> {
    let body = x.body.held.take().unwrap_or_default();
    let bound = context.config.aggregate.max_bytes;
    let (mut head, body) = whole(context, session, x, hop, body, bound).await?;
    headers::strip_framing(&mut head);
    context.answer(session, x, head, body).await
}

/// Sends the request with this body to one node, and reads the whole answer.
///
/// # Errors
/// If the node does not answer, or with more than `bound` bytes.
pub(crate) async fn whole(
    context: &Context,
    session: &Session,
    x: &Judged<'_>,
    hop: &Hop,
    body: Bytes,
    bound: usize,
) -> Result<(ResponseHeader, Bytes), Reject> {
    let refused = OnceLock::new();
    let asked = async {
        let head = head_with(context, session, x, hop, &body)?;
        let peer = hop.peer(&context.engine, &context.peers).await?;
        let (mut answer, head) = context.client.send(&peer, head, body).await?;
        headers::refuse_misdirected(&head)?;
        let mut whole = BytesMut::new();
        while let Some(chunk) = answer.read_response_body().await? {
            if whole.len() + chunk.len() > bound {
                return Error::e_explain(ErrorType::InternalError, "the answer is too long");
            }
            if let Err(reject) = x.permission.called.hold_answer(chunk.len()) {
                let _ = refused.set(reject);
                return Error::e_explain(ErrorType::InternalError, "no memory");
            }
            whole.extend_from_slice(&chunk);
        }
        context.client.release(answer, &peer).await;
        let whole = whole.freeze();
        let mapped = x.mapping().filter(|_| head.status == StatusCode::OK);
        let query = session.req_header().uri.query().unwrap_or_default();
        let mapped = mapped.and_then(|(translation, id)| translation.answer(id, query, &whole));
        Ok((head, mapped.map_or(whole, Bytes::from)))
    };
    let request = session.req_header();
    tokio::select! {
        answer = asked => answer.map_err(|e| match refused.get() {
            Some(reject) => reject.clone(),
            None => {
                let sent = !error::was_not_reached(&e);
                unanswered(context.failed(hop, &e), request, sent)
            }
        }),
        () = given_up(context, hop, request.method == http::Method::GET) => {
            Err(unanswered(context.unreachable(hop, GONE.to_owned()), request, true))
        }
    }
}

/// Adds how to find out whether a request that changes something was carried out, if
/// it was sent and not answered.
pub(crate) fn unanswered(reject: Reject, request: &RequestHeader, sent: bool) -> Reject {
    if !sent || request.method == http::Method::GET || request.method == http::Method::HEAD {
        return reject;
    }
    let path = request.uri.path();
    let look = [
        ("/exec/", "`docker top`"),
        ("/containers/", "`docker ps --all`"),
        ("/networks/", "`docker network ls`"),
        ("/volumes/", "`docker volume ls`"),
        ("/images/", "`docker image ls`"),
        ("/services/", "`docker service ls`"),
        ("/secrets/", "`docker secret ls`"),
        ("/configs/", "`docker config ls`"),
        ("/nodes/", "`docker node ls`"),
    ];
    let look = look.iter().find(|(part, _)| path.contains(part));
    let look = look.map_or("look", |(_, command)| command);
    let look = match look {
        "look" => "look before you repeat it".to_owned(),
        command => format!("look with {command} before you repeat it"),
    };
    let maybe = format!("; it may have been carried out all the same: {look}");
    match reject {
        Reject::Node { node, reason } => Reject::Node {
            node,
            reason: reason + &maybe,
        },
        Reject::Engine {
            node,
            address,
            reason,
        } => Reject::Engine {
            node,
            address,
            reason: reason + &maybe,
        },
        other => other,
    }
}

/// The request's head for a hop, with a held body.
fn head_with(
    context: &Context,
    session: &Session,
    x: &Judged<'_>,
    hop: &Hop,
    body: &Bytes,
) -> pingora::Result<RequestHeader> {
    let mut head = session.req_header().clone();
    headers::strip_hop_by_hop_request(&mut head, false)?;
    // The body is sent at once, without waiting for a `100 Continue`.
    head.remove_header("expect");
    head.remove_header("transfer-encoding");
    if !body.is_empty() {
        head.insert_header(CONTENT_LENGTH, body.len())?;
    }
    hop.prepare(
        &mut head,
        &context.peers,
        x.on_behalf_of(),
        x.id().as_header(),
        x.body.binding,
    )?;
    Ok(head)
}

async fn relay(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    upstream: Upstream,
    body: Bytes,
    found: Option<&Match>,
) -> Result<Next, Reject> {
    let reads = found.is_some_and(reads);
    let Upstream { mut hop, retry } = upstream;
    let mut failures = 0;
    loop {
        context.cluster.freshen(&hop).await;
        let another = retry == Retry::AnotherManager
            && failures < 2
            && matches!(&hop, Hop::Agent(m) if context.cluster.has_other_manager(m));
        let most = another.then(|| context.config.aggregate.deadline / HURRY);
        let asked = relay_to(context, &hop, session, x, body.clone(), reads, most);
        let error = match asked.await {
            Ok(done) => {
                x.record().status = Some(done.status);
                x.exchange.record.bytes = done.out_bytes;
                return Ok(Next::Answered);
            }
            Err(error) => error,
        };
        let reject = context.failed(&hop, &error);
        if let (Some(_), Hop::Agent(member)) = (most, &hop) {
            context.cluster.was_slow(&member.id);
        }
        failures += 1;
        // The request was not sent, or it only reads: another manager may answer.
        let unanswered_read = reads
            && session.response_written().is_none()
            && *error.esource() == ErrorSource::Upstream;
        let repeatable = unanswered_read || error::was_not_reached(&error);
        if !(retry == Retry::AnotherManager && repeatable && failures < 3) {
            let sent = !error::was_not_reached(&error);
            return Err(unanswered(reject, session.req_header(), sent));
        }
        hop = context.manager()?;
        context.reaches(&x.permission, &hop)?;
        x.exchange.record.to = hop.label();
    }
}

async fn relay_to(
    context: &Context,
    hop: &Hop,
    session: &mut Session,
    x: &Judged<'_>,
    body: Bytes,
    reads: bool,
    most: Option<Duration>,
) -> pingora::Result<relay::RelaySummary> {
    let head = head_with(context, session, x, hop, &body)?;
    let mut peer = hop.peer(&context.engine, &context.peers).await?;
    if most.is_some() {
        peer.options.connection_timeout = most;
        peer.options.total_connection_timeout = most;
    }
    let server_headers = context.server_headers(x.exchange);
    let watch = &HopWatch {
        most: most.filter(|_| reads),
        ..HopWatch::new(context, hop, x, reads)
    };
    relay::run(
        session,
        &context.client,
        &peer,
        head,
        body,
        server_headers,
        watch,
    )
    .await
}

/// Resolves when the hop is lost, or, for a request that only reads, its engine is
/// silent.
async fn given_up(context: &Context, hop: &Hop, reads: bool) {
    tokio::select! {
        () = hop.lost(&context.cluster) => {}
        () = context.cluster.engine_unresponsive(hop), if reads => {}
    }
}

async fn tunnel(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    hop: &Hop,
) -> Result<Next, Reject> {
    context.cluster.freshen(hop).await;
    let failed = |e: Box<Error>| context.failed(hop, &e);
    let held = x.body.held.take();
    let mut head = session.req_header().clone();
    headers::strip_hop_by_hop_request(&mut head, true).map_err(internal)?;
    if held.is_some() {
        head.remove_header("expect");
    }
    hop.prepare(
        &mut head,
        &context.peers,
        x.on_behalf_of(),
        x.id().as_header(),
        x.body.binding,
    )
    .map_err(internal)?;
    let peer = hop
        .peer(&context.engine, &context.peers)
        .await
        .map_err(failed)?;
    let upstream = tokio::select! {
        upstream = context.client.dedicated(&peer) => upstream,
        () = hop.lost(&context.cluster) => Error::e_explain(ErrorType::ConnectTimedout, GONE),
    };
    let upstream = upstream.map_err(|e| failed(e.into_up()))?;
    let server_headers = context.server_headers(x.exchange);
    let watch = &HopWatch::new(context, hop, x, false);
    let hijacked = &mut x.exchange.hijacked;
    let ended = tunnel::run(
        session,
        upstream,
        head,
        held,
        server_headers,
        watch,
        hijacked,
    )
    .await;
    let ended = ended.map_err(failed)?;
    x.record().status = Some(ended.status);
    x.exchange.record.bytes = ended.out_bytes;
    x.exchange.record.bytes_in = ended.in_bytes;
    Ok(Next::Answered)
}

/// Watches the other agent of a stream: that of the hop, or the one that has called.
pub(crate) struct HopWatch<'a> {
    context: &'a Context,
    hop: &'a Hop,
    other: Option<Arc<Member>>,
    /// Whether the request only reads.
    reads: bool,
    /// The longest wait for an answer, because another node may give it sooner.
    most: Option<Duration>,
}

impl<'a> HopWatch<'a> {
    /// A watch for the stream of a request; `reads` if the request only reads.
    pub(crate) fn new(context: &'a Context, hop: &'a Hop, x: &Judged<'_>, reads: bool) -> Self {
        let other = match hop {
            Hop::Agent(member) => Some(member.clone()),
            // Only an agent that this one can reach: the way back may be closed.
            Hop::Engine => {
                let caller = x.permission.called.caller.principal.peer_node();
                let caller = caller.and_then(|id| context.cluster.member(id));
                caller.filter(|caller| !context.cluster.is_doubtful(caller))
            }
        };
        Self {
            context,
            hop,
            other,
            reads,
            most: None,
        }
    }
}

impl tunnel::Watch for HopWatch<'_> {
    async fn lost(&self) {
        let most = async {
            match self.most {
                Some(most) => sleep(most).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = given_up(self.context, self.hop, self.reads) => {}
            () = most => {}
        }
    }

    async fn doubtful(&self) {
        match &self.other {
            Some(other) => self.context.cluster.doubtful(other).await,
            None => std::future::pending().await,
        }
    }

    async fn reaches(&self) -> bool {
        let Some(address) = self.other.as_ref().and_then(|other| other.address) else {
            return false;
        };
        match TcpStream::connect(address).await {
            Ok(_) => true,
            // A machine says so.
            Err(e) => e.kind() == io::ErrorKind::ConnectionRefused,
        }
    }

    async fn answers(&self) -> bool {
        let Some(other) = &self.other else {
            return true;
        };
        let asked = async {
            let mut head = request::get(IDENTITY)?;
            let peers = &self.context.peers;
            peers.sign_at(
                &mut head,
                other.generation,
                ANY_NODE,
                &OnBehalfOf::Agent,
                BodyBinding::Empty,
                peers.clocks().of(&other.id),
            )?;
            let mut peer = Hop::Agent(other.clone())
                .peer(&self.context.engine, peers)
                .await?;
            let all = self.try_for() * self.tries();
            peer.options.connection_timeout = Some(all);
            peer.options.total_connection_timeout = Some(all);
            // An idle connection of the pool may be as dead as the stream.
            let mut connection = self.context.client.dedicated(&peer).await?;
            connection.write_request_header(Box::new(head)).await?;
            connection.read_response().await
        };
        let silent = |e: &Error| error::is_late(e) || *e.etype() == ErrorType::ConnectNoRoute;
        asked.await.map_or_else(|e| !silent(&e), |_| true)
    }

    fn try_for(&self) -> Duration {
        self.context.config.cluster.probe_timeout.max(SHORTEST_TRY)
    }

    fn end(&self) -> End {
        match self.hop {
            Hop::Engine => End::Client,
            Hop::Agent(_) => End::Upstream,
        }
    }

    fn last_words(&self) -> String {
        let node = match &self.other {
            Some(other) => other.name(),
            None => "of this stream",
        };
        format!(
            "skep: node {node} does not answer any more, so this stream has ended; the process may still run"
        )
    }
}

/// Whether a request only reads, for as long as its engine sends.
fn is_stream(found: &Match) -> bool {
    found.endpoint.method == Method::Get && found.endpoint.wire == Wire::Stream
}

/// Whether a request only reads, and its engine answers at once; a stream may begin
/// at any time.
fn reads(found: &Match) -> bool {
    let endpoint = found.endpoint;
    matches!(endpoint.method, Method::Get | Method::Head)
        && matches!(endpoint.wire, Wire::Json | Wire::Text)
}
