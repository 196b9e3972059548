//! One step of a request to whoever answers it: the connection's peer, and the
//! head as that peer is to see it.
//!
//! An engine never sees who asked; another agent gets the request signed by
//! this one, in the caller's name.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use skep_filters::auth::{BodyBinding, strip};

use crate::cluster::identity::Identity;
use crate::cluster::members::Member;
use crate::exchange::reject::Reject;
use crate::gateway::Gateway;
use crate::upstream::engine::Engine;
use crate::upstream::peers::Peers;

/// Who is asked.
#[derive(Clone, Debug)]
pub enum Hop {
    /// This node's engine.
    Engine,
    /// Another node's agent.
    Agent(Arc<Member>),
}

/// Headers that concern one connection only (RFC 9110 §7.6.1). `Upgrade` and
/// the `Connection` that names it are kept apart, for hijacked exchanges.
const HOP_BY_HOP: [&str; 6] = [
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "http2-settings",
    "proxy-authenticate",
];

/// What `Connection` may not nominate away: the framing, and who is asked.
const KEPT: [&str; 5] = ["", "upgrade", "content-length", "transfer-encoding", "host"];

impl Hop {
    /// A peer for one connection.
    ///
    /// # Errors
    /// Fails if nobody listens at the engine's socket, or the agent is gone.
    pub async fn peer(&self, engine: &Engine, peers: &Peers) -> pingora::Result<HttpPeer> {
        match self {
            Self::Engine => engine.peer().await,
            Self::Agent(member) => {
                let gone = || Error::explain(ErrorType::ConnectError, "its agent is gone");
                peers.peer(member.address.ok_or_else(gone)?, member.generation)
            }
        }
    }

    /// Makes the head what this hop is to see, in the name of `caller`, or in our
    /// own if that is empty. Comes last: it signs.
    ///
    /// # Errors
    /// Fails if the request is one that no agent would take.
    pub fn prepare(
        &self,
        head: &mut RequestHeader,
        peers: &Peers,
        caller: &str,
        body: BodyBinding,
    ) -> pingora::Result<()> {
        for name in strip::authentication_headers(&head.headers) {
            head.remove_header(&name);
        }
        match self {
            Self::Engine => Ok(()),
            Self::Agent(m) => {
                one_content_type(head)?;
                peers.sign(head, m.generation, &m.id, Some(caller), body)
            }
        }
    }

    /// What a failure of this hop means to the caller.
    pub fn reject(&self, me: &str, engine: &Engine, reason: String) -> Reject {
        match self {
            Self::Engine => Reject::Engine {
                node: me.to_owned(),
                address: engine.address().to_owned(),
                reason,
            },
            Self::Agent(member) => Reject::Node {
                node: member.name().to_owned(),
                reason,
            },
        }
    }

    /// The id of its node.
    pub fn node(&self, gateway: &Gateway) -> String {
        match self {
            Self::Engine => gateway.cluster.me().node_id.clone(),
            Self::Agent(member) => member.id.clone(),
        }
    }

    /// How to call its node in a message; `me` is this one.
    pub fn name<'a>(&'a self, me: &'a Identity) -> &'a str {
        match self {
            Self::Engine => me.name(),
            Self::Agent(member) => member.name(),
        }
    }

    /// For the log.
    pub fn in_words(&self) -> Cow<'static, str> {
        match self {
            Self::Engine => "local".into(),
            Self::Agent(member) => format!("node:{}", member.name()).into(),
        }
    }
}

/// Keeps the first `Content-Type`, which is the one that engines read (Go's
/// `Header.Get`): bollard sends two, and a signature covers one.
///
/// # Errors
/// Fails if a header cannot be written, which no parsed one can.
pub fn one_content_type(head: &mut RequestHeader) -> pingora::Result<()> {
    let mut all = head.headers.get_all(CONTENT_TYPE).iter();
    if let (Some(first), Some(_)) = (all.next().cloned(), all.next()) {
        head.insert_header(CONTENT_TYPE, first)?;
    }
    Ok(())
}

/// Removes what concerns the client's connection only, also the headers that
/// `Connection` nominates. An upgrade, where it is `kept`, survives alone.
///
/// # Errors
/// Fails if a header cannot be written, which no parsed one can.
pub fn end_of_connection(head: &mut RequestHeader, keep_upgrade: bool) -> pingora::Result<()> {
    let nominated: Vec<String> = head
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !KEPT.contains(&name.as_str()))
        .collect();
    for name in nominated.iter().map(String::as_str).chain(HOP_BY_HOP) {
        head.remove_header(name);
    }
    head.remove_header(&CONNECTION);
    if keep_upgrade && head.headers.contains_key(UPGRADE) {
        head.insert_header(CONNECTION, "Upgrade")?;
    } else {
        head.remove_header(&UPGRADE);
    }
    Ok(())
}

/// The same for an answer on its way back. Its framing is the framework's to
/// choose: it knows the client's protocol version.
pub fn end_of_answer(head: &mut ResponseHeader) {
    for name in ["connection", "keep-alive", "proxy-connection", "upgrade"] {
        head.remove_header(name);
    }
}

/// Takes a 421 for what it means: another node has the address of the one that
/// was asked. Only agents send it, and only to each other.
///
/// # Errors
/// If the answer is one.
pub fn refuse_misdirected(head: &ResponseHeader) -> pingora::Result<()> {
    if head.status == StatusCode::MISDIRECTED_REQUEST {
        let why = "another node has its address now";
        return Error::e_explain(ErrorType::ConnectError, why);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("POST", b"/exec/1/start", None).unwrap();
        for (name, value) in headers {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn what_connection_nominates_ends_here_and_an_upgrade_goes_on() {
        let mut head = request(&[
            ("Connection", "Upgrade, X-Private"),
            ("Upgrade", "tcp"),
            ("X-Private", "1"),
            ("Keep-Alive", "5"),
            ("X-Registry-Auth", "kept"),
        ]);
        end_of_connection(&mut head, true).unwrap();
        assert_eq!(head.headers[CONNECTION], "Upgrade");
        assert_eq!(head.headers[UPGRADE], "tcp");
        assert!(!head.headers.contains_key("x-private"));
        assert!(!head.headers.contains_key("keep-alive"));
        assert!(head.headers.contains_key("x-registry-auth"));
    }

    #[test]
    fn of_two_content_types_the_first_goes_on() {
        let mut head = request(&[
            ("Content-Type", "application/x-tar"),
            ("Content-Type", "application/json"),
        ]);
        one_content_type(&mut head).unwrap();
        let types: Vec<_> = head.headers.get_all(CONTENT_TYPE).iter().collect();
        assert_eq!(types, ["application/x-tar"]);
    }

    #[test]
    fn without_a_hijack_no_upgrade_goes_on() {
        let mut head = request(&[("Connection", "Upgrade"), ("Upgrade", "tcp")]);
        end_of_connection(&mut head, false).unwrap();
        assert!(!head.headers.contains_key(UPGRADE));
        assert!(!head.headers.contains_key(CONNECTION));
    }
}
