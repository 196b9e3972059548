//! `skep health`: checks that the agent on this machine answers, for
//! `HEALTHCHECK`.
//!
//! An agent is healthy while its engine does not answer. A restart would not
//! help, and Swarm's DNS drops tasks that are unhealthy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::time::timeout;

use super::ask::ask;
use crate::agent::secrets;
use crate::config::{AgentUrl, Config, Operator};
use crate::connect::access::Access;
use crate::platform;
use crate::upstream::client::{Budget, Client};
use crate::upstream::error;
use crate::upstream::request;

/// How long an agent at a socket may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The largest answer at a socket.
const LIMIT: usize = 64 << 10;

/// Returns the agent's own report.
///
/// # Errors
/// The agent does not answer.
pub async fn run(config: &Config) -> anyhow::Result<String> {
    let Some(listen) = config.listen.first() else {
        return at_a_socket(config).await;
    };
    let secret = secrets::first(config)?;
    let access = match config.cluster.operator {
        Operator::Derived => Access::operator(&secret)?,
        Operator::Off | Operator::Key(_) => Access::health(&secret)?,
    };
    let address = callable(listen.address);
    let url = AgentUrl {
        host: address.ip().to_string(),
        port: address.port(),
    };
    let body = ask(&access, &url, "/skep/v1/health").await;
    let body = body.with_context(|| format!("{url} does not answer"))?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Asks an agent that has sockets only. It is healthy too if it refuses this
/// user.
async fn at_a_socket(config: &Config) -> anyhow::Result<String> {
    let Some(socket) = config.sockets.first() else {
        bail!("the configuration has no listener");
    };
    let explain = |e: Box<pingora::Error>| anyhow!(error::explain(&e));
    let name = || format!("unix://{} does not answer", socket.path.display());
    let request = async {
        let bound = platform::bound_name(&socket.path).await?;
        let peer = platform::socket_peer(&socket.path, &bound).map_err(explain)?;
        let head = request::get("/skep/v1/health").map_err(explain)?;
        let answer = Client::new().fetch(&peer, head, &Budget::one(LIMIT)).await;
        anyhow::Ok(answer.map_err(explain)?)
    };
    let answer = timeout(DEADLINE, request).await.with_context(name)?;
    let answer = answer.with_context(name)?;
    match answer.head.status.as_u16() {
        200 | 403 => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        status => bail!("answered with status {status}"),
    }
}

/// Loopback in place of the unspecified address, which not every system can
/// call.
fn callable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (ip, address.port()).into()
}
