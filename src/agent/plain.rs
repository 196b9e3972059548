//! The listeners without TLS: closed while the agent's container publishes their
//! port, and until that is known.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::config::Plain;
use crate::listen::Listener;
use crate::listen::plain::Door;

/// How often the ports are compared with what is known of the agent's container.
const INTERVAL: Duration = Duration::from_secs(1);

/// The port of a listener without TLS is published.
#[derive(Debug, thiserror::Error)]
#[error(
    "listen: {address} has no TLS, and the container of this agent publishes its port ({published}): \
     every host that reaches it could use the engine.\n\
     Take the port out of `ports:` or `--publish`. Containers on a network of this one reach it without: \
     tcp://NAME:{}.\n\
     For other hosts use HTTPS; for programs on this host a socket, or publish on the loopback only: \
     127.0.0.1:{0}:{0}",
    address.port()
)]
pub struct PublishedError {
    address: SocketAddr,
    published: String,
}

/// The doors of all listeners without TLS.
#[derive(Clone)]
pub(crate) struct Doors(Arc<Vec<(SocketAddr, Arc<Door>)>>);

impl Doors {
    /// Closed doors.
    pub(crate) fn new(plain: &[Plain]) -> Self {
        let doors = plain.iter().enumerate();
        let doors = doors.map(|(i, plain)| (plain.address, Arc::new(Door::new(i, plain))));
        Self(Arc::new(doors.collect()))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Opens the doors whose port is not published.
    ///
    /// # Errors
    /// One is published.
    pub(crate) fn refuse_published(&self, cluster: &Cluster) -> Result<(), PublishedError> {
        let Some(published) = cluster.published() else {
            return Ok(());
        };
        for (address, door) in self.0.iter() {
            if let Some(published) = published.elsewhere(address.port()) {
                let address = *address;
                return Err(PublishedError { address, published });
            }
            door.set_open(true);
        }
        Ok(())
    }

    /// Binds the listeners.
    ///
    /// # Errors
    /// As `bind(2)`, with the address.
    pub(crate) async fn listen(
        &self,
        plain: &[Plain],
    ) -> Result<Vec<Listener>, (SocketAddr, io::Error)> {
        let mut listeners = Vec::new();
        for ((address, door), plain) in self.0.iter().zip(plain) {
            let bound = bind(*address, door.clone()).await;
            let listener = bound.map_err(|error| (*address, error))?;
            warn(listener.address().unwrap_or(*address), plain);
            listeners.push(listener);
        }
        Ok(listeners)
    }

    /// Admits the hosts of the networks of another configuration.
    pub(crate) fn set_networks(&self, plain: &[Plain]) {
        for ((_, door), plain) in self.0.iter().zip(plain) {
            door.set_networks(&plain.networks);
        }
    }

    /// Opens and closes the doors as ports are found to be published, until `stopped`
    /// changes.
    pub(crate) async fn watch(&self, cluster: &Cluster, mut stopped: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                _ = stopped.changed() => return,
            }
            let Some(published) = cluster.published() else {
                continue;
            };
            for (address, door) in self.0.iter() {
                let published = published.elsewhere(address.port());
                let changed = door.set_open(published.is_none());
                if let (true, Some(published)) = (changed, published) {
                    let address = *address;
                    let error = PublishedError { address, published };
                    tracing::error!("the listener is closed until that changes: {error}");
                }
            }
        }
    }
}

/// Binds an address. A kernel without IPv6 has `0.0.0.0` in place of `::`.
async fn bind(address: SocketAddr, door: Arc<Door>) -> io::Result<Listener> {
    match Listener::plain(address, door.clone()).await {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            let v4 = (Ipv4Addr::UNSPECIFIED, address.port()).into();
            Listener::plain(v4, door).await
        }
        bound => bound,
    }
}

fn warn(address: SocketAddr, plain: &Plain) {
    if address.ip().to_canonical().is_loopback() {
        return tracing::info!("listening on tcp://{address}, without TLS");
    }
    let networks: Vec<_> = plain.networks.iter().map(ToString::to_string).collect();
    let rights = plain.others.as_ref().map_or_else(
        || "nothing unless it is one of `callers`".to_owned(),
        |others| format!("what the policy {:?} allows", others.grant.policy.name),
    );
    tracing::warn!(
        "listening on tcp://{address}, without TLS: every host of {} can read what passes, and do {rights}",
        networks.join(", ")
    );
}
