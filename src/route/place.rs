//! On which node a container is created.
//!
//! What its body names has to be on the same node: the container whose network
//! it joins, a network or a volume that one node has. Where it names nothing
//! of the kind, it is this node, unless only another one has the image. A pull
//! that follows, because the image was not there, goes to the same node.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use pingora::proxy::Session;
use serde::Deserialize;
use skep_filters::endpoint::{ApiVersion, Class, RequestPath, query};
use skep_filters::placement::Placement;

use crate::cluster::hop::Hop;
use crate::exchange::Exchange;
use crate::exchange::reject::Reject;
use crate::gateway::{Gateway, Next};
use crate::route::locate::{Found, Object, locate};
use crate::upstream::headers;

/// Bounds the answer to a create; a real one is a few hundred bytes.
const ANSWER: usize = 1 << 20;

/// How long a node is remembered for the pull that its refusal will cause, and
/// how many pulls are waited for at a time.
const PULL: Duration = Duration::from_secs(120);
const PULLS: usize = 1024;

/// The nodes that lacked an image: pulls by caller and image.
#[derive(Default)]
pub struct Pulls(Mutex<HashMap<(String, String), (String, Instant)>>);

impl Pulls {
    fn expect(&self, caller: &str, image: &str, node: &str) {
        let mut pulls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        pulls.retain(|_, (_, since)| now - *since < PULL);
        if pulls.len() < PULLS {
            let key = (caller.to_owned(), image.to_owned());
            pulls.insert(key, (node.to_owned(), now));
        }
    }

    /// The node that this caller's pull of an image is for, once.
    pub fn take(&self, caller: &str, image: &str) -> Option<String> {
        let mut pulls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (node, since) = pulls.remove(&(caller.to_owned(), image.to_owned()))?;
        (since.elapsed() < PULL).then_some(node)
    }
}

/// Where a pull goes: to the node that lacked the image, else to this one.
pub fn pulls_to(gateway: &Gateway, query: &str, caller: &str) -> Hop {
    let pulled = || {
        let image = query::get(query, "fromImage")?;
        let image = match query::get(query, "tag") {
            Some(tag) if tag.contains(':') => format!("{image}@{tag}"),
            Some(tag) if !tag.is_empty() => format!("{image}:{tag}"),
            _ => image.into_owned(),
        };
        let node = gateway.pulls.take(caller, &image_name(&image))?;
        let others = gateway.cluster.others();
        let member = others.into_iter().find(|m| m.id == node)?;
        member.is_ready().then_some(Hop::Agent(member))
    };
    pulled().unwrap_or(Hop::Engine)
}

/// One name for what `app`, `app:latest` and `docker.io/library/app` mean.
fn image_name(image: &str) -> String {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let image = image.strip_prefix("library/").unwrap_or(image);
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

/// The node that a container with this body is created on.
///
/// # Errors
/// If what it names is on different nodes, or on several of them.
pub async fn place(
    gateway: &Gateway,
    x: &Exchange,
    version: Option<ApiVersion>,
) -> Result<Hop, Reject> {
    let placement = Placement::of_create(x.held.as_deref().unwrap_or_default());
    let mut chosen: Option<(String, Hop)> = None;
    let mut bound: Vec<(Class, &str)> = Vec::new();
    for (class, names) in [
        (Class::Container, &placement.containers),
        (Class::Network, &placement.networks),
        (Class::Volume, &placement.volumes),
    ] {
        bound.extend(names.iter().map(|name| (class, name.as_str())));
    }
    for (class, name) in bound {
        let hop = match find(gateway, x, class, name, version).await {
            // Nobody has it, which the engine says, or it makes the volume.
            Ok(Found::Nowhere | Found::Manager | Found::Everyone(_)) => continue,
            Ok(Found::At(hop)) => hop,
            // What may be on a missing node is only awaited if it has to run.
            Err(Reject::NotFound { .. }) if class != Class::Container => continue,
            Err(e) => return Err(e),
        };
        match &chosen {
            Some((first, other)) if other.node(gateway) != hop.node(gateway) => {
                let me = gateway.cluster.me();
                return Err(Reject::Apart {
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
    match find(gateway, x, Class::Image, image, version).await {
        Ok(Found::At(hop)) => Ok(hop),
        _ => Ok(Hop::Engine),
    }
}

async fn find(
    gateway: &Gateway,
    x: &Exchange,
    class: Class,
    name: &str,
    version: Option<ApiVersion>,
) -> Result<Found, Reject> {
    let object = Object {
        class,
        name,
        method: &Method::POST,
        query: "",
        version,
        reachable: &x.reachable,
    };
    locate(gateway, &object).await
}

/// Creates a container where it belongs.
///
/// # Errors
/// As for [`place`], or if the node does not answer.
pub async fn run(
    gateway: &Gateway,
    session: &mut Session,
    x: &mut Exchange,
    path: &RequestPath<'_>,
) -> Result<Next, Reject> {
    let hop = match x.pinned.take() {
        Some(hop) => hop,
        None => place(gateway, x, path.version()).await?,
    };
    let image = Placement::of_create(x.held.as_deref().unwrap_or_default()).image;
    x.to = hop.in_words();
    create(gateway, session, x, hop, image.as_deref()).await
}

/// Passes on the creation of a container or an exec. Where it is, or where its
/// image was lacking, is noted before the client hears of it: its next request
/// may be at its heels.
///
/// # Errors
/// If the node does not answer.
pub async fn create(
    gateway: &Gateway,
    session: &mut Session,
    x: &mut Exchange,
    hop: Hop,
    image: Option<&str>,
) -> Result<Next, Reject> {
    gateway.reaches(x, &hop)?;
    let body = x.held.take().unwrap_or_default();
    let (mut head, body) = gateway.whole(session, x, &hop, body, ANSWER).await?;
    #[derive(Deserialize)]
    struct Created {
        #[serde(rename = "Id")]
        id: String,
    }
    if head.status == StatusCode::CREATED
        && let Ok(created) = serde_json::from_slice::<Created>(&body)
    {
        gateway.known.saw(&created.id, &hop.node(gateway));
    }
    if let (StatusCode::NOT_FOUND, Some(image)) = (head.status, image) {
        let node = hop.node(gateway);
        gateway.pulls.expect(&x.caller, &image_name(image), &node);
    }
    headers::strip_framing(&mut head);
    gateway.answer(session, x, head, body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_is_sent_once_to_the_node_that_lacked_the_image() {
        let pulls = Pulls::default();
        pulls.expect("ci", "app:latest", "n2");
        assert_eq!(pulls.take("else", "app:latest"), None);
        assert_eq!(pulls.take("ci", "app:latest").as_deref(), Some("n2"));
        assert_eq!(pulls.take("ci", "app:latest"), None);
    }

    #[test]
    fn an_image_has_one_name_however_it_is_written() {
        for (written, name) in [
            ("app", "app:latest"),
            ("docker.io/library/app", "app:latest"),
            ("library/app:2", "app:2"),
            ("reg:5000/app", "reg:5000/app:latest"),
            ("app@sha256:0a", "app@sha256:0a"),
        ] {
            assert_eq!(image_name(written), name, "{written}");
        }
    }

    #[test]
    fn pulls_that_never_come_are_bounded() {
        let pulls = Pulls::default();
        for n in 0..2 * PULLS {
            pulls.expect("ci", &n.to_string(), "n2");
        }
        assert_eq!(pulls.0.lock().unwrap().len(), PULLS);
    }
}
