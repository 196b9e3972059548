//! May this caller do this? Call of its policy three times: of the head, before
//! anything is done; of the body, before any of it goes on; and of the node, for
//! policies in which that matters.
//!
//! What a policy says is `skep_filters::policy`'s. Whatever an agent does on a
//! caller's behalf at another node is judged there again, by the same text.

pub(crate) mod grants;
pub(crate) mod limit;
pub(crate) mod scope;

use std::collections::BTreeSet;
use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, UPGRADE};
use pingora::http::RequestHeader;
use skep_filters::endpoint::Match;
use skep_filters::policy::{BodyOf, Node, On, Reason, Request, Role, Verdict};

use crate::cluster::Cluster;
use crate::cluster::members::Member;
use crate::cluster::reachable::Reachable;
use crate::config::Policy;
use crate::exchange::Call;
use crate::exchange::Exchange;
use crate::exchange::reject::Reject;

/// Judges the head of a request, and notes which nodes it may reach.
///
/// # Errors
/// [`Reject::Denied`].
pub(crate) fn authorise(
    cluster: &Cluster,
    x: &mut Exchange,
    head: &RequestHeader,
    asked: &Call<'_>,
) -> Result<(), Reject> {
    let Some(policy) = x.policy.clone() else {
        return Err(Reject::Internal("nobody's request".to_owned()));
    };
    let anywhere = Request {
        found: asked.found,
        method: head.method.as_str(),
        path: asked.path,
        query: asked.query,
        upgrade: text(head, &UPGRADE),
        on: On::Any,
    };
    let rules = &policy.rules;
    if !rules.depends_on_node() {
        return settle(x, &policy, rules.judge(&anywhere));
    }
    let me = cluster.me().node_id.clone();
    let nodes = cluster.all();
    // What another agent asks is for this node.
    let nodes = nodes.iter().filter(|node| !x.from_peer || node.id == me);
    let may = nodes.filter(|node| {
        let node = described(node);
        let on = On::Node(&node);
        rules.judge(&Request { on, ..anywhere }).is_allowed()
    });
    let may: BTreeSet<_> = may.map(|node| node.id.clone()).collect();
    let verdict = match may.is_empty() {
        // Why, is the same for all of them or as good as.
        true => rules.judge(&Request {
            on: On::Unknown,
            ..anywhere
        }),
        false => rules.judge(&anywhere),
    };
    if !policy.rules.audit_only() {
        x.reachable = Reachable::Some(Arc::new(may));
    }
    settle(x, &policy, verdict)
}

/// Judges the body that was read, if the policy wants to see it.
///
/// # Errors
/// [`Reject::Denied`].
pub(crate) fn authorise_body(
    x: &mut Exchange,
    head: &RequestHeader,
    found: Option<&Match>,
) -> Result<(), Reject> {
    let (Some(policy), Some(found)) = (x.policy.clone(), found) else {
        return Ok(());
    };
    if !policy.rules.inspects(found) {
        return Ok(());
    }
    let held = x.held.clone().unwrap_or_default();
    let verdict = policy.rules.judge_body(
        found,
        &BodyOf {
            bytes: &held,
            content_type: text(head, &CONTENT_TYPE),
            content_encoding: text(head, &CONTENT_ENCODING),
        },
    );
    match verdict {
        // The rule that let the head through is the one to name.
        Verdict::Allow { .. } => Ok(()),
        denied => settle(x, &policy, denied),
    }
}

/// What comes of a verdict: its rule is noted, and a denial is one, unless the
/// policy is only tried out.
fn settle(x: &mut Exchange, policy: &Policy, verdict: Verdict<'_>) -> Result<(), Reject> {
    let (rule, reason) = match verdict {
        Verdict::Allow { rule } => {
            // The only one there is most of the time, without a copy.
            x.rule = match rule {
                "admin" => "admin".into(),
                rule => rule.to_owned().into(),
            };
            return Ok(());
        }
        Verdict::Deny { rule, reason } => (rule, reason),
    };
    x.rule = rule.to_owned().into();
    let reason = Reason::to_string(&reason);
    if policy.rules.audit_only() {
        x.would_deny = Some(reason);
        return Ok(());
    }
    Err(Reject::Denied {
        who: x.caller.clone(),
        policy: policy.name.clone(),
        rule: rule.to_owned(),
        reason,
    })
}

/// A node as policies speak of it.
fn described(member: &Member) -> Node {
    Node {
        role: match member.manager {
            true => Role::Manager,
            false => Role::Worker,
        },
        hostname: member.hostname.clone(),
        labels: member.labels.clone(),
    }
}

/// A header's value. One that is no text, or that contradicts another one of its
/// name, is judged as one that nothing allows. bollard says the same twice.
fn text<'h>(head: &'h RequestHeader, name: &HeaderName) -> Option<&'h str> {
    let mut values = head.headers.get_all(name).iter();
    let first = values.next()?;
    match first.to_str() {
        Ok(text) if values.all(|other| other == first) => Some(text),
        _ => Some("(not one text)"),
    }
}
