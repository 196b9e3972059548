//! Tests signer and verifier: with each other, with fixed vectors, and with attacks.
//! Tests of a single file are in that file.

mod attacks;
mod audience;
mod properties;
mod refusals;
mod vectors;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};

use super::digest;
use super::profile::{SIGNATURE, SIGNATURE_INPUT};
use super::{
    Audience, Audiences, AuthError, BodyBinding, Key, NonceMemory, Signer, SigningKey,
    ValidSignature, Verifier, Window,
};

const NOW: u64 = 1_767_225_600;
const NONCE: [u8; 16] = [0xa5; 16];
const SECRET: &[u8; 32] = b"the secret of the key named `ci`";

fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn signer() -> Signer {
    Signer::new(SigningKey::hmac("ci", SECRET).unwrap(), audience())
}

/// The audience of the cluster of these tests.
fn audience() -> Audience {
    Audience::of_public_key(b"the public key of the CA")
}

/// A verifier that knows `ci`, which may not send unsigned streams, and
/// `builder`, which may.
fn verifier() -> Verifier {
    verifier_with(NonceMemory::default())
}

fn verifier_with(nonces: NonceMemory) -> Verifier {
    let keys = [
        Key::hmac("ci", SECRET).unwrap(),
        Key::hmac("builder", SECRET)
            .unwrap()
            .with_unsigned_streams(true),
    ];
    Verifier::new(keys, audience(), Window::default(), Arc::new(nonces)).unwrap()
}

fn signed(mut parts: Parts, body: BodyBinding) -> Parts {
    signer().sign(&mut parts, body, NOW, NONCE).unwrap();
    parts
}

/// The reason of a refusal, or `ok`.
fn reason(outcome: Result<ValidSignature<'_>, AuthError>) -> &'static str {
    outcome.map_or_else(|error| error.reason(), |_| "ok")
}

fn set(parts: &mut Parts, name: &'static str, value: &str) {
    let name = HeaderName::from_static(name);
    parts
        .headers
        .insert(name, HeaderValue::from_str(value).unwrap());
}

fn edit(parts: &mut Parts, name: HeaderName, from: &str, to: &str) {
    let old = parts.headers[&name].to_str().unwrap();
    assert!(old.contains(from), "{old} has no {from}");
    let new = HeaderValue::from_str(&old.replacen(from, to, 1)).unwrap();
    parts.headers.insert(name, new);
}

fn edit_input(parts: &mut Parts, from: &str, to: &str) {
    edit(parts, SIGNATURE_INPUT, from, to);
}

/// A signed request with most of the covered components.
fn sample() -> Parts {
    signed(
        request(
            "POST",
            "/v1.47/exec/4f5c/start?a=1",
            &[
                ("content-type", "application/json"),
                ("content-length", "2"),
                ("skep-target", "node-2"),
                ("upgrade", "tcp"),
            ],
        ),
        BodyBinding::Digest(digest::sha256(b"{}")),
    )
}
