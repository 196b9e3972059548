//! Judges the previous specification of a service, to which an update can return
//! it: the engine then uses none of the request's body.

use serde::Deserialize;
use serde_json::Value;
use skep_filters::endpoint::query;
use skep_filters::policy::scope::Kind;
use skep_filters::policy::{BodyOf, Guarding, Verdict};

use super::scope::{deny_host_network, inspect, label, pin_a_manager};
use super::{secrets, spoken};
use crate::cluster::hop::Hop;
use crate::exchange::Call;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::route::Destination;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Service {
    version: Version,
    previous_spec: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Version {
    index: u64,
}

/// Asks a manager for the service and judges its previous specification as if it
/// were the body. The manager that was asked, if one was: the request has to go
/// there.
///
/// # Errors
/// [`Reject::Denied`] if the policy does not allow it, or the service is not in
/// the version that the request names: its previous specification could be
/// another one a moment later. [`Reject::OutOfScope`] for a caller with a scope.
pub(crate) async fn check(
    context: &Context,
    x: &Judged<'_>,
    asked: &Call<'_>,
    to: &Destination,
    mut pinned: Option<Hop>,
) -> Result<Option<Hop>, Reject> {
    let rules = &x.permission.called.policy.rules;
    let denied = |rule: &str, reason: String| Reject::Denied {
        who: x.caller().to_owned(),
        policy: x.permission.called.policy.name.clone(),
        rule: rule.to_owned(),
        reason: format!("the previous specification of the service: {reason}"),
    };
    if rules.scope().is_some() {
        let what = "a service in a scope does not return to its previous specification: \
                    send that specification as an update";
        return Err(Reject::OutOfScope(what.to_owned()));
    }
    let unreadable = |e: serde_json::Error| Reject::Internal(e.to_string());
    let name = asked.found.and_then(|found| found.object.as_deref());
    let (Some(found), Some(name)) = (asked.found, name) else {
        return Err(denied(
            "rollback",
            "the request names no service".to_owned(),
        ));
    };
    let hop = match to {
        Destination::Node(member) => Hop::Agent(member.clone()),
        Destination::Manager => pin_a_manager(context, &mut pinned)?,
        _ => Hop::Engine,
    };
    let inspected = inspect(
        context,
        &hop,
        asked,
        Kind::Service,
        name,
        x.id().as_header(),
    )
    .await?;
    let inspected = inspected.ok_or_else(|| Reject::NoSuch(label(Kind::Service, name)))?;
    let service: Service = serde_json::from_slice(&inspected).map_err(unreadable)?;
    let version = query::get(asked.query, "version").unwrap_or_default();
    if version != service.version.index.to_string() {
        let reason = "the service has another version by now: inspect it and try again";
        return Err(denied("rollback", reason.to_owned()));
    }
    // The engine refuses an update to no specification in its own words.
    let Some(previous) = service.previous_spec.filter(|spec| !spec.is_null()) else {
        return Ok(pinned);
    };
    let previous = serde_json::to_vec(&previous).map_err(unreadable)?;
    let body = BodyOf {
        bytes: &previous,
        content_type: None,
        content_encoding: None,
    };
    let spoken = spoken(&context.cluster, &x.permission.called, asked);
    if let Verdict::Deny { rule, reason } = rules.judge_body(found, &body, spoken) {
        return Err(denied(rule, reason.to_string()));
    }
    if let Some(guarded) = context.cluster.guarded() {
        match rules.judge_guarded(&guarded, found, asked.query, &body) {
            // The service itself was judged before.
            Guarding::Clear | Guarding::Inspect(..) => {}
            Guarding::NoSuch(_, name) => {
                return Err(denied("guard", format!("{name:?} belongs to an agent")));
            }
            Guarding::Denied(reason) => return Err(denied("guard", reason)),
        }
    }
    let called = &x.permission.called;
    if called.needs_host_network_check(asked.found) {
        pinned = deny_host_network(context, x, asked, to, &previous, pinned).await?;
    }
    if let Some(rules) = called.limits_secrets(asked.found) {
        pinned = secrets::check(context, x, rules, asked, to, &previous, pinned).await?;
    }
    Ok(pinned)
}
