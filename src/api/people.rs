//! Answers for the list of people: hands out the versions, and takes the next one.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use pingora::proxy::Session;
use serde_json::json;
use skep_filters::endpoint::People;
use skep_filters::endpoint::query::get;
use skep_filters::people::Envelope;

use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::{Reason, Reject};
use crate::people::{ChangeError, Keeper};

/// Answers one of the endpoints. `configured` are the identities of this agent's
/// configuration, with their policies.
///
/// # Errors
/// If there is no such version, or the next one is not taken.
pub(crate) async fn answer(
    people: &Arc<Keeper>,
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    endpoint: People,
    configured: impl FnOnce() -> Vec<(String, String)>,
) -> Result<Next, Reject> {
    let body = match endpoint {
        People::Current => enveloped(people.state().envelope.clone())?,
        People::Users => users(people, context, configured()),
        People::Version => {
            let query = session.req_header().uri.query().unwrap_or_default();
            let version = get(query, "version").and_then(|text| text.parse().ok());
            let version = version.ok_or_else(|| {
                let what = "`version` in the query must be a number";
                Reject::refused(StatusCode::BAD_REQUEST, Reason::People, what)
            })?;
            enveloped(people.version(version).await.map_err(unreadable)?)?
        }
        People::Joined => {
            let joined = people.joined().await.map_err(unreadable)?;
            Bytes::from(json!(joined).to_string())
        }
        People::Change => change(people, x).await?,
        // They are answered before the caller is authenticated, and elsewhere not at all.
        People::Authority | People::Join | People::Renew => return Err(Reject::NotServed),
    };
    context.answer_json(session, x, body).await
}

async fn change(people: &Arc<Keeper>, x: &mut Judged<'_>) -> Result<Bytes, Reject> {
    let bytes = x.body.held.clone().unwrap_or_default();
    let said = people.change(&bytes).await?;
    x.exchange.record.change = Some(said.clone());
    let version = people.state().document.version;
    Ok(json!({ "version": version, "changes": said })
        .to_string()
        .into())
}

fn enveloped(envelope: Option<Envelope>) -> Result<Bytes, Reject> {
    let none = || {
        let what = "there is no such list of people";
        Reject::refused(StatusCode::NOT_FOUND, Reason::People, what)
    };
    let json = envelope.ok_or_else(none)?.to_json();
    json.map(Bytes::from)
        .map_err(|e| Reject::Internal(e.to_string()))
}

/// The users of the list, and the identities of this agent's configuration.
fn users(people: &Keeper, context: &Context, configured: Vec<(String, String)>) -> Bytes {
    let state = people.state();
    let listed = state.document.users.iter().map(|user| {
        json!({
            "name": user.name,
            "policy": user.policy,
            "source": "list",
            "enabled": user.enabled,
            "hidden": people.is_hidden(&user.name),
            "seen": people.sightings.of(&user.name),
        })
    });
    let own = configured.into_iter().map(|(name, policy)| {
        json!({
            "name": name,
            "policy": policy,
            "source": "configuration",
            "enabled": true,
        })
    });
    let all: Vec<_> = listed.chain(own).collect();
    let current = context.cluster.versions.is_current();
    let version = state.document.version;
    Bytes::from(json!({ "version": version, "current": current, "users": all }).to_string())
}

fn unreadable(why: String) -> Reject {
    let what = format!("the list of people cannot be read: {why}");
    Reject::refused(StatusCode::SERVICE_UNAVAILABLE, Reason::People, what)
}

impl From<ChangeError> for Reject {
    fn from(error: ChangeError) -> Self {
        let status = match &error {
            ChangeError::Envelope(_) | ChangeError::Faults(_) => StatusCode::BAD_REQUEST,
            ChangeError::Conflict { .. } => StatusCode::CONFLICT,
            ChangeError::Unsure | ChangeError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::refused(status, Reason::People, error)
    }
}
