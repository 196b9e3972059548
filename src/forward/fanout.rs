//! Asks every node at once, waits for each until its deadline, merges the answers
//! and names the missing nodes.
//!
//! `skep_filters::aggregate` has the merge rules, and `cluster` the nodes.
//! `events.rs` and `broadcast.rs` merge streams, and [`containers`] lists of any length.

mod containers;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde::Deserialize;
use skep_filters::aggregate::{
    ContainerPlan, ImageBound, ImagePlan, ImageQuery, MergeRule, Merged, NodeAnswer, NodeTag,
    VolumeFilter, listed_containers, merge_labelled,
};
use skep_filters::endpoint::filters::Filters;
use skep_filters::endpoint::query::{flag, get, truthy};
use skep_filters::endpoint::{ApiVersion, RequestPath};

use crate::cluster::ask::MISSING_HEADER;
use crate::cluster::ask::{
    Ask, Missing, Node, Timeout, ask_node, missing_header, nodes, with_tasks,
};
use crate::cluster::hop::Hop;
use crate::config::Partial;
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::exchange::version::{other_versions, translated_query};
use crate::forward::image;
use crate::listen::memory::Exhausted;
use crate::listen::server_headers::NODE_HEADER;
use crate::upstream::client::{Answer, Budget};
use crate::upstream::headers;

/// An answer that is merged from those of all nodes.
#[derive(Debug)]
pub(crate) enum List {
    /// `GET /containers/json`.
    Containers(ContainerPlan),
    /// `GET /images/json`.
    Images(ImagePlan),
    /// `GET /images/json` with a row for each node that has an image.
    ImagesApart(ImagePlan),
    /// `GET /volumes`.
    Volumes(VolumeFilter),
    /// `GET /networks`.
    Networks,
    /// `GET /networks/{id}` of a network of the Swarm, by its full id.
    Network(String),
    /// `GET /system/df`.
    DataUsage,
    /// `GET /info` with the sums of all nodes.
    InfoTotals,
    /// A `prune` of any kind.
    Prune,
}

/// The bound for all answers together, as a multiple of the bound for each.
const ALL: usize = 4;

/// The length from which a client takes a while to read an answer, in bytes.
const LONG: usize = 1 << 20;

/// Bounds the inspect of a container that `before` or `since` names, in bytes.
const INSPECT: usize = 8 << 20;

/// A merged answer.
#[derive(Debug)]
struct Listing {
    /// The head of the local engine's answer, or of another node's.
    head: ResponseHeader,
    /// The merged body.
    body: Bytes,
    /// The nodes that are not in it, and why.
    missing: Vec<Missing>,
    /// The ids of the nodes that are in it.
    answered: Vec<String>,
    /// The lists of containers by node id, to remember the nodes of the containers.
    containers: Vec<(String, Bytes)>,
    /// The API versions, other than that of the request, in which nodes answered.
    versions: BTreeSet<ApiVersion>,
}

/// Answers with the merged answers of all nodes.
///
/// # Errors
/// If no node gave a usable answer, or if one is missing and `aggregate.partial` is
/// `refuse`.
pub(crate) async fn answer(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    list: List,
    path: &RequestPath<'_>,
    query: &str,
) -> Result<Next, Reject> {
    x.exchange.record.to = "everyone".into();
    let network = match &list {
        List::Network(id) => Some(format!("/networks/{id}")),
        _ => None,
    };
    let head = session.req_header().clone();
    let (party, id) = (x.on_behalf_of().clone(), x.id().as_header().clone());
    let version = context.version_choice(x.exchange, path);
    let mut ask = Ask::of(version, &head, path, query, &party, &id);
    if walks_over_disks(&list, query) {
        ask.patience = Timeout::UntilLost;
    }
    if let Some(network) = &network {
        ask.path = network;
    }
    let list = match list {
        // Secrets of one row are searched for in all others.
        List::Containers(plan) if x.redacts().is_empty() => {
            return containers::answer(context, session, x, plan, &ask).await;
        }
        list => list,
    };
    let is_prune = matches!(list, List::Prune);
    let each = context.config.aggregate.max_bytes;
    let budget = Budget::shared(each, each.saturating_mul(ALL));
    // Held until the client has read the merged answer.
    let budget = budget.paid_by(&x.permission.called.account);
    let listing = run(context, list, &ask, x, &budget).await?;
    send(context, session, x, listing, is_prune).await
}

/// Sends a merged answer.
async fn send(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    mut listing: Listing,
    is_prune: bool,
) -> Result<Next, Reject> {
    let head = head_of(context, x, &mut listing, is_prune)?;
    // A client that lists containers usually asks about one of them next.
    let remember = |containers: Vec<(String, Bytes)>| {
        for (node, list) in containers {
            for one in listed_containers(&list) {
                match one.name() {
                    Some(name) => context.known.saw_named(&one.id, name, &node),
                    None => context.known.saw(&one.id, &node),
                }
            }
        }
    };
    if listing.body.len() > LONG {
        // Frees the nodes' answers before the client reads the merged one.
        remember(std::mem::take(&mut listing.containers));
    }
    let next = context.answer(session, x, head, listing.body).await;
    remember(listing.containers);
    next
}

/// The head of a merged answer, with the missing nodes, which are logged.
///
/// # Errors
/// If some are missing, and `aggregate.partial` is `refuse`.
fn head_of(
    context: &Context,
    x: &mut Judged<'_>,
    listing: &mut Listing,
    is_prune: bool,
) -> Result<ResponseHeader, Reject> {
    notice(context, x.exchange.path(), listing);
    let mut head = listing.head.clone();
    x.exchange.answered_in.append(&mut listing.versions);
    headers::strip_framing(&mut head);
    head.remove_header(NODE_HEADER);
    if !listing.missing.is_empty() {
        let missing = missing_header(&listing.missing);
        if context.config.aggregate.partial == Partial::Refuse && !is_prune {
            return Err(Reject::Partial(missing));
        }
        head.insert_header(MISSING_HEADER, missing)
            .map_err(internal)?;
    }
    Ok(head)
}

/// Logs a node that answers begin to be without, and one that is in them again.
fn notice(context: &Context, path: &str, listing: &Listing) {
    for missing in &listing.missing {
        if context.missing.holds(&missing.node.id) {
            tracing::warn!(
                node = missing.node.id.as_str(),
                "{path} is without {}; so are other answers until a line says otherwise",
                missing_header(std::slice::from_ref(missing))
            );
        }
    }
    for node in &listing.answered {
        if let Some(ended) = context.missing.ends(node) {
            tracing::info!(
                node = node.as_str(),
                "answers have node {node} again; {} were without it in {} s",
                ended.times,
                ended.lasted.as_secs()
            );
        }
    }
}

/// Whether the engines take as long as their disks need. They count sizes only on
/// request.
fn walks_over_disks(list: &List, query: &str) -> bool {
    match list {
        List::DataUsage | List::Prune => true,
        List::Containers(_) => flag(query, "size"),
        List::Images(_) | List::ImagesApart(_) => flag(query, "shared-size"),
        List::Volumes(_) | List::Networks | List::Network(_) | List::InfoTotals => false,
    }
}

/// Whether a list of containers asks for running tasks of the Swarm only.
fn is_of_running_tasks(query: &str) -> bool {
    let shows_others = ["limit", "since", "before"];
    if flag(query, "all") || shows_others.iter().any(|name| get(query, name).is_some()) {
        return false;
    }
    let Ok(filters) = Filters::from_query(query) else {
        return false;
    };
    let is_running = |status: &str| status == "running";
    let shows_others = ["status", "exited", "since", "before"]
        .iter()
        .flat_map(|name| filters.values(name).map(move |value| (*name, value)))
        .any(|(name, value)| name != "status" || !is_running(value));
    // Swarm gives its labels to the containers of tasks only.
    let of_tasks = filters.values("label").any(|label| {
        label.starts_with("com.docker.swarm.task") || label.starts_with("com.docker.swarm.service.")
    });
    let is_task = || filters.values("is-task").any(truthy);
    !shows_others && (of_tasks || is_task())
}

/// Asks every node and merges.
///
/// # Errors
/// If no node gave a usable answer. If every engine that answered refused, the
/// first refusal is the answer.
async fn run(
    context: &Context,
    list: List,
    ask: &Ask<'_>,
    x: &Judged<'_>,
    budget: &Budget,
) -> Result<Listing, Reject> {
    let (nodes, mut missing) = nodes(&context.cluster, x.reachable());
    let id = x.endpoint.map(|endpoint| endpoint.id);
    if matches!(list, List::Containers(_)) && is_of_running_tasks(ask.query) {
        with_tasks(&context.cluster, &mut missing);
    }
    let whole = context.config.aggregate.partial == Partial::Refuse;
    if whole && matches!(list, List::Prune) && !missing.is_empty() {
        // Refused now: a prune cannot be undone.
        return Err(Reject::Partial(missing_header(&missing)));
    }
    let (rule, queries) = match list {
        List::Containers(plan) => {
            let (query, queries) = containers::query(context, &nodes, plan, ask).await;
            (MergeRule::Containers(query), queries)
        }
        List::Images(plan) if plan.has_reference() => {
            images(context, &nodes, &plan, false, ask).await
        }
        List::ImagesApart(plan) if plan.has_reference() => {
            images(context, &nodes, &plan, true, ask).await
        }
        List::Images(_) => (MergeRule::Images, Queries::same(ask.query)),
        List::ImagesApart(_) => (MergeRule::ImagesApart, Queries::same(ask.query)),
        List::Volumes(filter) => (MergeRule::Volumes(filter), Queries::same(ask.query)),
        List::Networks => (MergeRule::Networks, Queries::same(ask.query)),
        List::Network(_) => (MergeRule::NetworkInspect, Queries::same(ask.query)),
        List::DataUsage => (MergeRule::DataUsage, Queries::same(ask.query)),
        List::Prune => (MergeRule::Prune, Queries::same(ask.query)),
        List::InfoTotals => {
            // Clients read from it whether they talk to a manager: so this node
            // answers if it is one, otherwise the first that answers.
            let me = context.cluster.me();
            let speaker = me.can_manage().then(|| me.node_id.clone());
            let speaker = speaker.unwrap_or_default();
            (MergeRule::InfoTotals { speaker }, Queries::same(ask.query))
        }
    };
    // A node without a container in the network does not know the network.
    let may_lack = rule == MergeRule::NetworkInspect;
    let mut answers = Vec::with_capacity(nodes.len());
    let mut head = None;
    let mut versions = BTreeSet::new();
    let mut refusals: Vec<(NodeTag, Answer)> = Vec::new();
    let mut asked: FuturesUnordered<_> = nodes
        .iter()
        .map(|node| {
            let query = queries.for_node(&node.tag.id);
            async move {
                let translation = ask.version.translation(node.engine.as_ref());
                let query = match translation.map(|t| translated_query(t, id, query)) {
                    None => Cow::Borrowed(query),
                    Some(Ok(query)) => query,
                    Some(Err(e)) => return (node, Err(e.to_string())),
                };
                (
                    node,
                    ask_node(&context.cluster, node, ask, &query, budget).await,
                )
            }
        })
        .collect();
    while let Some((node, answer)) = asked.next().await {
        match answer {
            Ok(mut answer) if answer.head.status == StatusCode::OK => {
                versions.extend(other_versions(node, ask.version, &mut answer.head));
                if head.is_none() || matches!(node.hop, Hop::Engine) {
                    head = Some(answer.head);
                }
                let translation = ask.version.translation(node.engine.as_ref());
                let mapped = translation.zip(id);
                let mapped = mapped.and_then(|(t, id)| t.answer(id, ask.query, &answer.body));
                answers.push(NodeAnswer {
                    node: node.tag.clone(),
                    body: mapped.map_or(answer.body, Bytes::from),
                });
            }
            Ok(answer) => refusals.push((node.tag.clone(), answer)),
            Err(reason) => missing.push(Missing {
                node: node.tag.clone(),
                reason,
            }),
        }
    }
    drop(asked);
    if budget.is_exhausted() {
        return Err(Exhausted::All.into());
    }
    if nodes.is_empty() && missing.is_empty() {
        // The list is filtered by a node that does not exist.
        head = Some(empty_list_head().map_err(internal)?);
    }
    let Some(head) = head else {
        return refused_by_all(refusals, missing);
    };
    refusals.retain(|(_, a)| !(may_lack && a.head.status == StatusCode::NOT_FOUND));
    missing.extend(refusals.into_iter().map(|(node, answer)| Missing {
        reason: refusal(&answer),
        node,
    }));
    let containers = match &rule {
        MergeRule::Containers(_) => answers
            .iter()
            .map(|a: &NodeAnswer| (a.node.id.clone(), a.body.clone()))
            .collect(),
        _ => Vec::new(),
    };
    let usable = answers.len();
    let answered = answers.iter().map(|a| a.node.id.clone()).collect();
    let label = context.config.aggregate.node_label.as_deref();
    let Merged { body, unusable } = merge_labelled(&rule, label, answers);
    let none_usable = usable > 0 && unusable.len() == usable;
    missing.extend(unusable.into_iter().map(|(node, e)| Missing {
        node,
        reason: e.to_string(),
    }));
    missing.sort_by(|a, b| a.node.id.cmp(&b.node.id));
    if none_usable {
        return Err(Reject::NoNodeAnswered(missing_header(&missing)));
    }
    Ok(Listing {
        head,
        body: body.into(),
        missing,
        answered,
        containers,
        versions,
    })
}

fn empty_list_head() -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(8))?;
    head.insert_header(CONTENT_TYPE, "application/json")?;
    Ok(head)
}

/// The message of an engine's refusal, in one line.
pub(crate) fn refusal(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct EngineMessage {
        message: String,
    }
    let status = answer.head.status.as_u16();
    match serde_json::from_slice::<EngineMessage>(&answer.body) {
        Ok(refusal) => format!("its engine answered {status}: {}", refusal.message.trim()),
        Err(_) => format!("its engine answered {status}"),
    }
}

/// The answer if no node succeeded: the first engine's refusal, if there is one.
fn refused_by_all(
    mut refusals: Vec<(NodeTag, Answer)>,
    missing: Vec<Missing>,
) -> Result<Listing, Reject> {
    refusals.sort_by(|a, b| (a.1.head.status, &a.0.id).cmp(&(b.1.head.status, &b.0.id)));
    match refusals.into_iter().next() {
        Some((_, answer)) => Ok(Listing {
            head: answer.head,
            body: answer.body,
            missing,
            answered: Vec::new(),
            containers: Vec::new(),
            versions: BTreeSet::new(),
        }),
        None => Err(Reject::NoNodeAnswered(missing_header(&missing))),
    }
}

/// The query for each node; most lists use the same for all.
struct Queries {
    common: String,
    by_node: BTreeMap<String, String>,
}

impl Queries {
    fn same(query: &str) -> Self {
        Self {
            common: query.to_owned(),
            by_node: BTreeMap::new(),
        }
    }

    fn for_node(&self, id: &str) -> &str {
        self.by_node.get(id).unwrap_or(&self.common)
    }
}

/// The merge rule and queries of a list of images with `before` or `since`. The
/// engines of nodes without the named image would fail the whole list.
async fn images(
    context: &Context,
    nodes: &[Node],
    plan: &ImagePlan,
    apart: bool,
    ask: &Ask<'_>,
) -> (MergeRule, Queries) {
    let query = ImageQuery {
        before: image_bound(context, nodes, plan.before.as_deref(), ask).await,
        since: image_bound(context, nodes, plan.since.as_deref(), ask).await,
    };
    let queries = nodes.iter().map(|node| {
        let id = &node.tag.id;
        (id.clone(), plan.query_for(id, &query))
    });
    let queries = Queries {
        common: ask.query.to_owned(),
        by_node: queries.collect(),
    };
    (MergeRule::ImagesBetween { query, apart }, queries)
}

/// When the named image was created, and the nodes that have it; `None` if no node
/// does, and the engines refuse the list. If nodes have different images of this
/// name, the first node's is meant.
async fn image_bound(
    context: &Context,
    nodes: &[Node],
    name: Option<&str>,
    ask: &Ask<'_>,
) -> Option<ImageBound> {
    let name = name.filter(|name| !name.is_empty())?;
    let images = image::of_name(context, nodes, name, ask).await;
    let (_, first) = images.first()?;
    let same = images.iter().filter(|(_, image)| image.id == first.id);
    let owners = same.map(|(node, _)| node.tag.id.clone()).collect();
    ImageBound::new(&first.created, owners).ok()
}
