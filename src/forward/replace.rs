//! Removes and renames containers, and remembers where they were: a tool that
//! replaces a container creates one of the same name next.

use http::StatusCode;
use pingora::proxy::Session;
use skep_filters::endpoint::ApiVersion;
use skep_filters::placement::Removed;

use crate::cluster::ask::at;
use crate::cluster::hop::Hop;
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::forward::names::{self, inspect_container};
use crate::forward::whole;
use crate::upstream::headers;

/// Bounds the answer, in bytes; a real one is empty or an error.
const ANSWER: usize = 1 << 20;

/// The container that a request removes or renames.
pub(crate) struct Replaced<'a> {
    /// Its name or id, as the request has it.
    pub(crate) name: &'a str,
    /// The name that a rename gives it.
    pub(crate) new_name: Option<String>,
    pub(crate) version: Option<ApiVersion>,
}

/// Removes or renames the container on its node.
///
/// # Errors
/// If another node has a container of the new name, or the node may not be reached
/// or does not answer.
pub(crate) async fn run(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    hop: Hop,
    replaced: Replaced<'_>,
) -> Result<Next, Reject> {
    let Replaced {
        name,
        new_name,
        version,
    } = replaced;
    context.enter(session, x, &hop)?;
    let node = at(&context.cluster, &hop);
    let inspect = inspect_container(context, x, &node, name, version).await?;
    let removed = inspect.and_then(|inspect| Removed::of_inspect(&inspect));
    let _lock = match &new_name {
        Some(new_name) => {
            let lock = context.name_locks.lock(new_name).await;
            names::refuse_taken(context, x, &hop, new_name, version).await?;
            Some(lock)
        }
        None => None,
    };
    x.exchange.record.to = hop.label();
    let body = x.body.held.take().unwrap_or_default();
    let (mut head, body) = whole(context, session, x, &hop, body, ANSWER).await?;
    if let (StatusCode::NO_CONTENT, Some(removed)) = (head.status, removed) {
        let (id, hostname) = (&node.tag.id, &node.tag.hostname);
        let caller = x.caller();
        context.removals.remember(caller, id, hostname, &removed);
        if let Some(new_name) = &new_name {
            context.removals.forget(caller, new_name);
        }
    }
    headers::strip_framing(&mut head);
    context.answer(session, x, head, body).await
}
