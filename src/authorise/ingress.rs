//! Keeps callers without the grant from removing the Swarm's ingress network:
//! its name may be any, and the request may have its id.

use serde::Deserialize;
use skep_filters::policy::scope::Kind;

use super::scope::inspection::{Inspection, id_of};
use super::scope::{Restriction, label};
use crate::exchange::Call;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::route::Destination;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Network {
    ingress: bool,
}

/// Inspects the network where the request goes. The request then goes to that
/// node with the id that was found.
///
/// # Errors
/// [`Reject::Denied`] for the ingress network, [`Reject::NoSuch`] if there is no
/// such network, [`Reject::Internal`] for an answer that is not a network.
pub(crate) async fn check(
    context: &Context,
    x: &Judged<'_>,
    asked: &Call<'_>,
    to: &Destination,
    before: Restriction,
) -> Result<Restriction, Reject> {
    let name = asked.found.and_then(|found| found.object.as_deref());
    let (Some(found), Some(name)) = (asked.found, name) else {
        return Ok(before);
    };
    let nothing = || Reject::NoSuch(label(Kind::Network, name));
    let mut inspection = Inspection::of(context, x, asked, found, to, before.pinned);
    inspection
        .resolve_node(x, Kind::Network, Some(name))
        .await?;
    let inspected = inspection.inspect(Kind::Network, name).await?;
    let inspected = inspected.ok_or_else(nothing)?;
    // What cannot be read could be the ingress network.
    let network: Network =
        serde_json::from_slice(&inspected).map_err(|e| Reject::Internal(e.to_string()))?;
    if network.ingress {
        return Err(Reject::Denied {
            who: x.caller().to_owned(),
            policy: x.permission.called.policy.name.clone(),
            rule: "may.ingress".to_owned(),
            reason: format!("{name:?} is the ingress network"),
        });
    }
    let id = id_of(&inspected).ok_or_else(nothing)?;
    let target = inspection.with_id(Kind::Network, &id)?;
    // The object that was compared with the agents' own is this one.
    if before.target.is_some() && before.target != target {
        return Err(nothing());
    }
    Ok(Restriction {
        target,
        pinned: inspection.pinned,
    })
}
