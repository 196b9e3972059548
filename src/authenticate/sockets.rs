//! Callers at a socket of this machine: the kernel says which user has connected,
//! and the configuration who that is.
//!
//! What such a caller signs counts for nothing, so that a socket has one meaning
//! only, and agents are never anybody's at one.

use std::path::Path;
use std::sync::Arc;

use http::HeaderMap;
use pingora::http::ResponseHeader;
use pingora::protocols::GetProxyDigest;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::proxy::Session;
use skep_filters::auth::{BodyBinding, Principal};

use crate::authenticate::Caller;
use crate::config::Socket;
use crate::exchange::reject::Reject;

/// Where a connection of this machine came in, and who has opened it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Visitor {
    /// The path of the socket.
    pub socket: Arc<Path>,
    /// The user; `None` if the kernel did not say.
    pub uid: Option<u32>,
}

impl Visitor {
    /// Puts it on a connection.
    ///
    /// # Errors
    /// Never: the answer that it goes with is well-formed.
    pub fn put_on(self, stream: &mut Stream) -> pingora::Result<()> {
        // The one place for data of ours on a connection without TLS.
        let none = Box::new(ResponseHeader::build(200, Some(0))?);
        stream.set_proxy_digest(ProxyDigest::new(none, Some(Box::new(self))));
        Ok(())
    }

    /// Who is at the other end, if it is at a socket.
    pub fn of(session: &Session) -> Option<&Self> {
        let digest = session.digest()?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref()
    }

    /// For the log.
    pub fn in_words(&self) -> String {
        format!("uid:{}", self.number())
    }

    fn number(&self) -> String {
        self.uid
            .map_or_else(|| "?".to_owned(), |uid| uid.to_string())
    }

    /// The caller, for one request.
    ///
    /// # Errors
    /// [`Reject::Local`], or as headers contradict each other.
    pub fn authenticate(&self, sockets: &[Socket], headers: &HeaderMap) -> Result<Caller, Reject> {
        let socket = sockets.iter().find(|socket| *socket.path == *self.socket);
        let who = socket
            .zip(self.uid)
            .and_then(|(socket, uid)| socket.who(uid));
        let refused = || Reject::Local {
            uid: self.number(),
            socket: self.socket.display().to_string(),
        };
        Ok(Caller {
            principal: Principal::local(&who.ok_or_else(refused)?.name, headers)?,
            body: BodyBinding::uncovered(headers)?,
            unsigned_streams: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Grant, SocketIdentity};

    use super::*;

    fn socket(path: &str, others: bool) -> Socket {
        let everybody = SocketIdentity {
            name: "traefik".to_owned(),
            grant: Grant::admin(),
        };
        Socket {
            path: path.into(),
            owner: None,
            group: None,
            mode: 0o660,
            users: Vec::new(),
            others: others.then_some(everybody),
        }
    }

    fn called(socket: &str, uid: Option<u32>, sockets: &[Socket]) -> Result<String, &'static str> {
        let visitor = Visitor {
            socket: Path::new(socket).into(),
            uid,
        };
        let caller = visitor.authenticate(sockets, &HeaderMap::new());
        let caller = caller.map(|caller| caller.principal.to_string());
        caller.map_err(|reject| reject.reason())
    }

    #[test]
    fn who_came_in_at_which_socket_decides() {
        let sockets = [socket("/run/open", true), socket("/run/closed", false)];
        assert_eq!(
            called("/run/open", Some(7), &sockets).as_deref(),
            Ok("local:traefik")
        );
        for (path, uid) in [
            ("/run/closed", Some(7)),
            // The configuration has lost it, or the kernel does not say.
            ("/run/elsewhere", Some(7)),
            ("/run/open", None),
        ] {
            assert_eq!(called(path, uid, &sockets), Err("user-unknown"), "{path}");
        }
    }
}
