//! The operator's rights: by the key that derives from the cluster's secret, by a
//! key of its own, or by none.

use std::path::Path;

use skep::cli::health;
use skep::config::{Config, Operator};
use skep_bed::fixture;
use skep_filters::auth::SigningKey;

use crate::common::{ClusterBuilder, generation, manager, secret_file, worker};

// Made with `openssl genpkey -algorithm ed25519`.
const SEED: [u8; 32] = [
    0xd4, 0xee, 0x72, 0xdb, 0xf9, 0x13, 0x58, 0x4a, 0xd5, 0xb6, 0xd8, 0xf1, 0xf7, 0x69, 0xf8, 0xad,
    0x3a, 0xfe, 0x7c, 0x28, 0xcb, 0xf1, 0xd4, 0xfb, 0xe0, 0x97, 0xa8, 0x8f, 0x44, 0x75, 0x58, 0x42,
];
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";

const LIST: &str = "/containers/json";
const START: &str = "/containers/far/start";

fn two() -> ClusterBuilder<'static> {
    let far = || vec![fixture::container("far", "far", 1, 0)];
    ClusterBuilder::of([
        manager("n1"),
        worker("n2").engine(move |e| e.containers(far())),
    ])
}

fn with_key(_: &str, folder: &Path, config: &mut Config) {
    let file = secret_file(folder, "operator.pem", PUBLIC);
    config.cluster.operator = Operator::Key(file);
}

fn off(_: &str, _: &Path, config: &mut Config) {
    config.cluster.operator = Operator::Off;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_its_own_has_the_rights_and_the_derived_one_has_none() {
    two()
        .configure(with_key)
        .run(async |bed| {
            let derived = bed.operator("n1");
            let refused = derived.get(LIST).await.unwrap();
            assert_eq!(refused.status, 401, "{}", refused.text());
            assert_eq!(refused.json().unwrap()["reason"], "former-operator");
            assert!(
                refused.text().contains("operator-key"),
                "{}",
                refused.text()
            );
            // Without the secret, nobody learns which key there is.
            let generation = generation();
            let id = format!("operator-{}", generation.fingerprint());
            let guessed = SigningKey::hmac(&id, &[7; 32]).unwrap();
            let refused = derived.with_key(guessed).get(LIST).await.unwrap();
            assert_eq!(refused.json().unwrap()["reason"], "bad-signature");
            let key = SigningKey::ed25519("operator-key", &SEED).unwrap();
            let operator = derived.with_key(key);
            let list = operator.get(LIST).await.unwrap();
            assert_eq!(list.json().unwrap().as_array().unwrap().len(), 1);
            // The other agent takes the word of the first one.
            let start = operator.ask("POST", START, &[], b"").await.unwrap();
            assert_eq!(start.status, 204, "{}", start.text());
            let other = SigningKey::ed25519("operator-key", &[7; 32]).unwrap();
            let refused = derived.with_key(other).get(LIST).await.unwrap();
            assert_eq!(refused.status, 401, "{}", refused.text());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_operator_the_secret_only_tells_whether_the_agent_lives() {
    two()
        .configure(off)
        .run(async |bed| {
            let derived = bed.operator("n1");
            let refused = derived.get(LIST).await.unwrap();
            assert_eq!(refused.json().unwrap()["reason"], "former-operator");
            let config = bed.node("n1").config.clone();
            let said = health::run(&config).await.unwrap();
            assert!(said.contains("\"agent\""), "{said}");
            let generation = generation();
            let id = format!("health-{}", generation.fingerprint());
            let key = SigningKey::hmac(&id, generation.operator_key()).unwrap();
            let health = derived.with_key(key);
            assert_eq!(health.get("/skep/v1/health").await.unwrap().status, 200);
            for (method, target) in [
                ("GET", LIST),
                ("GET", "/skep/v1/identity"),
                ("POST", START),
                ("GET", "/unknown"),
            ] {
                let answer = health.ask(method, target, &[], b"").await.unwrap();
                assert_eq!(answer.status, 403, "{target}: {}", answer.text());
            }
        })
        .await;
}
