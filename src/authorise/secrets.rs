//! Checks that a service uses only the Swarm secrets and configs that its caller's
//! policy grants. Policies name them, but managers go by the ids in the body
//! (swarmkit `checkSecretExistence`), whatever name stands beside an id.

use serde::Deserialize;
use skep_filters::policy::scope::{Kind, Scope};
use skep_filters::policy::{BodyOf, RuleSet};

use super::scope::{hop_to, inspect, label};
use crate::cluster::hop::Hop;
use crate::exchange::Call;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::route::Destination;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Spec")]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(rename = "Name")]
    name: String,
}

/// Asks a manager for the names of what the body refers to. The manager that was
/// asked, if one was: the request has to go there.
///
/// # Errors
/// [`Reject::Denied`] for one that the policy does not grant, [`Reject::NoSuch`]
/// for one that a manager does not know by this id.
pub(crate) async fn check(
    context: &Context,
    x: &Judged<'_>,
    rules: &RuleSet,
    asked: &Call<'_>,
    to: &Destination,
    body: &BodyOf<'_>,
    mut pinned: Option<Hop>,
) -> Result<Option<Hop>, Reject> {
    let mut references = Scope::references(Kind::Service, body)?;
    references.retain(|reference| matches!(reference.kind, Kind::Secret | Kind::Config));
    if references.is_empty() {
        return Ok(pinned);
    }
    let hop = hop_to(context, to, &mut pinned)?;
    let request_id = x.id().as_header();
    for reference in references {
        let (kind, id) = (reference.kind, reference.name);
        let nothing = || Reject::NoSuch(label(kind, &id));
        if !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(nothing());
        }
        let found = inspect(context, &hop, asked, kind, &id, request_id).await?;
        let found: Object = serde_json::from_slice(&found.ok_or_else(nothing)?).unwrap_or_default();
        if found.id != id {
            return Err(nothing());
        }
        if !rules.grants_use(kind, &found.spec.name) {
            return Err(Reject::Denied {
                who: x.caller().to_owned(),
                policy: x.permission.called.policy.name.clone(),
                rule: match kind {
                    Kind::Config => "may.configs".to_owned(),
                    _ => "may.secrets".to_owned(),
                },
                reason: format!("{id} is {:?}", found.spec.name),
            });
        }
    }
    Ok(pinned)
}
