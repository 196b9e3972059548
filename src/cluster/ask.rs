//! Asks every node the same question: lists the nodes, sends each one bounded
//! request, and describes those that are missing. The caller reads the answers.
//! [`pieces`] reads them as they arrive.

pub(crate) mod pieces;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{ACCEPT, HeaderValue, USER_AGENT};
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use skep_filters::aggregate::NodeTag;
use skep_filters::auth::{BodyBinding, OnBehalfOf};
use skep_filters::endpoint::{ApiVersion, RequestPath};
use skep_filters::translate::Translation;
use tracing::Instrument;

use crate::cluster::Cluster;
use crate::cluster::hop::Hop;
use crate::cluster::identity::{ApiRange, EngineFacts};
use crate::cluster::members::Member;
use crate::cluster::reachable::Reachable;
use crate::upstream::client::{Answer, Budget};
use crate::upstream::clocks::Asking;
use crate::upstream::error;
use crate::upstream::headers;
use crate::upstream::request;

/// Names the nodes that are not in a merged answer, and why.
pub(crate) const MISSING_HEADER: &str = "Skep-Missing";

/// Stands for an id or a hostname that is not known.
const UNNAMED: &str = "-";

/// One node to ask.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) tag: NodeTag,
    pub(crate) hop: Hop,
    /// Absent while its engine has not answered.
    pub(crate) engine: Option<EngineFacts>,
}

/// The API version in which nodes are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApiVersionChoice {
    /// None in the path: each engine's newest.
    Default,
    /// The same for all.
    One(ApiVersion),
    /// For each engine its nearest to this one.
    Nearest(ApiVersion),
}

impl ApiVersionChoice {
    /// Chooses the version for a client that asks in this one. Where the client
    /// names none, all nodes answer in the newest that they have in common, so
    /// that their rows look alike.
    pub(crate) fn of(cluster: &Cluster, asked: Option<ApiVersion>) -> Self {
        if let Some(asked) = asked {
            return Self::Nearest(asked);
        }
        let ranges: Vec<_> = cluster.ranges();
        let mixed = ranges.windows(2).any(|two| two[0] != two[1]);
        match ApiRange::common(ranges) {
            Some(common) if mixed => Self::One(common.max),
            Some(_) | None => Self::Default,
        }
    }

    /// The same, but a version that no engine serves is passed on for the engines to
    /// refuse.
    pub(crate) fn strict(cluster: &Cluster, asked: Option<ApiVersion>) -> Self {
        match asked {
            Some(asked) if !cluster.ranges().iter().any(|range| range.has(asked)) => {
                Self::One(asked)
            }
            Some(_) | None => Self::of(cluster, asked),
        }
    }

    /// The translation for one engine, if the client asks in another version.
    pub(crate) fn translation(self, engine: Option<&EngineFacts>) -> Option<Translation> {
        match self {
            Self::Nearest(asked) => {
                let sent = self.to(engine).filter(|sent| *sent != asked)?;
                Some(Translation { asked, sent })
            }
            Self::Default | Self::One(_) => None,
        }
    }

    /// The version for one engine.
    fn to(self, engine: Option<&EngineFacts>) -> Option<ApiVersion> {
        match self {
            Self::Default => None,
            Self::One(version) => Some(version),
            Self::Nearest(asked) => Some(engine.and_then(|e| e.nearest(asked)).unwrap_or(asked)),
        }
    }
}

/// How long a node may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// The deadline of lists, which every healthy engine meets.
    Deadline,
    /// As long as its agent answers probes: walking over disks and deleting
    /// take long.
    UntilLost,
}

/// One question for every node.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// The client's request; its body is not sent.
    pub(crate) head: &'a RequestHeader,
    /// The API version to ask in.
    pub(crate) version: ApiVersionChoice,
    /// How long a node may take.
    pub(crate) patience: Timeout,
    /// The path without the version, decoded.
    pub(crate) path: &'a str,
    /// The query, without `?`.
    pub(crate) query: &'a str,
    /// The party that other agents are asked for.
    pub(crate) on_behalf_of: &'a OnBehalfOf,
    /// The id of the client's request.
    pub(crate) request_id: &'a HeaderValue,
}

/// This node.
pub(crate) fn myself(cluster: &Cluster) -> Node {
    let me = cluster.me();
    Node {
        tag: NodeTag {
            id: me.node_id.clone(),
            hostname: me.hostname.clone(),
            is_manager: me.manager,
        },
        hop: Hop::Engine,
        engine: me.engine.clone(),
    }
}

/// The node at the end of a hop.
pub(crate) fn at(cluster: &Cluster, hop: &Hop) -> Node {
    match hop {
        Hop::Engine => myself(cluster),
        Hop::Agent(member) => Node {
            tag: tag(member),
            engine: member.engine.clone(),
            hop: hop.clone(),
        },
    }
}

impl<'a> Ask<'a> {
    /// The client's request in this version, with the deadline of a list.
    pub(crate) fn of(
        version: ApiVersionChoice,
        head: &'a RequestHeader,
        path: &'a RequestPath<'_>,
        query: &'a str,
        on_behalf_of: &'a OnBehalfOf,
        request_id: &'a HeaderValue,
    ) -> Self {
        Self {
            head,
            version,
            patience: Timeout::Deadline,
            path: path.path(),
            query,
            on_behalf_of,
            request_id,
        }
    }
}

/// The nodes that the request may reach: those that are ready, and those that
/// are not. This node comes first, the others in the order of their ids.
pub(crate) fn nodes(cluster: &Cluster, reachable: &Reachable) -> (Vec<Node>, Vec<Missing>) {
    let mut nodes = vec![myself(cluster)];
    nodes.retain(|node| reachable.has(&node.tag.id));
    let mut missing = Vec::new();
    let mut others = cluster.others();
    others.retain(|member| reachable.has(&member.id));
    for member in others {
        let tag = tag(&member);
        if member.is_ready() {
            nodes.push(at(cluster, &Hop::Agent(member)));
        } else {
            missing.push(Missing {
                node: tag,
                reason: member.missing_reason(),
            });
        }
    }
    if cluster.is_on() && !cluster.probed_once() && *reachable == Reachable::All {
        missing.push(Missing {
            node: NodeTag {
                id: UNNAMED.to_owned(),
                hostname: UNNAMED.to_owned(),
                is_manager: false,
            },
            reason: "no manager has listed the nodes yet: others may be missing".to_owned(),
        });
    }
    if !missing.is_empty() {
        cluster.request_round();
    }
    (nodes, missing)
}

/// Removes the nodes that can have no running task, for a question about those.
pub(crate) fn with_tasks(cluster: &Cluster, missing: &mut Vec<Missing>) {
    let idle = |m: &Missing| {
        cluster
            .member(&m.node.id)
            .is_some_and(|m| m.is_without_tasks())
    };
    missing.retain(|m| !idle(m));
}

fn tag(member: &Arc<Member>) -> NodeTag {
    NodeTag {
        id: member.id.clone(),
        hostname: member.hostname.clone(),
        is_manager: member.manager,
    }
}

/// Asks one node, within its time and the budget.
///
/// # Errors
/// The reason why it is missing.
pub(crate) async fn ask_node(
    cluster: &Cluster,
    node: &Node,
    ask: &Ask<'_>,
    query: &str,
    budget: &Budget,
) -> Result<Answer, String> {
    // On the heap: a handler that asks is deep in futures already.
    in_turn(
        cluster,
        node,
        ask,
        Box::pin(fetch(cluster, node, ask, query, budget)),
    )
    .await
}

/// Asks one node when it is this request's turn, within the node's time.
async fn in_turn<T>(
    cluster: &Cluster,
    node: &Node,
    ask: &Ask<'_>,
    asked: impl Future<Output = pingora::Result<T>>,
) -> Result<T, String> {
    let span = tracing::debug_span!("hop", node = node.tag.id.as_str());
    let asked = asked.instrument(span);
    let Hop::Agent(member) = &node.hop else {
        return within(cluster, node, ask.patience, Duration::ZERO, asked).await;
    };
    let request = ask.request_id.to_str().unwrap_or_default();
    // Its time begins now: the others' calls are no fault of this node.
    let turn = cluster.turns.wait(request).await;
    let asked = within(cluster, node, ask.patience, Duration::ZERO, asked);
    let answer = turn.hold(Box::pin(asked)).await?;
    if let Some(address) = member.address {
        cluster.members.answered(&member.id, address);
    }
    Ok(answer)
}

/// The answer of a node that has used some of its time, within the rest.
async fn within<T>(
    cluster: &Cluster,
    node: &Node,
    patience: Timeout,
    used: Duration,
    asked: impl Future<Output = pingora::Result<T>>,
) -> Result<T, String> {
    let answer = match patience {
        Timeout::Deadline => {
            let deadline: Duration = cluster.list_deadline;
            let left = deadline.saturating_sub(used);
            // A slow node is not gone: it stays a ready member.
            let answer = cluster.lateness.within(left, asked).await;
            answer.ok_or_else(|| {
                if let Hop::Agent(member) = &node.hop {
                    cluster.hurry(member);
                }
                format!("no answer within {deadline:?}")
            })?
        }
        Timeout::UntilLost => tokio::select! {
            answer = asked => answer,
            () = node.hop.lost(cluster) => return Err(GONE.to_owned()),
        },
    };
    answer.map_err(|e| {
        let reason = error::explain(&e);
        node.hop.failed(cluster, &e, &reason);
        reason
    })
}

/// The reason for an agent that stopped answering after it got the request.
pub(crate) const GONE: &str = "it was reached, but has not answered since";

async fn fetch(
    cluster: &Cluster,
    node: &Node,
    ask: &Ask<'_>,
    query: &str,
    budget: &Budget,
) -> pingora::Result<Answer> {
    let head = head(node, ask, query)?;
    let mut answer = Box::pin(send(cluster, node, ask, head.clone(), budget)).await?;
    if is_by_another_clock(cluster, node, &answer.0, &answer.1) {
        answer = Box::pin(send(cluster, node, ask, head, budget)).await?;
    }
    let (answer, _) = answer;
    headers::refuse_misdirected(&answer.head)?;
    Ok(answer)
}

/// The request for a node.
fn head(node: &Node, ask: &Ask<'_>, query: &str) -> pingora::Result<RequestHeader> {
    let target = target(node, ask.version, ask.path, query);
    let mut head = request::build(&ask.head.method, &target)?;
    for name in [ACCEPT, USER_AGENT] {
        if let Some(value) = ask.head.headers.get(&name) {
            head.insert_header(name, value.clone())?;
        }
    }
    Ok(head)
}

/// Whether a node refused a request because its clock has been set since it was last
/// measured; now it is measured again.
fn is_by_another_clock(cluster: &Cluster, node: &Node, answer: &Answer, asking: &Asking) -> bool {
    if let Hop::Agent(member) = &node.hop
        && answer.head.status == StatusCode::UNAUTHORIZED
        && let Some(measured) = asking.refused(&answer.body)
        && !measured.skew.is_too_great()
    {
        let clocks = cluster.peers.clocks();
        clocks.measured(&member.id, member.name(), measured);
        return true;
    }
    false
}

/// Signs a request for a node and sends it.
async fn send(
    cluster: &Cluster,
    node: &Node,
    ask: &Ask<'_>,
    head: RequestHeader,
    budget: &Budget,
) -> pingora::Result<(Answer, Asking)> {
    let (peer, head) = signed(cluster, node, ask, head).await?;
    let asking = Asking::now();
    let answer = cluster.client.fetch(&peer, head, budget).await?;
    Ok((answer, asking))
}

/// The request, signed for a node, and the way there.
async fn signed(
    cluster: &Cluster,
    node: &Node,
    ask: &Ask<'_>,
    mut head: RequestHeader,
) -> pingora::Result<(HttpPeer, RequestHeader)> {
    node.hop.prepare(
        &mut head,
        &cluster.peers,
        ask.on_behalf_of,
        ask.request_id,
        BodyBinding::Empty,
    )?;
    let peer = node.hop.peer(&cluster.engine, &cluster.peers).await?;
    Ok((peer, head))
}

/// The request target for one node, from a decoded path.
pub(crate) fn target(node: &Node, version: ApiVersionChoice, path: &str, query: &str) -> String {
    let mut target = String::with_capacity(path.len() + query.len() + 8);
    if let Some(version) = version.to(node.engine.as_ref()) {
        target.push_str(&format!("/v{version}"));
    }
    target.push_str(&request::escape(path));
    if !query.is_empty() {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// A node that is not in an answer, and why.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) node: NodeTag,
    pub(crate) reason: String,
}

/// The value of `Skep-Missing`: `id hostname (reason)`, joined by commas.
pub(crate) fn missing_header(missing: &[Missing]) -> String {
    let words: Vec<_> = missing
        .iter()
        .map(|m| {
            format!(
                "{} {} ({})",
                named(&m.node.id),
                named(&m.node.hostname),
                header_text(&m.reason)
            )
        })
        .collect();
    words.join(", ")
}

fn named(name: &str) -> &str {
    if name.is_empty() { UNNAMED } else { name }
}

/// A reason as it can stand in a header: short, printable, without the comma
/// that separates nodes.
fn header_text(reason: &str) -> String {
    let printable = |c: char| {
        if c.is_ascii_graphic() && c != ',' || c == ' ' {
            c
        } else {
            '.'
        }
    };
    reason.chars().take(120).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_cannot_break_out_of_the_header() {
        let missing = Missing {
            node: NodeTag {
                id: "abc".to_owned(),
                hostname: "n1".to_owned(),
                is_manager: false,
            },
            reason: "a, b\r\nSet-Cookie: x".to_owned(),
        };
        let value = missing_header(&[missing]);
        assert_eq!(value, "abc n1 (a. b..Set-Cookie: x)");
    }
}
