//! Copies an image to this node from another one, before a container is created from
//! it here, or because a caller spreads it. `copy/transfer.rs` moves the bytes.
//!
//! Each agent copies to its own engine only, and in the caller's name: the agent of
//! the other node asks the caller's policy again before it gives the image away.

mod transfer;

use http::{HeaderValue, StatusCode};
use pingora::proxy::Session;
use skep_filters::auth::OnBehalfOf;
use skep_filters::endpoint::Match;
use tokio::time::timeout;

use crate::cluster::ask::{ApiVersionChoice, Ask, Node, Timeout, myself, nodes};
use crate::cluster::hop::Hop;
use crate::cluster::reachable::Reachable;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::{Reason, Reject, internal};
use crate::exchange::{Next, Upstream};
use crate::forward::image::{self, Image};
use crate::upstream::request;
use transfer::{Transfer, TransferError};

/// The longest name of an image that is looked up.
const LONGEST: usize = 512;

/// The beginning of an engine's message about a container without an image.
const NO_IMAGE: &str = "No such image";

/// Copies the image that a container needs to this node, if the engine's refusal says
/// that it lacks it and another node has it. Returns whether the container can be
/// created now.
///
/// # Errors
/// If several nodes have different images of this name, or the copy failed. The
/// answer begins in the engine's words and has its status: clients go on and pull.
pub(crate) async fn for_create(
    context: &Context,
    x: &Judged<'_>,
    name: &str,
    refusal: &[u8],
) -> Result<bool, Reject> {
    let settings = &context.config.images;
    if !settings.copy || !context.cluster.is_on() || !is_copied_by(name) || !lacks_image(refusal) {
        return Ok(false);
    }
    let copier = Copier {
        context,
        on_behalf_of: x.on_behalf_of(),
        request_id: x.id().as_header(),
        purpose: Purpose::Create,
    };
    let (mut others, _) = nodes(&context.cluster, &Reachable::All);
    others.retain(|node| matches!(node.hop, Hop::Agent(_)));
    let images = copier.images(&others, name).await?;
    let Some((node, image)) = images.first() else {
        return Ok(false);
    };
    let not_copied = |why: String| {
        let message = format!("No such image: {name} ({why})");
        Reject::refused(StatusCode::NOT_FOUND, Reason::ImageNotCopied, message)
    };
    if images.iter().any(|(_, other)| !other.is_same(image)) {
        let where_ = images.iter();
        let where_ = where_.map(|(node, image)| format!("{} has {}", node.tag.hostname, image.id));
        let where_ = where_.collect::<Vec<_>>().join(", ");
        tracing::warn!("did not copy {name}: the nodes have different images: {where_}");
        let why = match x.reachable() {
            Reachable::All => format!("{where_}: pull it, or spread one of them"),
            Reachable::Some(_) => "nodes have different images of this name: pull it".to_owned(),
        };
        return Err(not_copied(why));
    }
    match copier.copy(name, node, image).await {
        Ok(_) => Ok(true),
        Err(CopyError::Transfer {
            error: TransferError::Denied,
            ..
        }) => Ok(false),
        Err(error @ CopyError::OtherId { .. }) => Err(Reject::refused(
            StatusCode::CONFLICT,
            Reason::ImageNotCopied,
            error,
        )),
        Err(error) => Err(not_copied(error.to_string())),
    }
}

/// Whether an image can be copied by this name. Engines forget the digest of a name
/// when they load an image.
pub(super) fn is_copied_by(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:".contains(&b);
    let begins = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    begins
        && name.len() <= LONGEST
        && name.bytes().all(is_plain)
        && !name.contains("..")
        && !name.contains("//")
}

fn lacks_image(refusal: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    let refusal = serde_json::from_slice::<Refusal>(refusal);
    refusal.is_ok_and(|refusal| {
        let begin = refusal.message.get(..NO_IMAGE.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(NO_IMAGE))
    })
}

/// Gives another agent an image of this node, for a container that its caller
/// creates there. The caller's policy has allowed it.
///
/// # Errors
/// [`Reject::NotServed`] for a client: it may export images by Docker's API only.
pub(crate) fn give(session: &mut Session, x: &Judged<'_>, found: &Match) -> Result<Next, Reject> {
    let name = found.object.as_deref().unwrap_or_default();
    if !x.is_from_peer() || !is_copied_by(name) {
        return Err(Reject::NotServed);
    }
    let target = request::escape(&format!("/images/{name}/get"));
    let target = target.parse();
    let target = target.map_err(|e: http::uri::InvalidUri| Reject::Internal(e.to_string()))?;
    session.req_header_mut().set_uri(target);
    Ok(Next::Proxy(Upstream::only(Hop::Engine)))
}

/// Why an image is copied: it says what the caller has to be allowed on the other
/// node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The caller creates a container from it.
    Create,
    /// The caller spreads it, and could export it too.
    Spread,
}

/// Why an image was not copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("node {from} has it, but it could not be copied: {error}")]
    Transfer { from: String, error: TransferError },
    #[error(
        "the image {name} of node {from} was copied to node {to}, and is {there} there and {here} \
         here: the engines store images in different ways. Use the copy: send the request again"
    )]
    OtherId {
        name: String,
        from: String,
        to: String,
        /// The id at the node that had it.
        there: String,
        /// The id after the copy.
        here: String,
    },
    #[error("node {from} had it, and it did not arrive")]
    Absent { from: String },
    #[error("the agent ends")]
    Ends,
    #[error("{0}")]
    Reject(#[from] Reject),
}

/// Whether an image had to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    Now,
    Before,
}

/// Copies images to this node for one caller.
pub(crate) struct Copier<'a> {
    pub(crate) context: &'a Context,
    pub(crate) on_behalf_of: &'a OnBehalfOf,
    pub(crate) request_id: &'a HeaderValue,
    pub(crate) purpose: Purpose,
}

impl Copier<'_> {
    /// The nodes that have an image of this name, and the images.
    ///
    /// # Errors
    /// For a defect of skep.
    pub(crate) async fn images<'n>(
        &self,
        nodes: &'n [Node],
        name: &str,
    ) -> Result<Vec<(&'n Node, Image)>, Reject> {
        let ask = Ask {
            head: &request::get("/").map_err(internal)?,
            version: ApiVersionChoice::of(&self.context.cluster, None),
            patience: Timeout::Deadline,
            path: "",
            query: "",
            on_behalf_of: &OnBehalfOf::Agent,
            request_id: self.request_id,
        };
        Ok(image::of_name(self.context, nodes, name, &ask).await)
    }

    /// Copies the image from a node, unless it is here; waits for a copy of the same
    /// image that another request began.
    ///
    /// # Errors
    /// If it does not arrive in time, or is another one here.
    pub(crate) async fn copy(
        &self,
        name: &str,
        from: &Node,
        image: &Image,
    ) -> Result<Copied, CopyError> {
        let limit = self.context.config.images.copy_timeout;
        let done = timeout(limit, self.copy_in_turn(name, from, image)).await;
        let done = done.unwrap_or_else(|_| {
            Err(CopyError::Transfer {
                from: from.tag.hostname.clone(),
                error: TransferError::TooSlow(limit),
            })
        });
        if let Err(error) = &done {
            tracing::warn!("did not copy the image {name} ({}): {error}", image.id);
        }
        done
    }

    async fn copy_in_turn(
        &self,
        name: &str,
        from: &Node,
        image: &Image,
    ) -> Result<Copied, CopyError> {
        let Self { context, .. } = self;
        let _turn = context.copies.turn(&image.id).await;
        // Without a name if it is asked for by its id.
        let name = if names_id(name, &image.id) {
            image.id.as_str()
        } else {
            name
        };
        if self
            .here(name)
            .await?
            .is_some_and(|here| here.is_same(image))
        {
            return Ok(Copied::Before);
        }
        let _place = context.copies.place().await.ok_or(CopyError::Ends)?;
        let (source, me) = (&from.tag.hostname, context.cluster.me().name().to_owned());
        tracing::info!(
            "copies the image {name} ({}) from node {source} to node {me}",
            image.id
        );
        let path = match self.purpose {
            Purpose::Create => format!("/skep/v1/images/{name}/copy"),
            Purpose::Spread => format!("/images/{name}/get"),
        };
        let transfer = Transfer {
            context,
            from: &from.hop,
            path: &path,
            on_behalf_of: self.on_behalf_of,
            request_id: self.request_id,
        };
        let bytes = transfer.run().await;
        let bytes = bytes.map_err(|error| CopyError::Transfer {
            from: source.clone(),
            error,
        })?;
        match self.here(name).await? {
            Some(here) if here.is_same(image) => {}
            Some(here) => {
                return Err(CopyError::OtherId {
                    name: name.to_owned(),
                    from: source.clone(),
                    to: me,
                    there: image.id.clone(),
                    here: here.id,
                });
            }
            None => {
                return Err(CopyError::Absent {
                    from: source.clone(),
                });
            }
        }
        let id = &image.id;
        tracing::info!(
            "copied the image {name} ({id}) from node {source} to node {me}: {bytes} bytes"
        );
        Ok(Copied::Now)
    }

    /// The image with this name on this node.
    async fn here(&self, name: &str) -> Result<Option<Image>, Reject> {
        let here = [myself(&self.context.cluster)];
        let images = self.images(&here, name).await?;
        Ok(images.into_iter().next().map(|(_, image)| image))
    }
}

/// Whether a name is an id, or the beginning of one.
fn names_id(name: &str, id: &str) -> bool {
    let digits = |text: &str| text.strip_prefix("sha256:").unwrap_or(text).to_owned();
    digits(id).starts_with(&digits(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_copied_by_its_name_or_id_and_not_by_a_digest() {
        for (name, is_copied) in [
            ("app", true),
            ("app:1", true),
            ("reg.example:5000/a_b/c-d:1.2", true),
            ("sha256:0123", true),
            ("0123456789ab", true),
            ("app@sha256:0123", false),
            ("", false),
            ("../containers/json", false),
            ("a/../b", false),
            ("a//b", false),
            ("app?x=1", false),
            ("a b", false),
            ("/app", false),
        ] {
            assert_eq!(is_copied_by(name), is_copied, "{name:?}");
        }
        assert!(!is_copied_by(&"a".repeat(LONGEST + 1)));
    }

    #[test]
    fn only_an_engine_without_the_image_gets_it() {
        for (refusal, lacks) in [
            (r#"{"message":"No such image: app:1"}"#, true),
            (r#"{"message":"no such image: app:1"}"#, true),
            (r#"{"message":"No such container: db"}"#, false),
            (
                r#"{"message":"image with reference app was found but does not match the specified platform"}"#,
                false,
            ),
            (r#"{"message":""}"#, false),
            ("not JSON", false),
        ] {
            assert_eq!(lacks_image(refusal.as_bytes()), lacks, "{refusal}");
        }
    }

    #[test]
    fn the_beginning_of_an_id_names_it() {
        let id = "sha256:0123456789abcdef";
        for (name, is_id) in [
            (id, true),
            ("0123456789ab", true),
            ("sha256:0123", true),
            ("app", false),
            ("0124", false),
        ] {
            assert_eq!(names_id(name, id), is_id, "{name}");
        }
    }
}
