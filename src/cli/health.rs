//! `skep health`: checks that the agent on this machine answers, for
//! `HEALTHCHECK`.
//!
//! An agent is healthy while its engine does not answer. A restart would not
//! help, and Swarm's DNS drops tasks that are unhealthy.
//!
//! Each check that an engine starts is three events in its history, which has room
//! for 256. With `--hold`, one command therefore checks for several minutes. Engines
//! before 25.0 have one interval for the start and for later, so the first checks of
//! an agent return at once: the engine runs them in a short interval.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use skep_filters::scalar::parse_duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::args::ConfigArgs;
use super::ask::ask;
use crate::agent::health::Health;
use crate::agent::secrets;
use crate::config::{AgentUrl, Config, Operator};
use crate::connect::access::Access;
use crate::platform::{self, health_socket};
use crate::upstream::client::{Budget, Client};
use crate::upstream::error;
use crate::upstream::request;

/// How long an agent at a socket may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The largest answer at a socket.
const LIMIT: usize = 64 << 10;

/// The time between two checks of one command.
const PAUSE: Duration = Duration::from_secs(5);

/// How many checks of an agent return at once, whatever `--hold` says.
const AT_ONCE: u64 = 3;

/// The agent to check, and for how long.
#[derive(Args, Debug)]
pub struct HealthArgs {
    /// The configuration of the agent.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Time for which to check again and again, except at the start of the agent
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub hold: Option<Duration>,
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|bad| bad.to_string())
}

/// Checks until the time is over, and returns the agent's last report. Returns at once
/// if the agent has just started, or has no socket for checks.
///
/// # Errors
/// The agent does not answer.
pub async fn hold(config: &Config, time: Duration) -> anyhow::Result<String> {
    let began = Instant::now();
    loop {
        let Some((text, health)) = at_the_health_socket(config).await? else {
            return run(config).await;
        };
        if health.checks < AT_ONCE || began.elapsed() + PAUSE > time {
            return Ok(text);
        }
        sleep(PAUSE).await;
    }
}

/// Returns the agent's own report.
///
/// # Errors
/// The agent does not answer.
pub async fn run(config: &Config) -> anyhow::Result<String> {
    if let Some((text, _)) = at_the_health_socket(config).await? {
        return Ok(text);
    }
    let Some(listen) = config.listen.first() else {
        return match config.plain.first() {
            Some(plain) => without_tls(callable(plain.address)).await,
            None => at_a_socket(config).await,
        };
    };
    // A key takes long to derive: not for an agent that does not run.
    let connected = timeout(DEADLINE, TcpStream::connect(callable(listen.address))).await;
    connected
        .map_err(anyhow::Error::new)
        .and_then(|connected| connected.map_err(anyhow::Error::new))
        .with_context(|| format!("{} does not answer", callable(listen.address)))?;
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

/// Asks an agent at the socket for checks; `None` if it has none.
async fn at_the_health_socket(config: &Config) -> anyhow::Result<Option<(String, Health)>> {
    let Some(address) = config.health_address() else {
        return Ok(None);
    };
    let name = || format!("the agent at {address} does not answer");
    let stream = match health_socket::connect(address).await {
        Ok(stream) => stream,
        // An agent that drains has none either.
        Err(e) if has_none(&e) => return Ok(None),
        Err(e) => return Err(anyhow!(e)).with_context(name),
    };
    let mut text = String::new();
    let reading = async {
        let mut stream = stream.take(LIMIT as u64);
        stream.read_to_string(&mut text).await
    };
    let read = timeout(DEADLINE, reading).await.with_context(name)?;
    read.with_context(name)?;
    let health = serde_json::from_str(&text).with_context(name)?;
    text.push('\n');
    Ok(Some((text, health)))
}

/// Whether there is no socket for checks, or not one of this agent.
fn has_none(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, PermissionDenied, Unsupported};
    matches!(
        error.kind(),
        ConnectionRefused | PermissionDenied | Unsupported
    )
}

/// Checks that an agent without TLS accepts connections: its networks may not have
/// this address.
async fn without_tls(address: SocketAddr) -> anyhow::Result<String> {
    let connected = timeout(DEADLINE, TcpStream::connect(address)).await;
    let name = || format!("{address} does not answer");
    connected.with_context(name)?.with_context(name)?;
    Ok(format!("{address} accepts connections\n"))
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
pub(super) fn callable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (ip, address.port()).into()
}
