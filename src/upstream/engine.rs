//! Connects to the local Docker Engine over any transport that it listens on.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pingora::upstreams::peer::HttpPeer;
use pingora::{ErrorType, OkOrErr, OrErr};

use crate::config;
use crate::platform;
use crate::platform::keepalive::{IDLE, KEEPALIVE};
use crate::upstream::tls_files::{self, ClientFiles};

/// The longest time to connect to the engine.
const CONNECT: Duration = Duration::from_secs(5);

pub(crate) struct Engine {
    address: Address,
    shown: String,
}

enum Address {
    Socket {
        path: PathBuf,
        bound: ArcSwapOption<String>,
    },
    Tcp {
        host: String,
        port: u16,
        tls: Option<ClientFiles>,
    },
    Pipe(String),
}

impl Engine {
    /// The engine at the configured address; it need not listen yet.
    ///
    /// # Errors
    /// Fails if a configured TLS file cannot be used.
    pub(crate) fn new(config: &config::Engine) -> Result<Self, tls_files::FileError> {
        let address = match config {
            config::Engine::Socket(path) => Address::Socket {
                path: path.clone(),
                bound: ArcSwapOption::empty(),
            },
            config::Engine::Tcp { host, port, tls } => Address::Tcp {
                host: host.clone(),
                port: *port,
                tls: tls.as_ref().map(ClientFiles::load).transpose()?,
            },
            config::Engine::Pipe(name) => Address::Pipe(name.clone()),
        };
        Ok(Self {
            address,
            shown: config.to_string(),
        })
    }

    /// The address as configured, for messages.
    pub(crate) fn address(&self) -> &str {
        &self.shown
    }

    /// A peer for one connection to the engine.
    ///
    /// # Errors
    /// Fails if nothing listens at the socket or a host name does not resolve.
    pub(crate) async fn peer(&self) -> pingora::Result<HttpPeer> {
        let mut peer = match &self.address {
            Address::Socket { path, bound } => {
                let name = match bound.load_full() {
                    Some(name) => name,
                    None => {
                        let name = platform::bound_name(path).await;
                        let name = name.or_err(ErrorType::ConnectError, "engine socket")?;
                        let name = Arc::new(name);
                        bound.store(Some(name.clone()));
                        name
                    }
                };
                platform::socket_peer(path, &name)?
            }
            Address::Tcp { host, port, tls } => tcp_peer(host, *port, tls.as_ref()).await?,
            Address::Pipe(name) => platform::pipe_peer(name)?,
        };
        peer.options.connection_timeout = Some(CONNECT);
        peer.options.tcp_keepalive = Some(KEEPALIVE);
        peer.options.idle_timeout = Some(IDLE);
        Ok(peer)
    }

    /// Forgets the name that the socket was bound under: the engine may come back
    /// under another.
    pub(crate) fn lost(&self) {
        if let Address::Socket { bound, .. } = &self.address {
            bound.store(None);
        }
    }
}

async fn tcp_peer(host: &str, port: u16, tls: Option<&ClientFiles>) -> pingora::Result<HttpPeer> {
    let found = tokio::net::lookup_host((host, port))
        .await
        .or_err(ErrorType::ConnectError, "resolving the engine's host name")?;
    let address = found.min_by_key(SocketAddr::is_ipv6).or_err(
        ErrorType::ConnectError,
        "the engine's host name has no address",
    )?;
    let Some(tls) = tls else {
        return Ok(HttpPeer::new(address, false, String::new()));
    };
    let mut peer = HttpPeer::new(address, true, host.to_owned());
    peer.options.ca = Some(tls.roots.clone());
    peer.client_cert_key = tls.identity.clone();
    // Pingora's pool does not compare the roots: without a key of its own, the
    // pool could return a connection that was verified with other roots.
    let mut key = DefaultHasher::new();
    (host, &tls.fingerprint).hash(&mut key);
    peer.group_key = key.finish();
    Ok(peer)
}

#[cfg(test)]
mod tests {
    use pingora::upstreams::peer::Peer;

    use super::*;
    use crate::config::EngineTls;

    #[tokio::test]
    async fn a_connection_that_one_ca_verified_does_not_serve_another() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            let file = folder.path().join(name);
            std::fs::write(&file, made.cert.pem()).unwrap();
            file
        });
        let key = async |ca_file: &PathBuf| {
            let engine = config::Engine::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 2376,
                tls: Some(EngineTls {
                    ca_file: ca_file.clone(),
                    certificate: None,
                }),
            };
            let peer = Engine::new(&engine).unwrap().peer().await;
            peer.unwrap().reuse_hash()
        };
        assert_eq!(key(&first).await, key(&first).await);
        assert_ne!(key(&first).await, key(&second).await);
    }
}
