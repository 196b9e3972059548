//! Authenticates Portainer servers and answers the endpoints of their agent, some
//! of them without authentication. `skep_filters::auth::portainer` verifies the
//! signatures.
//!
//! A server's signature covers neither the request nor the time. So it is accepted
//! only if it is configured, and only on requests without a signature of skep's own.

pub(crate) mod agents;
pub(crate) mod browse;
pub(crate) mod console;
pub(crate) mod dialect;
pub(crate) mod dockerhub;
pub(crate) mod first_use;
pub(crate) mod host_info;
mod others;
mod pin;
mod proof;

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use serde_json::json;
use skep_filters::auth::portainer::{PortainerError, PortainerHeaders, PublicKey};
use skep_filters::auth::profile::{SIGNATURE, SIGNATURE_INPUT};
use skep_filters::auth::{BodyBinding, Client, Principal};
use skep_filters::endpoint::{
    Endpoint, Match, Own, PortainerEndpoint, RequestPath, classify, query,
};
use tokio::sync::watch;

use crate::config;
use crate::exchange::Exchange;
use crate::exchange::Next;
use crate::exchange::caller::Caller;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::internal;
use crate::exchange::reject::{Reason, Reject};
use crate::listen::server_headers::ServerHeaders;
use crate::upstream::error;
use browse::Call;
pub(crate) use dialect::{Server, headers, hint};
use first_use::FirstUse;
pub(crate) use others::Others;
use pin::Pin;
use proof::Proof;
pub(crate) use proof::ProofError;

/// The Portainer servers that may call.
pub(crate) struct Portainer {
    config: config::Portainer,
    proof: ArcSwap<Proof>,
    /// Pins the key of the first server; `None` if the configuration does not.
    first: Option<FirstUse>,
}

/// A server that has proved its identity.
pub(crate) struct Authenticated {
    pub(crate) caller: Caller,
    /// Its key, if none is trusted yet; see [`Portainer::pin_server`].
    pub(crate) unpinned_key: Option<Box<PublicKey>>,
}

impl Portainer {
    /// Reads the configured files, and the pinned key; `others` are the agents that
    /// may have pinned one.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    pub(crate) fn new(
        config: &config::Portainer,
        state: &Path,
        others: Others,
    ) -> Result<Arc<Self>, ProofError> {
        let proof = Proof::read(config)?;
        if let Some(key) = &proof.only {
            tracing::info!("the Portainer server {} is trusted", key.fingerprint());
        }
        let first = config.first_use && proof.only.is_none();
        let first = first.then(|| FirstUse::open(state, others)).transpose()?;
        Ok(Arc::new(Self {
            config: config.clone(),
            proof: ArcSwap::from_pointee(proof),
            first,
        }))
    }

    /// Reads the secret and the key again; returns whether one of them has changed.
    ///
    /// # Errors
    /// If a file cannot be read or used. The previous secret and key stay valid.
    pub(crate) fn reread(&self) -> Result<bool, ProofError> {
        let proof = Proof::read(&self.config)?;
        let changed = proof != **self.proof.load();
        if changed {
            self.proof.store(Arc::new(proof));
        }
        Ok(changed)
    }

    /// Authenticates a server by its signature, without pinning its key.
    ///
    /// # Errors
    /// [`PortainerError`], or if headers contradict each other.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Authenticated, Reject> {
        let shown = PortainerHeaders::of(headers)?;
        let key = shown.key();
        let proof = self.proof.load();
        let pinned = self.first.as_ref().and_then(FirstUse::trusted);
        let trusted = pinned.as_ref().or(proof.only.as_ref());
        if trusted.is_some_and(|trusted| trusted != key) {
            return Err(other_key(key));
        }
        shown.verify(&proof.message)?;
        Ok(Authenticated {
            caller: Caller::new(
                Principal::Client(Client::portainer(&key.fingerprint(), headers)?),
                BodyBinding::uncovered(headers)?,
                true,
            ),
            unpinned_key: (self.first.is_some() && trusted.is_none())
                .then(|| Box::new(key.clone())),
        })
    }

    /// Pins the key of a server, if no key is pinned yet. Call it after the checks of
    /// address and limits: a server that they refuse must not be pinned.
    ///
    /// # Errors
    /// [`PortainerError`] if another key is trusted, or another agent may trust one.
    pub(crate) async fn pin_server(&self, unpinned_key: &PublicKey) -> Result<(), Reject> {
        match &self.first {
            Some(first) if first.pin_server(unpinned_key).await? != *unpinned_key => {
                Err(other_key(unpinned_key))
            }
            _ => Ok(()),
        }
    }

    /// The pinned key, for other agents.
    pub(crate) fn pinned_key_json(&self) -> Bytes {
        let pin: Option<Arc<Pin>> = self.first.as_ref().and_then(FirstUse::pin);
        Bytes::from(format!("{}\n", json!({ "pin": pin.as_deref() })))
    }

    /// Keeps the pinned key the same as that of the other agents, until `stop` changes.
    pub(crate) async fn sync_pin(&self, mut stop: watch::Receiver<bool>) {
        match &self.first {
            Some(first) => first.sync_pin(stop).await,
            // Nothing is pinned.
            None => drop(stop.changed().await),
        }
    }
}

fn other_key(key: &PublicKey) -> Reject {
    let shown = key.fingerprint();
    PortainerError::OtherKey { shown }.into()
}

/// Whether a request has a signature of a Portainer server, and no other one.
pub(crate) fn uses_portainer_signature(headers: &HeaderMap) -> bool {
    PortainerHeaders::any(headers)
        && !headers.contains_key(SIGNATURE)
        && !headers.contains_key(SIGNATURE_INPUT)
}

fn open_row(head: &RequestHeader) -> Option<&'static Endpoint> {
    let path = RequestPath::parse(head.uri.path()).ok()?;
    let endpoint = classify(head.method.as_str(), &path)?.endpoint;
    endpoint.open.then_some(endpoint)
}

/// Answers an endpoint of Portainer's agent; `servers` are those that may call.
///
/// # Errors
/// [`Reject::NotServed`] if no server may call, or as the endpoint's module.
pub(crate) async fn answer(
    servers: Option<&Portainer>,
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    endpoint: PortainerEndpoint,
    found: &Match,
) -> Result<Next, Reject> {
    let servers = servers.ok_or(Reject::NotServed)?;
    let query = session.req_header().uri.query().unwrap_or_default();
    let query = query.to_owned();
    let action = match endpoint {
        PortainerEndpoint::PinnedKey if x.is_from_peer() => {
            let body = servers.pinned_key_json();
            return context.answer_json(session, x, body).await;
        }
        // `open` answers the first two; only agents may ask for the third.
        PortainerEndpoint::Ping | PortainerEndpoint::EdgeKey | PortainerEndpoint::PinnedKey => {
            return Err(Reject::NotServed);
        }
        PortainerEndpoint::Agents => {
            let body = agents::list(&context.cluster)?;
            return context.answer_json(session, x, body).await;
        }
        PortainerEndpoint::HubLimits => return dockerhub::answer(context, session, x).await,
        PortainerEndpoint::HostInfo => return host_info::answer(context, session, x).await,
        PortainerEndpoint::Console(kind) => {
            return console::answer(context, session, x, kind, &query).await;
        }
        PortainerEndpoint::Browse(action) => action,
    };
    let named = query::get(&query, "volumeID").filter(|name| !name.is_empty());
    let call = Call {
        action,
        volume: found.object.as_deref().or(named.as_deref()),
        query: &query,
        host: context.config.browse.host.as_deref(),
    };
    browse::answer(context, session, x, call).await
}

/// A server's failed authentication, in the words of Portainer's agent.
impl From<PortainerError> for Reject {
    fn from(error: PortainerError) -> Self {
        Self::Refused {
            status: StatusCode::FORBIDDEN,
            reason: Reason::Signature(error.reason()),
            message: error.to_string(),
            details: error.details().to_owned(),
        }
    }
}

/// Whether Portainer's agent answers a request without authentication.
pub(crate) fn is_open(head: &RequestHeader) -> bool {
    // Saves classifying every request twice.
    let path = head.uri.path();
    (path.ends_with("/ping") || path.ends_with("/key")) && open_row(head).is_some()
}

/// Answers an open endpoint. An unauthenticated client learns only that an agent
/// runs here. `/key` is refused: it is for Portainer's Edge agents.
///
/// # Errors
/// If the client has disconnected.
pub(crate) async fn open(
    context: &Context,
    session: &mut Session,
    x: &mut Exchange,
) -> Result<Next, Reject> {
    let row = open_row(session.req_header());
    x.endpoint = row.map(|row| row.id);
    x.record.to = "agent".into();
    if !session.is_body_done() {
        // The body of an unauthenticated client is not read.
        session.set_keepalive(None);
    }
    let server_headers: ServerHeaders = context.server_headers(x).anonymous();
    if row.and_then(|row| row.own) == Some(Own::Portainer(PortainerEndpoint::Ping)) {
        let mut head = ResponseHeader::build(StatusCode::NO_CONTENT, Some(4)).map_err(internal)?;
        server_headers.apply(&mut head);
        x.record.status = Some(head.status);
        let sent = session.write_response_header(Box::new(head), true).await;
        sent.map_err(|e| Reject::Client(error::explain(&e)))?;
        return Ok(Next::Answered);
    }
    let body = Bytes::from_static(
        b"{\"message\":\"Edge key management is disabled on non Edge agent\"}\n",
    );
    let mut head =
        ResponseHeader::build(StatusCode::SERVICE_UNAVAILABLE, Some(5)).map_err(internal)?;
    head.insert_header(CONTENT_TYPE, "application/json")
        .map_err(internal)?;
    head.insert_header(http::header::CONTENT_LENGTH, body.len())
        .map_err(internal)?;
    server_headers.apply(&mut head);
    x.record.status = Some(head.status);
    let gone = |e: Box<pingora::Error>| Reject::Client(error::explain(&e));
    let begun = session.write_response_header(Box::new(head), false).await;
    begun.map_err(gone)?;
    let sent = session.write_response_body(Some(body), true).await;
    sent.map_err(gone)?;
    Ok(Next::Answered)
}
