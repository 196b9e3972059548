//! Tests signing and verifying with the vectors in `tests/vectors/profile.json`, and
//! with those of the old profile in `profile-1.json`. Separate programs made them, so that they do not repeat an error of this one.
//! Authors of other signers can use them.

use std::sync::Arc;

use serde::Deserialize;
use std::collections::BTreeMap;

use super::*;
use crate::auth::base::Components;
use crate::auth::profile::COVERED_HEADERS;

#[derive(Deserialize)]
struct Vector {
    name: String,
    key: KeyData,
    /// `None` in the vectors of the old profile.
    audience: Option<String>,
    created: u64,
    nonce: String,
    request: RequestData,
    /// The lines of the signature base.
    base: Vec<String>,
    /// The headers that signing adds.
    added: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(tag = "algorithm")]
enum KeyData {
    #[serde(rename = "hmac-sha256")]
    Hmac { id: String, secret: String },
    #[serde(rename = "ed25519")]
    Ed25519 {
        id: String,
        seed: String,
        public: String,
    },
}

#[derive(Deserialize)]
struct RequestData {
    method: String,
    target: String,
    headers: Vec<String>,
    body: Body,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Body {
    Empty,
    Text(String),
    Unsigned,
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(digit).collect()
}

impl Vector {
    fn all() -> Vec<Self> {
        let text = include_str!("../../../tests/vectors/profile.json");
        serde_json::from_str(text).unwrap()
    }

    fn old() -> Vec<Self> {
        let text = include_str!("../../../tests/vectors/profile-1.json");
        serde_json::from_str(text).unwrap()
    }

    fn audience(&self) -> Option<Audience> {
        let text = self.audience.as_ref();
        text.map(|text| Audience::parse(text).unwrap())
    }

    fn signer(&self) -> Signer {
        let key = self.keys().0;
        match self.audience() {
            Some(audience) => Signer::new(key, audience),
            None => Signer::without_audience(key),
        }
    }

    /// The request with the headers that signing adds.
    fn signed(&self) -> Parts {
        let mut parts = self.parts();
        for (name, value) in &self.added {
            let name: http::HeaderName = name.parse().unwrap();
            parts.headers.insert(name, value.parse().unwrap());
        }
        parts
    }

    fn parts(&self) -> Parts {
        let headers: Vec<_> = self
            .request
            .headers
            .iter()
            .map(|line| line.split_once(": ").unwrap())
            .collect();
        request(&self.request.method, &self.request.target, &headers)
    }

    fn body(&self) -> BodyBinding {
        match &self.request.body {
            Body::Empty => BodyBinding::Empty,
            Body::Text(text) => BodyBinding::Digest(digest::sha256(text.as_bytes())),
            Body::Unsigned => BodyBinding::Unsigned,
        }
    }

    fn keys(&self) -> (SigningKey, Key) {
        match &self.key {
            KeyData::Hmac { id, secret } => {
                let secret = unhex(secret);
                let signing = SigningKey::hmac(id, &secret).unwrap();
                (signing, Key::hmac(id, &secret).unwrap())
            }
            KeyData::Ed25519 { id, seed, public } => {
                let signing = SigningKey::ed25519(id, &unhex(seed)).unwrap();
                (signing, Key::ed25519(id, &unhex(public)).unwrap())
            }
        }
    }
}

#[test]
fn signing_makes_the_vectors() {
    for vector in Vector::all().into_iter().chain(Vector::old()) {
        let mut parts = vector.parts();
        let before = parts.headers.clone();
        let nonce = unhex(&vector.nonce).try_into().unwrap();
        vector
            .signer()
            .sign(&mut parts, vector.body(), vector.created, nonce)
            .unwrap();
        let added: BTreeMap<_, _> = parts
            .headers
            .iter()
            .filter(|(name, _)| !before.contains_key(*name))
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        assert_eq!(added, vector.added, "{}", vector.name);
    }
}

#[test]
fn the_signature_bases_are_those_of_the_vectors() {
    for vector in Vector::all().into_iter().chain(Vector::old()) {
        let parts = vector.signed();
        let params = vector.added["signature-input"]
            .strip_prefix("sig1=")
            .unwrap();
        let base = Components::of(&parts).unwrap().signature_base(params);
        assert_eq!(
            String::from_utf8(base).unwrap(),
            vector.base.join("\n"),
            "{}",
            vector.name
        );
    }
}

#[test]
fn the_vectors_verify() {
    for vector in Vector::all() {
        let key = vector.keys().1.with_unsigned_streams(true);
        let own = vector.audience().unwrap();
        let verifier = Verifier::new([key], own, Window::default(), Arc::default()).unwrap();
        let parts = vector.signed();
        let signed = verifier.verify(&parts, vector.created).unwrap();
        assert_eq!(signed.body, vector.body(), "{}", vector.name);
    }
}

#[test]
fn the_vectors_of_the_old_profile_verify_only_where_it_is_accepted() {
    for vector in Vector::old() {
        let key = vector.keys().1.with_unsigned_streams(true);
        let parts = vector.signed();
        for (optional, expected) in [(false, "no-audience"), (true, "ok")] {
            let own = Audiences::from(audience()).or_none(optional);
            let keys = [key.clone()];
            let verifier = Verifier::new(keys, own, Window::default(), Arc::default()).unwrap();
            let verified = reason(verifier.verify(&parts, vector.created));
            assert_eq!(verified, expected, "{}", vector.name);
        }
    }
}

#[test]
fn the_vectors_use_every_covered_header() {
    let vectors = Vector::all();
    for name in &COVERED_HEADERS {
        let line = format!("\"{name}\": ");
        let used = vectors
            .iter()
            .flat_map(|vector| &vector.base)
            .any(|base| base.starts_with(&line));
        assert!(used, "{name}");
    }
}
