//! Asking every node the same: who there is to ask, one bounded request to each,
//! and words for those who are missing. What the answers mean is the caller's.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, USER_AGENT};
use pingora::http::RequestHeader;
use skep_filters::aggregate::NodeTag;
use skep_filters::auth::BodyBinding;
use skep_filters::endpoint::ApiVersion;
use tokio::time::timeout;

use crate::client::{Answer, Budget};
use crate::cluster::identity::EngineFacts;
use crate::cluster::members::Member;
use crate::gateway::Gateway;
use crate::hop::{self, Hop};
use crate::{reject, request};

/// One node to ask.
pub struct Node {
    /// Who it is.
    pub tag: NodeTag,
    /// How it is reached.
    pub hop: Hop,
    /// What its engine serves.
    pub engine: Option<EngineFacts>,
}

/// What is asked of every node.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The client's request.
    pub head: &'a RequestHeader,
    /// The API version in its path.
    pub version: Option<ApiVersion>,
    /// The path without the version.
    pub path: &'a str,
    /// The query, without `?`.
    pub query: &'a str,
    /// In whose name other agents are asked.
    pub caller: &'a str,
}

/// Everyone there is, split in those to ask and those who cannot be.
pub fn nodes(gateway: &Gateway) -> (Vec<Node>, Vec<Missing>) {
    let me = gateway.cluster.me();
    let mut nodes = vec![Node {
        tag: NodeTag {
            id: me.node_id.clone(),
            hostname: me.hostname.clone(),
            is_manager: me.manager,
        },
        hop: Hop::Engine,
        engine: me.engine.clone(),
    }];
    let mut missing = Vec::new();
    for member in gateway.cluster.others() {
        let tag = tag(&member);
        if member.is_ready() {
            nodes.push(Node {
                tag,
                engine: member.engine.clone(),
                hop: Hop::Agent(member),
            });
        } else {
            let reason = member.state.to_string();
            missing.push(Missing { node: tag, reason });
        }
    }
    (nodes, missing)
}

fn tag(member: &Arc<Member>) -> NodeTag {
    NodeTag {
        id: member.id.clone(),
        hostname: member.hostname.clone(),
        is_manager: member.manager,
    }
}

/// Asks one node, within the deadline of a list and the budget.
///
/// # Errors
/// The reason why it is missing.
pub async fn ask_node(
    gateway: &Gateway,
    node: &Node,
    ask: &Ask<'_>,
    query: &str,
    budget: &Budget,
) -> Result<Answer, String> {
    let deadline: Duration = gateway.config.aggregate.deadline;
    match timeout(deadline, fetch(gateway, node, ask, query, budget)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(e)) => {
            let reason = reject::explain(&e);
            gateway.hop_failed(&node.hop, &e, &reason);
            Err(reason)
        }
        // Slow is not gone: the member stays in.
        Err(_) => Err(format!("no answer within {deadline:?}")),
    }
}

async fn fetch(
    gateway: &Gateway,
    node: &Node,
    ask: &Ask<'_>,
    query: &str,
    budget: &Budget,
) -> pingora::Result<Answer> {
    let mut target = String::with_capacity(ask.path.len() + query.len() + 8);
    if let Some(asked) = ask.version {
        // Each node in a version it serves: a cluster of mixed engines may
        // have none in common.
        let served = node.engine.as_ref().and_then(|e| e.nearest(asked));
        target.push_str(&format!("/v{}", served.unwrap_or(asked)));
    }
    target.push_str(ask.path);
    if !query.is_empty() {
        target.push('?');
        target.push_str(query);
    }
    let mut head = request::get(&target)?;
    for name in [ACCEPT, USER_AGENT] {
        if let Some(value) = ask.head.headers.get(&name) {
            head.insert_header(name, value.clone())?;
        }
    }
    node.hop
        .prepare(&mut head, &gateway.peers, ask.caller, BodyBinding::Empty)?;
    let peer = node.hop.peer(&gateway.engine, &gateway.peers).await?;
    let answer = gateway.client.fetch(&peer, head, budget).await?;
    hop::refuse_misdirected(&answer.head)?;
    Ok(answer)
}

/// A node that is not in an answer.
#[derive(Debug)]
pub struct Missing {
    /// The node.
    pub node: NodeTag,
    /// Why.
    pub reason: String,
}

/// The value of `Skep-Missing`: `id hostname (reason)`, joined by commas.
pub fn missing_header(missing: &[Missing]) -> String {
    let words: Vec<_> = missing
        .iter()
        .map(|m| {
            format!(
                "{} {} ({})",
                m.node.id,
                m.node.hostname,
                header_text(&m.reason)
            )
        })
        .collect();
    words.join(", ")
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
