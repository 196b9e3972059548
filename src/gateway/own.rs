//! What the agent answers itself: its own endpoints, and those of Portainer's
//! agent, each in a module of its own. That this node is the one to answer has
//! been decided.

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use skep_filters::auth::profile::SKEP_TARGET;
use skep_filters::endpoint::{EndpointId, Match};

use crate::api::metrics;
use crate::api::nodes;
use crate::exchange::Exchange;
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::gateway::Gateway;
use crate::portainer;
use crate::portainer::browse::{self, Action, Call};
use crate::portainer::console::{self, Kind};
use crate::portainer::{dockerhub, host_info};

/// Answers one of the agent's own endpoints.
///
/// # Errors
/// As the module does that answers it, or if it is none of them.
pub async fn answer(
    gateway: &Gateway,
    session: &mut Session,
    x: &mut Exchange,
    found: &Match,
) -> Result<Next, Reject> {
    use EndpointId::{
        AgentHealth, AgentIdentity, AgentNodes, AgentPortainer, BrowseDelete, BrowseGet,
        BrowseList, BrowsePut, BrowseRename, BrowseVolumeDelete, BrowseVolumeGet, BrowseVolumeList,
        BrowseVolumePut, BrowseVolumeRename, ConsoleAttach, ConsoleExec, HostInfo, HubLimits,
        Metrics, NodeMetrics, PortainerAgents,
    };
    let context = &gateway.context;
    x.to = "agent".into();
    match found.endpoint.id {
        id @ (AgentIdentity | AgentNodes | AgentHealth) => {
            // Others may probe more often than this agent looks around.
            context.cluster.look_again();
            let body = nodes::answer(&context.cluster, id)?;
            return json(context, session, x, body).await;
        }
        NodeMetrics => {
            let named = session.req_header().headers.contains_key(SKEP_TARGET);
            return metrics::metrics(context, session, x, x.from_peer || named).await;
        }
        Metrics => return metrics::prometheus(context, session, x).await,
        _ => {}
    }
    // The rest is Portainer's.
    let Some(portainer) = &gateway.portainer else {
        return Err(Reject::NotServed);
    };
    let query = session.req_header().uri.query().unwrap_or_default();
    let query = query.to_owned();
    let action = match found.endpoint.id {
        AgentPortainer if x.from_peer => {
            let body = portainer.told();
            return json(context, session, x, body).await;
        }
        PortainerAgents => {
            let body = portainer::agents::list(&context.cluster)?;
            return json(context, session, x, body).await;
        }
        HubLimits => return dockerhub::answer(context, session, x).await,
        HostInfo => return host_info::answer(context, session, x).await,
        ConsoleAttach => return console::answer(context, session, x, Kind::Attach, &query).await,
        ConsoleExec => return console::answer(context, session, x, Kind::Exec, &query).await,
        BrowseList | BrowseVolumeList => Action::List,
        BrowseGet | BrowseVolumeGet => Action::Get,
        BrowseDelete | BrowseVolumeDelete => Action::Delete,
        BrowseRename | BrowseVolumeRename => Action::Rename,
        BrowsePut | BrowseVolumePut => Action::Put,
        // `/ping` and `/key` are answered before anybody is asked who he is;
        // what agents tell each other is for agents.
        _ => return Err(Reject::NotServed),
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
pub async fn json(
    context: &Context,
    session: &mut Session,
    x: &mut Exchange,
    body: Bytes,
) -> Result<Next, Reject> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(8)).map_err(internal)?;
    head.insert_header(CONTENT_TYPE, "application/json")
        .map_err(internal)?;
    context.answer(session, x, head, body).await
}
