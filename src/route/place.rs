//! Chooses the node on which a container, a network or a volume is created, and
//! the node of the requests that go with it: pulls, and look-ups of an image.
//!
//! In this order: the node that the label `skep.node` names; the node of the
//! objects that a container's body names; the node that the configuration gives
//! the caller; the node where this caller's container of the same name was a
//! moment ago; the node that has a part of the same compose project; the node that
//! has the image; this one. `place/project.rs` finds a project, and `place/users.rs`
//! the containers of an image.

mod project;
mod users;

use http::{Method, StatusCode};
use skep_filters::auth::OnBehalfOf;
use skep_filters::endpoint::{ApiVersion, ObjectKind, query};
use skep_filters::json::Members;
use skep_filters::placement::{NODE_LABEL, Placement, PlacingLabels};

use super::{Destination, TargetError, find};
use crate::cluster::ask::{ApiVersionChoice, Ask, Node, Timeout, ask_node, at};
use crate::cluster::hop::Hop;
use crate::cluster::known::image_name;
use crate::cluster::reachable::Reachable;
use crate::exchange::Call;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::{Reason, Reject, internal};
use crate::forward::names;
use crate::route::locate::{Found, Object, locate, object_path};
use crate::upstream::client::Budget;
use crate::upstream::request;

/// Bounds one inspect, in bytes.
const INSPECT: usize = 8 << 20;

/// The nodes of a pull: the node that lacked the image; that of the caller; all nodes
/// with containers of the image, and that of a removed one; otherwise this one.
pub(crate) async fn pulls_to(context: &Context, asked: &Call<'_>, x: &Judged<'_>) -> Vec<Node> {
    let one = |hop: &Hop| vec![at(&context.cluster, hop)];
    let image = query::get(asked.query, "fromImage").filter(|image| !image.is_empty());
    let Some(image) = image else {
        return one(&Hop::Engine);
    };
    let image = match query::get(asked.query, "tag") {
        Some(tag) if tag.contains(':') => format!("{image}@{tag}"),
        Some(tag) if !tag.is_empty() => format!("{image}:{tag}"),
        _ => image.into_owned(),
    };
    let lacked = context.pulls.take(x.caller(), &image_name(&image));
    let chosen = lacked
        .and_then(|node| ready(context, &node))
        .or_else(|| node_of_caller(context, x).and_then(Result::ok));
    if let Some(hop) = chosen {
        return one(&hop);
    }
    let mut to = users::nodes_of(context, x, &image, asked.path.version()).await;
    if let Some(hop) = node_of_removed(context, x, &image) {
        let removed = at(&context.cluster, &hop);
        if to.iter().all(|node| node.tag.id != removed.tag.id) {
            to.push(removed);
        }
    }
    match to.is_empty() {
        true => one(&Hop::Engine),
        false => to,
    }
}

/// The node of the caller's container of this image that was removed a moment ago:
/// it is where the image has to be.
pub(crate) fn node_of_removed(context: &Context, x: &Judged<'_>, image: &str) -> Option<Hop> {
    let node = context.removals.of_image(x.caller(), image)?;
    ready(context, &node).filter(|hop| x.reachable().has(&hop.node(&context.cluster)))
}

/// The node on which an object with this body is created.
///
/// # Errors
/// If the objects that it names have no node in common, several nodes have an
/// object of one name, or the node that it has to be on cannot be asked.
pub(crate) async fn place(
    context: &Context,
    x: &Judged<'_>,
    kind: ObjectKind,
    asked: &Call<'_>,
) -> Result<Hop, Reject> {
    let chooser = Chooser {
        context,
        x,
        version: asked.path.version(),
        labels: PlacingLabels::of_create(body(x)),
    };
    match kind {
        ObjectKind::Container => chooser.container(names::given(asked.query)).await,
        ObjectKind::Volume => chooser.volume().await,
        ObjectKind::Network | ObjectKind::Image | ObjectKind::Exec => chooser.network().await,
    }
}

fn body<'a>(x: &'a Judged<'_>) -> &'a [u8] {
    x.body.held.as_deref().unwrap_or_default()
}

/// A node that a person has chosen, and by what.
struct Choice {
    hop: Hop,
    by: String,
}

struct Chooser<'a, 'x> {
    context: &'a Context,
    x: &'a Judged<'x>,
    version: Option<ApiVersion>,
    labels: PlacingLabels,
}

impl Chooser<'_, '_> {
    async fn container(&self, name: Option<String>) -> Result<Hop, Reject> {
        let placement = Placement::of_create(body(self.x));
        let chosen = self.labelled()?;
        let default = node_of_caller(self.context, self.x);
        let removal = name.and_then(|name| self.context.removals.of_name(self.x.caller(), &name));
        let was_at = removal.as_ref().and_then(|r| ready(self.context, &r.node));
        let default_hop = default.as_ref().and_then(|d| d.as_ref().ok());
        // Which of several nodes is meant that have an object of one name.
        let mut wish = chosen.as_ref().map(|choice| &choice.hop).or(default_hop);
        wish = wish.or(was_at.as_ref());
        let objects = match self.node_of_objects(&placement, wish).await {
            Err(Reject::SeveralNodes { name, nodes }) if wish.is_none() => {
                let project = self.project().await;
                let Some(hop) = &project else {
                    return Err(Reject::SeveralNodes { name, nodes });
                };
                self.node_of_objects(&placement, Some(hop)).await?
            }
            other => other?,
        };
        match (chosen, objects) {
            (Some(choice), Some((first, hop))) if !self.same(&choice.hop, &hop) => {
                let me = self.context.cluster.me();
                return Err(Reject::NoCommonNode {
                    first: format!("{first} is on {}", hop.name(&me)),
                    other: format!("{} asks for {}", choice.by, choice.hop.name(&me)),
                });
            }
            (Some(Choice { hop, .. }), _) | (None, Some((_, hop))) => return Ok(hop),
            (None, None) => {}
        }
        if let Some(default) = default {
            return default;
        }
        if let Some(hop) = was_at {
            return Ok(hop);
        }
        if let Some(removal) = removal.filter(|removal| removal.is_tied) {
            let message = format!(
                "the container was on node {}, which does not answer, and had binds, local \
                 volumes or published ports there: wait for the node, or choose another one \
                 with the label {NODE_LABEL} or the header Skep-Target",
                removal.hostname
            );
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Reject::refused(status, Reason::Node, message));
        }
        if let Some(hop) = self.project().await {
            return Ok(hop);
        }
        let Some(image) = &placement.image else {
            return Ok(Hop::Engine);
        };
        match self.find(ObjectKind::Image, image).await {
            Ok(Found::At(hop)) => Ok(hop),
            _ => Ok(Hop::Engine),
        }
    }

    async fn network(&self) -> Result<Hop, Reject> {
        if let Some(choice) = self.labelled()? {
            return Ok(choice.hop);
        }
        if let Some(default) = node_of_caller(self.context, self.x) {
            return default;
        }
        Ok(self.project().await.unwrap_or(Hop::Engine))
    }

    /// An engine answers a create with the existing volume of that name, and so the
    /// cluster does: a second volume of one name would be empty, and ambiguous.
    async fn volume(&self) -> Result<Hop, Reject> {
        if let Some(choice) = self.labelled()? {
            return Ok(choice.hop);
        }
        let name = Members::of(body(self.x)).and_then(|body| body.text("Name"));
        if let Some(name) = name.filter(|name| is_plain(name))
            && let Ok(Found::At(hop)) = self.find(ObjectKind::Volume, &name).await
            && self.has(&hop, ObjectKind::Volume, &name).await
        {
            return Ok(hop);
        }
        self.network().await
    }

    /// The node that the body's label names.
    fn labelled(&self) -> Result<Option<Choice>, Reject> {
        let Some(node) = &self.labels.node else {
            return Ok(None);
        };
        let hop = named_node(self.context, node, "the label skep.node")?;
        let by = format!("its label {NODE_LABEL}");
        Ok(Some(Choice { hop, by }))
    }

    async fn project(&self) -> Option<Hop> {
        let project = self.labels.project.as_deref()?;
        project::node_of(self.context, self.x, project, self.version).await
    }

    /// The node of the objects that the body of a container names, and the first of
    /// them; `None` if no node has to be chosen for them. `wish` decides between
    /// several nodes.
    async fn node_of_objects(
        &self,
        placement: &Placement,
        wish: Option<&Hop>,
    ) -> Result<Option<(String, Hop)>, Reject> {
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
            let hop = match (self.find(class, name).await, wish) {
                // No node has it: the engine refuses the request, or creates the volume.
                (Ok(Found::Nowhere | Found::Manager | Found::Everyone(_)), _) => continue,
                (Ok(Found::At(hop)), Some(wish))
                    if !self.same(&hop, wish) && self.has(wish, class, name).await =>
                {
                    wish.clone()
                }
                (Ok(Found::At(hop)), _) => hop,
                // A missing node may have it, but only a container has to exist already.
                (Err(Reject::NotFound { .. } | Reject::OnMissingNode { .. }), _)
                    if class != ObjectKind::Container =>
                {
                    continue;
                }
                // Not a 404, after which a client would pull the image.
                (Err(Reject::NotFound { what, missing }), _) => {
                    return Err(Reject::OnMissingNode { what, missing });
                }
                (Err(Reject::SeveralNodes { .. }), Some(wish))
                    if self.has(wish, class, name).await =>
                {
                    wish.clone()
                }
                (Err(e), _) => return Err(e),
            };
            match &chosen {
                Some((first, other)) if !self.same(other, &hop) => {
                    let me = self.context.cluster.me();
                    return Err(Reject::NoCommonNode {
                        first: format!("{first} is on {}", other.name(&me)),
                        other: format!("{name} is on {}", hop.name(&me)),
                    });
                }
                Some(_) => {}
                None => chosen = Some((name.to_owned(), hop)),
            }
        }
        Ok(chosen)
    }

    fn same(&self, one: &Hop, other: &Hop) -> bool {
        one.node(&self.context.cluster) == other.node(&self.context.cluster)
    }

    /// Whether a node has the object.
    async fn has(&self, hop: &Hop, class: ObjectKind, name: &str) -> bool {
        let object = self.object(class, name, self.x.reachable());
        let path = object_path(&object);
        let Ok(head) = request::get("/").map_err(internal) else {
            return false;
        };
        let ask = Ask {
            head: &head,
            version: ApiVersionChoice::of(&self.context.cluster, self.version),
            patience: Timeout::Deadline,
            path: &path,
            query: "",
            on_behalf_of: &OnBehalfOf::Agent,
            request_id: self.x.id().as_header(),
        };
        let node = at(&self.context.cluster, hop);
        let budget = Budget::one(INSPECT);
        let answer = ask_node(&self.context.cluster, &node, &ask, "", &budget).await;
        answer.is_ok_and(|a| a.head.status == StatusCode::OK)
    }

    async fn find(&self, class: ObjectKind, name: &str) -> Result<Found, Reject> {
        locate(self.context, &self.object(class, name, self.x.reachable())).await
    }

    fn object<'o>(
        &'o self,
        class: ObjectKind,
        name: &'o str,
        reachable: &'o Reachable,
    ) -> Object<'o> {
        Object {
            class,
            name,
            method: &Method::POST,
            query: "",
            version: self.version,
            reachable,
            request_id: self.x.id().as_header(),
        }
    }
}

/// Whether the name of a volume is one that engines take.
fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    name.len() > 1 && name.len() <= 512 && name.bytes().all(plain)
}

/// This node as a hop if it is ready.
fn ready(context: &Context, node: &str) -> Option<Hop> {
    if node == context.cluster.me().node_id {
        return Some(Hop::Engine);
    }
    let others = context.cluster.others();
    let member = others.into_iter().find(|m| m.id == node)?;
    member.is_ready().then_some(Hop::Agent(member))
}

/// The node that the configuration gives the caller.
fn node_of_caller(context: &Context, x: &Judged<'_>) -> Option<Result<Hop, Reject>> {
    let node = x.permission.called.node.as_deref()?;
    Some(named_node(context, node, "the caller's `node`"))
}

/// The node of this id or hostname, as `by` names it.
fn named_node(context: &Context, node: &str, by: &str) -> Result<Hop, Reject> {
    let refused = |error: TargetError| {
        let status = match error.status() {
            // Clients read 404 as a missing image, and pull it.
            StatusCode::NOT_FOUND => StatusCode::BAD_REQUEST,
            status => status,
        };
        Reject::refused(status, Reason::Target, format!("{by}: {error}"))
    };
    match find(&context.cluster, node).map_err(refused)? {
        Destination::Node(member) => Ok(Hop::Agent(member)),
        _ => Ok(Hop::Engine),
    }
}
