//! Reads the event stream of one engine, line by line.

use std::fmt;
use std::pin::Pin;

use futures::stream::{self, Stream};
use http::StatusCode;
use http::header::{ACCEPT, USER_AGENT};
use pingora::http::ResponseHeader;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{Error, ErrorType};
use skep_filters::aggregate::LineSplitter;
use skep_filters::auth::BodyBinding;
use tokio::time::{Duration, sleep, timeout};

use crate::cluster::ask::{self, Ask, GONE, Node};
use crate::cluster::hop::Hop;
use crate::exchange::context::Context;
use crate::upstream::client::Answer;
use crate::upstream::error;
use crate::upstream::headers;
use crate::upstream::request;

/// Bounds the message of an engine that refuses.
const REFUSAL: usize = 64 << 10;

/// How often to check whether a manager still is one.
const RECHECK: Duration = Duration::from_secs(2);

/// Whose events a source sends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    /// This node's own.
    Node(String),
    /// Those of the Swarm.
    Swarm,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "node {id}"),
            Self::Swarm => f.write_str("the manager that sends the Swarm's events"),
        }
    }
}

/// A step of a source's stream.
pub(super) enum SourceEvent {
    Head(ResponseHeader),
    /// One event.
    Line(Box<Line>),
    /// The engine ended the stream in order.
    End,
    /// The engine answered with another status than 200.
    Refused(Answer),
    /// The connection failed.
    Lost(String),
}

/// One event as the engine wrote it.
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    pub(super) node: Node,
}

/// An event stream with the name of its source.
pub(super) type Source<'a> = Pin<Box<dyn Stream<Item = (Name, SourceEvent)> + Send + 'a>>;

enum State {
    Unopened,
    Open(Box<HttpSession>, LineSplitter, Vec<Vec<u8>>),
    Ended,
}

/// Opens the event stream of one engine when first polled.
pub(super) fn listen<'a>(
    context: &'a Context,
    ask: Ask<'a>,
    name: Name,
    node: Node,
    query: String,
) -> Source<'a> {
    Box::pin(stream::unfold(State::Unopened, move |state| {
        let (name, node, query) = (name.clone(), node.clone(), query.clone());
        async move {
            let (got, state) = match state {
                State::Unopened => open(context, ask, &node, &query).await,
                State::Open(session, splitter, lines) => {
                    next(context, &name, &node, session, splitter, lines).await
                }
                State::Ended => return None,
            };
            Some(((name, got), state))
        }
    }))
}

async fn open(context: &Context, ask: Ask<'_>, node: &Node, query: &str) -> (SourceEvent, State) {
    let deadline = context.config.aggregate.deadline;
    match timeout(deadline, begin(context, ask, node, query)).await {
        Ok(Ok((session, head))) if head.status == StatusCode::OK => {
            let state = State::Open(Box::new(session), LineSplitter::new(), Vec::new());
            (SourceEvent::Head(head), state)
        }
        Ok(Ok((mut session, head))) => {
            let mut body = Vec::new();
            while let Ok(Some(chunk)) = session.read_body_bytes().await {
                if body.len() + chunk.len() > REFUSAL {
                    break;
                }
                body.extend_from_slice(&chunk);
            }
            let body = body.into();
            (SourceEvent::Refused(Answer { head, body }), State::Ended)
        }
        Ok(Err(e)) => {
            let reason = error::explain(&e);
            node.hop.failed(&context.cluster, &e, &reason);
            (SourceEvent::Lost(reason), State::Ended)
        }
        Err(_) => {
            let reason = format!("no answer within {deadline:?}");
            (SourceEvent::Lost(reason), State::Ended)
        }
    }
}

async fn begin(
    context: &Context,
    ask: Ask<'_>,
    node: &Node,
    query: &str,
) -> pingora::Result<(HttpSession, ResponseHeader)> {
    let target = ask::target(node, ask.version, ask.path, query);
    let mut head = request::build(&ask.head.method, &target)?;
    for name in [ACCEPT, USER_AGENT] {
        if let Some(value) = ask.head.headers.get(&name) {
            head.insert_header(name, value.clone())?;
        }
    }
    context.cluster.freshen(&node.hop).await;
    node.hop.prepare(
        &mut head,
        &context.peers,
        ask.on_behalf_of,
        ask.request_id,
        BodyBinding::Empty,
    )?;
    let peer = node.hop.peer(&context.engine, &context.peers).await?;
    // A dedicated connection, which never returns to the pool.
    let mut session = context.client.dedicated(&peer).await?;
    session.write_request_header(Box::new(head)).await?;
    session.read_response().await?;
    let head = session.resp_header().cloned();
    let head = head.ok_or_else(|| Error::new(ErrorType::InvalidHTTPHeader))?;
    headers::refuse_misdirected(&head)?;
    Ok((session, head))
}

async fn next(
    context: &Context,
    name: &Name,
    node: &Node,
    mut session: Box<HttpSession>,
    mut splitter: LineSplitter,
    mut lines: Vec<Vec<u8>>,
) -> (SourceEvent, State) {
    loop {
        if let Some(bytes) = lines.pop() {
            let node = node.clone();
            let line = SourceEvent::Line(Box::new(Line { bytes, node }));
            return (line, State::Open(session, splitter, lines));
        }
        let read = tokio::select! {
            read = session.read_body_bytes() => read,
            () = node.hop.lost(&context.cluster) => return (SourceEvent::Lost(GONE.to_owned()), State::Ended),
            () = retired(context, node), if *name == Name::Swarm => {
                return (SourceEvent::Lost("it is no longer a manager".to_owned()), State::Ended);
            }
        };
        match read.map(|chunk| chunk.map(|c| splitter.feed(&c))) {
            Ok(Some(Ok(mut cut))) => {
                cut.reverse();
                lines = cut;
            }
            Ok(None) => return (SourceEvent::End, State::Ended),
            Ok(Some(Err(e))) => return (SourceEvent::Lost(e.to_string()), State::Ended),
            Err(e) => return (SourceEvent::Lost(error::explain(&e)), State::Ended),
        }
    }
}

/// Resolves when a node is no longer a manager: its engine keeps the stream
/// open, but sends no events of the Swarm.
async fn retired(context: &Context, node: &Node) {
    loop {
        sleep(RECHECK).await;
        let manages = match &node.hop {
            Hop::Engine => context.cluster.me().manager,
            Hop::Agent(member) => context.cluster.is_manager(&member.id),
        };
        if !manages {
            return;
        }
    }
}
