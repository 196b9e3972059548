//! A request about one object goes to the node that has it, through every agent
//! and by id, name or id prefix.

use crate::common::node::Plan;
use crate::common::{TestCluster, is_routine, manager, with_cluster, worker};
use serde_json::json;
use skep_bed::{EngineBuilder, FakeEngine, Seen, eventually, fixture};

const ID_A: &str = "aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000";
const ID_B: &str = "bbbb0000bbbb0000bbbb0000bbbb0000bbbb0000bbbb0000bbbb0000bbbb0000";
const ID_C: &str = "cccc0000cccc0000cccc0000cccc0000cccc0000cccc0000cccc0000cccc0000";

fn three_nodes() -> [Plan; 3] {
    let having = |rows: &[(&'static str, &'static str)]| {
        let rows = rows.to_vec();
        move |e: EngineBuilder| {
            let row = |(id, name): &(&str, &str)| fixture::container(id, name, 1, 0);
            e.containers(rows.iter().map(row).collect())
        }
    };
    [
        manager("n1").engine(having(&[(ID_A, "web"), ("d1", "twin")])),
        worker("n2").engine(having(&[(ID_B, "db"), ("d2", "twin")])),
        // Its name is a prefix of another container's id.
        worker("n3").engine(having(&[(ID_C, "aaaa")])),
    ]
}

/// The requests that change something at an engine.
fn changes(engine: &FakeEngine) -> Vec<Seen> {
    let mut seen = engine.requests();
    seen.retain(|r| !is_routine(&r.path) && r.method != "GET");
    seen
}

fn all_changes(bed: &TestCluster) -> usize {
    bed.nodes
        .iter()
        .map(|node| changes(&node.engine).len())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_found_by_id_name_or_id_prefix() {
    with_cluster(three_nodes(), async |bed| {
        for entry in ["n1", "n2", "n3"] {
            let operator = bed.operator(entry);
            for (name, node) in [
                (ID_A, "n1"),
                ("web", "n1"),
                (ID_B, "n2"),
                ("db", "n2"),
                ("bbbb", "n2"),
                (ID_C, "n3"),
                // A name has precedence over an id prefix, as in an engine.
                ("aaaa", "n3"),
                ("aaaa0", "n1"),
            ] {
                let target = format!("/v1.41/containers/{name}/json");
                let answer = operator.get(&target).await.unwrap();
                assert_eq!(answer.status, 200, "{entry} {name}: {}", answer.text());
                let owner = answer.header("Skep-Node").unwrap();
                assert!(owner.ends_with(node), "{entry} {name}: {owner}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_runs_once_and_only_on_the_containers_node() {
    let [n1, n2, n3] = three_nodes();
    let missing = json!({ "message": "page not found" });
    let n2 = n2.engine(|e| e.answer("DELETE", "/containers/db", 404, missing));
    with_cluster([n1, n2, n3], async |bed| {
        for (n, entry) in ["n1", "n2", "n3"].into_iter().enumerate() {
            let operator = bed.operator(entry);
            // n2's engine supports none of these; only the request counts.
            for (method, target) in [
                ("POST", "/containers/db/restart?t=1"),
                ("DELETE", "/containers/db?force=1"),
                ("POST", "/containers/db/exec"),
            ] {
                let body: &[u8] = if target.ends_with("exec") { b"{}" } else { b"" };
                let answer = operator.ask(method, target, &[], body).await.unwrap();
                assert_eq!(answer.status, 404, "{}", answer.text());
            }
            let asked = changes(&bed.node("n2").engine);
            assert_eq!(asked.len(), 3 * (n + 1), "{asked:?}");
            assert_eq!(all_changes(bed), asked.len());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_on_two_nodes_gets_a_409_and_changes_nothing() {
    with_cluster(three_nodes(), async |bed| {
        for entry in ["n1", "n2", "n3"] {
            let operator = bed.operator(entry);
            for (method, target) in [
                ("GET", "/containers/twin/json"),
                ("DELETE", "/containers/twin"),
                ("POST", "/containers/twin/attach"),
            ] {
                let answer = operator.ask(method, target, &[], b"").await.unwrap();
                assert_eq!(answer.status, 409, "{}", answer.text());
                let message = answer.message().unwrap();
                for word in ["twin", "n1", "n2", "Skep-Target"] {
                    assert!(message.contains(word), "{message}");
                }
                assert!(!message.contains("n3"));
            }
        }
        assert_eq!(all_changes(bed), 0);
        let answer = bed
            .operator("n3")
            .get_from("n2", "/containers/twin/json")
            .await;
        assert_eq!(answer.unwrap().json().unwrap()["Id"], "d2");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_container_gets_dockers_404_which_names_unreachable_nodes() {
    with_cluster(three_nodes(), async |bed| {
        let operator = bed.operator("n1");
        let answer = operator.get("/containers/unknown/json").await.unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(answer.message().unwrap(), "No such container: unknown");

        bed.node_mut("n3").kill().await;
        assert!(eventually(|| bed.node("n1").sees() == 2).await);
        let answer = operator.get("/containers/unknown/json").await.unwrap();
        let message = answer.message().unwrap();
        assert!(message.contains("No such container: unknown"), "{message}");
        assert!(message.contains("n3"), "{message}");
        // Containers on the other nodes are still found.
        let answer = operator.get("/containers/db/json").await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_last_known_node_of_an_id_is_asked() {
    with_cluster(three_nodes(), async |bed| {
        let operator = bed.operator("n1");
        let target = format!("/containers/{ID_B}/json");
        for _ in 0..5 {
            assert_eq!(operator.get(&target).await.unwrap().status, 200);
        }
        let asked = |node| bed.node(node).engine.requests_to(&target).len();
        assert_eq!((asked("n1"), asked("n3")), (1, 1));
        // The container is gone, as its node says.
        bed.node("n2").engine.set_containers(Vec::new());
        let answer = operator.get(&target).await.unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(
            answer.message().unwrap(),
            format!("No such container: {ID_B}")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_volumes_and_networks_are_found_too() {
    let here = manager("n1").engine(|e| {
        e.images(vec![fixture::image("sha256:1", &["both:1"], 1)])
            .networks(vec![fixture::network("mesh", "mesh", "swarm")])
    });
    let there = worker("n2").engine(|e| {
        e.images(vec![
            fixture::image("sha256:1", &["both:1"], 1),
            fixture::image("sha256:2", &["reg:5000/there/it:2"], 1),
        ])
        .volumes(vec![fixture::volume("data")])
        .networks(vec![
            fixture::network("mesh", "mesh", "swarm"),
            fixture::network("b2", "private", "local"),
        ])
        .containers(vec![fixture::container("c2", "web", 1, 0)])
        .answer("POST", "/networks/private/connect", 200, json!({}))
    });
    with_cluster([here, there], async |bed| {
        let operator = bed.operator("n1");
        for (target, node) in [
            ("/images/both:1/json", "n1"),
            ("/images/reg:5000/there/it:2/json", "n2"),
            ("/volumes/data", "n2"),
            ("/networks/mesh", "n1"),
            ("/networks/private", "n2"),
        ] {
            let answer = operator.get(target).await.unwrap();
            assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            assert!(
                answer.header("Skep-Node").unwrap().ends_with(node),
                "{target}"
            );
        }
        // The container in the body decides the node, not the network.
        let body = br#"{"Container":"web"}"#;
        let answer = operator
            .ask("POST", "/networks/private/connect", &[], body)
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(changes(&bed.node("n2").engine)[0].body.start, body);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_name_on_two_other_nodes_gets_a_409_and_the_entry_nodes_own_is_found() {
    let with = |id: &'static str| {
        move |e: EngineBuilder| e.networks(vec![fixture::network(id, "twin", "local")])
    };
    let nodes = [
        manager("n1"),
        worker("n2").engine(with("net2")),
        worker("n3").engine(with("net3")),
    ];
    with_cluster(nodes, async |bed| {
        for method in ["GET", "DELETE"] {
            let operator = bed.operator("n1");
            let answer = operator.ask(method, "/networks/twin", &[], b"").await;
            let answer = answer.unwrap();
            assert_eq!(answer.status, 409, "{method}: {}", answer.text());
        }
        assert_eq!(all_changes(bed), 0);
        let answer = bed.operator("n2").get("/networks/twin").await.unwrap();
        assert_eq!(answer.json().unwrap()["Id"], "net2");
    })
    .await;
}
