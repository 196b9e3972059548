//! Copies an image that some node has to other nodes, because a caller asks for it:
//! for services whose image is in no registry. Each target's agent copies it to its
//! own engine; the entry agent asks them and reports the outcomes.

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use http::StatusCode;
use pingora::proxy::Session;
use skep_filters::aggregate::outcome_line;
use skep_filters::endpoint::{Match, query};
use tokio::sync::mpsc;

use crate::cluster::ask::{Missing, Node, nodes};
use crate::cluster::hop::Hop;
use crate::cluster::reachable::Reachable;
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::{Reason, Reject, internal};
use crate::forward::broadcast::{Merged, Outcome, Worker};
use crate::forward::copy::{Copied, Copier, Purpose, is_copied_by};
use crate::forward::image::Image;
use crate::upstream::error;
use crate::upstream::request;

/// The parts of the request, from its path and its query.
struct Wanted {
    name: String,
    /// The node whose image is meant, by id or hostname.
    from: Option<String>,
    /// The nodes that get it, by id or hostname; all if there are none.
    nodes: Vec<String>,
    /// The id that the entry agent has found; only agents send it.
    id: Option<String>,
}

impl Wanted {
    fn of(found: &Match, raw_query: &str) -> Result<Self, Reject> {
        let name = found.object.clone().unwrap_or_default();
        if !is_copied_by(&name) {
            let message = format!(
                "{name:?} is not an image that can be copied: use a name and tag, or an id"
            );
            return Err(bad(StatusCode::BAD_REQUEST, message));
        }
        let one = |name| query::get(raw_query, name).map(std::borrow::Cow::into_owned);
        let nodes = query::all(raw_query, "nodes");
        let nodes = nodes.flat_map(|value| {
            let names = value.split(',').map(|name| name.trim().to_owned());
            names.collect::<Vec<_>>()
        });
        Ok(Self {
            name,
            from: one("from").filter(|from| !from.is_empty()),
            nodes: nodes.filter(|node| !node.is_empty()).collect(),
            id: one("id"),
        })
    }
}

fn bad(status: StatusCode, message: String) -> Reject {
    Reject::refused(status, Reason::ImageNotCopied, message)
}

/// Spreads the image; for another agent, copies it to this node.
///
/// # Errors
/// If no node has the image, several have different ones, or a node is unknown.
pub(crate) async fn answer(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    found: &Match,
) -> Result<Next, Reject> {
    let raw_query = session.req_header().uri.query().unwrap_or_default();
    let wanted = Wanted::of(found, raw_query)?;
    if x.is_from_peer() {
        let done = copy_here(context, x, &wanted).await?;
        let body = outcome_line(context.cluster.me().name(), Ok(done));
        return context.answer_json(session, x, body.into()).await;
    }
    let (all, missing) = nodes(&context.cluster, x.reachable());
    let (source, image) = source(context, x, &all, &wanted).await?;
    let (targets, missing) = targets(all, missing, &wanted.nodes)?;
    spread(
        context,
        session,
        x,
        Plan {
            wanted,
            source,
            image,
            targets,
            missing,
        },
    )
    .await
}

/// Copies the image with the id that the entry agent has found from a node that has it.
async fn copy_here(
    context: &Context,
    x: &Judged<'_>,
    wanted: &Wanted,
) -> Result<&'static str, Reject> {
    let id = wanted.id.as_deref().unwrap_or_default();
    let (mut others, _) = nodes(&context.cluster, &Reachable::All);
    others.retain(|node| matches!(node.hop, Hop::Agent(_)));
    copy_from(context, x, &others, &wanted.name, id).await
}

async fn copy_from(
    context: &Context,
    x: &Judged<'_>,
    others: &[Node],
    name: &str,
    id: &str,
) -> Result<&'static str, Reject> {
    let copier = Copier {
        context,
        on_behalf_of: x.on_behalf_of(),
        request_id: x.id().as_header(),
        purpose: Purpose::Spread,
    };
    let images = copier.images(others, name).await?;
    let Some((node, image)) = images.iter().find(|(_, image)| image.id == id) else {
        let message = format!("No such image: {name} (no other node has {id} now)");
        return Err(bad(StatusCode::NOT_FOUND, message));
    };
    match copier.copy(name, node, image).await {
        Ok(Copied::Now) => Ok("copied"),
        Ok(Copied::Before) => Ok("was there"),
        Err(error) => Err(bad(StatusCode::CONFLICT, error.to_string())),
    }
}

/// The node whose image is spread, and the image.
async fn source(
    context: &Context,
    x: &Judged<'_>,
    all: &[Node],
    wanted: &Wanted,
) -> Result<(Node, Image), Reject> {
    let copier = Copier {
        context,
        on_behalf_of: x.on_behalf_of(),
        request_id: x.id().as_header(),
        purpose: Purpose::Spread,
    };
    let mut images = copier.images(all, &wanted.name).await?;
    if let Some(from) = &wanted.from {
        images.retain(|(node, _)| is_named(node, from));
    }
    let name = &wanted.name;
    let Some((node, image)) = images.first() else {
        return Err(Reject::NoSuch(match &wanted.from {
            Some(from) => format!("No such image: {name} on node {from}"),
            None => format!("No such image: {name}"),
        }));
    };
    if images.iter().any(|(_, other)| !other.is_same(image)) {
        let where_ = images.iter();
        let where_ = where_.map(|(node, image)| format!("{} has {}", node.tag.hostname, image.id));
        let where_ = where_.collect::<Vec<_>>().join(", ");
        let message = format!(
            "nodes have different images of the name {name}: {where_}; choose one with `from`"
        );
        return Err(bad(StatusCode::CONFLICT, message));
    }
    Ok(((*node).clone(), image.clone()))
}

fn is_named(node: &Node, name: &str) -> bool {
    node.tag.id == name || node.tag.hostname == name
}

/// The nodes that get the image, and those of them that do not answer.
fn targets(
    all: Vec<Node>,
    missing: Vec<Missing>,
    named: &[String],
) -> Result<(Vec<Node>, Vec<Missing>), Reject> {
    if named.is_empty() {
        return Ok((all, missing));
    }
    let is_missing = |m: &Missing, name: &str| m.node.id == name || m.node.hostname == name;
    for name in named {
        let known = all.iter().any(|node| is_named(node, name))
            || missing.iter().any(|m| is_missing(m, name));
        if !known {
            let message = format!("no such node: {name:?}");
            return Err(Reject::refused(
                StatusCode::NOT_FOUND,
                Reason::Target,
                message,
            ));
        }
    }
    let targets = all.into_iter();
    let targets = targets.filter(|node| named.iter().any(|name| is_named(node, name)));
    let missing = missing.into_iter();
    let missing = missing.filter(|m| named.iter().any(|name| is_missing(m, name)));
    Ok((targets.collect(), missing.collect()))
}

struct Plan {
    wanted: Wanted,
    source: Node,
    image: Image,
    targets: Vec<Node>,
    missing: Vec<Missing>,
}

/// Asks every target at once, and reports each outcome.
async fn spread(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    plan: Plan,
) -> Result<Next, Reject> {
    let Plan {
        wanted,
        source,
        image,
        targets,
        missing,
    } = plan;
    x.exchange.record.to = "everywhere".into();
    let (name, id) = (&wanted.name, &image.id);
    let path = request::escape(&format!("/skep/v1/images/{name}/spread"));
    let target = format!("{path}?{}", query::with("", "id", id));
    let (on_behalf_of, request_id) = (x.on_behalf_of().clone(), x.id().as_header().clone());
    let copier = Copier {
        context,
        on_behalf_of: &on_behalf_of,
        request_id: &request_id,
        purpose: Purpose::Spread,
    };
    let (lines, mut received) = mpsc::channel(1);
    let mut begun = Vec::new();
    let mut parts: FuturesUnordered<BoxFuture<'_, (usize, Outcome)>> = FuturesUnordered::new();
    for (n, node) in targets.iter().enumerate() {
        let host = &node.tag.hostname;
        if node.tag.id == source.tag.id {
            parts.push(Box::pin(async move { (n, Outcome::Done) }));
            continue;
        }
        let from = &source.tag.hostname;
        let status = format!("Copying {name} ({} bytes) from {from}", image.size);
        begun.extend(outcome_line(host, Ok(&status)));
        if matches!(node.hop, Hop::Engine) {
            let (copier, source, image) = (&copier, &source, &image);
            parts.push(Box::pin(async move {
                let outcome = match copier.copy(name, source, image).await {
                    Ok(Copied::Now | Copied::Before) => Outcome::Done,
                    Err(e) => Outcome::Refused(StatusCode::CONFLICT, e.to_string()),
                };
                (n, outcome)
            }));
            continue;
        }
        let worker = Worker::new(context, session, x, node, &target).map_err(internal)?;
        // Nothing is uploaded.
        let (_, chunks) = mpsc::channel(1);
        let lines = lines.clone();
        parts.push(Box::pin(
            async move { (n, worker.run(n, chunks, lines).await) },
        ));
    }
    drop(lines);
    let mut merged = Merged::new(targets.clone(), missing);
    let gone = |e: Box<pingora::Error>| Reject::Client(error::explain(&e));
    if !begun.is_empty() {
        let sent = merged.write(context, session, x, begun.into()).await;
        sent.map_err(gone)?;
    }
    loop {
        tokio::select! {
            ended = parts.next() => match ended {
                Some((n, outcome)) => merged.ended(n, outcome),
                None => break,
            },
            // The outcomes say the same.
            Some(_) = received.recv() => {}
            gone_away = session.read_body_or_idle(true) => {
                let reason = gone_away.err().map(|e| error::explain(&e));
                return Err(Reject::Client(reason.unwrap_or_default()));
            }
        }
    }
    drop(parts);
    merged.finish(context, session, x).await
}
