//! `skep forward`: see [`crate::connect::forward`].

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::args::ClientArgs;
use super::own_container;
use super::table::printable;
use crate::connect::access::Access;
use crate::connect::forward::Forward;
use crate::platform;

/// The most connections at once.
const CONNECTIONS: usize = 1024;

/// The pause after an error such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// The ports, and where they are opened.
#[derive(Args, Debug)]
pub struct ForwardArgs {
    /// Container, service, slot of a service (`web.1`) or task
    pub(crate) target: String,
    /// Ports as LOCAL:PORT, or PORT for the same one here; `:PORT` and `0:PORT`
    /// take a free one and print it
    #[arg(value_name = "[LOCAL:]PORT", required = true)]
    pub(crate) ports: Vec<Ports>,
    /// Address of this machine to listen on; others than the loopback are open to
    /// every host that reaches them
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) address: IpAddr,
    /// Node of the target, if a container of its name is on several nodes
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// The agents, and the credentials.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// A port of this machine, and one of the target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ports {
    /// 0 for a free one.
    local: u16,
    remote: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            let is_plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            let number = part.parse::<u16>().ok().filter(|_| is_plain);
            number.ok_or_else(|| format!("`{part}` is not a port: use 8080:80, 80 or :80"))
        };
        let (local, remote) = match text.split_once(':') {
            Some(("", remote)) => (0, number(remote)?),
            Some((local, remote)) => (number(local)?, number(remote)?),
            None => (number(text)?, number(text)?),
        };
        match remote {
            0 => Err("a target has no port 0: use :80 for a free port here".to_owned()),
            _ => Ok(Self { local, remote }),
        }
    }
}

/// Opens the ports, and carries their connections until a signal stops the program.
///
/// # Errors
/// A port cannot be opened here, no agent answers, or the target cannot be reached.
pub async fn run(args: ForwardArgs, out: &mut impl Write) -> anyhow::Result<()> {
    if args.client.credentials.uses_cluster_secret() {
        own_container::refuse_secret()?;
    }
    let access = Access::load(&args.client.credentials, &args.client.cluster)?;
    let target = args.target.clone();
    let forward = Forward::new(args.client.to, access, args.target, args.node);
    let forward = Arc::new(forward);
    let mut listeners = Vec::new();
    for ports in &args.ports {
        let address = SocketAddr::new(args.address, ports.local);
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
        listeners.push((listener, ports.remote));
    }
    for ports in &args.ports {
        let found = forward.check(ports.remote).await?;
        tracing::info!(
            "{target} is the container {} on node {}",
            printable(&found.name),
            printable(&found.node_name)
        );
    }
    for (listener, remote) in &listeners {
        writeln!(out, "{} -> {target}:{remote}", listener.local_addr()?)?;
    }
    out.flush()?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    for (listener, remote) in listeners {
        open.spawn(accept(listener, remote, forward.clone(), places.clone()));
    }
    tokio::select! {
        () = forward.watch() => {}
        _ = platform::shutdown_signal() => {}
    }
    Ok(())
}

async fn accept(listener: TcpListener, port: u16, forward: Arc<Forward>, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let Ok((local, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let forward = forward.clone();
        tokio::spawn(async move {
            if let Err(e) = forward.carry(local, port).await {
                tracing::warn!("port {port}: {e}");
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_a_pair_one_or_a_free_one() {
        for (text, expected) in [
            ("8080:80", Some((8080, 80))),
            ("80", Some((80, 80))),
            (":80", Some((0, 80))),
            ("0:80", Some((0, 80))),
            ("65535:65535", Some((65535, 65535))),
            ("0", None),
            (":0", None),
            ("8080:0", None),
            ("8080:", None),
            (":", None),
            ("", None),
            ("+80", None),
            ("-1:80", None),
            ("65536", None),
            ("80/udp", None),
            ("127.0.0.1:8080:80", None),
        ] {
            let ports = text.parse::<Ports>().ok();
            let ports = ports.map(|ports| (ports.local, ports.remote));
            assert_eq!(ports, expected, "{text}");
        }
    }
}
