//! The list of containers of all nodes, merged while it arrives.
//!
//! What fits in [`WINDOW`] is gathered first, so the head names each missing node. A
//! longer list begins when every node has sent its first rows; then nodes send more only
//! as fast as the client reads. If one fails there, the answer breaks off: rows are never
//! missing without a word.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde::Deserialize;
use skep_filters::aggregate::{
    Bound, ContainerMerger, ContainerPlan, ContainerQuery, ListedContainer, NodeTag, Owns, Progress,
};
use skep_filters::auth::OnBehalfOf;
use skep_filters::endpoint::{ApiVersion, EndpointId};
use skep_filters::policy::helper;

use super::{
    INSPECT, LONG, Listing, Queries, empty_list_head, head_of, is_of_running_tasks, refusal,
    refused_by_all, send,
};
use crate::cluster::ask::pieces::{Begun, Piece, Rest, Sizes, begin, more};
use crate::cluster::ask::{
    Ask, Missing, Node, Timeout, ask_node, missing_header, nodes, with_tasks,
};
use crate::cluster::hop::Hop;
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::{Reject, internal};
use crate::exchange::version::{other_versions, translated_query};
use crate::listen::memory::Share;
use crate::upstream::client::{Answer, Budget};
use crate::upstream::error;

/// The rows that are held, in bytes. Each node may have one that is longer.
const WINDOW: usize = 8 << 20;

/// The length of a piece that is read from a node, or written to the client.
const PIECE: usize = 64 << 10;

/// The shortest piece: a few rows.
const SHORTEST: usize = 4 << 10;

/// The lists of the nodes, and what is known of the merged one.
struct Gathering<'a> {
    context: &'a Context,
    nodes: &'a [Node],
    ask: &'a Ask<'a>,
    sizes: Sizes,
    merger: ContainerMerger,
    /// What goes on now.
    steps: FuturesUnordered<BoxFuture<'a, (usize, Result<Step, String>)>>,
    /// The nodes that have sent enough for now.
    parked: Vec<Option<Rest>>,
    /// The nodes that are in the list.
    present: BTreeSet<usize>,
    /// Those that sent no list.
    unusable: usize,
    missing: Vec<Missing>,
    refusals: Vec<(NodeTag, Answer)>,
    /// That of the local engine, or of another node.
    head: Option<ResponseHeader>,
    versions: BTreeSet<ApiVersion>,
    /// Whether the client has the head.
    has_begun: bool,
    paid: Share,
    charged: usize,
}

enum Step {
    Begun(Box<Begun>),
    Piece(Piece),
}

/// Answers with the containers of all nodes.
///
/// # Errors
/// If no node gave a usable list, if one is missing and `aggregate.partial` is `refuse`,
/// or if one fails when the answer has begun.
pub(super) async fn answer(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    plan: ContainerPlan,
    ask: &Ask<'_>,
) -> Result<Next, Reject> {
    let (mut nodes, mut missing) = nodes(&context.cluster, x.reachable());
    if is_of_running_tasks(ask.query) {
        with_tasks(&context.cluster, &mut missing);
    }
    let (query, queries) = query(context, &nodes, plan, ask).await;
    // Of two rows of the same second, that of the first node comes first.
    nodes.sort_by(|a, b| a.tag.cmp(&b.tag));
    let id = x.endpoint.map(|endpoint| endpoint.id);
    let mut all = Gathering::of(context, &nodes, ask, query, x);
    all.missing = missing;
    for (at, node) in nodes.iter().enumerate() {
        all.begin(at, node, &queries, id);
    }
    loop {
        all.settle().await?;
        if !all.resume() {
            break;
        }
    }
    let mut listing = match all.listing()? {
        ControlFlow::Continue(listing) => listing,
        ControlFlow::Break(refusal) => return send(context, session, x, refusal, false).await,
    };
    if all.is_complete() && all.merger.held() <= LONG {
        let mut body = Vec::with_capacity(all.merger.held() + 3);
        let hides = x.hides_helpers();
        let keep = |row: &[u8]| !hides || !helper::is_row(row);
        all.merger.take(&mut body, usize::MAX, keep);
        listing.body = body.into();
        return send(context, session, x, listing, false).await;
    }
    let mut head = head_of(context, x, &mut listing, false)?;
    head.remove_header(&CONTENT_LENGTH);
    head.insert_header(TRANSFER_ENCODING, "chunked")
        .map_err(internal)?;
    context.stamp(x.exchange, &mut head);
    x.record().status = Some(head.status);
    let gone = |e: Box<pingora::Error>| Reject::Client(error::explain(&e));
    let begun = session.write_response_header(Box::new(head), false).await;
    begun.map_err(gone)?;
    all.has_begun = true;
    all.pass_on(session, x).await
}

impl<'a> Gathering<'a> {
    fn of(
        context: &'a Context,
        nodes: &'a [Node],
        ask: &'a Ask<'a>,
        query: ContainerQuery,
        x: &Judged<'_>,
    ) -> Self {
        let label = context.config.aggregate.node_label.as_deref();
        let tags = nodes.iter().map(|node| node.tag.clone()).collect();
        Self {
            context,
            nodes,
            ask,
            sizes: Sizes {
                piece: (WINDOW / nodes.len().max(1)).clamp(SHORTEST, PIECE),
                most: context.config.aggregate.max_bytes,
            },
            merger: ContainerMerger::new(query, label, tags),
            steps: FuturesUnordered::new(),
            parked: nodes.iter().map(|_| None).collect(),
            present: BTreeSet::new(),
            unusable: 0,
            missing: Vec::new(),
            refusals: Vec::new(),
            head: None,
            versions: BTreeSet::new(),
            has_begun: false,
            paid: x.permission.called.account.open(),
            charged: 0,
        }
    }

    /// Asks a node.
    fn begin(&mut self, at: usize, node: &'a Node, queries: &Queries, id: Option<EndpointId>) {
        let (context, ask, sizes) = (self.context, self.ask, self.sizes);
        let query = queries.for_node(&node.tag.id).to_owned();
        self.steps.push(Box::pin(async move {
            let translation = ask.version.translation(node.engine.as_ref());
            let query = match translation.map(|t| translated_query(t, id, &query)) {
                None => Cow::Borrowed(query.as_str()),
                Some(Ok(query)) => query,
                Some(Err(e)) => return (at, Err(e.to_string())),
            };
            let begun = begin(&context.cluster, node, ask, &query, sizes).await;
            (at, begun.map(|begun| Step::Begun(Box::new(begun))))
        }));
    }

    /// Reads on from a node.
    fn read(&mut self, at: usize, rest: Rest) {
        let (context, ask, sizes) = (self.context, self.ask, self.sizes);
        let Some(node) = self.nodes.get(at) else {
            return;
        };
        self.steps.push(Box::pin(async move {
            let piece = more(&context.cluster, node, ask.patience, rest, sizes).await;
            (at, piece.map(Step::Piece))
        }));
    }

    /// Does everything that goes on, until all nodes have sent enough.
    async fn settle(&mut self) -> Result<(), Reject> {
        while let Some((at, step)) = self.steps.next().await {
            match step.and_then(|step| self.take(at, step)) {
                Ok(Some(rest)) if self.wants(at) => self.read(at, rest),
                Ok(Some(rest)) => {
                    if let Some(parked) = self.parked.get_mut(at) {
                        *parked = Some(rest);
                    }
                }
                Ok(None) => {}
                Err(reason) => self.lose(at, reason)?,
            }
            let more = self.merger.held().saturating_sub(self.charged);
            self.paid.grow(more)?;
            self.charged += more;
        }
        Ok(())
    }

    /// Lets nodes send more, if there is room or the list needs it; false if none does.
    fn resume(&mut self) -> bool {
        for at in 0..self.nodes.len() {
            if self.wants(at)
                && let Some(rest) = self.parked.get_mut(at).and_then(Option::take)
            {
                // It has waited for the client.
                let rest = if self.has_begun { rest.afresh() } else { rest };
                self.read(at, rest);
            }
        }
        !self.steps.is_empty()
    }

    fn wants(&self, at: usize) -> bool {
        let expected = self.steps.len() * self.sizes.piece;
        self.merger.held() + expected < WINDOW || self.merger.awaits(at)
    }

    /// Takes what a node has sent; returns what it has not sent.
    ///
    /// # Errors
    /// The reason why its list cannot be used.
    fn take(&mut self, at: usize, step: Step) -> Result<Option<Rest>, String> {
        let Some(node) = self.nodes.get(at) else {
            return Ok(None);
        };
        let begun = match step {
            Step::Piece(piece) => return self.feed(at, piece),
            Step::Begun(begun) => *begun,
        };
        match begun {
            Begun::Refusal(answer) => {
                self.merger.fail(at);
                self.refusals.push((node.tag.clone(), answer));
                Ok(None)
            }
            Begun::List(mut head, piece) => {
                let versions = other_versions(node, self.ask.version, &mut head);
                self.versions.extend(versions);
                if self.head.is_none() || matches!(node.hop, Hop::Engine) {
                    self.head = Some(head);
                }
                self.present.insert(at);
                self.feed(at, piece)
            }
        }
    }

    /// Gives the rows of a node to the merger; returns what it has not sent.
    fn feed(&mut self, at: usize, piece: Piece) -> Result<Option<Rest>, String> {
        let Some(node) = self.nodes.get(at) else {
            return Ok(None);
        };
        let known = &self.context.known;
        // A client that lists containers usually asks about one of them next.
        let saw = |one: &ListedContainer| match one.name() {
            Some(name) => known.saw_named(&one.id, name, &node.tag.id),
            None => known.saw(&one.id, &node.tag.id),
        };
        let fed = self.merger.feed(at, &piece.bytes, saw);
        let is_whole = piece.rest.is_none();
        let fed = fed.and_then(|()| {
            if is_whole {
                self.merger.finish(at)
            } else {
                Ok(())
            }
        });
        if let Err(error) = fed {
            self.unusable += 1;
            return Err(error.to_string());
        }
        Ok(piece.rest)
    }

    /// A node is missing.
    ///
    /// # Errors
    /// If the answer has begun.
    fn lose(&mut self, at: usize, reason: String) -> Result<(), Reject> {
        self.merger.fail(at);
        self.present.remove(&at);
        let Some(node) = self.nodes.get(at).map(|node| node.tag.clone()) else {
            return Ok(());
        };
        if self.has_begun {
            let reason = format!("{reason}; the list is not complete without it");
            let node = match node.hostname.is_empty() {
                true => node.id,
                false => node.hostname,
            };
            return Err(Reject::Node { node, reason });
        }
        self.missing.push(Missing { node, reason });
        Ok(())
    }

    /// Whether all nodes have sent everything.
    fn is_complete(&self) -> bool {
        self.parked.iter().all(Option::is_none)
    }

    /// The answer without its rows, or another one if no node has sent a list.
    fn listing(&mut self) -> Result<ControlFlow<Listing, Listing>, Reject> {
        let mut missing = std::mem::take(&mut self.missing);
        let refusals = std::mem::take(&mut self.refusals);
        if self.nodes.is_empty() && missing.is_empty() {
            // The list is filtered by a node that does not exist.
            self.head = Some(empty_list_head().map_err(internal)?);
        }
        if self.present.is_empty() && self.unusable == 0 && !self.nodes.is_empty() {
            self.head = None;
        }
        let Some(head) = self.head.take() else {
            return refused_by_all(refusals, missing).map(ControlFlow::Break);
        };
        missing.extend(refusals.into_iter().map(|(node, answer)| Missing {
            reason: refusal(&answer),
            node,
        }));
        missing.sort_by(|a, b| a.node.id.cmp(&b.node.id));
        if self.present.is_empty() && self.unusable > 0 {
            return Err(Reject::NoNodeAnswered(missing_header(&missing)));
        }
        let present = self.present.iter().filter_map(|at| self.nodes.get(*at));
        Ok(ControlFlow::Continue(Listing {
            head,
            body: Bytes::new(),
            missing,
            answered: present.map(|node| node.tag.id.clone()).collect(),
            containers: Vec::new(),
            versions: std::mem::take(&mut self.versions),
        }))
    }

    /// Passes the rows on, and reads more.
    async fn pass_on(&mut self, session: &mut Session, x: &mut Judged<'_>) -> Result<Next, Reject> {
        let gone = |e: Box<pingora::Error>| Reject::Client(error::explain(&e));
        let hides = x.hides_helpers();
        loop {
            let mut rows = Vec::with_capacity(PIECE + PIECE / 8);
            let keep = |row: &[u8]| !hides || !helper::is_row(row);
            let progress = self.merger.take(&mut rows, PIECE, keep);
            x.exchange.record.bytes += rows.len() as u64;
            let is_last = progress == Progress::Complete;
            if !rows.is_empty() {
                let written = session.write_response_body(Some(rows.into()), is_last);
                written.await.map_err(gone)?;
            }
            if is_last {
                return Ok(Next::Answered);
            }
            if self.resume() {
                self.settle().await?;
            }
        }
    }
}

/// What the merge does, and the queries of the nodes. `before` and `since` name a
/// container of one node; the engines of other nodes would fail the whole list.
pub(super) async fn query(
    context: &Context,
    nodes: &[Node],
    plan: ContainerPlan,
    ask: &Ask<'_>,
) -> (ContainerQuery, Queries) {
    if !plan.has_reference() {
        return (plan.resolved(None, None), Queries::same(ask.query));
    }
    let before = owner(context, nodes, plan.before.as_deref(), ask).await;
    let since = owner(context, nodes, plan.since.as_deref(), ask).await;
    // No node has a container of this name: the engines refuse the list.
    let not_found =
        plan.before.is_some() && before.is_none() || plan.since.is_some() && since.is_none();
    if not_found {
        return (plan.resolved(None, None), Queries::same(ask.query));
    }
    let is = |found: &Option<(String, Bound)>, id: &str| found.as_ref().is_some_and(|f| f.0 == id);
    let queries = nodes.iter().map(|node| {
        let id = &node.tag.id;
        let owns = Owns {
            before: is(&before, id),
            since: is(&since, id),
        };
        (id.clone(), plan.query_for(owns))
    });
    let queries = Queries {
        common: String::new(),
        by_node: queries.collect(),
    };
    let query = plan.resolved(before.map(|f| f.1), since.map(|f| f.1));
    (query, queries)
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "Created")]
    created: String,
}

/// The node that has a container, and its place in the merged list.
async fn owner(
    context: &Context,
    nodes: &[Node],
    name: Option<&str>,
    ask: &Ask<'_>,
) -> Option<(String, Bound)> {
    let name = name?.trim_start_matches('/');
    let clean = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if name.is_empty() || !name.bytes().all(clean) {
        return None;
    }
    let path = format!("/containers/{name}/json");
    let inspect = Ask {
        path: &path,
        query: "",
        patience: Timeout::Deadline,
        // The caller's policy may not allow this inspect.
        on_behalf_of: &OnBehalfOf::Agent,
        ..*ask
    };
    let inspect = &inspect;
    let found = join_all(nodes.iter().map(|node| async move {
        let answer = ask_node(&context.cluster, node, inspect, "", &Budget::one(INSPECT))
            .await
            .ok()?;
        let inspect: Created = serde_json::from_slice(&answer.body).ok()?;
        let bound = Bound::new(&inspect.created, node.tag.id.as_str()).ok()?;
        Some((node.tag.id.clone(), bound))
    }));
    found.await.into_iter().flatten().next()
}
