//! Texts and orders in answers that a server relies on, as Portainer's agent has
//! them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skep_bed::eventually;

use super::*;

async fn agents(bed: &TestCluster, node: &str) -> Vec<String> {
    let answer = server().get(bed, node, "/v2/agents").await;
    let agents = answer.json().expect("JSON");
    let names = agents.as_array().expect("a list").iter();
    let name = |agent: &Value| agent["NodeName"].as_str().unwrap_or_default().to_owned();
    names.map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_manager_the_server_gets_portainers_error() {
    swarm()
        .run(async |bed| {
            bed.node_mut("n1").kill().await;
            assert!(eventually(|| bed.node("n2").sees() == 1).await);
            for (method, target) in [("GET", "/services"), ("POST", "/services/create")] {
                let answer = server().ask(bed, "n2", method, target, &[], b"").await;
                assert_eq!(answer.status, 500, "{}", answer.text());
                let error = answer.json().unwrap();
                assert_eq!(
                    error["message"],
                    "The agent was unable to contact any other agent located on a manager node"
                );
                let details = error["details"].as_str().unwrap();
                assert!(
                    details.starts_with("Unable to find an agent on any manager node: "),
                    "{details}"
                );
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_engine_the_server_gets_portainers_error() {
    let alone = manager("n1").engine(|engine| with_objects("c1")(engine).in_swarm(false));
    ClusterBuilder::of([alone])
        .without_settling()
        .configure(with_secret)
        .run(async |bed| {
            bed.node("n1").engine.stop().await;
            for (method, target) in [("GET", "/version"), ("POST", "/containers/c1/start")] {
                let answer = server().ask(bed, "n1", method, target, &[], b"").await;
                assert_eq!(answer.status, 500, "{}", answer.text());
                let error = answer.json().unwrap();
                assert_eq!(
                    error["message"],
                    "Unable to proxy the request via the Docker socket"
                );
                assert!(error["details"].is_string());
            }
            bed.node("n1").engine.restart().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_keep_their_order_when_nodes_come_and_go() {
    let all = ["n1", "n2", "n3"];
    let row = |name: &str| {
        let role = if name == "n1" { "manager" } else { "worker" };
        fixture::node(&format!("{name:0<25}"), name, role)
    };
    let swarm_of = |names: &[&str]| json!(names.iter().copied().map(row).collect::<Vec<_>>());
    let nodes = [manager("n1"), worker("n2"), worker("n3")];
    ClusterBuilder::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            assert_eq!(agents(bed, "n3").await, all);
            // Its agent is gone, but it keeps its place before and after that is noticed.
            bed.node_mut("n2").kill().await;
            assert_eq!(agents(bed, "n1").await, all);
            assert!(eventually(|| bed.node("n1").sees() == 2).await);
            assert_eq!(agents(bed, "n1").await, all);
            // It leaves the Swarm.
            let engine = &bed.node("n1").engine;
            engine.set_answer("GET", "/nodes", 200, swarm_of(&["n1", "n3"]));
            assert!(eventually(|| bed.node("n1").cluster().all().len() == 2).await);
            assert_eq!(agents(bed, "n1").await, ["n1", "n3"]);
            // It joins again.
            let engine = &bed.node("n1").engine;
            engine.set_answer("GET", "/nodes", 200, swarm_of(&all));
            bed.node_mut("n2").start().await.unwrap();
            bed.settle().await;
            for node in all {
                assert_eq!(agents(bed, node).await, all);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_hub_limits_or_an_error_arrive_before_the_page_times_out() {
    let account = br#"{"Type":6,"Authentication":true,"Username":"u","Password":"p"}"#;
    let kind = [("Content-Type", "application/json")];
    swarm()
        .run(async |bed| {
            for target in ["/v2/dockerhub", "/v1.41/v2/dockerhub"] {
                let begun = Instant::now();
                let answer = server()
                    .ask(bed, "n2", "POST", target, &kind, account)
                    .await;
                assert!(begun.elapsed() < Duration::from_secs(5), "{target}");
                let error = answer.json().unwrap();
                // Docker Hub may be unreachable from here, and does not know the
                // account.
                assert_eq!(answer.status, 500, "{target}: {error}");
                assert_eq!(
                    error["message"],
                    "Unable to retrieve DockerHub rate limits from DockerHub"
                );
                let details = error["details"].as_str().unwrap_or_default();
                assert!(
                    !details.is_empty() && !details.contains("password"),
                    "{error}"
                );
            }
            assert!(bed.node("n1").asked().is_empty() && bed.node("n2").asked().is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_credentials_arrive_unchanged() {
    let builds = |engine: EngineBuilder| engine.answer("POST", "/build", 200, json!({}));
    let nodes = [manager("n1"), worker("n2").engine(builds)];
    ClusterBuilder::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            let accounts = "eyJyLmV4YW1wbGUuY29tIjp7InVzZXJuYW1lIjoidSJ9fQ==".repeat(200);
            let headers = [
                ("X-PortainerAgent-Target", "n2"),
                ("Content-Type", "application/x-tar"),
                ("X-Registry-Config", accounts.as_str()),
            ];
            let target = "/build?t=app:1";
            let answer = server()
                .ask(bed, "n1", "POST", target, &headers, b"tar")
                .await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let seen = bed.node("n2").engine.requests_to("/build").remove(0);
            assert_eq!(seen.header("X-Registry-Config"), Some(accounts.as_str()));
            assert_eq!(seen.body.start, b"tar");
        })
        .await;
}
