//! The networks and limits of an identity.

use super::{configured, holder};
use crate::common::manager;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_valid_only_from_its_networks() {
    let yaml = "
auth:
  keys:
    - { id: near, secret_file: KEY_FILE, policy: admin, networks: [127.0.0.0/8] }
    - { id: far, secret_file: KEY_FILE, policy: admin, networks: [10.0.0.0/8] }
";
    configured([manager("n1")], yaml)
        .run(async |bed| {
            let near = holder(bed, "n1", "near").get("/info").await.unwrap();
            assert_eq!(near.status, 200);
            let far = holder(bed, "n1", "far")
                .get("/containers/json")
                .await
                .unwrap();
            assert_eq!(far.status, 403);
            let why = far.message().unwrap();
            assert!(
                why.contains("key:far may not call from this address"),
                "{why}"
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_open_requests_get_a_429_until_one_ends() {
    let yaml = "
auth: { keys: [ { id: one, secret_file: KEY_FILE, policy: admin, limits: { at_once: 1 } } ] }
";
    configured([manager("n1")], yaml)
        .run(async |bed| {
            let one = holder(bed, "n1", "one");
            let events = one.stream("GET", "/events", &[]).await.unwrap();
            assert_eq!(events.status, 200);
            let second = one.get("/_ping").await.unwrap();
            assert_eq!(second.status, 429, "{}", second.text());
            assert!(second.message().unwrap().contains("1 requests open"));
            let operator = bed.operator("n1").get("/_ping").await.unwrap();
            assert_eq!(
                operator.status, 200,
                "other identities have their own limits"
            );
            drop(events);
            for _ in 0..100 {
                if one.get("/_ping").await.unwrap().status == 200 {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            panic!("the limit still applies after the stream ended");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_over_the_rate_limit_get_a_429() {
    let yaml = "
auth: { keys: [ { id: eager, secret_file: KEY_FILE, policy: admin, limits: { per_second: 3 } } ] }
";
    configured([manager("n1")], yaml)
        .run(async |bed| {
            let eager = holder(bed, "n1", "eager");
            // At once: one after the other may be slow enough on a busy machine.
            let asking = (0..30).map(|_| eager.get("/_ping"));
            let answers = futures::future::join_all(asking).await;
            let refused = answers.iter().flatten().any(|answer| answer.status == 429);
            assert!(refused, "{answers:?}");
        })
        .await;
}
