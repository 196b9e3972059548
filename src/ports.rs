//! Connects callers to ports of this node's containers, whatever network they are on
//! and without publishing anything: `POST /skep/v1/containers/{name}/forward`.
//!
//! The agent is in another network namespace than the container. A helper is in the
//! right one: a container of the agent's own image that has the network of the target
//! and nothing else, no capability and no file. It runs `skep relay`, which connects to
//! ports of its own namespace only. All connections to a target share its helper and
//! the one stream to it (`link.rs`), each with a window of its own.

mod direct;
mod engine;
mod helper;
mod helpers;
mod link;
mod multiplexed;
mod problem;
pub mod relay;
mod stream;
mod sweep;
mod target;

use http::header::UPGRADE;
use pingora::proxy::Session;
use serde_json::json;
use skep_filters::endpoint::{Match, port, query};

use crate::cluster::hop::Hop;
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::forward::HopWatch;
use crate::forward::tunnel;
use crate::platform::Duplex;
use crate::upstream::error;
use engine::Engine;
pub(crate) use helpers::Helpers as Ports;
use problem::Problem;
pub(crate) use sweep::sweep;
use target::Target;

/// Connects the caller to the port, or says that it could.
///
/// # Errors
/// If the container or the port cannot be reached, with a message that says why.
pub(crate) async fn answer(
    ports: &Ports,
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    found: &Match,
) -> Result<Next, Reject> {
    let head = session.req_header();
    let raw_query = head.uri.query().unwrap_or_default();
    let port = port::of(raw_query).map_err(Problem::Port)?;
    let checks = query::flag(raw_query, port::CHECK);
    if !checks && !head.headers.contains_key(UPGRADE) {
        return Err(Problem::NoUpgrade.into());
    }
    let name = found.object.as_deref().unwrap_or_default();
    let engine = Engine::new(context.cluster.clone());
    if !checks && let Some(connection) = ports.connect_again(&engine, name, port).await {
        return carry(context, session, x, connection).await;
    }
    let target = Target::find(context, &engine, name).await?;
    if checks {
        ports.ready(&engine, &target).await?;
        let node = context.cluster.me().name().to_owned();
        let body = json!({ "Id": target.id, "Name": target.name, "NodeName": node });
        let body = format!("{body}\n");
        return context.answer_json(session, x, body.into()).await;
    }
    let connection = ports.connect(&engine, &target, port).await?;
    carry(context, session, x, connection).await
}

async fn carry(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    connection: Box<dyn Duplex>,
) -> Result<Next, Reject> {
    let account = x.permission.called.account.clone();
    // What has arrived for a caller that does not read.
    let _share = account.take(link::WINDOW as usize)?;
    let server_headers = context.server_headers(x.exchange);
    let watch = &HopWatch::new(context, &Hop::Engine, x, false);
    let hijacked = &mut x.exchange.hijacked;
    let ended = tunnel::carry(session, connection, server_headers, watch, hijacked).await;
    let ended = ended.map_err(|e| Reject::Client(error::explain(&e)))?;
    let record = x.record();
    record.status = Some(ended.status);
    record.bytes = ended.out_bytes;
    record.bytes_in = ended.in_bytes;
    Ok(Next::Answered)
}
