//! `Skep-Target: *` for calls that do not run on every node.

use serde_json::json;
use skep_bed::fixture;

use super::pulls::PULL;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_star_is_refused_for_calls_about_one_object() {
    let c1 = fixture::container("c1", "web", 1, 0);
    let n1 = manager("n1").engine(|e| e.containers(vec![c1]));
    with_cluster([n1, worker("n2")], async |bed| {
        let operator = bed.operator("n2");
        for (method, target, body) in [
            ("POST", "/containers/c1/restart", ""),
            ("GET", "/containers/c1/json", ""),
            ("DELETE", "/containers/c1", ""),
            ("POST", "/containers/create", "{}"),
            ("GET", "/images/app:1/json", ""),
            ("POST", "/build", ""),
            ("GET", "/nodes", ""),
            ("GET", "/nothing", ""),
        ] {
            let answer = operator
                .ask(method, target, &[ALL], body.as_bytes())
                .await
                .unwrap();
            assert_eq!(answer.status, 400, "{target}: {}", answer.text());
            assert_eq!(answer.header("Content-Type"), Some("application/json"));
            let message = answer.message().unwrap();
            assert!(
                message.contains('*') && message.contains("lists"),
                "{message}"
            );
        }
        for node in &bed.nodes {
            assert_eq!(node.asked().len(), 0, "{:?}", node.asked());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_star_changes_nothing_for_calls_that_all_nodes_answer() {
    let container = |n: i64| vec![fixture::container(&format!("c{n}"), "x", n, 0)];
    let n1 = manager("n1").engine(|e| e.containers(container(1)).images(vec![]));
    let n2 = worker("n2").engine(|e| e.containers(container(2)).networks(vec![]));
    with_cluster([n1, n2], async |bed| {
        for target in [
            "/containers/json",
            "/images/json",
            "/volumes",
            "/networks",
            "/events?until=1",
            // Clients send these before the actual request.
            "/_ping",
            "/version",
            "/info",
        ] {
            let operator = bed.operator("n2");
            let all = operator.ask("GET", target, &[ALL], b"").await.unwrap();
            let none = operator.get(target).await.unwrap();
            assert_eq!(all.status, 200, "{target}: {}", all.text());
            assert_eq!(all.text(), none.text(), "{target}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_star_works_on_a_standalone_engine() {
    let lone = manager("lone").engine(|e| {
        with_images(&["app:1"])(e).in_swarm(false).answer(
            "POST",
            "/images/prune",
            200,
            json!({ "SpaceReclaimed": 5 }),
        )
    });
    crate::common::ClusterBuilder::of([lone])
        .without_settling()
        .run(async |bed| {
            let operator = bed.operator("lone");
            let prune = operator
                .ask("POST", "/images/prune", &[ALL], b"")
                .await
                .unwrap();
            assert_eq!(prune.json().unwrap(), json!({ "SpaceReclaimed": 5 }));
            let removed = operator
                .ask("DELETE", "/images/app:1", &[ALL], b"")
                .await
                .unwrap();
            assert_eq!(removed.json().unwrap(), json!([{ "Untagged": "app:1" }]));
            let pulled = operator.ask("POST", PULL, &[ALL], b"").await.unwrap();
            assert_eq!(
                pulled.text().lines().count(),
                3,
                "unchanged from the engine"
            );
        })
        .await;
}
