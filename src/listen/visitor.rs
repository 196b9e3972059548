//! Identifies the user at the other end of a Unix socket, from the kernel.

use std::path::Path;
use std::sync::Arc;

use pingora::http::ResponseHeader;
use pingora::protocols::GetProxyDigest;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::proxy::Session;

/// The socket of a local connection, and the user who opened it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Visitor {
    /// The path of the socket.
    pub(crate) socket: Arc<Path>,
    /// The user id; `None` if the kernel reports none.
    pub(crate) uid: Option<u32>,
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

    /// The visitor of a session, if it came through a Unix socket.
    pub(crate) fn of(session: &Session) -> Option<&Self> {
        let digest = session.digest()?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref()
    }

    /// For the log.
    pub(crate) fn label(&self) -> String {
        format!("uid:{}", self.number())
    }

    /// The user id as text.
    pub(crate) fn number(&self) -> String {
        self.uid
            .map_or_else(|| "?".to_owned(), |uid| uid.to_string())
    }
}
