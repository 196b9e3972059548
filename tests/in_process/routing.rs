//! The node that answers a request, by the rules of docs/architecture.md, "Routing
//! rules".

use std::path::Path;
use std::time::Duration;

use crate::common::{Caller, ClusterBuilder, TestCluster, manager, with_cluster, worker};
use skep::config::Config;
use skep_bed::{EngineBuilder, Response, eventually, fixture};

const INSPECT: &str = "/containers/c1/json";

fn with_c1(engine: EngineBuilder) -> EngineBuilder {
    engine.containers(vec![fixture::container("c1", "web", 1, 0)])
}

/// The hostname of the node whose engine answered an inspect of `c1`.
fn answered_by(answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json().expect("JSON");
    body["Config"]["Hostname"]
        .as_str()
        .expect("a hostname")
        .to_owned()
}

fn assert_refused(answer: &Response, status: u16, words: &[&str]) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{text}");
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    let message = answer.message().expect("a message");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

/// Agents notice changes only by the requests themselves.
fn with_rare_probes(_: &str, _: &Path, config: &mut Config) {
    config.cluster.interval = Duration::from_secs(3600);
}

fn asked_for(bed: &TestCluster, node: &str, path: &str) -> usize {
    bed.node(node).engine.requests_to(path).len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_node_answers_through_every_agent() {
    let nodes = [
        manager("n1").engine(with_c1),
        worker("n2").engine(with_c1),
        worker("n3").engine(with_c1),
    ];
    with_cluster(nodes, async |bed| {
        for entry in &bed.nodes {
            let operator = bed.operator(&entry.hostname);
            for node in &bed.nodes {
                for (name, value) in [
                    ("Skep-Target", &node.id),
                    ("Skep-Target", &node.hostname),
                    ("X-PortainerAgent-Target", &node.hostname),
                    ("X-PortainerAgent-Target", &node.id),
                ] {
                    let answer = operator
                        .ask("GET", INSPECT, &[(name, value)], b"")
                        .await
                        .unwrap();
                    assert_eq!(answered_by(&answer), node.hostname, "{name}: {value}");
                    let named = format!("{} {}", node.id, node.hostname);
                    assert_eq!(answer.header("Skep-Node"), Some(named.as_str()));
                    assert_eq!(answer.head.all("Skep-Node").count(), 1);
                }
            }
            // Portainer sends an empty header when it names no node.
            let empty = [("X-PortainerAgent-Target", "")];
            let answer = operator.ask("GET", "/version", &empty, b"").await.unwrap();
            let named = format!("{} {}", entry.id, entry.hostname);
            assert_eq!(answer.header("Skep-Node"), Some(named.as_str()));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_a_named_node_has_only_its_own_objects() {
    let nodes = [manager("n1").engine(with_c1), worker("n2")];
    with_cluster(nodes, async |bed| {
        let operator = bed.operator("n1");
        let answer = operator.get_from("n2", "/containers/json").await.unwrap();
        assert_eq!(answer.json().unwrap(), serde_json::json!([]));
        assert_eq!(asked_for(bed, "n1", "/containers/json"), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_node_gets_a_404_that_names_the_known_nodes() {
    with_cluster([manager("n1"), worker("n2")], async |bed| {
        let operator = bed.operator("n1");
        for unknown in ["n3", "N2", "n2.", "n1 n2", "*probe"] {
            let answer = operator.get_from(unknown, INSPECT).await.unwrap();
            let (one, other) = (bed.node("n1"), bed.node("n2"));
            let words = [unknown, "n1", "n2", &one.id, &other.id];
            assert_refused(&answer, 404, &words);
        }
        assert_eq!(
            asked_for(bed, "n1", INSPECT) + asked_for(bed, "n2", INSPECT),
            0
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambiguous_hostname_gets_a_409_and_the_node_ids_work() {
    let twin = |id: &str| worker("twin").id(id).engine(with_c1);
    let nodes = [
        manager("n1"),
        twin("aaaaaaaaaaaaaaaaaaaaaaaaa"),
        twin("bbbbbbbbbbbbbbbbbbbbbbbbb"),
    ];
    with_cluster(nodes, async |bed| {
        let operator = bed.operator("n1");
        let ids = ["aaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbb"];
        let answer = operator.get_from("twin", INSPECT).await.unwrap();
        assert_refused(&answer, 409, &ids);
        assert!(bed.nodes.iter().all(|n| n.asked().is_empty()));
        for (n, id) in ids.into_iter().enumerate() {
            assert_eq!(operator.get_from(id, INSPECT).await.unwrap().status, 200);
            assert_eq!(bed.nodes[n + 1].asked().len(), 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manager_calls_reach_a_manager_without_a_redirect() {
    let services = |e: EngineBuilder| {
        e.swarm_objects("services", vec![serde_json::json!({ "ID": "s1" })])
            .answer(
                "POST",
                "/services/create",
                201,
                serde_json::json!({ "ID": "s2" }),
            )
    };
    with_cluster(
        [manager("m1").engine(services), worker("w1")],
        async |bed| {
            for entry in ["m1", "w1"] {
                let operator = bed.operator(entry);
                let answer = operator.get("/v1.41/services").await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(answer.json().unwrap()[0]["ID"], "s1");
                let node = answer.header("Skep-Node").unwrap();
                assert!(node.ends_with(" m1"), "{node}");
                let created = operator
                    .ask("POST", "/services/create", &[], b"{}")
                    .await
                    .unwrap();
                assert_eq!(created.status, 201);
                let info = operator.get("/info").await.unwrap().json().unwrap();
                assert_eq!(info["Name"], "m1");
                assert_eq!(info["Swarm"]["ControlAvailable"], true);
                // A named node answers itself.
                let info = operator
                    .get_from("w1", "/info")
                    .await
                    .unwrap()
                    .json()
                    .unwrap();
                assert_eq!(info["Name"], "w1");
                let header = [("X-PortainerAgent-ManagerOperation", "1")];
                let answer = operator.ask("GET", "/version", &header, b"").await.unwrap();
                assert!(answer.header("Skep-Node").unwrap().ends_with(" m1"));
            }
            assert_eq!(asked_for(bed, "m1", "/services/create"), 2);
            assert!(bed.node("w1").asked().is_empty());
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_manager_the_error_names_the_known_managers() {
    with_cluster([manager("m1"), worker("w1")], async |bed| {
        let operator = bed.operator("w1");
        bed.node_mut("m1").kill().await;
        for target in ["/services", "/info"] {
            let answer = operator.get(target).await.unwrap();
            assert_refused(&answer, 503, &["manager", "w1", "m1"]);
        }
        let answer = operator
            .ask("POST", "/services/create", &[], b"{}")
            .await
            .unwrap();
        assert_refused(&answer, 503, &["m1"]);
        // Only manager calls fail.
        assert_eq!(operator.get("/version").await.unwrap().status, 200);

        bed.node_mut("m1").start().await.unwrap();
        bed.settle().await;
        assert_eq!(operator.get("/services").await.unwrap().status, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_manager_is_skipped_without_a_failed_request() {
    let created = |e: EngineBuilder| {
        e.answer(
            "POST",
            "/services/create",
            201,
            serde_json::json!({ "ID": "s" }),
        )
    };
    let nodes = ["m1", "m2", "m3"].map(|name| manager(name).engine(created));
    ClusterBuilder::of(nodes.into_iter().chain([worker("w1")]))
        .configure(with_rare_probes)
        .run(async |bed| {
            let operator = bed.operator("w1");
            let reads = async |operator: &Caller| {
                for _ in 0..4 {
                    let answer = operator.get("/services").await.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            };
            let writes = async |operator: &Caller| {
                for _ in 0..4 {
                    let answer = operator.ask("POST", "/services/create", &[], b"{}").await;
                    let answer = answer.unwrap();
                    assert_eq!(answer.status, 201, "{}", answer.text());
                }
            };
            reads(&operator).await;
            writes(&operator).await;
            bed.node_mut("m1").kill().await;
            reads(&operator).await;
            bed.node_mut("m2").kill().await;
            writes(&operator).await;
            let posted = |node| asked_for(bed, node, "/services/create");
            assert_eq!(
                posted("m1") + posted("m2") + posted("m3"),
                8,
                "each request runs once"
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_and_a_demotion_are_noticed() {
    with_cluster([manager("a"), worker("b"), worker("c")], async |bed| {
        bed.node("b").engine.set_manager(true);
        bed.node("a").engine.set_manager(false);
        let roles = |bed: &TestCluster| {
            let all = bed.node("c").cluster().all();
            all.iter().map(|m| m.manager).collect::<Vec<_>>()
        };
        assert!(eventually(|| roles(bed) == [false, true, false]).await);
        assert!(eventually(|| bed.node("b").cluster().me().manager).await);
        assert!(eventually(|| !bed.node("a").cluster().me().manager).await);
        for entry in ["b", "c"] {
            let answer = bed.operator(entry).get("/services").await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.header("Skep-Node").unwrap().ends_with(" b"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_took_over_an_address_does_not_serve_requests_for_the_old_one() {
    let nodes = [
        manager("n1"),
        worker("n2").engine(with_c1),
        worker("n3").engine(with_c1),
    ];
    ClusterBuilder::of(nodes)
        .configure(with_rare_probes)
        .run(async |bed| {
            let operator = bed.operator("n1");
            assert_eq!(operator.get_from("n2", INSPECT).await.unwrap().status, 200);
            // n3 comes back at the address that n2 had.
            bed.node_mut("n2").kill().await;
            bed.node_mut("n3").kill().await;
            let taken = bed.node("n2").address;
            let n3 = bed.node_mut("n3");
            n3.config.listen[0].address = taken;
            n3.start().await.unwrap();

            let delete = operator.sign("DELETE", "/containers/c1", &[("Skep-Target", "n2")], b"");
            let client = operator.client();
            let answer = client
                .request("DELETE", "/containers/c1", &delete.fields(), b"")
                .await;
            assert_refused(&answer.unwrap(), 503, &["n2"]);
            let to = [("Skep-Target", "n2")];
            let answer = operator
                .ask("POST", "/containers/c1/update", &to, b"{}")
                .await
                .unwrap();
            assert_refused(&answer, 503, &["n2"]);
            let answer = operator
                .ask("POST", "/exec/echo/start", &to, b"{}")
                .await
                .unwrap();
            assert_refused(&answer, 503, &["n2"]);
            let asked = bed.node("n3").asked();
            assert!(asked.is_empty(), "{asked:?}");
            // The list names the missing node.
            let list = operator.get("/containers/json").await.unwrap();
            let missing = list.header("Skep-Missing").unwrap();
            assert!(missing.contains("n2"), "{missing}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_dead_agent_is_named_and_comes_back() {
    let nodes = [manager("n1"), worker("n2").engine(with_c1)];
    with_cluster(nodes, async |bed| {
        let operator = bed.operator("n1");
        assert_eq!(operator.get_from("n2", INSPECT).await.unwrap().status, 200);
        bed.node_mut("n2").kill().await;
        for _ in 0..3 {
            let answer = operator.get_from("n2", INSPECT).await.unwrap();
            assert_refused(&answer, 503, &["n2"]);
        }
        bed.node_mut("n2").start().await.unwrap();
        bed.settle().await;
        assert_eq!(operator.get_from("n2", INSPECT).await.unwrap().status, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_agent_returns_the_same_list_of_nodes() {
    with_cluster([manager("n2"), worker("n1")], async |bed| {
        let mut seen = Vec::new();
        for entry in ["n1", "n2"] {
            let answer = bed.operator(entry).get("/skep/v1/nodes").await.unwrap();
            let body = answer.json().unwrap();
            assert_eq!(body["cluster"], true);
            assert_eq!(body["node"], bed.node(entry).id.as_str());
            let rows = body["nodes"].as_array().unwrap().clone();
            let row = |r: &serde_json::Value| {
                let state = r["state"].as_str().unwrap_or_default();
                format!("{} {} {state}", r["hostname"], r["manager"])
            };
            seen.push(rows.iter().map(row).collect::<Vec<_>>());
        }
        assert_eq!(seen[0], ["\"n1\" false ready", "\"n2\" true ready"]);
        assert_eq!(seen[0], seen[1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_find_each_other_soon_after_their_start_however_rare_the_rounds() {
    let rare = |_: &str, _: &Path, config: &mut Config| {
        config.cluster.interval = Duration::from_secs(3600);
    };
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(rare)
        .run(async |bed| {
            for node in ["n1", "n2"] {
                bed.node_mut(node).stop().await;
            }
            // The first rounds of n2 find nobody.
            for node in ["n2", "n1"] {
                bed.node_mut(node).start().await.expect("it starts");
            }
            let found = || bed.node("n2").sees() == 2;
            assert!(eventually(found).await);
        })
        .await;
}
