//! `skep spread`: copies an image that one node has to other nodes, and prints the
//! outcome of each.

use std::io::Write;

use anyhow::{anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::Method;
use pingora::http::RequestHeader;
use ring::rand::SystemRandom;
use serde::Deserialize;
use skep_filters::aggregate::LineSplitter;
use skep_filters::auth::BodyBinding;
use skep_filters::endpoint::query;

use super::args::ClientArgs;
use crate::config::AgentUrl;
use crate::connect::access::Access;
use crate::upstream::client::Client;
use crate::upstream::error;
use crate::upstream::peers;
use crate::upstream::request;

/// The largest refusal that is read, in bytes.
const REFUSAL: usize = 64 << 10;

/// The image, and the nodes that get it.
#[derive(Args, Debug)]
pub struct SpreadArgs {
    /// Image to copy, by name and tag or by id
    pub(crate) image: String,
    /// Nodes that get it, by hostname or id; all nodes if there is none. Repeat
    /// it or separate them by commas
    #[arg(long = "node", value_name = "NODE", value_delimiter = ',')]
    pub(crate) nodes: Vec<String>,
    /// Node to copy from, if nodes have different images of this name
    #[arg(long, value_name = "NODE")]
    pub(crate) from: Option<String>,
    /// The agents to call.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// One line of the answer.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// Asks the first agent that can be reached, and writes the outcomes as they come.
///
/// # Errors
/// No agent can be reached, the agent refuses, or a node did not get the image.
pub async fn run(args: SpreadArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let access = Access::load(&args.client.credentials, &args.client.cluster)?;
    let target = target(&args);
    let mut failures = Vec::new();
    for url in &args.client.to {
        match ask(&access, url, &target, out).await {
            Ok(()) => return Ok(()),
            Err(Failure::Unreached(e)) => failures.push(format!("{url}: {e:#}")),
            Err(Failure::Refused(e)) => return Err(e),
        }
    }
    bail!("no agent answered\n  {}", failures.join("\n  "))
}

fn target(args: &SpreadArgs) -> String {
    let path = request::escape(&format!("/skep/v1/images/{}/spread", args.image));
    let mut query = String::new();
    if !args.nodes.is_empty() {
        query = query::with(&query, "nodes", &args.nodes.join(","));
    }
    if let Some(from) = &args.from {
        query = query::with(&query, "from", from);
    }
    match query.as_str() {
        "" => path,
        query => format!("{path}?{query}"),
    }
}

enum Failure {
    /// Another agent may be asked.
    Unreached(anyhow::Error),
    Refused(anyhow::Error),
}

async fn ask(
    access: &Access,
    url: &AgentUrl,
    target: &str,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let explain = |e: Box<pingora::Error>| Failure::Unreached(anyhow!(error::explain(&e)));
    let peer = access.peer(url).await;
    let peer = peer.map_err(|e| Failure::Unreached(e.into()))?;
    let head = signed(access, target).map_err(explain)?;
    let sent = Client::new().send(&peer, head, Bytes::new()).await;
    let (mut session, head) = sent.map_err(explain)?;
    let refused = |e: anyhow::Error| Failure::Refused(e);
    let lost = |e: Box<pingora::Error>| refused(anyhow!(error::explain(&e)));
    let mut lines = LineSplitter::new();
    let mut refusal = Vec::new();
    let mut failed = None;
    while let Some(piece) = session.read_response_body().await.map_err(lost)? {
        if head.status != 200 {
            let room = REFUSAL.saturating_sub(refusal.len());
            refusal.extend_from_slice(&piece[..piece.len().min(room)]);
            continue;
        }
        for line in lines.feed(&piece).map_err(|e| refused(e.into()))? {
            let line: Line = serde_json::from_slice(&line).map_err(|e| refused(e.into()))?;
            match line.error {
                Some(error) => failed = Some(error),
                None => {
                    writeln!(out, "{}: {}", line.id, line.status).map_err(|e| refused(e.into()))?;
                }
            }
        }
    }
    if head.status != 200 {
        let message = serde_json::from_slice::<Refusal>(&refusal).map(|r| r.message);
        let status = head.status;
        return Err(refused(match message {
            Ok(message) => anyhow!(message),
            Err(_) => anyhow!("{url} answered with status {status}"),
        }));
    }
    match failed {
        Some(error) => Err(refused(anyhow!(error))),
        None => Ok(()),
    }
}

fn signed(access: &Access, target: &str) -> pingora::Result<RequestHeader> {
    let mut head = request::build(&Method::POST, target)?;
    let random = SystemRandom::new();
    peers::sign(&mut head, &access.signer, BodyBinding::Empty, &random)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SpreadArgs,
    }

    #[test]
    fn the_nodes_and_the_source_are_in_the_query() {
        for (line, expected) in [
            ("app", "/skep/v1/images/app/spread"),
            (
                "reg:5000/a/app:1 --node n1,n2 --node n3",
                "/skep/v1/images/reg:5000/a/app:1/spread?nodes=n1%2Cn2%2Cn3",
            ),
            ("app --from n1", "/skep/v1/images/app/spread?from=n1"),
        ] {
            let line = format!("skep {line} --to https://a --secret-file s");
            let Ok(Line { args }) = Line::try_parse_from(line.split_whitespace()) else {
                panic!("{line}");
            };
            assert_eq!(target(&args), expected, "{line}");
        }
    }
}
