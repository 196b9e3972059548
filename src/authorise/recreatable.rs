//! Keeps callers from stopping or removing a container that their policy does not let
//! them create again: a client that replaces containers would lose it.

use skep_filters::policy::scope::Kind;
use skep_filters::policy::{RuleSet, Verdict};

use super::scope::inspection::{Inspection, id_of};
use super::scope::{Restriction, label};
use crate::exchange::Call;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::verdict::hop_api;
use crate::route::Destination;

/// Inspects the container where the request goes. The request then goes to that node
/// with the id that was found.
///
/// # Errors
/// [`Reject::Denied`] if the policy does not allow to create it again,
/// [`Reject::NoSuch`] if there is no such container.
pub(crate) async fn check(
    context: &Context,
    x: &Judged<'_>,
    rules: &RuleSet,
    asked: &Call<'_>,
    to: &Destination,
    before: Restriction,
) -> Result<Restriction, Reject> {
    let name = asked.found.and_then(|found| found.object.as_deref());
    let (Some(found), Some(name)) = (asked.found, name) else {
        return Ok(before);
    };
    let nothing = || Reject::NoSuch(label(Kind::Container, name));
    let mut inspection = Inspection::of(context, x, asked, found, to, before.pinned);
    inspection
        .resolve_node(x, Kind::Container, Some(name))
        .await?;
    let inspected = inspection.inspect(Kind::Container, name).await?;
    let inspected = inspected.ok_or_else(nothing)?;
    let called = &x.permission.called;
    let api = hop_api(&context.cluster, called, &inspection.at, asked);
    let guarded = context.cluster.guarded().unwrap_or_default();
    if let Verdict::Deny { rule, reason } = rules.judge_recreation(&inspected, api, &guarded) {
        return Err(Reject::Denied {
            who: x.caller().to_owned(),
            policy: called.policy.name.clone(),
            rule: rule.to_owned(),
            reason: format!(
                "the container could not be created again (must.recreatable): {reason}"
            ),
        });
    }
    let id = id_of(&inspected).ok_or_else(nothing)?;
    let target = inspection.with_id(Kind::Container, &id)?;
    // The object that was compared with the agents' own is this one.
    if before.target.is_some() && before.target != target {
        return Err(nothing());
    }
    Ok(Restriction {
        target,
        pinned: inspection.pinned,
    })
}
