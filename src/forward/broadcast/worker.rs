//! Carries out one node's part of a broadcast: sends the request and the upload,
//! and reads the answer.
//!
//! An engine answers before the upload ends (`POST /images/load` reports its
//! progress), so this module writes and reads at the same time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use pingora::http::RequestHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use serde::Deserialize;
use skep_filters::aggregate::LineSplitter;
use tokio::sync::mpsc;

use crate::cluster::Cluster;
use crate::cluster::ask::{GONE, Node};
use crate::cluster::hop::Hop;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::upstream::client::Client;
use crate::upstream::engine::Engine;
use crate::upstream::error;
use crate::upstream::headers;
use crate::upstream::peers::Peers;
use crate::upstream::request;

/// One line of one node's progress.
pub(in crate::forward) struct NodeLine {
    pub(in crate::forward) node: usize,
    pub(in crate::forward) line: Vec<u8>,
}

/// Bounds the message of an engine that refuses.
const REFUSAL: usize = 64 << 10;

/// How one node's part ended.
pub(in crate::forward) enum Outcome {
    /// Its stream ended; a failure would be reported in the stream.
    Done,
    /// Its engine answered with an error status.
    Refused(StatusCode, String),
    /// The connection failed.
    Lost(String),
}

/// One node's request, with the connections to send it.
pub(in crate::forward) struct Worker {
    hop: Hop,
    head: RequestHeader,
    client: Arc<Client>,
    engine: Arc<Engine>,
    peers: Arc<Peers>,
    cluster: Arc<Cluster>,
}

impl Worker {
    pub(in crate::forward) fn new(
        context: &Context,
        session: &Session,
        x: &Judged<'_>,
        node: &Node,
        target: &str,
    ) -> pingora::Result<Self> {
        let mut head = session.req_header().clone();
        let uri = target.parse::<http::Uri>();
        head.set_uri(uri.map_err(|e| {
            pingora::Error::because(pingora::ErrorType::InvalidHTTPHeader, "target", e)
        })?);
        headers::strip_hop_by_hop_request(&mut head, false)?;
        head.remove_header("expect");
        if let Some(held) = &x.body.held {
            head.remove_header("transfer-encoding");
            head.insert_header(CONTENT_LENGTH, held.len())?;
        }
        node.hop.prepare(
            &mut head,
            &context.peers,
            x.on_behalf_of(),
            x.id().as_header(),
            x.body.binding,
        )?;
        Ok(Self {
            hop: node.hop.clone(),
            head,
            client: context.client.clone(),
            engine: context.engine.clone(),
            peers: context.peers.clone(),
            cluster: context.cluster.clone(),
        })
    }

    pub(in crate::forward) async fn run(
        self,
        n: usize,
        chunks: mpsc::Receiver<Bytes>,
        output: mpsc::Sender<NodeLine>,
    ) -> Outcome {
        let lost: Pin<Box<dyn Future<Output = ()> + Send>> = match &self.hop {
            Hop::Engine => Box::pin(std::future::pending()),
            Hop::Agent(member) => {
                let (cluster, member) = (self.cluster.clone(), member.clone());
                Box::pin(async move { cluster.lost(&member).await })
            }
        };
        tokio::select! {
            outcome = self.talk(n, chunks, output) => {
                outcome.unwrap_or_else(|e| Outcome::Lost(error::explain(&e)))
            }
            () = lost => Outcome::Lost(GONE.to_owned()),
        }
    }

    async fn talk(
        self,
        n: usize,
        mut chunks: mpsc::Receiver<Bytes>,
        output: mpsc::Sender<NodeLine>,
    ) -> pingora::Result<Outcome> {
        let peer: HttpPeer = self.hop.peer(&self.engine, &self.peers).await?;
        let mut session = self.client.dedicated(&peer).await?;
        session.write_request_header(Box::new(self.head)).await?;
        let mut answer = Answer::default();
        let mut upload_done = false;
        let mut unsent = None;
        loop {
            tokio::select! {
                chunk = chunks.recv(), if !upload_done => {
                    let sent = match chunk {
                        Some(chunk) => request::write_piece(&mut session, &chunk).await,
                        None => {
                            upload_done = true;
                            session.finish_body().await.map(|_| ())
                        }
                    };
                    if let Err(e) = sent {
                        // The node reads no more; its answer may say why.
                        upload_done = true;
                        unsent = Some(e);
                        chunks.close();
                    }
                },
                task = session.read_response_task() => match answer.take(
                    task.map_err(|e| unsent.take().unwrap_or(e))?
                )? {
                    Progress::More(lines) => {
                        for line in lines {
                            // Fails only when the client has gone, which ends
                            // this task too.
                            let _ = output.send(NodeLine { node: n, line }).await;
                        }
                    }
                    Progress::All(lines) => {
                        for line in lines {
                            let _ = output.send(NodeLine { node: n, line }).await;
                        }
                        return Ok(answer.outcome());
                    }
                },
            }
        }
    }
}

/// The part of an answer that has arrived.
#[derive(Default)]
struct Answer {
    status: Option<StatusCode>,
    splitter: LineSplitter,
    refusal: Vec<u8>,
}

enum Progress {
    More(Vec<Vec<u8>>),
    All(Vec<Vec<u8>>),
}

impl Answer {
    fn take(&mut self, task: HttpTask) -> pingora::Result<Progress> {
        match task {
            HttpTask::Header(head, end) => {
                if head.status.is_informational() {
                    return Ok(Progress::More(Vec::new()));
                }
                headers::refuse_misdirected(&head)?;
                self.status = Some(head.status);
                Ok(if end {
                    Progress::All(Vec::new())
                } else {
                    Progress::More(Vec::new())
                })
            }
            HttpTask::Body(chunk, end) | HttpTask::UpgradedBody(chunk, end) => {
                let lines = self.body(&chunk.unwrap_or_default())?;
                Ok(if end {
                    Progress::All(lines)
                } else {
                    Progress::More(lines)
                })
            }
            HttpTask::Trailer(_) | HttpTask::Done => Ok(Progress::All(Vec::new())),
            HttpTask::Failed(e) => Err(e),
        }
    }

    fn body(&mut self, chunk: &[u8]) -> pingora::Result<Vec<Vec<u8>>> {
        if self.status == Some(StatusCode::OK) {
            return self.splitter.feed(chunk).map_err(|e| {
                pingora::Error::because(pingora::ErrorType::ReadError, "progress", e)
            });
        }
        let room = REFUSAL.saturating_sub(self.refusal.len());
        self.refusal
            .extend_from_slice(&chunk[..chunk.len().min(room)]);
        Ok(Vec::new())
    }

    fn outcome(self) -> Outcome {
        match self.status {
            Some(StatusCode::OK) => Outcome::Done,
            Some(status) => {
                #[derive(Deserialize)]
                struct Refusal {
                    message: String,
                }
                let message = serde_json::from_slice::<Refusal>(&self.refusal);
                let message = message.map(|refusal| refusal.message);
                Outcome::Refused(
                    status,
                    message.unwrap_or_else(|_| format!("answered {status}")),
                )
            }
            None => Outcome::Lost("it sent no answer".to_owned()),
        }
    }
}
