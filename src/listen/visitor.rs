//! Identifies the other end of a connection without TLS: the user at a Unix socket,
//! from the kernel, or the host at an address.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use pingora::http::ResponseHeader;
use pingora::protocols::GetProxyDigest;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::proxy::Session;
use tokio::time::Instant;

/// The other end of a connection without TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Visitor {
    /// A user of this machine.
    User(User),
    /// A host, which may be anybody at its address.
    Host(Host),
}

/// The socket of a local connection, and the user who opened it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct User {
    /// The path of the socket.
    pub(crate) socket: Arc<Path>,
    /// The user id; `None` if the kernel reports none.
    pub(crate) uid: Option<u32>,
}

/// The listener of a connection without TLS, and the address of the client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Host {
    /// The place in the configuration's list of such listeners.
    pub(crate) listener: usize,
    pub(crate) from: SocketAddr,
    /// When the connection was accepted.
    pub(crate) since: Instant,
}

impl Visitor {
    /// Attaches the visitor to a connection.
    ///
    /// # Errors
    /// Never: the response head below is well-formed.
    pub(crate) fn attach(self, stream: &mut Stream) -> pingora::Result<()> {
        // Pingora has no other place for custom data on a connection without TLS.
        let empty = Box::new(ResponseHeader::build(200, Some(0))?);
        stream.set_proxy_digest(ProxyDigest::new(empty, Some(Box::new(self))));
        Ok(())
    }

    /// The visitor of a session without TLS.
    pub(crate) fn of(session: &Session) -> Option<&Self> {
        let digest = session.digest()?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref()
    }

    /// For the log.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::User(user) => format!("uid:{}", user.number()),
            Self::Host(host) => host.from.to_string(),
        }
    }
}

impl User {
    /// The user id as text.
    pub(crate) fn number(&self) -> String {
        self.uid
            .map_or_else(|| "?".to_owned(), |uid| uid.to_string())
    }
}
