//! Judges the specifications of a service that an update can bring back: the
//! previous one, to which the query asks to return, and the current one, to which
//! managers return by themselves if the update fails.

use serde::Deserialize;
use serde_json::Value;
use skep_filters::endpoint::{Match, query};
use skep_filters::policy::scope::Kind;
use skep_filters::policy::{BodyOf, Guarding, StoredSpecs, Verdict};

use super::scope::inspection::Inspection;
use super::scope::{deny_host_network, label};
use super::secrets;
use crate::cluster::hop::Hop;
use crate::exchange::Call;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::verdict::effective_api;
use crate::route::Destination;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Service {
    version: Version,
    spec: Option<Value>,
    previous_spec: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Version {
    index: u64,
}

/// Asks a manager for the service and judges its specifications as if they were
/// the body. The manager that was asked, if one was: the request has to go there.
///
/// # Errors
/// [`Reject::Denied`] if the policy does not allow one, or the service is not in
/// the version that the request names: its specifications could be others a moment
/// later. [`Reject::OutOfScope`] for a caller with a scope that asks for the
/// previous one.
pub(crate) async fn check(
    context: &Context,
    x: &Judged<'_>,
    asked: &Call<'_>,
    to: &Destination,
    stored: StoredSpecs,
    pinned: Option<Hop>,
) -> Result<Option<Hop>, Reject> {
    let rules = &x.permission.called.policy.rules;
    if stored.previous && rules.scope().is_some() {
        let what = "a service in a scope does not return to its previous specification: \
                    send that specification as an update";
        return Err(Reject::OutOfScope(what.to_owned()));
    }
    let unreadable = |e: serde_json::Error| Reject::Internal(e.to_string());
    let name = asked.found.and_then(|found| found.object.as_deref());
    let (Some(found), Some(name)) = (asked.found, name) else {
        return Err(denied(
            x,
            "rollback",
            "the request names no service".to_owned(),
        ));
    };
    let mut inspection = Inspection::of(context, x, asked, found, to, pinned);
    inspection
        .resolve_node(x, Kind::Service, Some(name))
        .await?;
    let inspected = inspection.inspect(Kind::Service, name).await?;
    let inspected = inspected.ok_or_else(|| Reject::NoSuch(label(Kind::Service, name)))?;
    let service: Service = serde_json::from_slice(&inspected).map_err(unreadable)?;
    let version = query::get(asked.query, "version").unwrap_or_default();
    if version != service.version.index.to_string() {
        let reason = "the service has another version by now: inspect it and try again";
        return Err(denied(x, "rollback", reason.to_owned()));
    }
    let mut pinned = inspection.pinned.clone();
    let stored = [
        (stored.previous, "previous", service.previous_spec),
        (stored.current, "current", service.spec),
    ];
    for (comes_back, which, spec) in stored {
        // The engine refuses to return to no specification in its own words.
        let Some(spec) = spec.filter(|spec| comes_back && !spec.is_null()) else {
            continue;
        };
        let spec = serde_json::to_vec(&spec).map_err(unreadable)?;
        let spec = BodyOf::json(&spec);
        judge(context, x, asked, found, which, &spec)?;
        if let Some(scope) = rules.scope() {
            let holds = inspection.holds_references(scope, Kind::Service, &spec);
            holds.await.map_err(|reject| match reject {
                Reject::OutOfScope(what) => {
                    Reject::OutOfScope(format!("the {which} specification of the service: {what}"))
                }
                other => other,
            })?;
        }
        let called = &x.permission.called;
        if called.needs_host_network_check(asked.found) {
            pinned = deny_host_network(context, x, asked, to, &spec, pinned).await?;
        }
        if let Some(rules) = called.limits_secrets(asked.found) {
            pinned = secrets::check(context, x, rules, asked, to, &spec, pinned).await?;
        }
    }
    Ok(pinned)
}

/// Judges a specification by the policy and by the objects of agents.
fn judge(
    context: &Context,
    x: &Judged<'_>,
    asked: &Call<'_>,
    found: &Match,
    which: &str,
    spec: &BodyOf<'_>,
) -> Result<(), Reject> {
    let called = &x.permission.called;
    let rules = &called.policy.rules;
    let denied = |rule, reason| {
        let reason = format!("the {which} specification of the service: {reason}");
        Err(denied(x, rule, reason))
    };
    let api = effective_api(&context.cluster, called, asked);
    if let Verdict::Deny { rule, reason } = rules.judge_body(found, spec, api) {
        return denied(rule, reason.to_string());
    }
    let Some(guarded) = context.cluster.guarded() else {
        return Ok(());
    };
    match rules.judge_guarded(&guarded, found, asked.query, spec) {
        // The service itself was judged before.
        Guarding::Clear | Guarding::Inspect(..) => Ok(()),
        Guarding::NoSuch(_, name) => denied("guard", format!("{name:?} belongs to an agent")),
        Guarding::Denied(reason) => denied("guard", reason),
    }
}

fn denied(x: &Judged<'_>, rule: &str, reason: String) -> Reject {
    Reject::Denied {
        who: x.caller().to_owned(),
        policy: x.permission.called.policy.name.clone(),
        rule: rule.to_owned(),
        reason,
    }
}
