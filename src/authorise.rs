//! Asks the caller's policy whether it allows a request: the head first; the body
//! before any of it is forwarded; and the nodes, for policies that depend on them.
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

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, UPGRADE};
use pingora::http::RequestHeader;
use skep_filters::endpoint::BodyCheck;
use skep_filters::policy::{
    BodyOf, EffectiveApi, Node, On, Reason, Release, Request, Role, Verdict,
};

use crate::cluster::Cluster;
use crate::cluster::identity::EngineFacts;
use crate::cluster::members::Member;
use crate::cluster::reachable::Reachable;
use crate::exchange::Call;
use crate::exchange::called::{Called, Permission};
use crate::exchange::judged::RequestBody;
use crate::exchange::record::Record;
use crate::exchange::reject::Reject;

/// The rule for requests that agents send for themselves.
const INTERNAL: &str = "internal requests";

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

/// Judges the body that was read, if the policy inspects it.
///
/// # Errors
/// [`Reject::Denied`].
pub(crate) fn authorise_body(
    cluster: &Cluster,
    called: &Called,
    asked: &Call<'_>,
    body: &BodyOf<'_>,
    record: &mut Record,
) -> Result<(), Reject> {
    let rules = &called.policy.rules;
    let Some(found) = asked.found.filter(|found| rules.inspects(found)) else {
        return Ok(());
    };
    let verdict = rules.judge_body(found, body, effective_api(cluster, called, asked));
    match verdict {
        // The log names the rule that allowed the head.
        Verdict::Allow { .. } => Ok(()),
        denied => enforce(called, denied, record).map(drop),
    }
}

/// The version of the API in which a request is read. Without one in the path it
/// is the oldest of those that engines choose. Every node may get a task of a
/// service, so there the oldest engine counts too. An engine of another node is
/// judged by that node's agent too; here, for the release, it counts as this one.
pub(crate) fn effective_api(cluster: &Cluster, called: &Called, asked: &Call<'_>) -> EffectiveApi {
    let me = cluster.me();
    let own = me.engine.as_ref();
    let own_range = || own.and_then(EngineFacts::range).into_iter().collect();
    let ranges: Vec<_> = match called.caller.is_peer() {
        true => own_range(),
        false => cluster.ranges(),
    };
    let newest = ranges.iter().map(|range| range.max);
    let check = asked.found.map(|found| found.endpoint.body_check());
    let newest = match asked.path.version() {
        Some(_) if check != Some(BodyCheck::ServiceSpec) => newest.max(),
        Some(_) | None => newest.min(),
    };
    let release = own.and_then(|engine| Release::parse(&engine.version));
    EffectiveApi::of(asked.path.version(), newest, release)
}

/// The rule that decided. A denial is an error, unless the policy is `audit_only`.
fn enforce(
    called: &Called,
    verdict: Verdict<'_>,
    record: &mut Record,
) -> Result<Cow<'static, str>, Reject> {
    let (rule, reason) = match verdict {
        Verdict::Allow { rule } => {
            // The most frequent rule, without a copy.
            record.rule = match rule {
                "admin" => "admin".into(),
                rule => rule.to_owned().into(),
            };
            return Ok(record.rule.clone());
        }
        Verdict::Deny { rule, reason } => (rule, reason),
    };
    record.rule = rule.to_owned().into();
    let text = Reason::to_string(&reason);
    if called.policy.rules.audit_only() {
        record.would_deny = Some(text);
        return Ok(record.rule.clone());
    }
    let who = called.caller.name.clone();
    let policy = called.policy.name.clone();
    Err(match reason {
        Reason::Parameter(error) => Reject::Parameter { who, policy, error },
        Reason::NotAllowed
        | Reason::Denied
        | Reason::UnknownEndpoint
        | Reason::Body(_)
        | Reason::Asks(_) => Reject::Denied {
            who,
            policy,
            rule: rule.to_owned(),
            reason: text,
        },
    })
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

/// The body that was sent, with the headers that say how to read it.
pub(crate) struct Sent {
    bytes: Bytes,
    content_type: Option<String>,
    content_encoding: Option<String>,
}

impl Sent {
    pub(crate) fn of(head: &RequestHeader, body: &RequestBody) -> Self {
        let text = |name| text(head, name).map(str::to_owned);
        Self {
            bytes: body.held.clone().unwrap_or_default(),
            content_type: text(&CONTENT_TYPE),
            content_encoding: text(&CONTENT_ENCODING),
        }
    }

    /// The body as policies read it.
    pub(crate) fn body(&self) -> BodyOf<'_> {
        let coding = self.content_encoding.as_deref();
        BodyOf::new(&self.bytes, self.content_type.as_deref(), coding)
    }
}

/// A header's value; one that no rule allows if the value is not text, or the header
/// occurs again with another value. bollard sends the same one twice.
fn text<'h>(head: &'h RequestHeader, name: &HeaderName) -> Option<&'h str> {
    let mut values = head.headers.get_all(name).iter();
    let first = values.next()?;
    match first.to_str() {
        Ok(text) if values.all(|other| other == first) => Some(text),
        _ => Some("(not one text)"),
    }
}
