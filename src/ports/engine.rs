//! The calls to this node's engine that a forward needs. They are the agent's own: no
//! caller's text is in them but the name of a container.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use http::{Method, StatusCode};
use pingora::protocols::Stream;
use pingora::{Error, ErrorType};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::upstream::error;
use crate::upstream::headers;
use crate::upstream::request;

/// How long the engine may take for one call.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bounds an answer.
const ANSWER: usize = 16 << 20;

/// This node's engine, and who asks it.
#[derive(Clone)]
pub(super) struct Engine {
    pub(super) cluster: Arc<Cluster>,
}

/// The engine's answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Answer {
    /// The message of a refusal.
    pub(super) fn message(&self) -> String {
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        match serde_json::from_slice::<Refusal>(&self.body) {
            Ok(refusal) => refusal.message,
            Err(_) => format!("the engine answered with status {}", self.status),
        }
    }

    /// The body of a success.
    ///
    /// # Errors
    /// The engine's message otherwise.
    pub(super) fn success(self) -> Result<Bytes, String> {
        match self.status.is_success() {
            true => Ok(self.body),
            false => Err(self.message()),
        }
    }
}

impl Engine {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    /// Sends a request, and reads the whole answer.
    ///
    /// # Errors
    /// A sentence, if the engine does not answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let asked = timeout(PATIENCE, self.asked(method, target, body)).await;
        let asked = asked.map_err(|_| format!("the engine gave no answer within {PATIENCE:?}"))?;
        asked.map_err(|e| error::explain(&e))
    }

    async fn asked(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> pingora::Result<Answer> {
        let mut head = request::build(&method, target)?;
        let body = body.map(|body| Bytes::from(body.to_string()));
        if let Some(body) = &body {
            head.insert_header(CONTENT_TYPE, "application/json")?;
            head.insert_header(CONTENT_LENGTH, body.len())?;
        }
        let client = &self.cluster.client;
        let peer = self.cluster.engine.peer().await?;
        let sent = client.send(&peer, head, body.unwrap_or_default()).await;
        let (mut session, head) = sent?;
        let mut whole = BytesMut::new();
        while let Some(piece) = session.read_response_body().await? {
            if whole.len() + piece.len() > ANSWER {
                return Error::e_explain(ErrorType::InternalError, "the answer is too long");
            }
            whole.extend_from_slice(&piece);
        }
        client.release(session, &peer).await;
        Ok(Answer {
            status: head.status,
            body: whole.freeze(),
        })
    }

    /// Attaches to a container's input and output.
    ///
    /// # Errors
    /// A sentence, if the engine refuses.
    pub(super) async fn attach(&self, id: &str) -> Result<Stream, String> {
        let attached = timeout(PATIENCE, self.attached(id)).await;
        let attached = attached.map_err(|_| "the engine does not attach".to_owned())?;
        attached.map_err(|e| error::explain(&e))
    }

    async fn attached(&self, id: &str) -> pingora::Result<Stream> {
        let target = format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1");
        let mut head = request::build(&Method::POST, &target)?;
        head.insert_header(CONNECTION, "Upgrade")?;
        head.insert_header(UPGRADE, "tcp")?;
        let peer = self.cluster.engine.peer().await?;
        let mut upstream = self.cluster.client.dedicated(&peer).await?;
        upstream.write_request_header(Box::new(head)).await?;
        upstream.finish_body().await?;
        let head = headers::answer_head(&mut upstream).await?;
        if head.status != StatusCode::SWITCHING_PROTOCOLS && !headers::is_raw_stream(&head) {
            let status = head.status;
            let why = format!("the engine answered an attach with status {status}");
            return Error::e_explain(ErrorType::InvalidHTTPHeader, why);
        }
        // The container does not run yet, so that no output came with the head.
        Ok(upstream.into_inner())
    }

    /// Resolves when a container does not run any more, or the engine does not say.
    pub(super) async fn ended(&self, id: &str) {
        let waited = async {
            let head = request::build(&Method::POST, &format!("/containers/{id}/wait"))?;
            let peer = self.cluster.engine.peer().await?;
            let mut upstream = self.cluster.client.dedicated(&peer).await?;
            upstream.write_request_header(Box::new(head)).await?;
            upstream.finish_body().await?;
            let head = headers::answer_head(&mut upstream).await?;
            if head.status != StatusCode::OK {
                // Connections end with the container all the same.
                std::future::pending::<()>().await;
            }
            while upstream.read_body_bytes().await?.is_some() {}
            Ok::<(), Box<Error>>(())
        };
        if let Err(e) = waited.await {
            tracing::debug!("the wait for container {id} ended: {}", error::explain(&e));
        }
    }

    /// Removes a container, running or not; one that is gone is no error.
    pub(super) async fn remove(&self, id: &str) {
        let target = format!("/containers/{id}?force=1&v=1");
        let reason = match self.ask(Method::DELETE, &target, None).await {
            // It removes itself when it ends: 404, or 409 while that goes on.
            Ok(answer)
                if answer.status.is_success() || matches!(answer.status.as_u16(), 404 | 409) =>
            {
                return;
            }
            Ok(answer) => answer.message(),
            Err(reason) => reason,
        };
        tracing::warn!("the helper {id} of a forward could not be removed: {reason}");
    }
}
