//! Chooses the node on which a container is created.
//!
//! It is the node of the objects that the body names: the container whose network
//! it joins, and local networks and volumes. If it names none, it is this node,
//! unless only another one has the image. If the image is missing there, the pull
//! that follows goes to the same node.

use http::Method;
use skep_filters::endpoint::{ApiVersion, ObjectKind, query};
use skep_filters::placement::Placement;

use crate::cluster::hop::Hop;
use crate::cluster::known::image_name;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::route::locate::{Found, Object, locate};

/// The hop of a pull: the node that lacked the image, otherwise this one.
pub(crate) fn pulls_to(context: &Context, query: &str, caller: &str) -> Hop {
    let pulled = || {
        let image = query::get(query, "fromImage")?;
        let image = match query::get(query, "tag") {
            Some(tag) if tag.contains(':') => format!("{image}@{tag}"),
            Some(tag) if !tag.is_empty() => format!("{image}:{tag}"),
            _ => image.into_owned(),
        };
        let node = context.pulls.take(caller, &image_name(&image))?;
        let others = context.cluster.others();
        let member = others.into_iter().find(|m| m.id == node)?;
        member.is_ready().then_some(Hop::Agent(member))
    };
    pulled().unwrap_or(Hop::Engine)
}

/// The node on which a container with this body is created.
///
/// # Errors
/// If the objects that it names have no node in common, or several nodes have an
/// object of one name.
pub(crate) async fn place(
    context: &Context,
    x: &Judged<'_>,
    version: Option<ApiVersion>,
) -> Result<Hop, Reject> {
    let placement = Placement::of_create(x.body.held.as_deref().unwrap_or_default());
    let mut chosen: Option<(String, Hop)> = None;
    let mut bound: Vec<(ObjectKind, &str)> = Vec::new();
    for (class, names) in [
        (ObjectKind::Container, &placement.containers),
        (ObjectKind::Network, &placement.networks),
        (ObjectKind::Volume, &placement.volumes),
    ] {
        bound.extend(names.iter().map(|name| (class, name.as_str())));
    }
    for (class, name) in bound {
        let hop = match find(context, x, class, name, version).await {
            // No node has it: the engine refuses the request, or creates the volume.
            Ok(Found::Nowhere | Found::Manager | Found::Everyone(_)) => continue,
            Ok(Found::At(hop)) => hop,
            // A missing node may have it, but only a container has to exist already.
            Err(Reject::NotFound { .. } | Reject::OnMissingNode { .. })
                if class != ObjectKind::Container =>
            {
                continue;
            }
            // Not a 404, after which a client would pull the image.
            Err(Reject::NotFound { what, missing }) => {
                return Err(Reject::OnMissingNode { what, missing });
            }
            Err(e) => return Err(e),
        };
        match &chosen {
            Some((first, other)) if other.node(&context.cluster) != hop.node(&context.cluster) => {
                let me = context.cluster.me();
                return Err(Reject::NoCommonNode {
                    first: format!("{first} is on {}", other.name(&me)),
                    other: format!("{name} is on {}", hop.name(&me)),
                });
            }
            Some(_) => {}
            None => chosen = Some((name.to_owned(), hop)),
        }
    }
    if let Some((_, hop)) = chosen {
        return Ok(hop);
    }
    let Some(image) = &placement.image else {
        return Ok(Hop::Engine);
    };
    match find(context, x, ObjectKind::Image, image, version).await {
        Ok(Found::At(hop)) => Ok(hop),
        _ => Ok(Hop::Engine),
    }
}

async fn find(
    context: &Context,
    x: &Judged<'_>,
    class: ObjectKind,
    name: &str,
    version: Option<ApiVersion>,
) -> Result<Found, Reject> {
    let object = Object {
        class,
        name,
        method: &Method::POST,
        query: "",
        version,
        reachable: x.reachable(),
        request_id: x.id().as_header(),
    };
    locate(context, &object).await
}
