//! Requests signed before the measurement, so that signing costs the callers
//! nothing during it. A signature is valid for 30 seconds.

use http::request::Parts;
use ring::rand::{SecureRandom, SystemRandom};
use skep_filters::auth::digest::sha256;
use skep_filters::auth::{BodyBinding, Signer};

/// Requests for `GET path`, each with its own signature, by the signers in turn.
pub(crate) fn requests(
    signers: &[Signer],
    path: &str,
    target: Option<&str>,
    count: usize,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut request = http::Request::get(path)
        .header("host", "docker")
        .header("user-agent", "Docker-Client/26.1.5 (linux)");
    if let Some(node) = target {
        request = request.header("skep-target", node);
    }
    let parts = request.body(())?.into_parts().0;
    let random = SystemRandom::new();
    let in_turn = signers.iter().cycle().take(count);
    in_turn
        .map(|signer| sign(signer, parts.clone(), b"", &random))
        .collect()
}

/// Requests for `POST path` with this body, each with its own signature, by the
/// signers in turn.
pub(crate) fn posts(
    signers: &[Signer],
    path: &str,
    body: &[u8],
    count: usize,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let request = http::Request::post(path)
        .header("host", "docker")
        .header("user-agent", "Docker-Client/26.1.5 (linux)")
        .header("content-type", "application/json")
        .header("content-length", body.len());
    let parts = request.body(())?.into_parts().0;
    let random = SystemRandom::new();
    let in_turn = signers.iter().cycle().take(count);
    in_turn
        .map(|signer| sign(signer, parts.clone(), body, &random))
        .collect()
}

fn sign(
    signer: &Signer,
    mut parts: Parts,
    body: &[u8],
    random: &SystemRandom,
) -> anyhow::Result<Vec<u8>> {
    let mut nonce = [0; 16];
    random
        .fill(&mut nonce)
        .map_err(|_| anyhow::anyhow!("no random bytes"))?;
    signer.sign(
        &mut parts,
        match body {
            [] => BodyBinding::Empty,
            body => BodyBinding::Digest(sha256(body)),
        },
        skep::platform::clock::now().as_secs(),
        nonce,
    )?;
    let mut bytes = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri).into_bytes();
    for (name, value) in &parts.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Ok(bytes)
}
