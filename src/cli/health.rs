//! `skep health`: whether the agent of this machine lives. For `HEALTHCHECK`.
//!
//! An engine that does not answer is not the agent's illness: a restart would
//! not help, and Swarm's DNS forgets a task that is unhealthy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::time::timeout;

use super::ask::ask;
use crate::agent::secrets;
use crate::config::{AgentUrl, Config};
use crate::connect::access::Access;
use crate::platform;
use crate::upstream::client::{Budget, Client};
use crate::upstream::error;
use crate::upstream::request;

/// How long a socket may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Bounds an answer.
const LIMIT: usize = 64 << 10;

/// What the agent says of itself.
///
/// # Errors
/// If it does not answer.
pub async fn run(config: &Config) -> anyhow::Result<String> {
    let Some(listen) = config.listen.first() else {
        return at_a_socket(config).await;
    };
    let access = Access::operator(&secrets::first(config)?)?;
    let address = reachable(listen.address);
    let url = AgentUrl {
        host: address.ip().to_string(),
        port: address.port(),
    };
    let body = ask(&access, &url, "/skep/v1/health").await;
    let body = body.with_context(|| format!("{url} does not answer"))?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// An agent that has sockets only. It lives as well if it does not let this user in.
async fn at_a_socket(config: &Config) -> anyhow::Result<String> {
    let Some(socket) = config.sockets.first() else {
        bail!("the agent listens nowhere");
    };
    let explain = |e: Box<pingora::Error>| anyhow!(error::explain(&e));
    let name = || format!("unix://{} does not answer", socket.path.display());
    let asking = async {
        let bound = platform::bound_name(&socket.path).await?;
        let peer = platform::socket_peer(&socket.path, &bound).map_err(explain)?;
        let head = request::get("/skep/v1/health").map_err(explain)?;
        let answer = Client::new().fetch(&peer, head, &Budget::one(LIMIT)).await;
        anyhow::Ok(answer.map_err(explain)?)
    };
    let answer = timeout(DEADLINE, asking).await.with_context(name)?;
    let answer = answer.with_context(name)?;
    match answer.head.status.as_u16() {
        200 | 403 => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        status => bail!("answered {status}"),
    }
}

/// "Any address" is listened on, but cannot be called everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (ip, address.port()).into()
}
