//! Merges the progress of many nodes into one stream: sends every node the
//! upload at the pace of the slowest, and passes their output on line by line.
//!
//! The head goes out with the first line of any node. After that a failure can
//! only be reported in the stream, as engines do: here at its end, after the
//! outcomes of the other nodes.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, EXPECT};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};
use skep_filters::aggregate::{ProgressLine, final_error, outcome_line, progress_line};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::worker::{NodeLine, Outcome, Worker};
use crate::cluster::ask::{Missing, Node};
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::upstream::error;

/// Chunks of the upload that may wait for one node.
const AHEAD: usize = 4;

/// Lines of all nodes that may wait for the client.
const LINES: usize = 64;

/// Carries the request out on these nodes; `targets` has the request target of
/// each.
pub(super) async fn run(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    nodes: Vec<Node>,
    targets: Vec<String>,
    missing: Vec<Missing>,
) -> Result<Next, Reject> {
    let (lines, mut received) = mpsc::channel(LINES);
    let mut feeds = Vec::new();
    let mut workers = JoinSet::new();
    for (n, (node, target)) in nodes.iter().zip(targets).enumerate() {
        let (feed, chunks) = mpsc::channel(AHEAD);
        feeds.push(Some(feed));
        let worker = Worker::new(context, session, x, node, &target).map_err(internal)?;
        let lines = lines.clone();
        workers.spawn(async move { (n, worker.run(n, chunks, lines).await) });
    }
    drop(lines);
    let mut merged = Merged::new(nodes, missing);
    let mut upload = Upload::of(session, x);
    let gone = |e: Box<pingora::Error>| Reject::Client(error::explain(&e));
    if upload.is_awaited() && session.req_header().headers.contains_key(EXPECT) {
        // Only the client waits for it: the engines get no `Expect`.
        session.write_continue_response().await.map_err(gone)?;
    }
    loop {
        tokio::select! {
            chunk = upload.next(session, &feeds) => {
                let chunk = chunk.map_err(gone)?;
                if !upload.feed(&mut feeds, chunk).await {
                    upload.done = true;
                    feeds.iter_mut().for_each(|feed| *feed = None);
                }
            }
            Some(line) = received.recv() => {
                if let Some(bytes) = merged.line(&line) {
                    merged.write(context, session, x, bytes).await.map_err(gone)?;
                }
            }
            Some(ended) = workers.join_next() => {
                let Ok((n, outcome)) = ended else {
                    return Err(Reject::Internal("the task of a node was aborted or panicked".to_owned()));
                };
                // Lines of this node may still wait, and report its failure.
                while let Ok(line) = received.try_recv() {
                    if let Some(bytes) = merged.line(&line) {
                        merged.write(context, session, x, bytes).await.map_err(gone)?;
                    }
                }
                // A node that has ended must not hold up the upload.
                if let Some(feed) = feeds.get_mut(n) {
                    *feed = None;
                }
                merged.ended(n, outcome);
            }
        }
        if workers.is_empty() && received.is_empty() {
            break;
        }
    }
    merged.finish(context, session, x).await
}

/// The client's body, which goes to every node.
struct Upload {
    held: Option<Bytes>,
    done: bool,
}

impl Upload {
    fn of(session: &mut Session, x: &mut Judged<'_>) -> Self {
        let held = x.body.held.take();
        Self {
            done: held.is_none() && session.is_body_empty(),
            held,
        }
    }

    /// Whether the client has yet to send the body.
    fn is_awaited(&self) -> bool {
        !self.done && self.held.is_none()
    }

    /// The next piece, once every node has room for it. After the last one it
    /// fails as soon as the client has gone.
    async fn next(
        &mut self,
        session: &mut Session,
        feeds: &[Option<mpsc::Sender<Bytes>>],
    ) -> pingora::Result<Option<Bytes>> {
        if self.done {
            session.read_body_or_idle(true).await?;
            return Error::e_explain(ErrorType::ConnectionClosed, "the client has gone");
        }
        for feed in feeds.iter().flatten() {
            // Fails only for a node that has ended, which needs no room.
            let _ = feed.reserve().await;
        }
        match self.held.take() {
            Some(held) if !held.is_empty() => Ok(Some(held)),
            Some(_) => Ok(None),
            None if session.is_body_done() => Ok(None),
            None => session.read_request_body().await,
        }
    }

    /// Sends a piece to every node; whether any node takes more.
    async fn feed(
        &mut self,
        feeds: &mut [Option<mpsc::Sender<Bytes>>],
        chunk: Option<Bytes>,
    ) -> bool {
        let Some(chunk) = chunk else { return false };
        for feed in feeds.iter_mut() {
            let lost = match feed {
                Some(feed) => feed.send(chunk.clone()).await.is_err(),
                None => false,
            };
            if lost {
                *feed = None;
            }
        }
        feeds.iter().any(Option::is_some)
    }
}

/// The output to the client, and the outcome of each node.
pub(in crate::forward) struct Merged {
    nodes: Vec<Node>,
    /// Which of them failed; two may have the same hostname.
    has_failed: Vec<bool>,
    /// Hostnames and reasons, including those of unreachable nodes.
    failed: Vec<(String, String)>,
    first_refusal: Option<(StatusCode, String)>,
    outcomes: Vec<(String, Result<(), String>)>,
    begun: bool,
}

impl Merged {
    pub(in crate::forward) fn new(nodes: Vec<Node>, missing: Vec<Missing>) -> Self {
        let failed = missing.into_iter().map(|m| (m.node.hostname, m.reason));
        let failed: Vec<_> = failed.collect();
        let outcomes = failed.iter().cloned().map(|(h, r)| (h, Err(r))).collect();
        Self {
            has_failed: vec![false; nodes.len()],
            nodes,
            failed,
            first_refusal: None,
            outcomes,
            begun: false,
        }
    }

    fn host(&self, n: usize) -> String {
        let node = self.nodes.get(n);
        node.map(|n| n.tag.hostname.clone()).unwrap_or_default()
    }

    /// The line for the client; an error waits for the end of the stream.
    fn line(&mut self, received: &NodeLine) -> Option<Bytes> {
        let host = self.host(received.node);
        match progress_line(&received.line, &host) {
            ProgressLine::Pass(line) => Some(line.into()),
            ProgressLine::Failed(reason) => {
                self.fail(received.node, reason);
                None
            }
        }
    }

    /// Records only the first failure of a node.
    fn fail(&mut self, n: usize, reason: String) {
        let host = self.host(n);
        if let Some(failed @ false) = self.has_failed.get_mut(n) {
            *failed = true;
            self.outcomes.push((host.clone(), Err(reason.clone())));
            self.failed.push((host, reason));
        }
    }

    pub(in crate::forward) fn ended(&mut self, n: usize, outcome: Outcome) {
        match outcome {
            Outcome::Done => {
                if self.has_failed.get(n) == Some(&false) {
                    self.outcomes.push((self.host(n), Ok(())));
                }
            }
            Outcome::Refused(status, reason) => {
                self.first_refusal
                    .get_or_insert_with(|| (status, reason.clone()));
                self.fail(n, reason);
            }
            Outcome::Lost(reason) => self.fail(n, reason),
        }
    }

    pub(in crate::forward) async fn write(
        &mut self,
        context: &Context,
        session: &mut Session,
        x: &mut Judged<'_>,
        bytes: Bytes,
    ) -> pingora::Result<()> {
        if !self.begun {
            self.begun = true;
            let mut head = ResponseHeader::build(StatusCode::OK, Some(4))?;
            head.insert_header(CONTENT_TYPE, "application/json")?;
            context.server_headers(x.exchange).apply(&mut head);
            x.record().status = Some(head.status);
            session.write_response_header(Box::new(head), false).await?;
        }
        x.exchange.record.bytes += bytes.len() as u64;
        session.write_response_body(Some(bytes), false).await
    }

    /// Writes the outcome of every node. If no node succeeded or wrote a line,
    /// the first refusal is the answer.
    pub(in crate::forward) async fn finish(
        mut self,
        context: &Context,
        session: &mut Session,
        x: &mut Judged<'_>,
    ) -> Result<Next, Reject> {
        let gone = |e: Box<pingora::Error>| Reject::Client(error::explain(&e));
        let succeeded = self.outcomes.iter().any(|(_, outcome)| outcome.is_ok());
        if !self.begun && !succeeded {
            let all: Vec<_> = self
                .failed
                .iter()
                .map(|(h, r)| format!("{h}: {r}"))
                .collect();
            return Err(match self.first_refusal {
                Some((status, _)) => Reject::PartiallyDone {
                    status,
                    refused: all.join(", "),
                    done: "no node".to_owned(),
                },
                None => Reject::NoNodeAnswered(all.join(", ")),
            });
        }
        let mut tail = Vec::new();
        self.outcomes.sort();
        for (host, outcome) in &self.outcomes {
            let outcome = outcome.as_ref().map(|()| "done").map_err(String::as_str);
            tail.extend(outcome_line(host, outcome));
        }
        if !self.failed.is_empty() {
            tail.extend(final_error(&self.failed));
        }
        self.write(context, session, x, tail.into())
            .await
            .map_err(gone)?;
        session
            .write_response_body(None, true)
            .await
            .map_err(gone)?;
        Ok(Next::Answered)
    }
}
