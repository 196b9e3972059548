//! Connects to the next hop of a request, this node's engine or another agent,
//! and prepares the head that it gets.
//!
//! An engine never learns who the caller is; another agent gets the request
//! signed by this one, in the caller's name.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderValue, Version};
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use skep_filters::auth::profile::SKEP_REQUEST_ID;
use skep_filters::auth::{BodyBinding, OnBehalfOf, strip};

use crate::cluster::Cluster;
use crate::cluster::identity::Identity;
use crate::cluster::members::Member;

use crate::upstream::engine::Engine;
use crate::upstream::error;
use crate::upstream::peers::Peers;
use crate::upstream::request;

/// Where a request goes next.
#[derive(Clone, Debug)]
pub(crate) enum Hop {
    /// This node's engine.
    Engine,
    /// Another node's agent.
    Agent(Arc<Member>),
}

impl Hop {
    /// A peer for one connection.
    ///
    /// # Errors
    /// Fails if nothing listens at the engine's socket, or the agent is gone.
    pub(crate) async fn peer(&self, engine: &Engine, peers: &Peers) -> pingora::Result<HttpPeer> {
        match self {
            Self::Engine => engine.peer().await,
            Self::Agent(member) => {
                let gone = || Error::explain(ErrorType::ConnectError, "its agent is gone");
                peers.peer(member.address.ok_or_else(gone)?, member.generation)
            }
        }
    }

    /// Rewrites the head for this hop. Another agent learns the client and the
    /// request's id as well. Call it last: it signs the head.
    ///
    /// # Errors
    /// Fails if every agent would refuse the request.
    pub(crate) fn prepare(
        &self,
        head: &mut RequestHeader,
        peers: &Peers,
        on_behalf_of: &OnBehalfOf,
        request_id: &HeaderValue,
        body: BodyBinding,
    ) -> pingora::Result<()> {
        // A client of HTTP/1.0 sends no `Host`, and cannot read the chunks of an answer,
        // but this agent can.
        head.set_version(Version::HTTP_11);
        if !head.headers.contains_key(HOST) {
            head.insert_header(HOST, request::AUTHORITY)?;
        }
        for name in strip::authentication_headers(&head.headers) {
            head.remove_header(&name);
        }
        match self {
            Self::Engine => Ok(()),
            Self::Agent(m) => {
                head.insert_header(SKEP_REQUEST_ID, request_id.clone())?;
                peers.sign(head, m.generation, &m.id, on_behalf_of, body)
            }
        }
    }

    /// Resolves when this hop is not going to answer any more. An engine answers
    /// or closes its socket; another agent may fall silent.
    pub(crate) async fn lost(&self, cluster: &Cluster) {
        match self {
            Self::Engine => std::future::pending().await,
            Self::Agent(member) => cluster.lost(member).await,
        }
    }

    /// Records a failed call to this hop.
    pub(crate) fn failed(&self, cluster: &Cluster, error: &Error, reason: &str) {
        match self {
            Self::Engine => cluster.engine.lost(),
            Self::Agent(member) => {
                if let (true, Some(address)) = (error::was_not_reached(error), member.address) {
                    if error::is_late(error) {
                        cluster.was_late(address);
                    } else {
                        cluster.failed(address, reason);
                    }
                }
            }
        }
    }

    pub(crate) fn node(&self, cluster: &Cluster) -> String {
        match self {
            Self::Engine => cluster.me().node_id.clone(),
            Self::Agent(member) => member.id.clone(),
        }
    }

    /// The name of its node for a message; `me` is this node.
    pub(crate) fn name<'a>(&'a self, me: &'a Identity) -> &'a str {
        match self {
            Self::Engine => me.name(),
            Self::Agent(member) => member.name(),
        }
    }

    /// For the log.
    pub(crate) fn label(&self) -> Cow<'static, str> {
        match self {
            Self::Engine => "local".into(),
            Self::Agent(member) => format!("node:{}", member.name()).into(),
        }
    }
}
