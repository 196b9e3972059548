//! Placement: the node on which a container is created, and the requests that
//! follow it there.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::node::Plan;
use crate::common::{TestCluster, is_routine, manager, with_cluster, worker};
use serde_json::{Value, json};
use skep_bed::{EngineBuilder, Response, eventually, fixture};

const IMAGE: &str = "app:1";

/// All nodes have the image; each other object is on one node.
fn three_nodes() -> [Plan; 3] {
    let with_image = |e: EngineBuilder| e.images(vec![fixture::image("sha256:1", &[IMAGE], 1)]);
    let mesh = fixture::network("3e5hmesh", "mesh", "swarm");
    let n1 = manager("n1").engine(|e| e.networks(vec![mesh.clone()]));
    let n2 = worker("n2").engine(|e| {
        e.containers(vec![fixture::container("c2", "db", 1, 0)])
            .networks(vec![mesh, fixture::network("b2", "private", "local")])
    });
    let n3 = worker("n3").engine(|e| {
        e.containers(vec![fixture::container("c3", "web", 1, 0)])
            .volumes(vec![fixture::volume("data")])
            .images(vec![fixture::image("sha256:3", &["rare:1"], 1)])
    });
    let rare = fixture::image("sha256:3", &["rare:1"], 1);
    let common = fixture::image("sha256:1", &[IMAGE], 1);
    [
        n1.engine(with_image),
        n2.engine(with_image),
        n3.engine(|e| e.images(vec![common, rare])),
    ]
}

async fn create(bed: &TestCluster, entry: &str, body: &Value) -> Response {
    let body = body.to_string();
    let operator = bed.operator(entry);
    // Names are unique in the cluster.
    static NAMES: AtomicUsize = AtomicUsize::new(0);
    let name = NAMES.fetch_add(1, Ordering::Relaxed);
    let target = format!("/v1.41/containers/create?name=new{name}");
    let answer = operator.ask("POST", &target, &[], body.as_bytes());
    answer.await.expect("an answer")
}

fn of(image: &str, host: Value) -> Value {
    json!({ "Image": image, "HostConfig": host })
}

/// The number of create requests to each engine.
fn created(bed: &TestCluster) -> Vec<usize> {
    let at = |node: &crate::common::Node| node.engine.requests_to("/containers/create").len();
    bed.nodes.iter().map(at).collect()
}

/// The requests to the engines since a point in the test.
struct Since<'a> {
    bed: &'a TestCluster,
    before: Vec<usize>,
}

impl<'a> Since<'a> {
    fn now(bed: &'a TestCluster) -> Self {
        let before = bed
            .nodes
            .iter()
            .map(|n| n.engine.requests().len())
            .collect();
        Self { bed, before }
    }

    /// `METHOD /path@node`, without the requests of agents for themselves.
    fn asked(&self) -> Vec<String> {
        let nodes = self.bed.nodes.iter().zip(&self.before);
        let asked = nodes.flat_map(|(node, before)| {
            let seen = node.engine.requests().split_off(*before);
            let own = seen.into_iter().filter(|r| !is_routine(&r.path));
            own.map(|r| format!("{} {}@{}", r.method, r.path, node.hostname))
        });
        asked.collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_created_on_the_node_of_the_objects_it_names() {
    for (body, node) in [
        (of(IMAGE, json!({ "NetworkMode": "container:db" })), "n2"),
        (of(IMAGE, json!({ "NetworkMode": "container:c3" })), "n3"),
        (of(IMAGE, json!({ "VolumesFrom": ["db:ro"] })), "n2"),
        (of(IMAGE, json!({ "Links": ["/web:alias"] })), "n3"),
        (of(IMAGE, json!({ "PidMode": "container:web" })), "n3"),
        (of(IMAGE, json!({ "NetworkMode": "private" })), "n2"),
        (
            of(IMAGE, json!({ "Binds": ["data:/data", "/etc:/etc"] })),
            "n3",
        ),
        (
            of(
                IMAGE,
                json!({ "Mounts": [{ "Type": "volume", "Source": "data", "Target": "/d" }] }),
            ),
            "n3",
        ),
        (of("rare:1", json!({})), "n3"),
        // Two names, one node.
        (
            of(
                IMAGE,
                json!({ "NetworkMode": "private", "VolumesFrom": ["db"] }),
            ),
            "n2",
        ),
        // Objects that do not exist yet or exist on all nodes do not matter.
        (
            of(
                "rare:1",
                json!({ "Binds": ["new:/new"], "NetworkMode": "bridge" }),
            ),
            "n3",
        ),
        (of("rare:1", json!({ "NetworkMode": "mesh" })), "n3"),
        (
            json!({ "Image": IMAGE, "NetworkingConfig": { "EndpointsConfig": { "private": {} } } }),
            "n2",
        ),
    ] {
        with_cluster(three_nodes(), async |bed| {
            for (round, entry) in ["n1", "n2", "n3"].into_iter().enumerate() {
                let answer = create(bed, entry, &body).await;
                assert_eq!(answer.status, 201, "{entry} {body}: {}", answer.text());
                let chosen = answer.header("Skep-Node").unwrap();
                assert!(chosen.ends_with(node), "{entry} {body}: {chosen}");
                let here = bed.node(node).engine.requests_to("/containers/create");
                assert_eq!(here.len(), round + 1, "{entry} {body}");
                assert_eq!(here[round].json().unwrap(), body, "unchanged");
                assert!(here[round].target.contains("/containers/create?name=new"));
            }
            assert_eq!(
                created(bed).iter().sum::<usize>(),
                3,
                "once per request: {body}"
            );
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_reason_for_another_node_the_entry_node_creates_the_container() {
    with_cluster(three_nodes(), async |bed| {
        let mut expected = vec![0; 3];
        for (n, entry) in ["n1", "n2", "n3"].into_iter().enumerate() {
            for host in [
                json!({}),
                json!({ "Binds": ["new:/new"] }),
                json!({ "NetworkMode": "host" }),
                json!({ "NetworkMode": "mesh" }),
            ] {
                let answer = create(bed, entry, &of(IMAGE, host.clone())).await;
                assert_eq!(answer.status, 201, "{host}: {}", answer.text());
                expected[n] += 1;
                assert_eq!(created(bed), expected, "{entry} {host}");
            }
            // The engine itself refuses an unknown image and an invalid body.
            let answer = create(bed, entry, &of("unknown:1", json!({}))).await;
            assert_eq!(answer.status, 404);
            assert_eq!(answer.message().unwrap(), "No such image: unknown:1");
            let answer = create(bed, entry, &json!("text")).await;
            assert_eq!(answer.status, 404);
            expected[n] += 2;
            assert_eq!(created(bed), expected, "{entry}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_needs_objects_of_two_nodes_gets_a_409() {
    with_cluster(three_nodes(), async |bed| {
        for (entry, host, words) in [
            (
                "n1",
                json!({ "NetworkMode": "container:db", "VolumesFrom": ["web"] }),
                ["db", "n2", "web", "n3"],
            ),
            (
                "n1",
                json!({ "NetworkMode": "private", "Binds": ["data:/data"] }),
                ["private", "n2", "data", "n3"],
            ),
            // One of the two is the entry node.
            (
                "n2",
                json!({ "NetworkMode": "private", "Binds": ["data:/data"] }),
                ["private", "n2", "data", "n3"],
            ),
        ] {
            let answer = create(bed, entry, &of(IMAGE, host)).await;
            assert_eq!(answer.status, 409, "{}", answer.text());
            let message = answer.message().unwrap();
            for word in words {
                assert!(message.contains(word), "{word} is not in {message:?}");
            }
        }
        assert_eq!(created(bed), [0; 3]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_node_creates_the_container_regardless_of_the_objects_it_names() {
    with_cluster(three_nodes(), async |bed| {
        let body = of(IMAGE, json!({ "NetworkMode": "container:db" })).to_string();
        let target = [("Skep-Target", "n3")];
        let operator = bed.operator("n1");
        let answer = operator.ask("POST", "/containers/create", &target, body.as_bytes());
        assert_eq!(answer.await.unwrap().status, 201);
        assert_eq!(created(bed), [0, 0, 1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_names_an_object_of_a_missing_node_is_not_created_elsewhere() {
    with_cluster(three_nodes(), async |bed| {
        bed.node_mut("n2").kill().await;
        assert!(eventually(|| bed.node("n1").sees() == 2).await);
        let body = of(IMAGE, json!({ "NetworkMode": "container:db" }));
        let answer = create(bed, "n1", &body).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.message().unwrap().contains("n2"));
        assert_eq!(created(bed), [0; 3]);
        // The engine may create an unknown volume or network.
        let body = of(IMAGE, json!({ "Binds": ["new:/new"] }));
        assert_eq!(create(bed, "n1", &body).await.status, 201);
        assert_eq!(created(bed), [1, 0, 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pull_after_a_refusal_goes_once_to_the_node_that_lacked_the_image() {
    with_cluster(three_nodes(), async |bed| {
        let body = of("lib", json!({ "NetworkMode": "container:db" }));
        let refused = create(bed, "n1", &body).await;
        assert_eq!(refused.status, 404, "{}", refused.text());
        assert_eq!(refused.message().unwrap(), "No such image: lib");
        assert_eq!(created(bed), [0, 1, 0]);

        let operator = bed.operator("n1");
        let pulls = || {
            bed.nodes
                .iter()
                .map(|n| n.engine.requests_to("/images/create").len())
        };
        let pulls = || pulls().collect::<Vec<_>>();
        let pull = async |name: &str| {
            let target = format!("/images/create?fromImage={name}");
            let answer = operator.ask("POST", &target, &[], b"").await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.text().lines().count(), 3);
        };
        // No node lacks the other image. The missing one goes to its node, once.
        pull("other&tag=1").await;
        assert_eq!(pulls(), [1, 0, 0]);
        pull("docker.io%2Flibrary%2Flib&tag=latest").await;
        assert_eq!(pulls(), [1, 1, 0]);
        pull("lib&tag=latest").await;
        assert_eq!(pulls(), [2, 1, 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_succeeds_on_the_same_node_after_the_pull() {
    with_cluster(three_nodes(), async |bed| {
        let body = of("lib:2", json!({ "NetworkMode": "container:db" }));
        assert_eq!(create(bed, "n3", &body).await.status, 404);
        let pull = "/v1.41/images/create?fromImage=lib&tag=2";
        let answer = bed
            .operator("n3")
            .ask("POST", pull, &[], b"")
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
        let answer = create(bed, "n3", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(created(bed), [0, 2, 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_container_is_found_without_asking_other_nodes() {
    with_cluster(three_nodes(), async |bed| {
        for (host, node) in [
            (json!({ "NetworkMode": "container:db" }), "n2"),
            (json!({}), "n1"),
        ] {
            let answer = create(bed, "n1", &of(IMAGE, host)).await.json().unwrap();
            let id = answer["Id"].as_str().unwrap();
            let since = Since::now(bed);
            let start = format!("/containers/{id}/start");
            let answer = bed.operator("n1").ask("POST", &start, &[], b"").await;
            assert_eq!(answer.unwrap().status, 204);
            assert_eq!(since.asked(), [format!("POST {start}@{node}")]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_exec_is_found_without_asking_other_nodes() {
    let id = "e0ec".repeat(16);
    let [n1, n2, n3] = three_nodes();
    let n2 = n2.engine(|e| {
        e.execs(&[&id])
            .answer("POST", "/containers/db/exec", 201, json!({ "Id": id }))
    });
    with_cluster([n1, n2, n3], async |bed| {
        for entry in ["n1", "n3"] {
            let operator = bed.operator(entry);
            let exec = operator.ask("POST", "/containers/db/exec", &[], br#"{"Cmd":["true"]}"#);
            let exec = exec.await.unwrap();
            assert_eq!(exec.status, 201, "{}", exec.text());
            assert_eq!(exec.json().unwrap()["Id"], *id);
            let since = Since::now(bed);
            let inspect = format!("/exec/{id}/json");
            assert_eq!(operator.get(&inspect).await.unwrap().status, 200);
            assert_eq!(since.asked(), [format!("GET {inspect}@n2")]);
        }
    })
    .await;
}
