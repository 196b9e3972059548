//! Asks the caller's policy whether it allows a request: the head first; the body
//! before any of it is forwarded (`exchange::verdict`); and the nodes, for policies
//! that depend on them.
//!
//! `skep_filters::policy` has the rules. A request that an agent passes on for its
//! client is judged again at the other node, by the policy of the same name.

pub(crate) mod grants;
pub(crate) mod guarded;
pub(crate) mod ingress;
pub(crate) mod limit;
pub(crate) mod recreatable;
pub(crate) mod scope;
pub(crate) mod secrets;
pub(crate) mod stored;

use std::collections::BTreeSet;
use std::sync::Arc;

use http::header::UPGRADE;
use pingora::http::RequestHeader;
use skep_filters::endpoint::Own;
use skep_filters::policy::{Node, On, Reason, Request, Role, Verdict};

use crate::cluster::Cluster;
use crate::cluster::members::Member;
use crate::cluster::reachable::Reachable;
use crate::exchange::Call;
use crate::exchange::called::{Called, Permission};
use crate::exchange::record::Record;
use crate::exchange::reject::Reject;
use crate::exchange::verdict::{enforce, text};

/// The rule for requests that agents send for themselves.
const INTERNAL: &str = "internal requests";

/// The rule for a caller that asks who it is, if its policy says nothing of it.
const WHOAMI: &str = "whoami";

/// Judges the head of a request, and finds the nodes that it may reach.
///
/// # Errors
/// [`Reject::Denied`].
pub(crate) fn authorise(
    cluster: &Cluster,
    called: Arc<Called>,
    head: &RequestHeader,
    asked: &Call<'_>,
    record: &mut Record,
) -> Result<Permission, Reject> {
    if called.caller.is_agent_itself() {
        internal(&called, asked, record)?;
    }
    let anywhere = Request {
        found: asked.found,
        method: head.method.as_str(),
        path: asked.path,
        query: asked.query,
        upgrade: text(head, &UPGRADE),
        on: On::Any,
    };
    let rules = &called.policy.rules;
    let mut reachable = Reachable::All;
    let verdict = if rules.depends_on_node() {
        let may = allowed_nodes(cluster, &called, &anywhere);
        let verdict = if may.is_empty() {
            // The reason is much the same for all nodes.
            rules.judge(&Request {
                on: On::Unknown,
                ..anywhere
            })
        } else {
            rules.judge(&anywhere)
        };
        if !rules.audit_only() {
            reachable = Reachable::Some(Arc::new(may));
        }
        verdict
    } else {
        rules.judge(&anywhere)
    };
    let verdict = match verdict {
        // Who has proved an identity may hear which one it is.
        Verdict::Deny {
            reason: Reason::NotAllowed,
            ..
        } if asks_for_itself(asked) => Verdict::Allow { rule: WHOAMI },
        verdict => verdict,
    };
    let rule = enforce(&called, verdict, record)?;
    if called.sees_own_node_only() {
        let me = cluster.me().node_id.clone();
        let own = Some(me).filter(|me| reachable.has(me));
        reachable = Reachable::Some(Arc::new(own.into_iter().collect()));
    }
    Ok(Permission {
        rule,
        reachable,
        called,
    })
}

/// Whether the caller asks who it is.
fn asks_for_itself(asked: &Call<'_>) -> bool {
    let own = asked.found.and_then(|found| found.endpoint.own);
    own == Some(Own::Whoami)
}

/// Refuses what agents never ask of each other for themselves: the cluster secret
/// alone is not enough to act on another node for no client.
fn internal(called: &Called, asked: &Call<'_>, record: &mut Record) -> Result<(), Reject> {
    if asked.found.is_some_and(|found| found.endpoint.internal) {
        return Ok(());
    }
    record.rule = INTERNAL.into();
    Err(Reject::Denied {
        who: called.caller.name.clone(),
        policy: called.policy.name.clone(),
        rule: INTERNAL.to_owned(),
        reason: "agents do not ask this of each other for themselves".to_owned(),
    })
}

/// The ids of the nodes on which the policy allows the request. A request of
/// another agent is for this node.
fn allowed_nodes(cluster: &Cluster, called: &Called, anywhere: &Request<'_>) -> BTreeSet<String> {
    let me = cluster.me().node_id.clone();
    let nodes = cluster.all();
    let nodes = nodes
        .iter()
        .filter(|node| !called.caller.is_peer() || node.id == me);
    let may = nodes.filter(|node| {
        let node = described(node);
        let on = On::Node(&node);
        let request = Request { on, ..*anywhere };
        called.policy.rules.judge(&request).is_allowed()
    });
    may.map(|node| node.id.clone()).collect()
}

/// A node as policies describe it.
fn described(member: &Member) -> Node {
    Node {
        role: if member.manager {
            Role::Manager
        } else {
            Role::Worker
        },
        hostname: member.hostname.clone(),
        labels: member.labels.clone(),
    }
}
