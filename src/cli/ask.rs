//! Sends one signed request to one agent.

use std::time::Duration;

use anyhow::{anyhow, bail};
use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use ring::rand::SystemRandom;
use serde::Deserialize;
use skep_filters::auth::BodyBinding;
use skep_filters::auth::digest::sha256;
use skep_filters::auth::profile::SKEP_TARGET;
use tokio::time::timeout;

use crate::config::AgentUrl;
use crate::connect::access::Access;
use crate::upstream::client::{Answer, Budget, Client};
use crate::upstream::clocks::{Asking, Skew};
use crate::upstream::error;
use crate::upstream::peers;
use crate::upstream::request;

/// How long an agent may take to answer.
const DEADLINE: Duration = Duration::from_secs(15);

/// The largest answer.
const LIMIT: usize = 16 << 20;

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

/// Returns the body of a 200.
///
/// # Errors
/// The agent does not answer in time, or refuses with this message.
pub(super) async fn ask(access: &Access, url: &AgentUrl, path: &str) -> anyhow::Result<Bytes> {
    Ok(ask_whole(access, url, path).await?.body)
}

/// As [`ask`], with the head of the answer.
///
/// # Errors
/// As [`ask`].
pub(super) async fn ask_whole(
    access: &Access,
    url: &AgentUrl,
    path: &str,
) -> anyhow::Result<Answer> {
    let answer = call(access, url, &Method::GET, path, Bytes::new(), None).await?;
    taken(answer)
}

/// As [`ask`], of the agent of a node.
///
/// # Errors
/// As [`ask`].
pub(super) async fn ask_node(
    access: &Access,
    url: &AgentUrl,
    path: &str,
    node: &str,
) -> anyhow::Result<Bytes> {
    let answer = call(access, url, &Method::GET, path, Bytes::new(), Some(node)).await?;
    Ok(taken(answer)?.body)
}

/// Sends a request with a body of JSON, and returns the body of a 200.
///
/// # Errors
/// As [`ask`].
pub(super) async fn send(
    access: &Access,
    url: &AgentUrl,
    path: &str,
    body: Bytes,
) -> anyhow::Result<Bytes> {
    let answer = call(access, url, &Method::POST, path, body, None).await?;
    Ok(taken(answer)?.body)
}

/// As [`ask`], with the answer whatever its status; `node` is the one that answers.
///
/// # Errors
/// The agent does not answer in time.
pub(super) async fn call(
    access: &Access,
    url: &AgentUrl,
    method: &Method,
    path: &str,
    body: Bytes,
    node: Option<&str>,
) -> anyhow::Result<Answer> {
    let explain = |e: Box<pingora::Error>| anyhow!(error::explain(&e));
    let peer = access.peer(url).await?;
    let client = Client::new();
    let binding = match body.is_empty() {
        true => BodyBinding::Empty,
        false => BodyBinding::Digest(sha256(&body)),
    };
    let fetch = async |skew| {
        let mut head = request::build(method, path).map_err(explain)?;
        if let Some(node) = node {
            head.insert_header(SKEP_TARGET, node).map_err(explain)?;
        }
        if !body.is_empty() {
            head.insert_header(CONTENT_TYPE, "application/json")
                .map_err(explain)?;
            head.insert_header(CONTENT_LENGTH, body.len())
                .map_err(explain)?;
        }
        let random = SystemRandom::new();
        peers::sign_at(&mut head, &access.signer, binding, &random, skew).map_err(explain)?;
        let budget = Budget::one(LIMIT);
        let answer = timeout(
            DEADLINE,
            client.exchange(&peer, head, body.clone(), &budget),
        )
        .await;
        answer
            .map_err(|_| anyhow!("no answer within {DEADLINE:?}"))?
            .map_err(explain)
    };
    let asking = Asking::now();
    let mut answer = fetch(Skew::ZERO).await?;
    // The agent's time came over TLS that verified the agent.
    if answer.head.status == 401
        && let Some(measured) = asking.refused(&answer.body)
    {
        answer = fetch(measured.skew).await?;
    }
    Ok(answer)
}

fn taken(answer: Answer) -> anyhow::Result<Answer> {
    if answer.head.status == 200 {
        return Ok(answer);
    }
    match serde_json::from_slice::<ErrorBody>(&answer.body) {
        Ok(body) => bail!("{}", body.message),
        Err(_) => bail!("answered with status {}", answer.head.status),
    }
}
