//! Fuzzes the verifier: it accepts only signed requests.
//!
//! The bytes are the head of a request, a blank line, and changes to make to that
//! head after it was signed here: each is a place (two bytes), an operation, and
//! a byte. An accepted request is compared with the signature base that RFC 9421
//! makes of the message, read without any code of the verifier.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use ring::hmac;

use super::head;
use crate::auth::profile::{
    CONTENT_DIGEST, COVERED_HEADERS, DERIVED, SIGNATURE, SIGNATURE_INPUT, SKEP_AUDIENCE,
};
use crate::auth::{
    Audience, AuthError, BodyBinding, Key, NonceMemory, Principal, Signer, SigningKey, Verifier,
    Window, digest,
};

pub(super) const NOW: u64 = 1_767_225_600;
pub(super) const NONCE: [u8; 16] = [0xa5; 16];
pub(super) const SECRET: &[u8; 32] = b"the secret of the key named `ci`";

/// Most changes to one head.
const MAX_CHANGES: usize = 16;

/// Verifies the head as it is, and again signed and changed.
///
/// # Panics
/// If a request is accepted that was not signed, or twice, or a signed one is
/// refused.
pub fn run(data: &[u8]) {
    let (text, changes) = split(data);
    let Some(mut parts) = head::parse(text) else {
        return;
    };
    let _ = verified(&parts);

    let Ok(key) = SigningKey::hmac("ci", SECRET) else {
        return;
    };
    let body = BodyBinding::Digest(digest::sha256(b"{}"));
    let signer = Signer::new(key, audience());
    if signer.sign(&mut parts, body, NOW, NONCE).is_err() {
        return;
    }
    assert_eq!(verified(&parts), Ok(()), "a signed request is refused");
    let changed = changed(head::write(&parts), changes);
    if let Some(changed) = head::parse(&changed)
        && verified(&changed).is_ok()
    {
        assert_eq!(
            Base::of(&changed),
            Base::of(&parts),
            "accepted, but not the signed request"
        );
    }
}

/// The head and the changes to it.
pub(super) fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let blank = data.windows(2).position(|pair| pair == b"\n\n");
    match blank {
        Some(at) => data.split_at(at),
        None => (data, b""),
    }
}

fn audience() -> Audience {
    Audience::of_public_key(b"the public key of the CA")
}

/// Verifies a head, and checks it if it is accepted.
fn verified(parts: &Parts) -> Result<(), AuthError> {
    let key = |id| Key::hmac(id, SECRET).map(|key| key.with_unsigned_streams(id == "builder"));
    let (Ok(ci), Ok(builder)) = (key("ci"), key("builder")) else {
        return Ok(());
    };
    let nonces = Arc::new(NonceMemory::default());
    let verifier = Verifier::new([ci, builder], audience(), Window::default(), nonces);
    let Ok(verifier) = verifier else {
        return Ok(());
    };
    let signed = verifier.verify(parts, NOW)?;
    let again = verifier.verify(parts, NOW).map(|_| ());
    assert!(matches!(again, Err(AuthError::Replay { .. })), "{again:?}");

    let base = Base::of(parts);
    assert!(base.is_some(), "accepted, but not a signed message");
    if let Some(base) = base {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        let holds = hmac::verify(&key, &base.bytes, &base.signature);
        assert!(holds.is_ok(), "accepted without a signature");
        base.covers_all(&parts.headers);
        let is_in_time = (NOW - 30..=NOW + 10).contains(&base.created);
        assert!(is_in_time, "accepted at {}", base.created);
        assert_eq!(&*base.key_id, &**signed.key.id());
    }
    let digest = parts.headers.get(CONTENT_DIGEST);
    let expected = match signed.body {
        BodyBinding::Digest(bytes) => Some(digest::to_header(&bytes)),
        _ => None,
    };
    assert_eq!(
        digest.map(|value| value.as_bytes()),
        expected.as_ref().map(|value| value.as_bytes())
    );
    let _ = Principal::of(signed.key, &parts.headers, None);
    Ok(())
}

/// The signed bytes, according to the message itself (RFC 9421 §2.5).
#[derive(Debug, PartialEq)]
struct Base {
    bytes: Vec<u8>,
    signature: Vec<u8>,
    components: Vec<String>,
    created: u64,
    key_id: String,
}

impl Base {
    fn of(parts: &Parts) -> Option<Self> {
        let header = |name| parts.headers.get::<HeaderName>(name)?.to_str().ok();
        let params = header(SIGNATURE_INPUT)?.strip_prefix("sig1=")?;
        let signature = header(SIGNATURE)?.strip_prefix("sig1=:")?;
        let (list, rest) = params.strip_prefix('(')?.split_once(')')?;

        let mut bytes = Vec::new();
        let mut components = Vec::new();
        for name in list.split(' ') {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            let name = name.strip_prefix('"')?.strip_suffix('"')?;
            match name {
                "@method" => bytes.extend_from_slice(parts.method.as_str().as_bytes()),
                "@path" if parts.uri.path().is_empty() => bytes.push(b'/'),
                "@path" => bytes.extend_from_slice(parts.uri.path().as_bytes()),
                "@query" => {
                    let query = parts.uri.query().unwrap_or_default();
                    bytes.extend_from_slice(format!("?{query}").as_bytes());
                }
                name => bytes.extend_from_slice(&combined(&parts.headers, name)?),
            }
            bytes.push(b'\n');
            components.push(name.to_owned());
        }
        bytes.extend_from_slice(format!("\"@signature-params\": {params}").as_bytes());

        let parameter = |name: &str| rest.split(';').find_map(|p| p.strip_prefix(name));
        Some(Self {
            bytes,
            signature: STANDARD.decode(signature.strip_suffix(':')?).ok()?,
            components,
            created: parameter("created=")?.parse().ok()?,
            key_id: parameter("keyid=")?.trim_matches('"').to_owned(),
        })
    }

    /// Asserts that every component that changes the meaning of a request is covered.
    fn covers_all(&self, headers: &HeaderMap) {
        let covers = |name: &str| self.components.iter().any(|own| own == name);
        assert!(DERIVED.into_iter().all(covers), "the request line");
        assert!(covers(SKEP_AUDIENCE.as_str()), "the audience");
        for name in COVERED_HEADERS
            .iter()
            .filter(|name| headers.contains_key(*name))
        {
            assert!(covers(name.as_str()), "{name} is not covered");
        }
    }
}

/// All values of a header as one (RFC 9421 §2.1); `None` if it has none.
fn combined(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let mut values = Vec::new();
    for value in headers.get_all(name) {
        let text: String = value.as_bytes().iter().copied().map(char::from).collect();
        let text = text.trim_matches([' ', '\t']);
        // Each character is one byte of the value.
        values.push(text.chars().filter_map(|c| u8::try_from(c).ok()).collect());
    }
    let first: Option<&Vec<u8>> = values.first();
    first?;
    Some(values.join(&b", "[..]))
}

/// The text with these changes.
pub(super) fn changed(mut text: Vec<u8>, changes: &[u8]) -> Vec<u8> {
    let changes = changes.get(2..).unwrap_or_default();
    for change in changes.chunks_exact(4).take(MAX_CHANGES) {
        let &[high, low, what, byte] = change else {
            continue;
        };
        let at = usize::from(u16::from_be_bytes([high, low])) % text.len().max(1);
        match what % 3 {
            0 => text.insert(at, byte),
            1 if at < text.len() => drop(text.remove(at)),
            _ => {
                if let Some(own) = text.get_mut(at) {
                    *own = byte;
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_that_of_the_signer() {
        let mut parts = head::parse(b"POST /a?b\nskep-target: n1\nx-other: y").unwrap();
        let signer = Signer::new(SigningKey::hmac("ci", SECRET).unwrap(), audience());
        signer
            .sign(&mut parts, BodyBinding::Empty, NOW, NONCE)
            .unwrap();
        let base = Base::of(&parts).unwrap();
        assert!(
            base.bytes
                .starts_with(b"\"@method\": POST\n\"@path\": /a\n\"@query\": ?b\n")
        );
        assert_eq!(base.components.last().unwrap(), "skep-target");
        assert_eq!(verified(&parts), Ok(()));
    }

    #[test]
    fn changes_are_made_at_their_places() {
        let text = changed(b"abc".to_vec(), b"\n\n\0\x01\0X\0\0\x01-\0\x02\x02Z");
        assert_eq!(text, b"XbZ");
    }
}
