//! Streams an image from another node's agent into the local engine.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode};
use pingora::Error;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::v1::client::HttpSession;
use serde::Deserialize;
use skep_filters::aggregate::{LineSplitter, ProgressLine, progress_line};
use skep_filters::auth::{BodyBinding, OnBehalfOf};

use crate::cluster::ask::GONE;
use crate::cluster::hop::Hop;
use crate::exchange::context::Context;
use crate::upstream::error;
use crate::upstream::headers;
use crate::upstream::request;

/// The engine's endpoint that takes an image. It reports no progress: this module
/// knows how much was sent.
const LOAD: &str = "/images/load?quiet=1";

/// Bounds the message of a refusal, in bytes.
const REFUSAL: usize = 64 << 10;

/// Why an image did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// The policy of the caller does not allow it on the other node.
    #[error("the caller's policy does not allow it there")]
    Denied,
    #[error("it answered {0}: {1}")]
    Refused(StatusCode, String),
    #[error("it is longer than {0} bytes (`images.copy_max_bytes`)")]
    TooLong(u64),
    #[error("it took longer than {0:?} (`images.copy_timeout`)")]
    TooSlow(Duration),
    #[error("the engine of this node answered {0}: {1}")]
    Load(StatusCode, String),
    #[error("the engine of this node failed to load it: {0}")]
    Failed(String),
    #[error("{0}")]
    Lost(String),
}

impl From<Box<Error>> for TransferError {
    fn from(error: Box<Error>) -> Self {
        Self::Lost(error::explain(&error))
    }
}

/// The image to copy, and the caller that needs it.
pub(super) struct Transfer<'a> {
    pub(super) context: &'a Context,
    pub(super) from: &'a Hop,
    /// The path at the other agent.
    pub(super) path: &'a str,
    pub(super) on_behalf_of: &'a OnBehalfOf,
    pub(super) request_id: &'a HeaderValue,
}

impl Transfer<'_> {
    /// Copies the image; returns its length in bytes.
    ///
    /// # Errors
    /// If the other node refuses it, the engine does not take it, or it is too long.
    pub(super) async fn run(&self) -> Result<u64, TransferError> {
        tokio::select! {
            done = self.stream() => done,
            () = self.from.lost(&self.context.cluster) => {
                Err(TransferError::Lost(GONE.to_owned()))
            }
        }
    }

    async fn stream(&self) -> Result<u64, TransferError> {
        let most = self.context.config.images.copy_max_bytes;
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let mut source = self.source().await?;
        let mut engine = self.engine().await?;
        let mut answer = Answer::default();
        let mut bytes = 0;
        let mut sends = true;
        loop {
            tokio::select! {
                task = source.read_response_task(), if sends => {
                    let (chunk, end) = body_of(task?)?;
                    bytes += chunk.len() as u64;
                    if bytes > most {
                        return Err(TransferError::TooLong(most));
                    }
                    let mut sent = request::write_piece(&mut engine, &chunk).await;
                    if sent.is_ok() && end {
                        sent = engine.finish_body().await.map(drop);
                    }
                    // The engine reads no more; its answer may say why.
                    sends = sent.is_ok() && !end;
                }
                task = engine.read_response_task() => {
                    if answer.take(task?)? {
                        return answer.outcome().map(|()| bytes);
                    }
                }
            }
        }
    }

    /// The connection to the other agent, from which the image is read next.
    async fn source(&self) -> Result<HttpSession, TransferError> {
        let Self { context, from, .. } = self;
        let mut head = request::get(&request::escape(self.path))?;
        from.prepare(
            &mut head,
            &context.peers,
            self.on_behalf_of,
            self.request_id,
            BodyBinding::Empty,
        )?;
        let peer = from.peer(&context.engine, &context.peers).await?;
        let mut source = context.client.dedicated(&peer).await?;
        source.write_request_header(Box::new(head)).await?;
        source.finish_body().await?;
        let mut answer = Answer::default();
        loop {
            let ended = answer.take(source.read_response_task().await?)?;
            match answer.status {
                Some(StatusCode::OK) => return Ok(source),
                Some(StatusCode::FORBIDDEN) => return Err(TransferError::Denied),
                Some(status) if ended => {
                    return Err(TransferError::Refused(status, answer.message()));
                }
                None if ended => return Err(TransferError::Lost("it sent no answer".to_owned())),
                Some(_) | None => {}
            }
        }
    }

    /// The connection to the engine, to which the image is sent next.
    async fn engine(&self) -> Result<HttpSession, TransferError> {
        let context = self.context;
        let mut head = request::build(&Method::POST, LOAD)?;
        head.remove_header(&CONTENT_LENGTH);
        head.insert_header(TRANSFER_ENCODING, "chunked")?;
        head.insert_header(CONTENT_TYPE, "application/x-tar")?;
        let peer = Hop::Engine.peer(&context.engine, &context.peers).await?;
        let mut engine = context.client.dedicated(&peer).await?;
        engine.write_request_header(Box::new(head)).await?;
        Ok(engine)
    }
}

/// The next piece of a body, and whether it is the last.
fn body_of(task: HttpTask) -> Result<(bytes::Bytes, bool), TransferError> {
    match task {
        HttpTask::Body(chunk, end) | HttpTask::UpgradedBody(chunk, end) => {
            Ok((chunk.unwrap_or_default(), end))
        }
        HttpTask::Header(_, end) => Ok((bytes::Bytes::new(), end)),
        HttpTask::Trailer(_) | HttpTask::Done => Ok((bytes::Bytes::new(), true)),
        HttpTask::Failed(e) => Err(e.into()),
    }
}

/// The part of an answer that has arrived.
#[derive(Default)]
struct Answer {
    status: Option<StatusCode>,
    lines: LineSplitter,
    failure: Option<String>,
    refusal: Vec<u8>,
}

impl Answer {
    /// Whether the answer has ended.
    fn take(&mut self, task: HttpTask) -> Result<bool, TransferError> {
        if let HttpTask::Header(head, end) = &task {
            if !head.status.is_informational() {
                headers::refuse_misdirected(head)?;
                self.status = Some(head.status);
            }
            return Ok(*end && self.status.is_some());
        }
        let (chunk, end) = body_of(task)?;
        if self.status == Some(StatusCode::OK) {
            let lines = self.lines.feed(&chunk);
            for line in lines.map_err(|e| TransferError::Failed(e.to_string()))? {
                if let ProgressLine::Failed(reason) = progress_line(&line, "") {
                    self.failure.get_or_insert(reason);
                }
            }
        } else {
            let room = REFUSAL.saturating_sub(self.refusal.len());
            self.refusal
                .extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok(end)
    }

    /// The message of a refusal.
    fn message(&self) -> String {
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        let refusal = serde_json::from_slice::<Refusal>(&self.refusal);
        refusal.map_or_else(|_| "no message".to_owned(), |refusal| refusal.message)
    }

    /// The outcome of a load.
    fn outcome(self) -> Result<(), TransferError> {
        match (self.status, self.failure.clone()) {
            (Some(StatusCode::OK), None) => Ok(()),
            (Some(StatusCode::OK), Some(reason)) => Err(TransferError::Failed(reason)),
            (Some(status), _) => Err(TransferError::Load(status, self.message())),
            (None, _) => Err(TransferError::Lost("the engine sent no answer".to_owned())),
        }
    }
}
