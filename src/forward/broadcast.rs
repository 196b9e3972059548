//! Carries a request out on every node because the caller asked for that
//! (`Skep-Target: *`): pull and load, tag and removal of images.
//!
//! Each node does its part, and its output is passed on with its name. Nothing
//! is rolled back where a node fails: the answer names the nodes that succeeded
//! and those that did not. Prunes are answered like lists, in `fanout.rs`.

mod progress;
mod worker;

use std::borrow::Cow;

use bytes::Bytes;
use futures::future::join_all;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use skep_filters::endpoint::{Broadcast, RequestPath};

use crate::cluster::ask::MISSING_HEADER;
use crate::cluster::ask::{self, Ask, Missing, Node, Timeout, ask_node, missing_header};
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::exchange::version::translated_query;
use crate::forward::fanout::refusal;
use crate::upstream::client::{Answer, Budget};
use crate::upstream::headers;
pub(super) use progress::Merged;
pub(super) use worker::{Outcome, Worker};

/// Bounds a node's answer to a tag or a removal.
const ANSWER: usize = 4 << 20;

/// Carries the request out on all nodes.
///
/// # Errors
/// If no node succeeded, or a node refused.
pub(crate) async fn run(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    broadcast: Broadcast,
    path: &RequestPath<'_>,
    query: &str,
) -> Result<Next, Reject> {
    let (nodes, missing) = ask::nodes(&context.cluster, x.reachable());
    let version = context.version_choice(x.exchange, path);
    let translated = |node: &Node| version.translation(node.engine.as_ref());
    let versions = nodes.iter().filter_map(translated).map(|t| t.sent);
    x.exchange.answered_in.extend(versions);
    if broadcast == Broadcast::Progress {
        let targets = nodes
            .iter()
            .map(|node| ask::target(node, version, path.path(), query))
            .collect();
        return progress::run(context, session, x, nodes, targets, missing).await;
    }
    let ask = Ask {
        patience: Timeout::UntilLost,
        ..Ask::of(
            version,
            session.req_header(),
            path,
            query,
            x.on_behalf_of(),
            x.id().as_header(),
        )
    };
    let ask = &ask;
    let id = x.endpoint.map(|endpoint| endpoint.id);
    let answers = nodes.iter().map(|node| async move {
        let query = match translated(node).map(|t| translated_query(t, id, query)) {
            None => Cow::Borrowed(query),
            Some(Ok(query)) => query,
            Some(Err(e)) => return (node, Err(e.to_string())),
        };
        let answer = ask_node(&context.cluster, node, ask, &query, &Budget::one(ANSWER)).await;
        (node, answer)
    });
    let summary = Summary::of(join_all(answers).await, missing)?;
    let (mut head, body) = summary.answer()?;
    headers::strip_framing(&mut head);
    head.remove_header(crate::listen::server_headers::NODE_HEADER);
    if !summary.missing.is_empty() {
        let missing = missing_header(&summary.missing);
        tracing::warn!("{} was not done on {missing}", x.exchange.path());
        head.insert_header(MISSING_HEADER, missing)
            .map_err(internal)?;
    }
    context.answer(session, x, head, body).await
}

/// Carries out a request that reports its progress on these nodes.
///
/// # Errors
/// If no node succeeded.
pub(crate) async fn progress_on(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    nodes: Vec<Node>,
    path: &RequestPath<'_>,
    query: &str,
) -> Result<Next, Reject> {
    let hosts: Vec<_> = nodes.iter().map(|n| n.tag.hostname.as_str()).collect();
    x.exchange.record.to = format!("nodes:{}", hosts.join(",")).into();
    let version = context.version_choice(x.exchange, path);
    let translated = |node: &Node| version.translation(node.engine.as_ref());
    let versions = nodes.iter().filter_map(translated).map(|t| t.sent);
    x.exchange.answered_in.extend(versions);
    let targets = nodes
        .iter()
        .map(|node| ask::target(node, version, path.path(), query))
        .collect();
    progress::run(context, session, x, nodes, targets, Vec::new()).await
}

/// The answers of all nodes.
struct Summary {
    succeeded: Vec<(String, Answer)>,
    missing: Vec<Missing>,
}

impl Summary {
    /// A node without the image has nothing to do; if no node has it, the
    /// answer is that of the first.
    fn of(
        answers: Vec<(&Node, Result<Answer, String>)>,
        mut missing: Vec<Missing>,
    ) -> Result<Self, Reject> {
        let mut succeeded = Vec::new();
        let mut without_image = None;
        let mut refused: Option<(String, StatusCode)> = None;
        for (node, answer) in answers {
            let host = node.tag.hostname.clone();
            match answer {
                Ok(answer) if answer.head.status.is_success() => succeeded.push((host, answer)),
                Ok(answer) if answer.head.status == StatusCode::NOT_FOUND => {
                    without_image.get_or_insert((host, answer));
                }
                Ok(answer) => {
                    refused.get_or_insert((host, answer.head.status));
                    missing.push(Missing {
                        node: node.tag.clone(),
                        reason: refusal(&answer),
                    });
                }
                Err(reason) => missing.push(Missing {
                    node: node.tag.clone(),
                    reason,
                }),
            }
        }
        if let Some((_, status)) = refused {
            let done: Vec<_> = succeeded.into_iter().map(|(host, _)| host).collect();
            return Err(Reject::PartiallyDone {
                status,
                refused: missing_header(&missing),
                done: if done.is_empty() {
                    "no node".to_owned()
                } else {
                    done.join(", ")
                },
            });
        }
        if succeeded.is_empty() {
            return match without_image {
                Some((host, answer)) if missing.is_empty() => Ok(Self {
                    succeeded: vec![(host, answer)],
                    missing,
                }),
                _ => Err(Reject::NoNodeAnswered(missing_header(&missing))),
            };
        }
        Ok(Self { succeeded, missing })
    }

    /// Joins the lists of removed images; the answer to a tag has no body.
    fn answer(&self) -> Result<(ResponseHeader, Bytes), Reject> {
        let Some((_, first)) = self.succeeded.first() else {
            return Err(Reject::Internal(
                "a broadcast succeeded on no node".to_owned(),
            ));
        };
        let mut head = first.head.clone();
        let json = HeaderValue::from_static("application/json");
        let lists = first.head.headers.get(CONTENT_TYPE) == Some(&json)
            && first.head.status == StatusCode::OK;
        if !lists || self.succeeded.len() == 1 {
            return Ok((head, first.body.clone()));
        }
        head.remove_header("content-length");
        let mut all: Vec<Box<serde_json::value::RawValue>> = Vec::new();
        for (host, answer) in &self.succeeded {
            let list = serde_json::from_slice::<Option<Vec<_>>>(&answer.body);
            let list = list.map_err(|e| Reject::Internal(format!("the answer of {host}: {e}")))?;
            all.extend(list.unwrap_or_default());
        }
        let mut body = serde_json::to_vec(&all).map_err(|e| Reject::Internal(e.to_string()))?;
        body.push(b'\n');
        Ok((head, body.into()))
    }
}
