//! Announces in `/_ping` and `/version` the API versions that all engines of the
//! cluster serve: clients choose the version of all their requests by them.
//!
//! The rest of these answers is the local engine's, and the versions too if the
//! engines have none in common. While the local engine does not answer, another one
//! does: a client that gets no answer to `/_ping` treats the cluster as down.

use bytes::Bytes;
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use skep_filters::aggregate;
use skep_filters::endpoint::{Announcement, RequestPath};

use crate::cluster::ask::{Ask, Node, ask_node, myself, nodes};
use crate::cluster::hop::Hop;
use crate::cluster::identity::ApiRange;
use crate::cluster::reachable::Reachable;
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::upstream::client::{Answer, Budget};
use crate::upstream::headers;

/// Bounds `/version`, in bytes; a real one has a thousand.
const LIMIT: usize = 1 << 20;

/// Answers for the cluster.
///
/// # Errors
/// If no engine answers.
pub(crate) async fn answer(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    announcement: Announcement,
    path: &RequestPath<'_>,
    query: &str,
) -> Result<Next, Reject> {
    x.exchange.record.to = Hop::Engine.label();
    let ask = Ask::of(
        context.version_choice(x.exchange, path),
        session.req_header(),
        path,
        query,
        x.on_behalf_of(),
        x.id().as_header(),
    );
    let (node, answer) = first(context, &ask, x.reachable()).await?;
    let choice = ask.version;
    let (mut head, body) = announced(context, announcement, answer)?;
    x.exchange.record.to = node.hop.label();
    x.exchange.answered_by(&node, choice, &mut head);
    headers::strip_framing(&mut head);
    context.answer(session, x, head, body).await
}

/// Writes the API versions of the cluster into an engine's answer.
fn announced(
    context: &Context,
    announcement: Announcement,
    answer: Answer,
) -> Result<(ResponseHeader, Bytes), Reject> {
    let Answer { mut head, mut body } = answer;
    let internal = |e: Box<pingora::Error>| Reject::Internal(e.to_string());
    if let Some(range) = ApiRange::common(context.cluster.ranges()) {
        if head.headers.contains_key("api-version") {
            head.insert_header("Api-Version", range.max.to_string())
                .map_err(internal)?;
        }
        if head.status == StatusCode::OK && announcement == Announcement::Body {
            let announced = aggregate::announce(&body, range.min, range.max);
            body = announced
                .map_err(|e| Reject::Internal(e.to_string()))?
                .into();
        }
    }
    Ok((head, body))
}

/// The local engine's answer, otherwise a manager's, otherwise any node's.
async fn first(
    context: &Context,
    ask: &Ask<'_>,
    reachable: &Reachable,
) -> Result<(Node, Answer), Reject> {
    let me = myself(&context.cluster);
    let (mut others, _) = nodes(&context.cluster, reachable);
    others.retain(|node| matches!(node.hop, Hop::Agent(_)));
    let other = others.iter().find(|node| node.tag.is_manager);
    let other = other.or(others.first());
    let mut order = [Some(&me), other];
    if context.cluster.me().engine.is_none() {
        order.reverse();
    }
    let mut why = String::new();
    for node in order.into_iter().flatten() {
        match ask_node(&context.cluster, node, ask, ask.query, &Budget::one(LIMIT)).await {
            Ok(answer) => return Ok((node.clone(), answer)),
            Err(reason) if matches!(node.hop, Hop::Engine) => why = reason,
            Err(_) => {}
        }
    }
    Err(context.unreachable(&Hop::Engine, why))
}
