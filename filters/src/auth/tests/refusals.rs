//! Tests refusals for time, replay, quota and streams, and that they disclose no
//! secret.

use super::*;

#[test]
fn the_window_has_exact_edges() {
    for (now, expected) in [
        (NOW - 11, "timestamp-skew"),
        (NOW - 10, "ok"),
        (NOW, "ok"),
        (NOW + 30, "ok"),
        (NOW + 31, "timestamp-skew"),
        (0, "timestamp-skew"),
        (u64::MAX, "timestamp-skew"),
    ] {
        assert_eq!(reason(verifier().verify(&sample(), now)), expected, "{now}");
    }
}

#[test]
fn a_replayed_request_is_refused() {
    let verifier = verifier();
    assert_eq!(reason(verifier.verify(&sample(), NOW)), "ok");
    assert_eq!(reason(verifier.verify(&sample(), NOW)), "replay");
    assert_eq!(reason(verifier.verify(&sample(), NOW + 30)), "replay");
}

#[test]
fn a_request_from_the_future_is_refused_a_second_time_until_it_is_stale() {
    let verifier = verifier();
    assert_eq!(reason(verifier.verify(&sample(), NOW - 10)), "ok");
    for now in NOW - 9..=NOW + 30 {
        assert_eq!(reason(verifier.verify(&sample(), now)), "replay", "{now}");
    }
    assert_eq!(
        reason(verifier.verify(&sample(), NOW + 31)),
        "timestamp-skew"
    );
}

#[test]
fn a_replay_is_refused_after_the_keys_were_replaced() {
    let nonces = Arc::new(NonceMemory::default());
    for expected in ["ok", "replay"] {
        let keys = [Key::hmac("ci", SECRET).unwrap()];
        let verifier =
            Verifier::new(keys, audience(), Window::default(), Arc::clone(&nonces)).unwrap();
        assert_eq!(reason(verifier.verify(&sample(), NOW)), expected);
    }
}

#[test]
fn a_full_memory_refuses_instead_of_forgetting() {
    let verifier = verifier_with(NonceMemory::new(3));
    let request_number = |number: u8| {
        let mut parts = request("GET", "/info", &[]);
        let body = BodyBinding::Empty;
        signer().sign(&mut parts, body, NOW, [number; 16]).unwrap();
        parts
    };
    for number in 0..3 {
        assert_eq!(reason(verifier.verify(&request_number(number), NOW)), "ok");
    }
    let refused = verifier.verify(&request_number(3), NOW).unwrap_err();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.reason(), "overloaded");
    assert_eq!(reason(verifier.verify(&request_number(0), NOW)), "replay");
}

#[test]
fn a_refused_request_uses_no_memory() {
    let verifier = verifier_with(NonceMemory::new(1));
    let mut forged = sample();
    forged.method = http::Method::PUT;
    assert_eq!(reason(verifier.verify(&forged, NOW)), "bad-signature");
    assert_eq!(
        reason(verifier.verify(&sample(), NOW + 31)),
        "timestamp-skew"
    );
    let uncovered = signed(
        request("POST", "/build", &[("transfer-encoding", "chunked")]),
        BodyBinding::Empty,
    );
    assert_eq!(reason(verifier.verify(&uncovered, NOW)), "unsigned-body");
    assert_eq!(reason(verifier.verify(&sample(), NOW)), "ok");
}

#[test]
fn an_unsigned_stream_needs_a_key_that_may_send_one() {
    let build = || request("POST", "/build", &[("transfer-encoding", "chunked")]);
    let refused = signed(build(), BodyBinding::Unsigned);
    assert_eq!(reason(verifier().verify(&refused, NOW)), "unsigned-body");

    let mut allowed = build();
    Signer::new(SigningKey::hmac("builder", SECRET).unwrap(), audience())
        .sign(&mut allowed, BodyBinding::Unsigned, NOW, NONCE)
        .unwrap();
    let verifier = verifier();
    let signed = verifier.verify(&allowed, NOW).unwrap();
    assert_eq!(signed.body, BodyBinding::Unsigned);
    assert_eq!(&**signed.key.id(), "builder");
}

#[test]
fn signing_again_replaces_the_first_signature_and_binding() {
    let mut parts = sample();
    signer()
        .sign(&mut parts, BodyBinding::Empty, NOW, [1; 16])
        .unwrap();
    assert!(!parts.headers.contains_key("content-digest"));
    parts.headers.remove("content-length");
    assert_eq!(reason(verifier().verify(&parts, NOW)), "ok");
}

#[test]
fn a_request_that_no_verifier_accepts_is_not_signed() {
    let mut parts = request(
        "GET",
        "/info",
        &[("skep-target", "a"), ("skep-target", "b")],
    );
    let refused = signer().sign(&mut parts, BodyBinding::Empty, NOW, NONCE);
    assert_eq!(refused.unwrap_err().reason(), "malformed");
}

#[test]
fn two_keys_with_one_id_are_refused() {
    let keys = [SECRET, b"another secret, just 32 bytes ok"]
        .map(|secret| Key::hmac("ci", &secret[..32]).unwrap());
    assert!(Verifier::new(keys, audience(), Window::default(), Arc::default()).is_err());
}

#[test]
fn a_caller_without_a_key_does_not_learn_which_keys_exist() {
    let mut unknown = sample();
    edit_input(&mut unknown, r#"keyid="ci""#, r#"keyid="cj""#);
    let mut forged = sample();
    forged.method = http::Method::PUT;
    let refusal = |parts: &Parts| {
        let error = verifier().verify(parts, NOW).unwrap_err();
        (
            error.status(),
            error.public_reason(),
            error.public_message(),
        )
    };
    assert_eq!(refusal(&unknown), refusal(&forged));
}

#[test]
fn no_refusal_repeats_a_signature_or_a_nonce() {
    let verifier = verifier_with(NonceMemory::new(1));
    let mut replayed = sample();
    verifier.verify(&replayed, NOW).unwrap();
    let signature = replayed.headers[SIGNATURE].to_str().unwrap().to_owned();
    let check = |parts: &Parts, expected: &str| {
        let error = verifier.verify(parts, NOW).unwrap_err();
        assert_eq!(error.reason(), expected);
        let shown = format!("{error} {error:?} {}", error.public_message());
        assert!(!shown.contains("a5a5"), "{shown}");
        assert!(!shown.contains(&signature[6..]), "{shown}");
    };
    check(&replayed, "replay");
    replayed.method = http::Method::PUT;
    check(&replayed, "bad-signature");
    set(&mut replayed, "x-registry-auth", "e30=");
    check(&replayed, "not-covered");
}
