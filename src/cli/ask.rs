//! Sends one signed `GET` to one agent.

use std::time::Duration;

use anyhow::{anyhow, bail};
use bytes::Bytes;
use ring::rand::SystemRandom;
use serde::Deserialize;
use skep_filters::auth::BodyBinding;
use tokio::time::timeout;

use crate::config::AgentUrl;
use crate::connect::access::Access;
use crate::upstream::client::{Answer, Budget, Client};
use crate::upstream::clocks::{Asking, Skew};
use crate::upstream::error;
use crate::upstream::peers;
use crate::upstream::request;

/// How long an agent may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

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
    let explain = |e: Box<pingora::Error>| anyhow!(error::explain(&e));
    let peer = access.peer(url).await?;
    let client = Client::new();
    let fetch = async |skew| {
        let mut head = request::get(path).map_err(explain)?;
        let random = SystemRandom::new();
        peers::sign_at(&mut head, &access.signer, BodyBinding::Empty, &random, skew)
            .map_err(explain)?;
        let answer = timeout(DEADLINE, client.fetch(&peer, head, &Budget::one(LIMIT))).await;
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
    if answer.head.status == 200 {
        return Ok(answer);
    }
    match serde_json::from_slice::<ErrorBody>(&answer.body) {
        Ok(body) => bail!("{}", body.message),
        Err(_) => bail!("answered with status {}", answer.head.status),
    }
}
