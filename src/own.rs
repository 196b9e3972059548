//! What the agent answers itself: its own endpoints, and those of Portainer's
//! agent, each in a module of its own. That this node is the one to answer has
//! been decided.

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use skep_filters::endpoint::{EndpointId, Match};

use crate::agent_api;
use crate::exchange::Exchange;
use crate::gateway::{Gateway, Next, internal};
use crate::portainer;
use crate::reject::Reject;

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
    use EndpointId::{AgentHealth, AgentIdentity, AgentNodes, AgentPortainer, PortainerAgents};
    x.to = "agent".into();
    if let id @ (AgentIdentity | AgentNodes | AgentHealth) = found.endpoint.id {
        let body = agent_api::answer(&gateway.cluster, id)?;
        return json(gateway, session, x, body).await;
    }
    // The rest is Portainer's.
    let Some(portainer) = &gateway.portainer else {
        return Err(Reject::NotServed);
    };
    match found.endpoint.id {
        AgentPortainer if x.from_peer => {
            let body = portainer.told();
            json(gateway, session, x, body).await
        }
        PortainerAgents => {
            let body = portainer::agents::list(&gateway.cluster)?;
            json(gateway, session, x, body).await
        }
        // `/ping` and `/key` are answered before anybody is asked who he is;
        // what agents tell each other is for agents.
        _ => Err(Reject::NotServed),
    }
}

/// Sends a JSON document that is at hand.
///
/// # Errors
/// If the client has gone.
pub async fn json(
    gateway: &Gateway,
    session: &mut Session,
    x: &mut Exchange,
    body: Bytes,
) -> Result<Next, Reject> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(8)).map_err(internal)?;
    head.insert_header(CONTENT_TYPE, "application/json")
        .map_err(internal)?;
    gateway.answer(session, x, head, body).await
}
