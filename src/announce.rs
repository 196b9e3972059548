//! What an agent announces: `/_ping` and `/version` say what the whole cluster
//! can do, not only the engine beside it, for clients choose the version of
//! all their requests by it.
//!
//! Everything else in these answers is the local engine's, and so is the
//! range where the engines of a cluster have no version in common.

use bytes::Bytes;
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use skep_filters::aggregate;
use skep_filters::endpoint::{EndpointId, RequestPath};

use crate::client::{Answer, Budget};
use crate::cluster::identity::ApiRange;
use crate::everyone::{Ask, ask_node, myself};
use crate::exchange::Exchange;
use crate::gateway::{Gateway, Next};
use crate::hop::{self, Hop};
use crate::reject::Reject;

/// Bounds `/version`; a real one is a kilobyte.
const LIMIT: usize = 1 << 20;

/// Whether an endpoint's answer is what clients negotiate by.
pub fn negotiates(id: EndpointId) -> bool {
    use EndpointId::{SystemPing, SystemPingHead, SystemVersion};
    matches!(id, SystemPing | SystemPingHead | SystemVersion)
}

/// Answers in the name of the cluster.
///
/// # Errors
/// If the local engine does not answer.
pub async fn answer(
    gateway: &Gateway,
    session: &mut Session,
    x: &mut Exchange,
    id: EndpointId,
    path: &RequestPath<'_>,
    query: &str,
) -> Result<Next, Reject> {
    x.to = Hop::Engine.in_words();
    let ask = Ask::of(gateway, session.req_header(), path, query, &x.caller);
    let (mut head, body) = run(gateway, id, &ask).await?;
    hop::end_of_answer(&mut head);
    head.remove_header("transfer-encoding");
    gateway.answer(session, x, head, body).await
}

/// The local engine's answer with the API versions of the cluster.
async fn run(
    gateway: &Gateway,
    id: EndpointId,
    ask: &Ask<'_>,
) -> Result<(ResponseHeader, Bytes), Reject> {
    let me = myself(gateway);
    let answer = ask_node(gateway, &me, ask, ask.query, &Budget::one(LIMIT)).await;
    let Answer { mut head, mut body } =
        answer.map_err(|reason| Hop::Engine.reject(&me.tag.hostname, &gateway.engine, reason))?;
    let internal = |e: Box<pingora::Error>| Reject::Internal(e.to_string());
    if let Some(range) = ApiRange::common(gateway.cluster.ranges()) {
        if head.headers.contains_key("api-version") {
            head.insert_header("Api-Version", range.max.to_string())
                .map_err(internal)?;
        }
        if head.status == StatusCode::OK && id == EndpointId::SystemVersion {
            let announced = aggregate::announce(&body, range.min, range.max);
            body = announced
                .map_err(|e| Reject::Internal(e.to_string()))?
                .into();
        }
    }
    Ok((head, body))
}
