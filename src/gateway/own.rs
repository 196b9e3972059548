//! Answers the agent's own endpoints, each in a module of its own. Routing has
//! decided that this node answers.

use pingora::proxy::Session;
use skep_filters::auth::profile::SKEP_TARGET;
use skep_filters::endpoint::{Match, Own};

use crate::api::{metrics, nodes, people, whoami};
use crate::authorise::grants::identities;
use crate::exchange::Next;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::forward::{copy, spread};
use crate::gateway::Gateway;
use crate::portainer;
use crate::ports;

/// Answers one of the agent's own endpoints.
///
/// # Errors
/// As the endpoint's module, or if the endpoint has none.
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
        // A caller may probe more often than this agent runs a round.
        context.cluster.request_round();
        if let Some(id) = x.permission.called.caller.principal.peer_node() {
            context.cluster.was_probed_by(id);
        }
    }
    match own {
        Own::Identity => {
            let body = nodes::identity(&context.cluster);
            context.answer_json(session, x, body).await
        }
        Own::Nodes => {
            let body = nodes::nodes(&context.cluster);
            context.answer_json(session, x, body).await
        }
        Own::Members => {
            let caller = &x.permission.called.caller;
            let Some(by) = caller.principal.peer_node().filter(|_| x.is_from_peer()) else {
                return Err(Reject::NotServed);
            };
            let query = session.req_header().uri.query().unwrap_or_default();
            let asked = nodes::asked_table(query);
            let by = by.to_owned();
            let body = nodes::members(&context.cluster, &by, asked).await;
            let body = body.map_err(|e| Reject::Internal(e.to_string()))?;
            context.answer_json(session, x, body).await
        }
        Own::Health => {
            let body = nodes::health(&context.cluster);
            context.answer_json(session, x, body).await
        }
        Own::Whoami => {
            let body = whoami::whoami(context, session, x);
            context.answer_json(session, x, body).await
        }
        Own::ImageCopy => copy::give(session, x, found),
        Own::ImageSpread => spread::answer(context, session, x, found).await,
        Own::Forward => ports::answer(&gateway.ports, context, session, x, found).await,
        Own::People(endpoint) => {
            let config = gateway.people.config();
            let configured = || {
                let all = identities(&config);
                let all = all.map(|(name, grant)| (name, grant.policy.name.clone()));
                all.collect()
            };
            people::answer(&gateway.people, context, session, x, endpoint, configured).await
        }
        Own::NodeMetrics => {
            let named = session.req_header().headers.contains_key(SKEP_TARGET);
            metrics::metrics(context, session, x, x.is_from_peer() || named).await
        }
        Own::Prometheus => metrics::prometheus(context, session, x).await,
        Own::Portainer(endpoint) => {
            let servers = gateway.portainer.as_deref();
            portainer::answer(servers, context, session, x, endpoint, found).await
        }
    }
}
