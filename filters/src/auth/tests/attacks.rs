//! Tests requests of an attacker, or of a faulty client.

use super::*;

/// A change to a validly signed request, and the outcome.
type Attack = (&'static str, fn(&mut Parts), &'static str);

fn append(parts: &mut Parts, name: &'static str, value: &'static str) {
    parts.headers.append(name, HeaderValue::from_static(value));
}

#[test]
fn every_change_of_a_signed_request_has_its_reason() {
    #[rustfmt::skip]
    let attacks: &[Attack] = &[
        ("none", |_| (), "ok"),
        ("header outside the profile", |p| set(p, "user-agent", "curl"), "ok"),
        // Missing.
        ("no Signature", |p| drop(p.headers.remove(SIGNATURE)), "missing"),
        ("no Signature-Input", |p| drop(p.headers.remove(SIGNATURE_INPUT)), "missing"),
        // The request changed.
        ("method", |p| p.method = http::Method::PUT, "bad-signature"),
        ("path", |p| p.uri = "/v1.47/exec/4f5d/start?a=1".parse().unwrap(), "bad-signature"),
        ("path encoded", |p| p.uri = "/v1.47/exec/%34f5c/start?a=1".parse().unwrap(), "bad-signature"),
        ("path doubled slash", |p| p.uri = "//v1.47/exec/4f5c/start?a=1".parse().unwrap(), "bad-signature"),
        ("query", |p| p.uri = "/v1.47/exec/4f5c/start?a=2".parse().unwrap(), "bad-signature"),
        ("query dropped", |p| p.uri = "/v1.47/exec/4f5c/start".parse().unwrap(), "bad-signature"),
        ("query encoded", |p| p.uri = "/v1.47/exec/4f5c/start?%61=1".parse().unwrap(), "bad-signature"),
        ("target changed", |p| set(p, "skep-target", "node-3"), "bad-signature"),
        ("target in other case", |p| set(p, "skep-target", "Node-2"), "bad-signature"),
        ("other digest", |p| set(p, "content-digest", &digest::to_header(&[0; 32])), "bad-signature"),
        ("audience changed", |p| set(p, "skep-audience", &Audience::of_public_key(b"another").to_string()), "bad-signature"),
        // Coverage.
        ("audience removed", |p| drop(p.headers.remove("skep-audience")), "no-audience"),
        ("target removed", |p| drop(p.headers.remove("skep-target")), "not-covered"),
        ("upgrade removed", |p| drop(p.headers.remove("upgrade")), "not-covered"),
        ("Portainer target added", |p| set(p, "x-portaineragent-target", "node-3"), "not-covered"),
        ("manager operation added", |p| set(p, "x-portaineragent-manageroperation", "1"), "not-covered"),
        ("on-behalf-of added", |p| set(p, "skep-on-behalf-of", "key:root"), "not-covered"),
        ("registry auth added", |p| set(p, "x-registry-auth", "e30="), "not-covered"),
        ("unsigned added", |p| set(p, "skep-body", "unsigned"), "not-covered"),
        ("digest removed", |p| drop(p.headers.remove("content-digest")), "not-covered"),
        ("component dropped", |p| edit_input(p, r#" "skep-target""#, ""), "not-covered"),
        ("component added", |p| edit_input(p, r#" "skep-target""#, r#" "skep-target" "host""#), "not-covered"),
        ("components in another order", |p| edit_input(p, r#""@method" "@path""#, r#""@path" "@method""#), "not-covered"),
        ("component with a parameter", |p| edit_input(p, r#""skep-target""#, r#""skep-target";bs"#), "not-covered"),
        ("component twice", |p| edit_input(p, r#""@path""#, r#""@path" "@path""#), "not-covered"),
        ("no components", |p| set(p, "signature-input", r#"sig1=();created=1;nonce="0";keyid="ci";tag="skep/2""#), "not-covered"),
        // Duplicates.
        ("target twice", |p| append(p, "skep-target", "node-3"), "malformed"),
        ("same target twice", |p| append(p, "skep-target", "node-2"), "malformed"),
        ("audience twice", |p| append(p, "skep-audience", "x"), "malformed"),
        ("Connection drops the audience", |p| set(p, "connection", "skep-audience"), "malformed"),
        ("digest twice", |p| append(p, "content-digest", "sha-256=:AA==:"), "malformed"),
        ("Signature twice", |p| append(p, "signature", "sig1=:AA==:"), "malformed"),
        ("Signature-Input twice", |p| append(p, "signature-input", "sig1=()"), "malformed"),
        ("Connection drops the target", |p| set(p, "connection", "Upgrade, Skep-Target"), "malformed"),
        ("Connection keeps the upgrade", |p| set(p, "connection", "Upgrade, close"), "ok"),
        // Form.
        ("alg injected", |p| edit_input(p, ";created", r#";alg="none";created"#), "malformed"),
        ("alg appended", |p| edit_input(p, r#""skep/2""#, r#""skep/2";alg="hmac-sha256""#), "malformed"),
        ("expires injected", |p| edit_input(p, ";nonce", ";expires=9999999999;nonce"), "malformed"),
        ("parameters in another order", |p| edit_input(p, r#"keyid="ci";tag="skep/2""#, r#"tag="skep/2";keyid="ci""#), "malformed"),
        ("other tag", |p| edit_input(p, "skep/2", "skep/1"), "malformed"),
        ("tag of the old profile", |p| edit_input(p, "skep/2", "skep/1"), "malformed"),
        ("no tag", |p| edit_input(p, r#";tag="skep/2""#, ""), "malformed"),
        ("leading zero", |p| edit_input(p, "created=", "created=0"), "malformed"),
        ("plus sign", |p| edit_input(p, "created=", "created=+"), "malformed"),
        ("negative stamp", |p| edit_input(p, "created=", "created=-"), "malformed"),
        ("endless stamp", |p| edit_input(p, "created=", "created=99999999999999999999"), "malformed"),
        ("nonce in upper case", |p| edit_input(p, "a5", "A5"), "malformed"),
        ("long nonce", |p| edit_input(p, r#"nonce=""#, r#"nonce="0"#), "malformed"),
        ("empty nonce", |p| edit_input(p, &"a5".repeat(16), ""), "malformed"),
        ("space", |p| edit_input(p, ";created", "; created"), "malformed"),
        ("other label", |p| edit_input(p, "sig1=", "sig2="), "malformed"),
        ("extra label", |p| edit_input(p, r#""skep/2""#, r#""skep/2", sig2=()"#), "malformed"),
        ("extra signature", |p| edit(p, SIGNATURE, "sig1=", "sig2=:AA==:, sig1="), "malformed"),
        ("signature without padding", |p| edit(p, SIGNATURE, "=:", ":"), "malformed"),
        ("not a list", |p| set(p, "signature-input", "sig1"), "malformed"),
        ("empty input", |p| set(p, "signature-input", ""), "malformed"),
        // Keys and signatures.
        ("unknown key", |p| edit_input(p, r#"keyid="ci""#, r#"keyid="cj""#), "unknown-key"),
        ("another known key's id", |p| edit_input(p, r#"keyid="ci""#, r#"keyid="builder""#), "bad-signature"),
        ("a key id that would need escaping in the log", |p| edit_input(p, r#"keyid="ci""#, r#"keyid="c i""#), "malformed"),
        ("empty signature", |p| set(p, "signature", "sig1=::"), "bad-signature"),
        ("short signature", |p| set(p, "signature", "sig1=:AAAA:"), "bad-signature"),
        ("other stamp", |p| edit_input(p, "created=1767225600", "created=1767225601"), "bad-signature"),
        ("other nonce", |p| edit_input(p, "a5a5", "a5a4"), "bad-signature"),
    ];
    for (name, attack, expected) in attacks {
        let mut parts = sample();
        attack(&mut parts);
        assert_eq!(reason(verifier().verify(&parts, NOW)), *expected, "{name}");
    }
}

#[test]
fn a_header_that_is_not_text_is_malformed() {
    for name in [SIGNATURE, SIGNATURE_INPUT] {
        let mut parts = sample();
        let bytes = HeaderValue::from_bytes(b"sig1=\xff").unwrap();
        parts.headers.insert(name, bytes);
        assert_eq!(reason(verifier().verify(&parts, NOW)), "malformed");
    }
}
