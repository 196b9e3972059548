//! Keeps callers with a policy off the objects that belong to agents: an agent's
//! container, its image, volumes, networks, service, secrets and configs.
//!
//! Every agent checks every request, those of other agents' clients included:
//! the agent that is called by the objects that all agents announce, and the
//! agent of the node that receives the call by its own. What is guarded, and how
//! names are compared, is `skep_filters::policy`'s to say.

use http::StatusCode;
use skep_filters::auth::{BodyBinding, Client, Principal};
use skep_filters::endpoint::{HeadCheck, Route};
use skep_filters::policy::scope::{Kind, Scope};
use skep_filters::policy::{BodyOf, Guarding, Thing};

use super::scope::inspection::{Inspection, id_of};
use super::scope::{Restriction, label};
use crate::exchange::Call;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::{Reason, Reject};
use crate::route::Destination;

/// The rule in the log.
const RULE: &str = "guard";

/// An object that has to be inspected, because its name does not tell whether it
/// belongs to an agent.
pub(crate) struct Doubtful(Kind, String);

/// Judges a request by what it names.
///
/// # Errors
/// [`Reject::NoSuch`] for an object that belongs to an agent, [`Reject::Denied`]
/// for everything else of an agent's.
pub(crate) fn judge(
    context: &Context,
    body: &BodyOf<'_>,
    x: &mut Judged<'_>,
    asked: &Call<'_>,
    to: &Destination,
) -> Result<Option<Doubtful>, Reject> {
    let called = x.permission.called.clone();
    let rules = &called.policy.rules;
    let Some(found) = asked.found.filter(|found| rules.acts_on_objects(found)) else {
        return Ok(None);
    };
    // A prune takes all names but one of an image in use.
    let prunes = found.endpoint.group == "images.write" && found.endpoint.route == Route::Prune;
    x.exchange.names_images = prunes
        || matches!(
            found.endpoint.head,
            HeadCheck::LoadsImages | HeadCheck::Build | HeadCheck::BuildKit
        );
    // Other nodes do not know the policy of a caller at a socket, and would not look
    // after the name of their agent's image.
    let is_local = matches!(
        called.caller.principal,
        Principal::Client(Client::Local { .. })
    );
    let is_hidden = matches!(
        found.endpoint.head,
        HeadCheck::LoadsImages | HeadCheck::BuildKit
    );
    if is_local && is_hidden && !matches!(to, Destination::Local) {
        let what = "a caller at a socket or without TLS loads images on its own node only";
        let reject = denied(x, what.to_owned());
        return refuse(x, reject);
    }
    let Some(guarded) = context.cluster.guarded() else {
        let unknown = Reject::refused(
            StatusCode::SERVICE_UNAVAILABLE,
            Reason::Engine,
            "the agent does not know its own objects yet, and refuses what could change them: \
             try again, or read the agent's log",
        );
        return refuse(x, unknown);
    };
    if x.body.held.is_none() && x.body.binding != BodyBinding::Empty && rules.guards(found) {
        let reject = denied(x, "the body was not read".to_owned());
        return refuse(x, reject);
    }
    match rules.judge_guarded(&guarded, found, asked.query, body) {
        Guarding::Clear => Ok(None),
        Guarding::Inspect(kind, name) => Ok(Some(Doubtful(kind, name))),
        Guarding::NoSuch(thing, name) => refuse(x, no_such(thing, &name)),
        Guarding::Denied(reason) => {
            let reject = denied(x, reason);
            refuse(x, reject)
        }
    }
}

/// Inspects an object where the request goes. The request then goes to that node
/// with the id that was found: a name could mean the agent's a moment later.
///
/// # Errors
/// [`Reject::NoSuch`] if it belongs to an agent, or cannot be found.
pub(crate) async fn inspect(
    context: &Context,
    x: &mut Judged<'_>,
    asked: &Call<'_>,
    to: &Destination,
    Doubtful(kind, name): Doubtful,
) -> Result<Restriction, Reject> {
    let (Some(found), Some(guarded)) = (asked.found, context.cluster.guarded()) else {
        return Err(Reject::NoSuch(label(kind, &name)));
    };
    let mut inspection = Inspection::of(context, x, asked, found, to, None);
    inspection.resolve_node(x, kind, Some(&name)).await?;
    let nothing = || Reject::NoSuch(label(kind, &name));
    let inspected = inspection.inspect(kind, &name).await?.ok_or_else(nothing)?;
    let target = if kind == Kind::Exec {
        let container = Scope::container_of_exec(&inspected)?;
        if guarded.has_id(Kind::Container, &container) {
            refuse::<()>(x, nothing())?;
        }
        None
    } else {
        let id = id_of(&inspected).ok_or_else(nothing)?;
        if guarded.has_id(kind, &id) {
            refuse::<()>(x, nothing())?;
        }
        inspection.with_id(kind, &id)?
    };
    Ok(Restriction {
        target,
        pinned: inspection.pinned,
    })
}

/// The refusal, unless the policy is only tried out.
fn refuse<T: Default>(x: &mut Judged<'_>, reject: Reject) -> Result<T, Reject> {
    let tried_out = x.permission.called.policy.rules.audit_only();
    let record = x.record();
    record.rule = RULE.into();
    if tried_out {
        record.would_deny = Some(reject.to_string());
        return Ok(T::default());
    }
    Err(reject)
}

fn denied(x: &Judged<'_>, reason: String) -> Reject {
    Reject::Denied {
        who: x.caller().to_owned(),
        policy: x.permission.called.policy.name.clone(),
        rule: RULE.to_owned(),
        reason,
    }
}

/// The engine's own words: clients look for them.
fn no_such(thing: Thing, name: &str) -> Reject {
    Reject::NoSuch(match thing {
        Thing::Object(kind) => label(kind, name),
        Thing::Image => format!("No such image: {name}"),
    })
}
