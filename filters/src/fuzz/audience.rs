//! Fuzzes the audience: no cluster accepts a request that was signed for another.
//!
//! The bytes are those of `signature`: the head of a request, a blank line, and
//! changes to make to that head after it was signed here. The first line of the head
//! is also read as an audience.

use std::sync::Arc;

use http::request::Parts;

use super::head;
use super::signature::{self, NONCE, NOW, SECRET};
use crate::auth::{
    Audience, Audiences, BodyBinding, Key, NonceMemory, Signer, SigningKey, Verifier, Window,
};

/// Signs the head for one cluster and by the old profile, changes it, and shows it to
/// another cluster with the same key.
///
/// # Panics
/// If the other cluster accepts the request, or the right one refuses it unchanged.
pub fn run(data: &[u8]) {
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Some(audience) = std::str::from_utf8(line)
        .ok()
        .and_then(|text| Audience::parse(text).ok())
    {
        assert_eq!(audience.to_string().as_bytes(), line);
        assert_eq!(line.len(), 64);
    }

    let (text, changes) = signature::split(data);
    let Some(parts) = head::parse(text) else {
        return;
    };
    let (one, other) = (
        Audience::of_public_key(b"one"),
        Audience::of_public_key(b"other"),
    );
    let key = || SigningKey::hmac("ci", SECRET);
    let (Ok(new), Ok(old)) = (key(), key()) else {
        return;
    };
    let signers = [Signer::new(new, one.clone()), Signer::without_audience(old)];
    for (signer, is_named) in signers.into_iter().zip([true, false]) {
        let mut signed = parts.clone();
        let body = BodyBinding::Empty;
        if signer.sign(&mut signed, body, NOW, NONCE).is_err() {
            return;
        }
        let at_one = accepts(&signed, one.clone().into());
        assert_eq!(at_one, is_named, "at the cluster that it names");
        let changed = head::parse(&signature::changed(head::write(&signed), changes));
        for request in [Some(signed), changed].into_iter().flatten() {
            let required = Audiences::from(other.clone());
            assert!(!accepts(&request, required.clone()), "at another cluster");
            // Where the old profile is accepted too, no audience can be taken away.
            let at_other = accepts(&request, required.or_none(true));
            assert!(!(is_named && at_other), "at another, tolerant cluster");
        }
    }
}

fn accepts(request: &Parts, audiences: Audiences) -> bool {
    let Ok(key) = Key::hmac("ci", SECRET) else {
        return false;
    };
    let nonces = Arc::new(NonceMemory::default());
    Verifier::new([key], audiences, Window::default(), nonces)
        .is_ok_and(|verifier| verifier.verify(request, NOW).is_ok())
}
