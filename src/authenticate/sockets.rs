//! Callers at a socket of this machine: the kernel reports the user, and the
//! configuration gives the user an identity.
//!
//! Signatures are ignored there, so that a socket has one meaning, and no agent
//! calls at one.

use http::HeaderMap;
use skep_filters::auth::{BodyBinding, Client, Principal};

use crate::config::Socket;
use crate::exchange::caller::Caller;
use crate::exchange::reject::Reject;
use crate::listen::visitor::User;

/// The caller of one request.
///
/// # Errors
/// [`Reject::UnknownUser`], or if headers contradict each other.
pub(crate) fn authenticate(
    visitor: &User,
    sockets: &[Socket],
    headers: &HeaderMap,
) -> Result<Caller, Reject> {
    let socket = sockets
        .iter()
        .find(|socket| *socket.path == *visitor.socket);
    let who = socket
        .zip(visitor.uid)
        .and_then(|(socket, uid)| socket.who(uid));
    let refused = || Reject::UnknownUser {
        uid: visitor.number(),
        socket: visitor.socket.display().to_string(),
    };
    let client = Client::local(&who.ok_or_else(refused)?.name, headers)?;
    let body = BodyBinding::uncovered(headers)?;
    Ok(Caller::new(Principal::Client(client), body, true))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        let visitor = User {
            socket: Path::new(socket).into(),
            uid,
        };
        let caller = authenticate(&visitor, sockets, &HeaderMap::new());
        let caller = caller.map(|caller| caller.principal.to_string());
        caller.map_err(|reject| reject.reason().as_str())
    }

    #[test]
    fn the_user_and_the_socket_decide_the_identity() {
        let sockets = [socket("/run/open", true), socket("/run/closed", false)];
        assert_eq!(
            called("/run/open", Some(7), &sockets).as_deref(),
            Ok("local:traefik")
        );
        for (path, uid) in [
            ("/run/closed", Some(7)),
            // The configuration no longer has the socket, or the kernel reports no user.
            ("/run/elsewhere", Some(7)),
            ("/run/open", None),
        ] {
            assert_eq!(called(path, uid, &sockets), Err("user-unknown"), "{path}");
        }
    }
}
