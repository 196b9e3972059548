//! What the agent answers itself: its own endpoints, and those of Portainer's
//! agent, each in a module of its own. That this node is the one to answer has
//! been decided.

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use skep_filters::auth::profile::SKEP_TARGET;
use skep_filters::endpoint::{Match, Own, PortainerEndpoint};

use crate::api::{metrics, nodes};
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::gateway::Gateway;
use crate::portainer;
use crate::portainer::browse::{self, Call};
use crate::portainer::console;
use crate::portainer::{dockerhub, host_info};

/// Answers one of the agent's own endpoints.
///
/// # Errors
/// As the module does that answers it, or if it is none of them.
pub(crate) async fn answer(
    gateway: &Gateway,
    session: &mut Session,
    x: &mut Judged<'_>,
    found: &Match,
) -> Result<Next, Reject> {
    let Some(own) = found.endpoint.own else {
        let name = found.endpoint.id.name();
        return Err(Reject::Internal(format!("{name} has no handler")));
    };
    let context = &gateway.context;
    x.exchange.record.to = "agent".into();
    if let Own::Identity | Own::Nodes | Own::Health = own {
        // Others may probe more often than this agent looks around.
        context.cluster.request_round();
    }
    let endpoint = match own {
        Own::Identity => {
            let body = nodes::identity(&context.cluster);
            return json(context, session, x, body).await;
        }
        Own::Nodes => {
            let body = nodes::nodes(&context.cluster);
            return json(context, session, x, body).await;
        }
        Own::Health => {
            let body = nodes::health(&context.cluster);
            return json(context, session, x, body).await;
        }
        Own::NodeMetrics => {
            let named = session.req_header().headers.contains_key(SKEP_TARGET);
            return metrics::metrics(context, session, x, x.from_peer() || named).await;
        }
        Own::Prometheus => return metrics::prometheus(context, session, x).await,
        Own::Portainer(endpoint) => endpoint,
    };
    let Some(portainer) = &gateway.portainer else {
        return Err(Reject::NotServed);
    };
    let query = session.req_header().uri.query().unwrap_or_default();
    let query = query.to_owned();
    let action = match endpoint {
        // Answered before authentication.
        PortainerEndpoint::Ping | PortainerEndpoint::EdgeKey => return Err(Reject::NotServed),
        PortainerEndpoint::PinnedKey if x.from_peer() => {
            let body = portainer.pinned_key_json();
            return json(context, session, x, body).await;
        }
        PortainerEndpoint::PinnedKey => return Err(Reject::NotServed),
        PortainerEndpoint::Agents => {
            let body = portainer::agents::list(&context.cluster)?;
            return json(context, session, x, body).await;
        }
        PortainerEndpoint::HubLimits => return dockerhub::answer(context, session, x).await,
        PortainerEndpoint::HostInfo => return host_info::answer(context, session, x).await,
        PortainerEndpoint::Console(kind) => {
            return console::answer(context, session, x, kind, &query).await;
        }
        PortainerEndpoint::Browse(action) => action,
    };
    let named = skep_filters::endpoint::query::get(&query, "volumeID");
    let named = named.filter(|name| !name.is_empty());
    let call = Call {
        action,
        volume: found.object.as_deref().or(named.as_deref()),
        query: &query,
        host: context.config.browse.host.as_deref(),
    };
    browse::answer(context, session, x, call).await
}

/// Sends a JSON document that is at hand.
///
/// # Errors
/// If the client has gone.
pub(crate) async fn json(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    body: Bytes,
) -> Result<Next, Reject> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(8)).map_err(internal)?;
    head.insert_header(CONTENT_TYPE, "application/json")
        .map_err(internal)?;
    context.answer(session, x, head, body).await
}
