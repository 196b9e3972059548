//! Answers `/host/info` with this node's hardware, in the form of Portainer's
//! agent.

mod hardware;
mod pci_ids;

use pingora::proxy::Session;
use serde_json::json;

use crate::api::metrics::{self, gather};
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;

/// # Errors
/// If the client has gone.
pub(crate) async fn answer(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
) -> Result<Next, Reject> {
    let found = gather::reading(hardware::read).await;
    let body = json!(found.unwrap_or_default()).to_string();
    let head = metrics::head("application/json").map_err(internal)?;
    context.answer(session, x, head, body.into()).await
}
