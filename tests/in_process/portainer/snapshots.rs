//! A server that adds an environment and takes snapshots of it.

use serde_json::{Value, json};
use skep::config::ApiVersions;

use super::*;

/// Full ids: after a list, the agent knows their nodes without another search.
const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn nodes_of(rows: &Value) -> Vec<String> {
    let rows = rows.as_array().expect("a list").iter();
    let name = |row: &Value| {
        row["Portainer"]["Agent"]["NodeName"]
            .as_str()
            .map(str::to_owned)
    };
    let mut names: Vec<_> = rows.filter_map(name).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_can_be_added() {
    swarm()
        .run(async |bed| {
            for target in ["/ping", "/v2/ping", "/v1.41/ping", "/v1.44/v2/ping"] {
                let answer = send(bed, "n2", "GET", target, &[], b"").await;
                assert_eq!(
                    (answer.status, answer.text().as_str()),
                    (204, ""),
                    "{target}"
                );
                assert_eq!(answer.header("Skep-Node"), None);
                assert_eq!(answer.header("Content-Length"), None);
            }
            let answer = send(bed, "n2", "GET", "/_ping", &[], b"").await;
            assert_eq!(answer.status, 401);
            for method in ["GET", "POST"] {
                let answer = send(bed, "n1", method, "/key", &[], b"").await;
                assert_eq!(answer.status, 503);
                assert!(answer.message().unwrap().starts_with("Edge key management"));
            }
            assert!(bed.node("n1").asked().is_empty() && bed.node("n2").asked().is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_complete_through_every_agent() {
    swarm()
        .run(async |bed| {
            let server = server();
            for node in ["n1", "n2"] {
                let answer = server.ask(bed, node, "HEAD", "/_ping", &[], b"").await;
                assert_eq!(
                    (answer.status, answer.header("Swarm")),
                    (
                        200,
                        Some(&*format!(
                            "active/{}",
                            if node == "n1" { "manager" } else { "worker" }
                        ))
                    )
                );
                let info = server.get(bed, node, "/v1.41/info").await.json().unwrap();
                assert_eq!(info["Swarm"]["ControlAvailable"], true);
                assert_eq!(info["Swarm"]["Cluster"]["ID"], "bedcluster000000000000000");
                for list in ["/services", "/nodes"] {
                    assert_eq!(server.get(bed, node, list).await.status, 200, "{list}");
                }
                let rows = server.get(bed, node, "/v1.41/containers/json?all=1").await;
                let rows = rows.json().unwrap();
                assert_eq!(nodes_of(&rows), ["n1", "n2"]);
                for row in rows.as_array().unwrap() {
                    let id = row["Id"].as_str().unwrap();
                    let answer = server
                        .get(bed, node, &format!("/v1.41/containers/{id}/json"))
                        .await;
                    assert_eq!(answer.json().unwrap()["Id"], id);
                }
                let images = server.get(bed, node, "/images/json").await.json().unwrap();
                assert_eq!(nodes_of(&images), ["n1", "n2"]);
                let volumes = server.get(bed, node, "/volumes").await.json().unwrap();
                assert_eq!(nodes_of(&volumes["Volumes"]), ["n1", "n2"]);
                let networks = server.get(bed, node, "/networks").await.json().unwrap();
                let agents = server.get(bed, node, "/v2/agents").await.json().unwrap();
                let known: Vec<_> = agents
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|a| a["NodeName"].clone())
                    .collect();
                for name in nodes_of(&networks) {
                    assert!(known.contains(&name.into()), "{networks}");
                }
                assert_eq!(server.get(bed, node, "/version").await.status, 200);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_listed_by_node_id_in_portainers_format() {
    swarm()
        .run(async |bed| {
            for target in ["/agents", "/v1/agents", "/v2/agents", "/v1.41/v2/agents"] {
                let answer = server().get(bed, "n2", target).await;
                let port = |n: &str| bed.node(n).address.port().to_string();
                let ip = |n: &str| bed.node(n).address.ip().to_string();
                let expected = json!([
                    { "IPAddress": ip("n1"), "Port": port("n1"), "NodeName": "n1", "NodeRole": "manager", "EdgeKeySet": false },
                    { "IPAddress": ip("n2"), "Port": port("n2"), "NodeName": "n2", "NodeRole": "worker", "EdgeKeySet": false },
                ]);
                assert_eq!(answer.json().unwrap(), expected, "{target}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_version_in_the_path_is_raised_to_the_engines_minimum() {
    let newer = |engine: EngineBuilder| {
        let body = json!({ "Version": "29.0.0", "ApiVersion": "1.52", "MinAPIVersion": "1.44" });
        engine.answer("GET", "/version", 200, body)
    };
    let nodes = [
        manager("n1").engine(with_objects("c1")).engine(newer),
        worker("n2").engine(with_objects("c2")).engine(newer),
    ];
    ClusterBuilder::of(nodes)
        .configure(|node, folder, config| {
            with_secret(node, folder, config);
            config.api_versions = ApiVersions::Strict;
        })
        .run(async |bed| {
            let server = server();
            for (node, id) in [("n1", "c1"), ("n1", "c2"), ("n2", "c2")] {
                let target = format!("/v1.41/containers/{id}/json");
                assert_eq!(server.get(bed, node, &target).await.status, 200);
            }
            let rows = server.get(bed, "n1", "/v1.41/containers/json?all=1").await;
            assert_eq!(nodes_of(&rows.json().unwrap()), ["n1", "n2"]);
            for node in ["n1", "n2"] {
                for seen in bed.node(node).asked() {
                    assert!(seen.target.starts_with("/v1.44/"), "{}", seen.target);
                }
            }
            // Other clients get the version that they ask for: the agents are strict.
            let operator = bed.operator("n1");
            operator.get("/v1.41/containers/c1/json").await.unwrap();
            let last = bed.node("n1").asked().pop().unwrap();
            assert_eq!(last.target, "/v1.41/containers/c1/json");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_lost_between_list_and_inspect_does_not_break_a_snapshot() {
    swarm()
        .run(async |bed| {
            let server = server();
            let rows = server.get(bed, "n1", "/containers/json?all=1").await;
            assert_eq!(nodes_of(&rows.json().unwrap()), ["n1", "n2"]);
            bed.node_mut("n2").kill().await;
            for _ in 0..3 {
                let answer = server.get(bed, "n1", "/containers/c2/json").await;
                assert!(answer.status >= 404, "{}", answer.status);
                let message = answer.message().unwrap();
                assert!(message.contains("No such container: c2"), "{message}");
            }
            let answer = server.get(bed, "n1", "/containers/c1/json").await;
            assert_eq!(answer.status, 200);
            let rows = server.get(bed, "n1", "/containers/json?all=1").await;
            assert_eq!(nodes_of(&rows.json().unwrap()), ["n1"]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_hangs_after_the_list_does_not_delay_a_snapshot() {
    let nodes = [
        manager("n1").engine(with_objects(ONE)),
        worker("n2").engine(with_objects(TWO)),
    ];
    ClusterBuilder::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            let server = server();
            for (hanging, container) in [("n2", TWO), ("n1", ONE)] {
                let rows = server.get(bed, "n1", "/containers/json?all=1").await;
                assert_eq!(nodes_of(&rows.json().unwrap()), ["n1", "n2"]);
                // It accepts connections and answers nothing.
                let engine = &bed.node(hanging).engine;
                engine.set_behaviour(Behaviour::Hang);
                let target = format!("/containers/{container}/json");
                let answer = server.get(bed, "n1", &target).await;
                assert_eq!(answer.status, 503, "{hanging}: {}", answer.text());
                let gone = format!("No such container: {container}");
                let message = answer.message().unwrap();
                assert!(message.contains(&gone), "{hanging}: {message}");
                engine.set_behaviour(Behaviour::Normal);
                bed.settle().await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_manager_answers_for_a_hanging_one() {
    let nodes = [
        manager("n1").engine(with_objects("c1")),
        manager("n2").engine(with_objects("c2")),
        worker("n3"),
    ];
    ClusterBuilder::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            bed.node("n1").engine.set_behaviour(Behaviour::Hang);
            // Managers take turns, so one of two requests goes to the hanging one.
            for _ in 0..2 {
                let answer = server().get(bed, "n3", "/services").await;
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            bed.node("n1").engine.set_behaviour(Behaviour::Normal);
        })
        .await;
}
