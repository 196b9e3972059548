//! Tests that a request is accepted by the cluster that it names, and by no other.

use super::*;

/// A change to a request for the right cluster, and the outcome at another one.
type Attack = (&'static str, fn(&mut Parts), &'static str);

fn other() -> Audience {
    Audience::of_public_key(b"the public key of another CA")
}

fn verifier_of(audiences: impl Into<Audiences>) -> Verifier {
    let keys = [Key::hmac("ci", SECRET).unwrap()];
    Verifier::new(keys, audiences, Window::default(), Arc::default()).unwrap()
}

fn old(mut parts: Parts) -> Parts {
    Signer::without_audience(SigningKey::hmac("ci", SECRET).unwrap())
        .sign(&mut parts, BodyBinding::Empty, NOW, NONCE)
        .unwrap();
    parts
}

fn info() -> Parts {
    request("GET", "/info", &[])
}

#[test]
fn a_cluster_with_the_same_key_refuses_a_request_for_another() {
    let parts = sample();
    assert_eq!(reason(verifier_of(audience()).verify(&parts, NOW)), "ok");
    for optional in [false, true] {
        let verifier = verifier_of(Audiences::from(other()).or_none(optional));
        let refused = verifier.verify(&parts, NOW).unwrap_err();
        assert_eq!(refused.reason(), "other-audience");
        assert_eq!(refused.status(), 401);
        assert!(refused.public_message().contains("another cluster"));
    }
}

#[test]
fn a_request_for_another_cluster_cannot_be_made_one_for_this() {
    #[rustfmt::skip]
    let attacks: [Attack; 6] = [
        ("replace", |p| set(p, "skep-audience", &other().to_string()), "bad-signature"),
        ("append", |p| {
            p.headers.append("skep-audience", other().to_string().parse().unwrap());
        }, "malformed"),
        ("remove", |p| drop(p.headers.remove("skep-audience")), "not-covered"),
        ("remove and uncover", |p| {
            p.headers.remove("skep-audience");
            edit_input(p, r#" "skep-audience""#, "");
        }, "malformed"),
        ("downgrade", |p| {
            p.headers.remove("skep-audience");
            edit_input(p, r#" "skep-audience""#, "");
            edit_input(p, "skep/2", "skep/1");
        }, "bad-signature"),
        ("upper case", |p| set(p, "skep-audience", &audience().to_string().to_uppercase()), "bad-signature"),
    ];
    for (name, attack, expected) in attacks {
        for optional in [true, false] {
            let mut parts = sample();
            attack(&mut parts);
            let names_none = !parts.headers.contains_key("skep-audience");
            let expected = match (optional, names_none) {
                (false, true) => "no-audience",
                _ => expected,
            };
            let verifier = verifier_of(Audiences::from(other()).or_none(optional));
            assert_eq!(reason(verifier.verify(&parts, NOW)), expected, "{name}");
        }
    }
}

#[test]
fn the_old_profile_is_accepted_only_where_the_configuration_says_so() {
    let refused = verifier_of(audience())
        .verify(&old(info()), NOW)
        .map(|_| ());
    assert_eq!(refused, Err(AuthError::NoAudience));
    let tolerant = || verifier_of(Audiences::from(audience()).or_none(true));
    assert_eq!(reason(tolerant().verify(&old(info()), NOW)), "ok");
    // Each version has its own tag.
    let mut parts = old(info());
    edit_input(&mut parts, "skep/1", "skep/2");
    assert_eq!(reason(tolerant().verify(&parts, NOW)), "malformed");
    let mut parts = old(info());
    set(&mut parts, "skep-audience", &audience().to_string());
    assert_eq!(reason(tolerant().verify(&parts, NOW)), "not-covered");
    edit_input(&mut parts, r#""@query""#, r#""@query" "skep-audience""#);
    assert_eq!(reason(tolerant().verify(&parts, NOW)), "malformed");
    edit_input(&mut parts, "skep/1", "skep/2");
    assert_eq!(reason(tolerant().verify(&parts, NOW)), "bad-signature");
}

#[test]
fn a_cluster_with_two_secrets_accepts_the_audience_of_each() {
    let both = || Audiences::required(vec![other(), audience()]);
    assert_eq!(reason(verifier_of(both()).verify(&sample(), NOW)), "ok");
    let none = verifier_of(Audiences::required(Vec::new()));
    assert_eq!(reason(none.verify(&sample(), NOW)), "other-audience");
}

#[test]
fn a_request_for_another_cluster_uses_no_memory() {
    let nonces = Arc::new(NonceMemory::new(1));
    let keys = || [Key::hmac("ci", SECRET).unwrap()];
    let of = |audience| Verifier::new(keys(), audience, Window::default(), Arc::clone(&nonces));
    let refused = of(other()).unwrap();
    assert_eq!(reason(refused.verify(&sample(), NOW)), "other-audience");
    assert_eq!(reason(of(audience()).unwrap().verify(&sample(), NOW)), "ok");
}

#[test]
fn a_signer_replaces_the_audience_that_it_finds() {
    let parts = request("GET", "/info", &[("skep-audience", &other().to_string())]);
    let again = signed(parts, BodyBinding::Empty);
    assert_eq!(reason(verifier().verify(&again, NOW)), "ok");
    let parts = old(request("GET", "/info", &[("skep-audience", "x")]));
    assert!(!parts.headers.contains_key("skep-audience"));
}
