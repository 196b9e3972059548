//! `skep sign`: the headers that make one request valid, for `curl -H @-`.

use anyhow::Context;
use clap::Args;
use pingora::http::RequestHeader;
use ring::rand::SystemRandom;
use skep_filters::auth::profile::{
    CONTENT_DIGEST, SIGNATURE, SIGNATURE_INPUT, SKEP_AUDIENCE, SKEP_BODY, SKEP_TARGET,
};
use skep_filters::auth::{BodyBinding, digest};

use super::args::BodySource;
use super::own_container;
use crate::connect::access::{self, Credentials, Target};
use crate::upstream::error;
use crate::upstream::peers;

/// The request to sign.
#[derive(Args, Debug)]
pub struct SignArgs {
    /// Method of the request
    pub(crate) method: String,
    /// URL of the request, with its query
    pub(crate) url: String,
    /// File with the body of the request; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<BodySource>,
    /// Node that the request is for
    #[arg(long, value_name = "NODE")]
    pub(crate) target: Option<String>,
    /// The key or the secret to sign with.
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// The cluster to sign for.
    #[command(flatten)]
    pub(crate) cluster: Target,
}

/// The header lines.
///
/// # Errors
/// The key, the URL or the body cannot be used.
pub fn run(args: SignArgs) -> anyhow::Result<String> {
    if args.credentials.uses_cluster_secret() {
        own_container::refuse_secret()?;
    }
    let signer = access::signer(&args.credentials, &args.cluster)?;
    let url: http::Uri = args.url.parse().context("the URL cannot be read")?;
    let target = url.path_and_query().context("the URL has no path")?;
    let mut head = RequestHeader::build(
        args.method.to_uppercase().as_str(),
        target.as_str().as_bytes(),
        None,
    )
    .map_err(|e| anyhow::anyhow!(error::explain(&e)))?;
    let body = args.body.as_ref().map(BodySource::read).transpose()?;
    let explain = |e: Box<pingora::Error>| anyhow::anyhow!(error::explain(&e));
    let mut binding = BodyBinding::Empty;
    if let Some(body) = &body {
        // The signature covers it, and curl would set another one.
        head.insert_header("content-type", "application/json")
            .map_err(explain)?;
        binding = BodyBinding::Digest(digest::sha256(body));
    }
    if let Some(node) = &args.target {
        head.insert_header(SKEP_TARGET, node).map_err(explain)?;
    }
    peers::sign(&mut head, &signer, binding, &SystemRandom::new()).map_err(explain)?;
    let mut lines = String::new();
    let printed = [
        SKEP_AUDIENCE,
        CONTENT_DIGEST,
        SKEP_BODY,
        SKEP_TARGET,
        SIGNATURE_INPUT,
        SIGNATURE,
    ];
    for name in [http::header::CONTENT_TYPE].into_iter().chain(printed) {
        if let Some(value) = head.headers.get(&name) {
            lines.push_str(&format!("{name}: {}\n", value.to_str()?));
        }
    }
    Ok(lines)
}
