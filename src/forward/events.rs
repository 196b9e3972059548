//! Answers `GET /events` for the whole cluster, with one stream: the events of
//! every engine, and those of the Swarm once.
//!
//! Every node is asked for its own events (`scope=local`). One manager alone is
//! asked for those of the Swarm, because each manager sends its own copy. When
//! that manager goes, another one takes over, and events that were passed on
//! already are dropped. Nodes that join or return are asked for the events since
//! then. No other part of an event matters here.

mod order;
mod source;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{SelectAll, StreamExt};
use http::StatusCode;
use pingora::proxy::Session;
use skep_filters::aggregate::{Event, EventsPlan, decorate_event};
use skep_filters::endpoint::RequestPath;
use skep_filters::policy::helper;
use skep_filters::policy::redact::{Redact, RedactError, redact};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::cluster::ask::MISSING_HEADER;
use crate::cluster::ask::{self, Ask, Node, missing_header};
use crate::cluster::hop;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::exchange::{Next, Upstream};
use crate::platform::clock;
use crate::upstream::error;
use crate::upstream::headers;
use order::Order;
use source::{Name, Source, SourceEvent};

/// How often the table of members is checked for nodes that have come or gone.
const RECHECK: Duration = Duration::from_secs(1);

/// The streams of one answer.
struct Streams<'a> {
    context: &'a Context,
    ask: Ask<'a>,
    plan: &'a EventsPlan,
    /// When the caller asked: a new node is asked for its events since then.
    began: String,
    /// The caller wants no event before this, in nanoseconds since 1970.
    floor: i64,
    /// The fields to remove from every event.
    redact: Vec<Redact>,
    /// Whether the caller sees no events of containers that agents make for themselves.
    hides_helpers: bool,
    open: SelectAll<Source<'a>>,
    /// Every source that was ever opened.
    known: HashMap<Name, Known>,
    /// No source has been opened yet.
    first: bool,
}

struct Known {
    listening: bool,
    /// `timeNano` of the last event.
    last: Option<i64>,
}

/// Answers with the events of all nodes, until the client goes or the time it
/// named is over.
///
/// # Errors
/// If no node sends its events. Once the head is out, errors end the stream.
pub(crate) async fn run(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    path: &RequestPath<'_>,
    query: &str,
) -> Result<Next, Reject> {
    let plan = EventsPlan::new(query);
    let no_source = plan.local_query(None).is_none() && plan.swarm_query(None).is_none();
    if plan.malformed() || no_source {
        // The engine's own error fits best. But it may accept filters that
        // cannot be parsed here, and then its events would not be redacted.
        context.enter(session, x, &hop::Hop::Engine)?;
        if !x.redacts().is_empty() {
            let message = "the filters of the events cannot be read";
            return Err(Reject::OutOfScope(message.to_owned()));
        }
        x.exchange.record.to = hop::Hop::Engine.label();
        return Ok(Next::Proxy(Upstream::only(hop::Hop::Engine)));
    }
    let request_head = session.req_header().clone();
    let began = i64::try_from(clock::now().as_nanos()).unwrap_or(i64::MAX);
    let (client, id) = (x.on_behalf_of().clone(), x.id().clone());
    let mut streams = Streams {
        context,
        ask: Ask::of(
            context.version_choice(x.exchange, path),
            &request_head,
            path,
            query,
            &client,
            id.as_header(),
        ),
        plan: &plan,
        began: seconds(began),
        floor: plan.since.as_deref().and_then(nanos).unwrap_or(began),
        redact: x.redacts().to_vec(),
        hides_helpers: x.permission.called.hides_helpers(),
        open: SelectAll::new(),
        known: HashMap::new(),
        first: true,
    };
    let (nodes, missing) = ask::nodes(&context.cluster, x.reachable());
    for node in &nodes {
        let translation = streams.ask.version.translation(node.engine.as_ref());
        x.exchange.answered_in.extend(translation.map(|t| t.sent));
    }
    streams.listen(nodes);

    let Some(mut head) = streams.first_head(session, x).await? else {
        return Ok(Next::Answered);
    };
    headers::strip_hop_by_hop_response(&mut head);
    head.remove_header("content-length");
    head.remove_header(crate::listen::server_headers::NODE_HEADER);
    head.remove_header(crate::listen::server_headers::API_VERSION_HEADER);
    if !missing.is_empty() {
        let missing = missing_header(&missing);
        tracing::warn!("the event stream lacks {missing} for now");
        head.insert_header(MISSING_HEADER, missing)
            .map_err(internal)?;
    }
    context.server_headers(x.exchange).apply(&mut head);
    x.record().status = Some(head.status);
    let gone = |e: Box<pingora::Error>| Reject::Client(error::explain(&e));
    let begun = session.write_response_header(Box::new(head), false).await;
    begun.map_err(gone)?;
    streams.pass_on(session, x).await.map_err(gone)?;
    Ok(Next::Answered)
}

impl<'a> Streams<'a> {
    /// Listens to these nodes, and to one manager for the Swarm.
    fn listen(&mut self, nodes: Vec<Node>) {
        self.listen_to_the_swarm(&nodes);
        for node in nodes {
            let name = Name::Node(node.tag.id.clone());
            if self.listens(&name) {
                continue;
            }
            let since = self.since(&name, 1);
            if let Some(query) = self.plan.local_query(since.as_deref()) {
                self.open(name, node, query);
            }
        }
        self.first = false;
    }

    fn listen_to_the_swarm(&mut self, nodes: &[Node]) {
        if self.listens(&Name::Swarm) {
            return;
        }
        // Every manager stamps removals with a time of its own: the overlap is
        // asked for again, and `Order` drops the events already passed on.
        let since = self.since(&Name::Swarm, -order::OVERLAP);
        let Some(query) = self.plan.swarm_query(since.as_deref()) else {
            return;
        };
        if let Some(manager) = nodes.iter().find(|n| n.tag.is_manager) {
            self.open(Name::Swarm, manager.clone(), query);
        }
    }

    fn open(&mut self, name: Name, node: Node, query: String) {
        let known = self.known.entry(name.clone()).or_insert(Known {
            listening: false,
            last: None,
        });
        known.listening = true;
        self.open
            .push(source::listen(self.context, self.ask, name, node, query));
    }

    fn listens(&self, name: &Name) -> bool {
        self.known.get(name).is_some_and(|k| k.listening)
    }

    /// The time from which to ask a source: `after` nanoseconds after its last
    /// event, but not before the client's own `since`. A source opened at the
    /// start gets the client's `since`; a later one without it, the time at
    /// which the client asked.
    fn since(&self, name: &Name, after: i64) -> Option<String> {
        match self.known.get(name).map(|k| k.last) {
            Some(Some(last)) => {
                // A node whose clock is behind sends events "before" the floor.
                let floor = self.floor.min(last);
                Some(seconds(last.saturating_add(after).max(floor)))
            }
            _ if self.first => None,
            _ => self.plan.since.clone().or_else(|| Some(self.began.clone())),
        }
    }

    /// The head of the answer, from the first engine that sends its events. If
    /// all refuse, the first refusal is passed on as it is.
    async fn first_head(
        &mut self,
        session: &mut Session,
        x: &mut Judged<'_>,
    ) -> Result<Option<pingora::http::ResponseHeader>, Reject> {
        let mut refused = None;
        let mut silent = Vec::new();
        while let Some((name, got)) = self.open.next().await {
            match got {
                SourceEvent::Head(head) => return Ok(Some(head)),
                SourceEvent::Refused(answer) => {
                    self.ended(&name);
                    refused.get_or_insert(answer);
                }
                SourceEvent::Lost(reason) => {
                    self.ended(&name);
                    silent.push(format!("{name}: {reason}"));
                }
                SourceEvent::Line(_) | SourceEvent::End => {}
            }
        }
        match refused {
            Some(answer) => {
                let mut head = answer.head;
                headers::strip_framing(&mut head);
                self.context.answer(session, x, head, answer.body).await?;
                Ok(None)
            }
            None => Err(Reject::NoNodeAnswered(silent.join(", "))),
        }
    }

    fn ended(&mut self, name: &Name) {
        if let Some(known) = self.known.get_mut(name) {
            known.listening = false;
        }
    }

    async fn pass_on(&mut self, session: &mut Session, x: &mut Judged<'_>) -> pingora::Result<()> {
        let share = x.permission.called.account.open();
        let mut order = Order::new(self.plan, Instant::now(), share);
        let mut recheck = interval(RECHECK);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let finite = self.plan.until.is_some();
        loop {
            let ready = order.take();
            if !ready.is_empty() {
                let bytes: Bytes = ready.concat().into();
                x.exchange.record.bytes += bytes.len() as u64;
                session.write_response_body(Some(bytes), false).await?;
            }
            tokio::select! {
                // No pattern here: the end of the last stream must wake us too.
                got = self.open.next(), if !self.open.is_empty() => {
                    if let Some((name, got)) = got {
                        self.take(name, got, &mut order);
                    }
                }
                () = sleep_until(order.settles()), if order.holds() => order.settle(),
                _ = recheck.tick(), if !finite => {
                    let (nodes, _) = ask::nodes(&self.context.cluster, x.reachable());
                    self.listen(nodes);
                }
                gone = session.read_body_or_idle(true) => {
                    gone?;
                    return Ok(());
                }
            }
            if finite && self.open.is_empty() {
                order.settle();
                let rest: Bytes = order.take().concat().into();
                x.exchange.record.bytes += rest.len() as u64;
                session.write_response_body(Some(rest), false).await?;
                return session.write_response_body(None, true).await;
            }
        }
    }

    fn take(&mut self, name: Name, got: SourceEvent, order: &mut Order) {
        match got {
            SourceEvent::Line(line) => {
                let Ok(event) = Event::parse(&line.bytes) else {
                    return tracing::debug!("{name} sent an invalid event");
                };
                if let Some(known) = self.known.get_mut(&name) {
                    known.last = known.last.max(Some(event.time_nano()));
                }
                match event.container_id() {
                    Some(id) if event.action() == "destroy" => self.context.known.forget(id),
                    Some(id) => self.context.known.saw(id, &line.node.tag.id),
                    None => {}
                }
                if self.hides_helpers && helper::is_in_event(&line.bytes) {
                    return;
                }
                let translation = self.ask.version.translation(line.node.engine.as_ref());
                let translated = translation.and_then(|t| t.event(&line.bytes));
                let bytes = translated.map_or(line.bytes, String::into_bytes);
                match decorate_event(&bytes, &line.node.tag) {
                    Ok(bytes) => match redacted(bytes, &self.redact) {
                        Ok(bytes) => order.put(&event, name == Name::Swarm, bytes),
                        Err(e) => tracing::warn!("dropped an event of {name}: {e}"),
                    },
                    Err(e) => tracing::debug!("dropped an event of {name}: {e}"),
                }
            }
            SourceEvent::Head(_) => {}
            SourceEvent::End => self.ended(&name),
            SourceEvent::Refused(answer) => {
                let status = answer.head.status;
                let level = match status {
                    StatusCode::NOT_FOUND => log::Level::Debug,
                    _ => log::Level::Info,
                };
                log::log!(level, "{name} refused the event stream: {status}");
                self.ended(&name);
            }
            SourceEvent::Lost(reason) => {
                tracing::info!("lost the event stream of {name}: {reason}");
                self.ended(&name);
            }
        }
    }
}

/// Removes the fields that the caller may not see.
fn redacted(line: Vec<u8>, what: &[Redact]) -> Result<Vec<u8>, RedactError> {
    // A record of `application/json-seq` begins with RS (RFC 7464 §2.2).
    let begin = line.iter().take_while(|byte| **byte == 0x1e).count();
    let (begin, event) = line.split_at(begin);
    Ok(match redact(event, what)? {
        Some(redacted) => [begin, redacted.as_bytes()].concat(),
        None => line,
    })
}

/// A time in the form of the engine's API: seconds and nanoseconds.
fn seconds(nanos: i64) -> String {
    let (whole, rest) = (
        nanos.div_euclid(1_000_000_000),
        nanos.rem_euclid(1_000_000_000),
    );
    format!("{whole}.{rest:09}")
}

/// The inverse of [`seconds`]; `None` for a form that engines refuse.
fn nanos(seconds: &str) -> Option<i64> {
    let (whole, rest) = seconds.split_once('.').unwrap_or((seconds, ""));
    let whole: i64 = whole.parse().ok()?;
    let rest: i64 = format!("{rest:0<9.9}").parse().ok()?;
    whole.checked_mul(1_000_000_000)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_seconds_with_all_its_nanoseconds() {
        assert_eq!(seconds(1_700_000_000_000_000_001), "1700000000.000000001");
        assert_eq!(seconds(5), "0.000000005");
    }

    #[test]
    fn a_time_is_read_as_it_is_written() {
        for time in [0, 5, 1_700_000_000_000_000_001] {
            assert_eq!(nanos(&seconds(time)), Some(time));
        }
        assert_eq!(nanos("7"), Some(7_000_000_000));
        assert_eq!(nanos("7.5"), Some(7_500_000_000));
        for none in ["", "1m", "2024-01-01", "1.x", "99999999999"] {
            assert_eq!(nanos(none), None, "{none}");
        }
    }
}
