//! The user at the other end of a Unix socket, as the kernel names it.

use std::path::Path;
use std::sync::Arc;

use pingora::http::ResponseHeader;
use pingora::protocols::GetProxyDigest;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::proxy::Session;

/// Where a connection of this machine came in, and who has opened it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Visitor {
    /// The path of the socket.
    pub(crate) socket: Arc<Path>,
    /// The user; `None` if the kernel did not say.
    pub(crate) uid: Option<u32>,
}

impl Visitor {
    /// Puts it on a connection.
    ///
    /// # Errors
    /// Never: the answer that it goes with is well-formed.
    pub(crate) fn attach(self, stream: &mut Stream) -> pingora::Result<()> {
        // The one place for data of ours on a connection without TLS.
        let none = Box::new(ResponseHeader::build(200, Some(0))?);
        stream.set_proxy_digest(ProxyDigest::new(none, Some(Box::new(self))));
        Ok(())
    }

    /// Who is at the other end, if it is at a socket.
    pub(crate) fn of(session: &Session) -> Option<&Self> {
        let digest = session.digest()?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref()
    }

    /// For the log.
    pub(crate) fn label(&self) -> String {
        format!("uid:{}", self.number())
    }

    /// The number of the user, in words.
    pub(crate) fn number(&self) -> String {
        self.uid
            .map_or_else(|| "?".to_owned(), |uid| uid.to_string())
    }
}
