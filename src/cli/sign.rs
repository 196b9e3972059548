//! `skep sign`: the headers that make one request valid, for `curl -H @-`.

use std::io::Read;

use anyhow::Context;
use pingora::http::RequestHeader;
use ring::rand::SystemRandom;
use skep_filters::auth::profile::{
    CONTENT_DIGEST, SIGNATURE, SIGNATURE_INPUT, SKEP_BODY, SKEP_TARGET,
};
use skep_filters::auth::{BodyBinding, digest};

use super::{BodySource, SignArgs};
use crate::connect::access;
use crate::upstream::error;
use crate::upstream::peers;

/// The header lines.
///
/// # Errors
/// If the key, the URL or the body cannot be used.
pub fn run(args: SignArgs) -> anyhow::Result<String> {
    let signer = access::signer(&args.credentials)?;
    let url: http::Uri = args.url.parse().context("the URL cannot be read")?;
    let target = url.path_and_query().context("the URL has no path")?;
    let mut head = RequestHeader::build(
        args.method.to_uppercase().as_str(),
        target.as_str().as_bytes(),
        None,
    )
    .map_err(|e| anyhow::anyhow!(error::explain(&e)))?;
    let body = match &args.body {
        None => None,
        Some(BodySource::File(path)) => {
            Some(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?)
        }
        Some(BodySource::Stdin) => {
            let mut body = Vec::new();
            std::io::stdin().read_to_end(&mut body)?;
            Some(body)
        }
    };
    let explain = |e: Box<pingora::Error>| anyhow::anyhow!(error::explain(&e));
    let mut binding = BodyBinding::Empty;
    if let Some(body) = &body {
        // Said here because curl would say something else of its own accord.
        head.insert_header("content-type", "application/json")
            .map_err(explain)?;
        binding = BodyBinding::Digest(digest::sha256(body));
    }
    if let Some(node) = &args.target {
        head.insert_header(SKEP_TARGET, node).map_err(explain)?;
    }
    peers::sign(&mut head, &signer, binding, &SystemRandom::new()).map_err(explain)?;
    let mut lines = String::new();
    let shown = [
        CONTENT_DIGEST,
        SKEP_BODY,
        SKEP_TARGET,
        SIGNATURE_INPUT,
        SIGNATURE,
    ];
    for name in [http::header::CONTENT_TYPE].into_iter().chain(shown) {
        if let Some(value) = head.headers.get(&name) {
            lines.push_str(&format!("{name}: {}\n", value.to_str()?));
        }
    }
    Ok(lines)
}
