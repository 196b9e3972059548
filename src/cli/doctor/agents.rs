//! The other agents, as this node finds them: names, ports, secrets, and the table of
//! the agent that runs here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::StreamExt;

use super::finding::{Finding, Subject};
use super::{nodes, remote};
use crate::agent::secrets;
use crate::cli::ask::ask;
use crate::cluster::discover::Discovery;
use crate::cluster::identity::Identity;
use crate::cluster::members::Members;
use crate::cluster::own_service::OwnService;
use crate::config::{AgentUrl, Config, Discover, Operator};
use crate::connect::access::Access;
use crate::upstream::client::Client;
use crate::upstream::engine::Engine;

/// How many agents are asked at once.
const AT_ONCE: usize = 16;

/// How many that do not answer are named.
const NAMED: usize = 20;

/// `clustered` says whether the agent of this node works with others.
pub(super) async fn check(config: &Config, clustered: bool, me: Option<&Identity>) -> Vec<Finding> {
    if !clustered {
        return Vec::new();
    }
    let Some(listen) = config.listen.first() else {
        return Vec::new();
    };
    let (mut findings, addresses) = found(config, listen.address.port()).await;
    let Ok(secret) = secrets::first(config) else {
        // The secret has a finding of its own.
        return findings;
    };
    let is_derived = config.cluster.operator == Operator::Derived;
    let access = if is_derived {
        Access::operator(&secret)
    } else {
        Access::health(&secret)
    };
    let access = match access {
        Ok(access) => access,
        Err(e) => {
            let remedy = "make another secret with `skep secret`";
            findings.push(Finding::error(Subject::Secret, e.to_string(), remedy));
            return findings;
        }
    };
    let is_own = |address: &SocketAddr| {
        let own = me.and_then(|me| me.address.parse().ok());
        address.port() == listen.address.port()
            && (own == Some(address.ip()) || listen.address.ip() == address.ip())
    };
    let others: Vec<_> = addresses.into_iter().filter(|a| !is_own(a)).collect();
    findings.extend(asked(&access, &others).await);
    if is_derived {
        findings.extend(table(&access, listen.address).await);
    }
    findings
}

/// The addresses of agents, by each source of the configuration.
async fn found(config: &Config, port: u16) -> (Vec<Finding>, BTreeSet<SocketAddr>) {
    let (mut findings, mut addresses) = (Vec::new(), BTreeSet::new());
    let Ok(engine) = Engine::new(&config.engine) else {
        return (findings, addresses);
    };
    let own = Arc::new(OwnService::new(Arc::new(Client::new()), Arc::new(engine)));
    let mut sources = config.cluster.discover.clone();
    if sources.is_empty() {
        match own.tasks().await {
            Some(name) => sources.push(Discover::Dns { name, port: None }),
            None => findings.push(Finding::warning(
                Subject::Name,
                "cluster.discover is empty, and this is no task of a service: no other agent is found",
                "name the others in cluster.discover; for agents of a stack, run this in the \
                 container of one: docker exec CONTAINER /skep doctor",
            )),
        }
    }
    for source in sources {
        if matches!(source, Discover::Swarm { .. }) {
            let found = "swarm: a running agent asks the managers for these addresses";
            findings.push(Finding::skipped(Subject::Name, found));
            continue;
        }
        let shown = source.to_string();
        let discovery = Discovery::new(
            vec![source],
            own.clone(),
            Arc::new(Members::default()),
            port,
        );
        match discovery.addresses().await {
            Ok(found) => {
                let text = format!("{shown} has {} addresses", found.len());
                findings.push(Finding::fine(Subject::Name, text));
                addresses.extend(found);
            }
            Err(reason) => findings.push(Finding::error(
                Subject::Name,
                format!("{shown}: {reason}"),
                "correct cluster.discover; a name `tasks.SERVICE` exists only in networks of that \
                 service, so look from its container",
            )),
        }
    }
    (findings, addresses)
}

/// Asks each agent whether it lives, over TLS that both ends verify.
async fn asked(access: &Access, addresses: &[SocketAddr]) -> Vec<Finding> {
    let asks = futures::stream::iter(
        addresses
            .iter()
            .map(|address| of_an_agent(access, *address)),
    );
    let outcomes: Vec<_> = asks.buffered(AT_ONCE).collect().await;
    let failed: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    let answered = addresses.len() - failed.len();
    let mut findings = Vec::new();
    if answered > 0 {
        let found = format!("{answered} other agents answer, with the same secret");
        findings.push(Finding::fine(Subject::Agent, found));
    } else if addresses.is_empty() {
        findings.push(Finding::skipped(
            Subject::Agent,
            "there is no other agent to ask",
        ));
    }
    let more = failed.len().saturating_sub(NAMED);
    findings.extend(failed.into_iter().take(NAMED));
    if more > 0 {
        let remedy = "see those that are named";
        findings.push(Finding::error(
            Subject::Agent,
            format!("{more} more agents do not answer"),
            remedy,
        ));
    }
    findings
}

async fn of_an_agent(access: &Access, address: SocketAddr) -> Result<(), Finding> {
    let url = url(address);
    remote::connect(&url, &[address]).await?;
    match ask(access, &url, "/skep/v1/health").await {
        Ok(_) => Ok(()),
        Err(e) => {
            let reason = format!("{e:#}");
            let found = format!("the agent at {address}: {reason}");
            Err(Finding::error(
                Subject::Agent,
                found,
                remote::remedy(&reason),
            ))
        }
    }
}

/// The nodes as the agent of this node sees them, if it runs.
async fn table(access: &Access, listen: SocketAddr) -> Vec<Finding> {
    let url = url(crate::cli::health::callable(listen));
    let Ok(body) = ask(access, &url, "/skep/v1/nodes").await else {
        return Vec::new();
    };
    match serde_json::from_slice(&body) {
        Ok(table) => nodes::check(&url.to_string(), &table),
        Err(_) => Vec::new(),
    }
}

fn url(address: SocketAddr) -> AgentUrl {
    AgentUrl {
        host: address.ip().to_string(),
        port: address.port(),
    }
}
