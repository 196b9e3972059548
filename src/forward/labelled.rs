//! Inspects an object on its node, and adds the label with the node to the answer.

use bytes::Bytes;
use http::StatusCode;
use pingora::proxy::Session;
use skep_filters::aggregate::label_inspect;
use skep_filters::endpoint::LabelsAt;

use crate::cluster::ask::at;
use crate::cluster::hop::Hop;
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::forward::whole;
use crate::upstream::headers;

/// The label for the inspect of this endpoint; `None` if its answer stays as it is.
pub(crate) fn label_of<'c>(context: &'c Context, x: &Judged<'_>) -> Option<(LabelsAt, &'c str)> {
    let at = x.endpoint?.labels?;
    let label = context.config.aggregate.node_label.as_deref()?;
    Some((at, label))
}

/// Answers with the inspect of one node.
///
/// # Errors
/// If the node may not be reached or does not answer.
pub(crate) async fn inspect(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    hop: &Hop,
    (labels, label): (LabelsAt, &str),
) -> Result<Next, Reject> {
    context.enter(session, x, hop)?;
    x.exchange.record.to = hop.label();
    let body = x.body.held.take().unwrap_or_default();
    let bound = context.config.aggregate.max_bytes;
    let (mut head, body) = whole(context, session, x, hop, body, bound).await?;
    headers::strip_framing(&mut head);
    let node = at(&context.cluster, hop).tag;
    let node = match node.hostname.as_str() {
        "" => node.id.as_str(),
        hostname => hostname,
    };
    let labelled = std::str::from_utf8(&body)
        .ok()
        .filter(|_| head.status == StatusCode::OK)
        .and_then(|inspect| label_inspect(labels, inspect, label, node));
    let body = labelled.map_or(body, Bytes::from);
    context.answer(session, x, head, body).await
}
