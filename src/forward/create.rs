//! Forwards the creation of containers and execs, and remembers their nodes.

use http::StatusCode;
use pingora::proxy::Session;
use serde::Deserialize;
use skep_filters::placement::Placement;

use crate::cluster::hop::Hop;
use crate::cluster::known::image_name;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::{Call, Next};
use crate::forward::{copy, names, whole};
use crate::upstream::headers;

/// Bounds the answer to a create, in bytes; a real one has a few hundred.
const ANSWER: usize = 1 << 20;

/// Creates a container on this node.
///
/// # Errors
/// If another node has a container of this name, or if the node may not be reached or does not answer.
pub(crate) async fn container(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    hop: Hop,
    asked: Call<'_>,
) -> Result<Next, Reject> {
    let name = names::given(asked.query);
    let _lock = match &name {
        Some(name) => {
            let lock = context.name_locks.lock(name).await;
            names::refuse_taken(context, x, &hop, name, asked.path.version()).await?;
            Some(lock)
        }
        None => None,
    };
    let image = Placement::of_create(x.body.held.as_deref().unwrap_or_default()).image;
    let created = New {
        image: image.as_deref(),
        name: name.as_deref(),
    };
    create(context, session, x, hop, created).await
}

/// Creates a container on this node, because the caller or another agent named the
/// node.
///
/// # Errors
/// If the node may not be reached, does not answer, or cannot get the image.
pub(crate) async fn here(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
) -> Result<Next, Reject> {
    let image = Placement::of_create(x.body.held.as_deref().unwrap_or_default()).image;
    let new = New {
        image: image.as_deref(),
        name: None,
    };
    create(context, session, x, Hop::Engine, new).await
}

/// Creates an exec on its container's node. Later calls name only its id.
///
/// # Errors
/// If the node may not be reached or does not answer.
pub(crate) async fn exec(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    hop: Hop,
) -> Result<Next, Reject> {
    create(context, session, x, hop, New::default()).await
}

/// What the request says about the new object.
#[derive(Default)]
struct New<'a> {
    image: Option<&'a str>,
    /// The name of a container.
    name: Option<&'a str>,
}

/// Forwards the creation, and remembers the node of the new object, or the node that
/// lacked the image, before it answers: the client's next request may follow at once.
///
/// # Errors
/// If the node does not answer.
async fn create(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    hop: Hop,
    new: New<'_>,
) -> Result<Next, Reject> {
    context.enter(session, x, &hop)?;
    x.exchange.record.to = hop.label();
    let body = x.body.held.take().unwrap_or_default();
    let (mut head, mut answer) = whole(context, session, x, &hop, body.clone(), ANSWER).await?;
    if let (Hop::Engine, StatusCode::NOT_FOUND, Some(image)) = (&hop, head.status, new.image) {
        match copy::for_create(context, x, image, &answer).await {
            Ok(true) => {
                (head, answer) = whole(context, session, x, &hop, body, ANSWER).await?;
            }
            Ok(false) => {}
            Err(reject) => {
                if reject.status() == StatusCode::NOT_FOUND {
                    expect_pull(context, x, &hop, image);
                }
                return Err(reject);
            }
        }
    }
    #[derive(Deserialize)]
    struct Created {
        #[serde(rename = "Id")]
        id: String,
    }
    if head.status == StatusCode::CREATED
        && let Ok(created) = serde_json::from_slice::<Created>(&answer)
    {
        context.known.saw(&created.id, &hop.node(&context.cluster));
        if let Some(name) = new.name {
            context.removals.forget(x.caller(), name);
        }
    }
    if let (StatusCode::NOT_FOUND, Some(image)) = (head.status, new.image) {
        expect_pull(context, x, &hop, image);
    }
    headers::strip_framing(&mut head);
    context.answer(session, x, head, answer).await
}

/// Records that the node lacks the image: the client is going to pull it next.
fn expect_pull(context: &Context, x: &Judged<'_>, hop: &Hop, image: &str) {
    let node = hop.node(&context.cluster);
    context.pulls.expect(x.caller(), &image_name(image), &node);
}
