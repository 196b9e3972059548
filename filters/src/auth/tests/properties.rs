//! Tests properties of arbitrary requests.

use http::{Method, Uri};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::auth::profile::{COVERED_HEADERS, SKEP_AUDIENCE};

/// Characters that a header value preserves.
const VISIBLE: std::ops::RangeInclusive<u8> = b'!'..=b'~';

fn any_request() -> impl Strategy<Value = Parts> {
    let methods = select(vec!["GET", "POST", "PUT", "DELETE", "HEAD"]);
    let targets = "/[a-z0-9./%_-]{0,40}\\?[a-z0-9=&%{}\":,]{1,40}";
    // The signer sets the audience and the body binding.
    let bindings = ["content-digest", "skep-audience", "skep-body"];
    let names: Vec<_> = COVERED_HEADERS
        .iter()
        .map(HeaderName::as_str)
        .filter(|name| !bindings.contains(name))
        .collect();
    let headers = prop::collection::btree_map(select(names), "[!-~]([ -~]{0,20}[!-~])?", 0..6);
    (methods, targets, headers).prop_filter_map("not a target", |(method, target, headers)| {
        target.parse::<Uri>().ok()?;
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        Some(request(method, &target, &headers))
    })
}

fn any_body() -> impl Strategy<Value = BodyBinding> {
    prop_oneof![
        Just(BodyBinding::Empty),
        any::<[u8; 32]>().prop_map(BodyBinding::Digest),
        Just(BodyBinding::Unsigned),
    ]
}

fn sign_as_builder(mut parts: Parts, body: BodyBinding) -> Parts {
    Signer::new(SigningKey::hmac("builder", SECRET).unwrap(), audience())
        .sign(&mut parts, body, NOW, NONCE)
        .unwrap();
    parts
}

/// `text` with another visible character in one place.
fn change(text: &[u8], at: &Index, byte: u8) -> Option<Vec<u8>> {
    let mut changed = text.to_vec();
    let at = at.index(text.len());
    (changed[at] != byte).then(|| changed[at] = byte)?;
    Some(changed)
}

proptest! {
    #[test]
    fn a_signed_request_verifies(parts in any_request(), body in any_body()) {
        let parts = sign_as_builder(parts, body);
        let verifier = verifier();
        let signed = verifier.verify(&parts, NOW).unwrap();
        prop_assert_eq!(signed.body, body);
    }

    #[test]
    fn a_byte_changed_in_the_target_is_noticed(
        parts in any_request(), at: Index, byte in VISIBLE,
    ) {
        let mut parts = sign_as_builder(parts, BodyBinding::Empty);
        let changed = change(parts.uri.to_string().as_bytes(), &at, byte)
            .and_then(|target| Uri::try_from(target).ok());
        prop_assume!(changed.is_some());
        parts.uri = changed.unwrap();
        prop_assert_eq!(reason(verifier().verify(&parts, NOW)), "bad-signature");
    }

    #[test]
    fn a_byte_changed_in_the_method_is_noticed(
        parts in any_request(), at: Index, byte in VISIBLE,
    ) {
        let mut parts = sign_as_builder(parts, BodyBinding::Empty);
        let changed = change(parts.method.as_str().as_bytes(), &at, byte)
            .and_then(|method| Method::from_bytes(&method).ok());
        prop_assume!(changed.is_some());
        parts.method = changed.unwrap();
        prop_assert_eq!(reason(verifier().verify(&parts, NOW)), "bad-signature");
    }

    #[test]
    fn a_byte_changed_in_a_covered_header_is_noticed(
        parts in any_request(), body in any_body(), which: Index, at: Index, byte in VISIBLE,
    ) {
        let mut parts = sign_as_builder(parts, body);
        let present: Vec<_> = COVERED_HEADERS.iter().filter(|name| parts.headers.contains_key(*name)).collect();
        prop_assume!(!present.is_empty());
        let name = present[which.index(present.len())];
        let changed = change(parts.headers[name].as_bytes(), &at, byte);
        prop_assume!(changed.is_some());
        parts.headers.insert(name, HeaderValue::from_bytes(&changed.unwrap()).unwrap());
        prop_assert_eq!(reason(verifier().verify(&parts, NOW)), "bad-signature");
    }

    #[test]
    fn a_covered_header_added_or_removed_is_noticed(
        parts in any_request(), body in any_body(), which: Index,
    ) {
        let mut parts = sign_as_builder(parts, body);
        let name = &COVERED_HEADERS[which.index(COVERED_HEADERS.len())];
        if parts.headers.remove(name).is_none() {
            parts.headers.insert(name, HeaderValue::from_static("x"));
        }
        let expected = if *name == SKEP_AUDIENCE { "no-audience" } else { "not-covered" };
        prop_assert_eq!(reason(verifier().verify(&parts, NOW)), expected);
    }

    /// Covers `created`, `nonce`, `keyid`, `tag`, the component list and the MAC.
    #[test]
    fn a_byte_changed_in_the_signature_headers_is_noticed(
        parts in any_request(), input: bool, at: Index, byte in VISIBLE,
    ) {
        let mut parts = sign_as_builder(parts, BodyBinding::Empty);
        let name = if input { SIGNATURE_INPUT } else { SIGNATURE };
        let changed = change(parts.headers[&name].as_bytes(), &at, byte);
        prop_assume!(changed.is_some());
        parts.headers.insert(name, HeaderValue::from_bytes(&changed.unwrap()).unwrap());
        prop_assert!(verifier().verify(&parts, NOW).is_err());
    }

    #[test]
    fn no_signature_headers_make_it_panic(
        input in prop::collection::vec(b' '..=0xfe, 0..300),
        middle in "sig1=\\(.{0,40}\\);created=[0-9]{0,30};nonce=\"[0-9a-f]{0,40}\";keyid=\".{0,9}\";tag=\".{0,9}\"?",
    ) {
        for value in [&input[..], middle.as_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(value) else { continue };
            let mut parts = sign_as_builder(request("GET", "/info", &[]), BodyBinding::Empty);
            parts.headers.insert(SIGNATURE_INPUT, value.clone());
            prop_assert!(verifier().verify(&parts, NOW).is_err());
            parts.headers.insert(SIGNATURE, value);
            prop_assert!(verifier().verify(&parts, NOW).is_err());
        }
    }

    #[test]
    fn a_digest_survives_its_header(bytes: [u8; 32]) {
        prop_assert_eq!(digest::from_header(digest::to_header(&bytes).as_bytes()), Ok(bytes));
    }
}
