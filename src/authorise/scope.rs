//! Keeps a caller within its scope: narrows lists, inspects objects before they are
//! used, and adds the labels to new objects.
//!
//! The endpoint's column `scope` says which of these applies; this module asks the
//! nodes. The entry node does it, since only it sees the whole cluster.

pub(super) mod inspection;

use http::{HeaderValue, Uri};
use serde::Deserialize;
use skep_filters::auth::OnBehalfOf;
use skep_filters::endpoint::query;
use skep_filters::policy::BodyOf;
use skep_filters::policy::scope::{Kind, Reach, Scope};

use crate::cluster::ask::{ApiVersionChoice, Ask, Timeout, ask_node, at};
use crate::cluster::hop::Hop;
use crate::exchange::Call;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::route::Destination;
use crate::upstream::client::Budget;
use crate::upstream::request;
use inspection::Inspection;

/// Bounds one inspect, in bytes.
const INSPECT: usize = 8 << 20;

/// How a request keeps within its caller's scope.
#[derive(Default)]
pub(crate) struct Restriction {
    /// The target that replaces the request's: with narrower filters, or with the
    /// object's id in place of its name, which could mean another object a moment
    /// later.
    pub(crate) target: Option<Uri>,
    /// The node on which its objects were inspected: the request may go to no other.
    pub(crate) pinned: Option<Hop>,
}

/// Keeps the request within the scope, and may replace its body.
///
/// # Errors
/// [`Reject::OutOfScope`], or if the object cannot be found.
pub(crate) async fn confine(
    context: &Context,
    x: &mut Judged<'_>,
    scope: &Scope,
    asked: &Call<'_>,
    to: &Destination,
    pinned: Option<Hop>,
    body: &BodyOf<'_>,
) -> Result<Restriction, Reject> {
    let Some(found) = asked.found else {
        return Err(out_of_scope("unknown endpoint"));
    };
    let mut inspection = Inspection::of(context, x, asked, found, to, pinned);
    let target = match found.endpoint.scope {
        Reach::Build => {
            deny_build_network(asked.query)?;
            None
        }
        Reach::Unscoped => None,
        Reach::List => {
            let narrowed = scope.narrow(asked.query)?;
            Some(target(asked.path.raw(), &narrowed)?)
        }
        Reach::Object(kind) => inspection.at_the_object(x, scope, kind).await?,
        Reach::Replace(kind) => {
            let target = inspection.at_the_object(x, scope, kind).await?;
            inspection.stamp(x, scope, kind, body).await?;
            target
        }
        Reach::Create(kind) => {
            inspection.resolve_node(x, kind, None).await?;
            if kind == Kind::Volume {
                inspection.check_name_is_free(scope, body).await?;
            }
            inspection.stamp(x, scope, kind, body).await?;
            None
        }
        Reach::NetworkAndContainer => {
            let target = inspection.at_network_and_container(x, scope, body).await?;
            Some(target)
        }
        Reach::Forbidden => {
            return Err(out_of_scope("it shows or changes objects of others"));
        }
    };
    Ok(Restriction {
        target,
        pinned: inspection.pinned,
    })
}

/// Refuses a service on the host's network, which its specification may name by id
/// or the beginning of one: managers resolve it (moby `populateNetworkID`). Returns
/// the manager that was asked, if one was: the request has to go there.
///
/// # Errors
/// [`Reject::Denied`] if it is the host's, or cannot be inspected.
pub(crate) async fn deny_host_network(
    context: &Context,
    x: &Judged<'_>,
    asked: &Call<'_>,
    to: &Destination,
    body: &BodyOf<'_>,
    mut pinned: Option<Hop>,
) -> Result<Option<Hop>, Reject> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Network {
        name: String,
        driver: String,
    }
    let mut references = Scope::references(Kind::Service, body)?;
    references.retain(|reference| reference.kind == Kind::Network);
    if references.is_empty() {
        return Ok(pinned);
    }
    let hop = hop_to(context, to, &mut pinned)?;
    for reference in references {
        let inspect = inspect(
            context,
            &hop,
            asked,
            Kind::Network,
            &reference.name,
            x.id().as_header(),
        )
        .await?;
        let nothing = || Reject::NoSuch(label(Kind::Network, &reference.name));
        let inspect = inspect.ok_or_else(nothing)?;
        let network: Network = serde_json::from_slice(&inspect).unwrap_or_default();
        if network.name.is_empty() || network.name == "host" || network.driver == "host" {
            return Err(Reject::Denied {
                who: x.caller().to_owned(),
                policy: x.permission.called.policy.name.clone(),
                rule: "may.namespaces".to_owned(),
                reason: "Networks asks for the host's network".to_owned(),
            });
        }
    }
    Ok(pinned)
}

/// The node to which a request for a service goes.
pub(super) fn hop_to(
    context: &Context,
    to: &Destination,
    pinned: &mut Option<Hop>,
) -> Result<Hop, Reject> {
    match to {
        Destination::Node(member) => Ok(Hop::Agent(member.clone())),
        Destination::Manager => pin_a_manager(context, pinned),
        _ => Ok(Hop::Engine),
    }
}

/// The same manager for everything that this request needs.
fn pin_a_manager(context: &Context, pinned: &mut Option<Hop>) -> Result<Hop, Reject> {
    let hop = match &pinned {
        Some(hop) => hop.clone(),
        None if context.cluster.me().can_manage() || !context.cluster.is_on() => Hop::Engine,
        None => context.manager()?,
    };
    *pinned = Some(hop.clone());
    Ok(hop)
}

fn out_of_scope(what: &str) -> Reject {
    Reject::OutOfScope(what.to_owned())
}

/// Refuses a network for a build, whose commands could reach containers out of
/// scope.
fn deny_build_network(query: &str) -> Result<(), Reject> {
    let is_builtin = |mode: &str| ["", "default", "bridge", "none", "host"].contains(&mode);
    if query::all(query, "networkmode").all(|mode| is_builtin(&mode)) {
        Ok(())
    } else {
        Err(out_of_scope("a build may not join a network"))
    }
}

/// The inspect of an object on one node; `None` if the node does not have it.
pub(super) async fn inspect(
    context: &Context,
    hop: &Hop,
    asked: &Call<'_>,
    kind: Kind,
    name: &str,
    request_id: &HeaderValue,
) -> Result<Option<bytes::Bytes>, Reject> {
    let path = path(kind, name);
    let ask = Ask {
        head: &request::get("/").map_err(internal)?,
        version: ApiVersionChoice::of(&context.cluster, asked.path.version()),
        patience: Timeout::Deadline,
        path: &path,
        query: "",
        // A policy may allow removing an object without inspecting it.
        on_behalf_of: &OnBehalfOf::Agent,
        request_id,
    };
    let node = at(&context.cluster, hop);
    let answer = ask_node(&context.cluster, &node, &ask, "", &Budget::one(INSPECT)).await;
    let answer = answer.map_err(|e| context.unreachable(hop, e))?;
    Ok(match answer.head.status.as_u16() {
        200 => Some(answer.body),
        _ => None,
    })
}

/// The path of an object's inspect.
fn path(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Container => format!("/containers/{name}/json"),
        Kind::Exec => format!("/exec/{name}/json"),
        Kind::Volume => format!("/volumes/{name}"),
        Kind::Network => format!("/networks/{name}"),
        Kind::Service => format!("/services/{name}"),
        Kind::Task => format!("/tasks/{name}"),
        Kind::Secret => format!("/secrets/{name}"),
        Kind::Config => format!("/configs/{name}"),
    }
}

/// The engine's message for a missing object, which clients compare.
pub(super) fn label(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Container => format!("No such container: {name}"),
        Kind::Exec => format!("No such exec instance: {name}"),
        Kind::Volume => format!("get {name}: no such volume"),
        Kind::Network => format!("network {name} not found"),
        Kind::Service => format!("service {name} not found"),
        Kind::Task => format!("task {name} not found"),
        Kind::Secret => format!("secret {name} not found"),
        Kind::Config => format!("config {name} not found"),
    }
}

fn target(path: &str, query: &str) -> Result<Uri, Reject> {
    let target = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    let internal = |e: http::uri::InvalidUri| Reject::Internal(e.to_string());
    target.parse().map_err(internal)
}
