//! Two clusters that share a client's key: a request that the client signed for one of
//! them is worth nothing at the other.

use std::path::Path;
use std::sync::Arc;

use crate::common::{
    Caller, ClusterBuilder, Signed, TestCluster, generation, manager, secret_file, warnings_of,
    worker,
};
use serde_json::Value;
use skep::config::{Config, Grant, KeyFile, KeyMaterial};
use skep::trust::{Generation, Secret};
use skep_bed::Response;
use skep_filters::auth::SigningKey;

/// The secret of the other cluster.
const OTHER: &str = "bL4hT9wQz7Rk2mXc5vYs8nJd3fGp6uAe";

/// The key that both clusters know.
const SHARED: &str = "the secret of the build server, 40 bytes";

const PATH: &str = "/containers/web";

/// A cluster of two nodes that knows the key `ci`; `old` also accepts the old profile.
fn cluster(secret: Option<&'static str>, old: bool) -> ClusterBuilder<'static> {
    let configure = move |_: &str, folder: &Path, config: &mut Config| {
        if let Some(secret) = secret {
            config.cluster.secret_files = vec![secret_file(folder, "other", secret)];
        }
        config.auth.accept_without_audience = old;
        config.auth.keys = vec![KeyFile {
            id: "ci".to_owned(),
            material: KeyMaterial::Secret(secret_file(folder, "ci", SHARED)),
            grant: Grant::admin(),
            unsigned_streams: false,
        }];
    };
    ClusterBuilder::of([manager("n1"), worker("n2")]).configure(configure)
}

fn key() -> SigningKey {
    SigningKey::hmac("ci", SHARED.as_bytes()).expect("a key")
}

fn other_generation() -> Arc<Generation> {
    let secret = Secret::from_bytes(OTHER.as_bytes()).expect("a good secret");
    Arc::new(Generation::derive(&secret).expect("a generation"))
}

/// The holder of the shared key, calling `n1` of the cluster with this generation.
fn ci(bed: &TestCluster, generation: &Generation) -> Caller {
    Caller::new(bed.node("n1").address, generation, None, key())
}

async fn send(caller: &Caller, signed: &Signed) -> Response {
    let client = caller.client();
    let sent = client.request("DELETE", PATH, &signed.fields(), b"").await;
    sent.expect("an answer")
}

fn assert_refused(answer: &Response, reason: &str) {
    assert_eq!(answer.status, 401, "{}", answer.text());
    let body: Value = answer.json().expect("JSON");
    assert_eq!(body["reason"], reason, "{}", answer.text());
}

/// The number of requests that the engines of the cluster saw.
fn seen(bed: &TestCluster) -> usize {
    bed.nodes.iter().map(|node| node.asked().len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_one_cluster_is_refused_by_another_with_the_same_key() {
    for tolerant in [false, true] {
        cluster(None, false)
            .run(async |one| {
                cluster(Some(OTHER), tolerant)
                    .run(async |other| {
                        let at_one = ci(one, &generation());
                        let at_other = ci(other, &other_generation());
                        for headers in [&[][..], &[("Skep-Target", "n2")]] {
                            let signed = at_one.sign("DELETE", PATH, headers, b"");
                            let before = seen(other);
                            let refused = send(&at_other, &signed).await;
                            assert_refused(&refused, "other-audience");
                            assert_eq!(seen(other), before);
                            // The engine's own 404: the right cluster accepts it, and any
                            // of its agents answers it.
                            assert_eq!(send(&at_one, &signed).await.status, 404);
                            let for_other = at_one.for_cluster(&other_generation(), key());
                            let signed = for_other.sign("DELETE", PATH, headers, b"");
                            let refused = send(&at_one, &signed).await;
                            assert_refused(&refused, "other-audience");
                            assert_eq!(send(&at_other, &signed).await.status, 404);
                        }
                    })
                    .await;
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_of_the_cluster_cannot_be_changed_on_the_way() {
    cluster(Some(OTHER), true)
        .run(async |other| {
            let at_other = ci(other, &other_generation());
            let for_one = at_other.for_cluster(&generation(), key());
            let Signed(fields) = for_one.sign("DELETE", PATH, &[], b"");
            let own = other_generation().audience().to_string();
            let replaced = Signed(
                fields
                    .iter()
                    .map(|(name, value)| match name.as_str() {
                        "skep-audience" => (name.clone(), own.clone()),
                        _ => (name.clone(), value.clone()),
                    })
                    .collect(),
            );
            assert_refused(&send(&at_other, &replaced).await, "bad-signature");
            let added = Signed(fields.clone()).and("Skep-Audience", &own);
            assert_eq!(send(&at_other, &added).await.status, 400);
            let mut stripped = Signed(fields);
            stripped.0.retain(|(name, _)| name != "skep-audience");
            for (_, value) in &mut stripped.0 {
                *value = value
                    .replace(" \"skep-audience\"", "")
                    .replace("skep/2", "skep/1");
            }
            assert_refused(&send(&at_other, &stripped).await, "bad-signature");
            assert_eq!(seen(other), 0);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_without_a_cluster_need_a_setting_and_the_log_warns_of_it() {
    for (old, status) in [(false, 401), (true, 404)] {
        cluster(None, old)
            .run(async |bed| {
                let caller = ci(bed, &generation()).without_audience(key());
                let answer = send(&caller, &caller.sign("DELETE", PATH, &[], b"")).await;
                assert_eq!(answer.status, status, "{}", answer.text());
                if old {
                    let warnings = warnings_of("auth.accept_without_audience");
                    assert!(!warnings.is_empty());
                } else {
                    assert_refused(&answer, "no-audience");
                    assert_eq!(seen(bed), 0);
                }
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_requests_are_for_one_cluster_too() {
    cluster(None, false)
        .run(async |bed| {
            let operator = bed.operator("n1");
            assert_eq!(operator.get("/info").await.unwrap().status, 200);
            let derived = generation();
            let key = || {
                let id = derived.operator_key_id();
                SigningKey::hmac(&id, derived.operator_key()).expect("a key")
            };
            let elsewhere = operator.for_cluster(&other_generation(), key());
            let refused = elsewhere.get("/info").await.unwrap();
            assert_refused(&refused, "other-audience");
            let old = operator.without_audience(key());
            assert_refused(&old.get("/info").await.unwrap(), "no-audience");
        })
        .await;
}
