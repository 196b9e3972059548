//! `skep health`: whether the agent of this machine lives. For `HEALTHCHECK`.
//!
//! An engine that does not answer is not the agent's illness: a restart would
//! not help, and Swarm's DNS forgets a task that is unhealthy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, bail};

use super::AgentUrl;
use super::ask::ask;
use crate::access::Access;
use crate::cluster_secret;
use crate::config::Config;

/// What the agent says of itself.
///
/// # Errors
/// If it does not answer.
pub async fn run(config: &Config) -> anyhow::Result<String> {
    let access = Access::operator(&cluster_secret::first(config)?)?;
    let Some(listen) = config.listen.first() else {
        bail!("the agent listens nowhere");
    };
    let address = reachable(listen.address);
    let url = AgentUrl {
        host: address.ip().to_string(),
        port: address.port(),
    };
    let body = ask(&access, &url, "/skep/v1/health").await;
    let body = body.with_context(|| format!("{url} does not answer"))?;
    Ok(String::from_utf8_lossy(&body).into_owned())
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
