//! A node that is away hurts only the requests for what is on it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use skep::config::{Config, Discover};
use skep_bed::{EngineBuilder, FakeEngine, Response, eventually, fixture};

use crate::common::{ClusterBuilder, TestCluster, manager, with_cluster, worker};

const WEB: &str = "aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000";
const EXEC: &str = "eeee0000eeee0000eeee0000eeee0000eeee0000eeee0000eeee0000eeee0000";
const NEVER_SEEN: &str = "ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000";

fn with_web(engine: EngineBuilder) -> EngineBuilder {
    engine
        .containers(vec![fixture::container(WEB, "web", 1, 0)])
        .images(vec![fixture::image("sha256:app", &["app:1"], 1)])
        .volumes(vec![fixture::volume("data")])
        .execs(&[EXEC])
}

/// Kills the agent of n3; n1 has noticed when this returns.
async fn without_n3(bed: &mut TestCluster) {
    bed.node_mut("n3").kill().await;
    assert!(eventually(|| bed.node("n1").sees() == 2).await);
}

fn three() -> [crate::common::node::Plan; 3] {
    [manager("n1"), worker("n2"), worker("n3").engine(with_web)]
}

async fn ask(bed: &TestCluster, method: &str, target: &str) -> Response {
    let operator = bed.operator("n1");
    operator
        .ask(method, target, &[], b"")
        .await
        .expect("an answer")
}

fn names_n3(answer: &Response) -> bool {
    let missing = answer.header("Skep-Missing").unwrap_or_default();
    missing.contains(" n3 (")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_answering_node_has_is_not_found_so_that_clients_create_it() {
    with_cluster(three(), async |bed| {
        without_n3(bed).await;
        let digest = format!("/images/app@sha256:{NEVER_SEEN}/json");
        let image = format!("/images/sha256:{NEVER_SEEN}/json");
        let volume = format!("/volumes/{NEVER_SEEN}");
        for (method, target, words) in [
            ("GET", "/images/app:1/json", "No such image: app:1"),
            ("GET", "/v1.41/images/app:1/json", "No such image: app:1"),
            ("GET", "/images/app:1/history", "No such image: app:1"),
            ("DELETE", "/images/app:1", "No such image: app:1"),
            (
                "GET",
                "/images/get?names=app:1&names=b:1",
                "No such image: app:1 b:1",
            ),
            ("GET", &digest, "No such image"),
            ("GET", &image, "No such image"),
            ("GET", "/volumes/data", "get data: no such volume"),
            ("DELETE", "/volumes/data", "get data: no such volume"),
            ("GET", &volume, "no such volume"),
            (
                "GET",
                "/networks/project_default",
                "network project_default not found",
            ),
            ("DELETE", "/networks/project_default", "not found"),
            (
                "GET",
                "/containers/never-seen/json",
                "No such container: never-seen",
            ),
            (
                "POST",
                "/containers/never-seen/start",
                "No such container: never-seen",
            ),
            ("DELETE", "/containers/ffff0000ffff", "No such container"),
        ] {
            let answer = ask(bed, method, target).await;
            assert_eq!(answer.status, 404, "{target}: {}", answer.text());
            assert!(names_n3(&answer), "{target}: {:?}", answer.head);
            let message = answer.message().unwrap();
            assert!(message.contains(words), "{target}: {message}");
            assert!(message.contains("n3"), "{target}: {message}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_to_be_on_the_missing_node_is_unavailable() {
    with_cluster(three(), async |bed| {
        // The list shows the container by its name.
        assert_eq!(ask(bed, "GET", "/containers/json").await.status, 200);
        without_n3(bed).await;
        let target = |id: &str, rest: &str| format!("{id}{rest}");
        for (method, path) in [
            ("GET", "/containers/web/json".to_owned()),
            ("DELETE", "/containers/web?force=1".to_owned()),
            ("POST", "/containers/aaaa0000aaaa/start".to_owned()),
            ("GET", target("/containers/", &format!("{WEB}/json"))),
            ("GET", target("/containers/", &format!("{NEVER_SEEN}/json"))),
            ("POST", target("/exec/", &format!("{EXEC}/resize?h=1&w=1"))),
            ("GET", target("/networks/", NEVER_SEEN)),
            ("DELETE", target("/networks/", NEVER_SEEN)),
        ] {
            for _ in 0..2 {
                let answer = ask(bed, method, &path).await;
                assert_eq!(answer.status, 503, "{path}: {}", answer.text());
                assert!(names_n3(&answer), "{path}");
            }
        }
        bed.node_mut("n3").start().await.unwrap();
        bed.settle().await;
        assert_eq!(ask(bed, "GET", "/containers/web/json").await.status, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_was_removed_before_its_node_went_away_is_not_found() {
    with_cluster(three(), async |bed| {
        assert_eq!(ask(bed, "GET", "/containers/json").await.status, 200);
        let engine = &bed.node("n3").engine;
        engine.set_answer("DELETE", &format!("/containers/{WEB}"), 204, Value::Null);
        let removed = ask(bed, "DELETE", &format!("/containers/{WEB}")).await;
        assert_eq!(removed.status, 204, "{}", removed.text());
        engine.set_containers(Vec::new());
        without_n3(bed).await;
        let answer = ask(bed, "GET", "/containers/web/json").await;
        assert_eq!(answer.status, 404, "{}", answer.text());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_its_node_no_longer_had_is_not_found_after_that_node_goes_away() {
    with_cluster(three(), async |bed| {
        assert_eq!(ask(bed, "GET", "/containers/json").await.status, 200);
        bed.node("n3").engine.set_containers(Vec::new());
        assert_eq!(ask(bed, "GET", "/containers/web/json").await.status, 404);
        without_n3(bed).await;
        let answer = ask(bed, "GET", "/containers/web/json").await;
        assert_eq!(answer.status, 404, "{}", answer.text());
    })
    .await;
}

/// The rows of `GET /nodes` with this availability of n3.
fn nodes(bed: &TestCluster, availability: &str) -> Value {
    let row = |id: &str, name: &str, role: &str| fixture::node(id, name, role);
    let (n1, n2) = (&bed.nodes[0].id, &bed.nodes[1].id);
    let mut n3 = row("n3", "n3", "worker");
    n3["Spec"]["Availability"] = json!(availability);
    json!([row(n1, "n1", "manager"), row(n2, "n2", "worker"), n3])
}

async fn told(bed: &TestCluster, availability: &str) {
    bed.nodes[0]
        .engine
        .set_answer("GET", "/nodes", 200, nodes(bed, availability));
    let told = |node: &crate::common::Node| {
        let all = node.cluster().all();
        all.iter().any(|member| {
            let member = serde_json::to_value(&**member).expect("JSON");
            member["id"] == "n3" && member["availability"] == *availability
        })
    };
    assert!(eventually(|| bed.nodes.iter().all(told)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_without_an_agent_is_missing_only_for_what_it_can_have() {
    with_cluster([manager("n1"), worker("n2")], async |bed| {
        let list = |filters: &str, rest: &str| {
            format!(
                "/containers/json?filters={}{rest}",
                filters.replace('"', "%22")
            )
        };
        let service = r#"{"label":["com.docker.swarm.service.name=web"]}"#;
        let task = r#"{"is-task":{"true":true}}"#;
        let exited = r#"{"is-task":["true"],"status":["exited"]}"#;
        let running = r#"{"is-task":["true"],"status":["running"]}"#;
        for (availability, target, is_missing) in [
            ("drain", list(service, ""), false),
            ("drain", list(task, ""), false),
            ("drain", list(running, ""), false),
            // Stopped tasks stay, and so does what the scheduler did not start.
            ("drain", list(service, "&all=1"), true),
            ("drain", list(exited, ""), true),
            (
                "drain",
                list(r#"{"label":["com.docker.compose.project"]}"#, ""),
                true,
            ),
            ("drain", "/containers/json".to_owned(), true),
            ("drain", "/images/json".to_owned(), true),
            ("drain", "/volumes".to_owned(), true),
            // A paused node keeps its tasks.
            ("pause", list(service, ""), true),
            ("active", list(service, ""), true),
        ] {
            told(bed, availability).await;
            for entry in ["n1", "n2"] {
                let answer = bed.operator(entry).get(&target).await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                let named = answer.header("Skep-Missing").unwrap_or_default();
                assert_eq!(!named.is_empty(), is_missing, "{availability} {target}");
                let reason = match availability {
                    "drain" => "the node is drained",
                    "pause" => "the node is paused",
                    _ => "no agent found)",
                };
                assert!(!is_missing || named.contains(reason), "{named}");
            }
        }
        told(bed, "drain").await;
        for target in [
            "/images/new:1/json",
            "/volumes/new",
            "/networks/new_default",
        ] {
            let answer = ask(bed, "GET", target).await;
            assert_eq!(answer.status, 404, "{target}: {}", answer.text());
            assert!(names_n3(&answer), "{target}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_with_sizes_has_the_time_of_disk_usage() {
    let slow = |engine: EngineBuilder| {
        let row = fixture::container("c2", "slow", 1, 0);
        engine.containers(vec![row]).images(vec![])
    };
    let configure = |_: &str, _: &Path, config: &mut Config| {
        config.aggregate.deadline = Duration::from_millis(300);
    };
    ClusterBuilder::of([manager("n1"), worker("n2").engine(slow)])
        .configure(configure)
        .run(async |bed| {
            let engine: &FakeEngine = &bed.node("n2").engine;
            engine.set_delay(Duration::from_millis(900));
            for (target, patient) in [
                ("/containers/json?size=1", true),
                ("/v1.41/containers/json?all=1&size=true", true),
                ("/images/json?shared-size=1", true),
                ("/containers/json?size=0", false),
                ("/containers/json?size=", false),
                ("/containers/json", false),
                ("/images/json?size=1", false),
            ] {
                let answer = ask(bed, "GET", target).await;
                assert_eq!(answer.status, 200, "{target}: {}", answer.text());
                let missing = answer.header("Skep-Missing");
                assert_eq!(missing.is_none(), patient, "{target}: {missing:?}");
            }
            engine.set_delay(Duration::ZERO);
        })
        .await;
}

/// The addresses of three nodes with one port, in a loopback network of this test.
fn addresses() -> [SocketAddr; 3] {
    let pid = std::process::id().to_be_bytes();
    let host = |last| Ipv4Addr::new(127, 200 + (pid[2] & 31), pid[3], last);
    let port = TcpListener::bind((host(1), 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    [1, 2, 3].map(|last| SocketAddr::from((host(last), port.port())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_find_each_other_by_the_addresses_of_the_nodes() {
    let addresses = addresses();
    let at = move |name: &str| addresses[usize::from(name.as_bytes()[1] - b'1')];
    let id = |name: &str| format!("{name:0<25}");
    let swarm = format!("{}:2377", at("n1").ip());
    let row = |name: &str| {
        let role = if name == "n1" { "manager" } else { "worker" };
        let mut row = fixture::node(&id(name), name, role);
        row["Status"]["Addr"] = json!(at(name).ip());
        if name == "n1" {
            // As engines report it of themselves.
            row["Status"]["Addr"] = json!("0.0.0.0");
            row["ManagerStatus"] = json!({ "Leader": true, "Addr": swarm });
        }
        row
    };
    let rows = json!([row("n1"), row("n2"), row("n3")]);
    let engine = |e: EngineBuilder| {
        e.remote_managers(&[(&id("n1"), &swarm)])
            .answer("GET", "/nodes", 200, rows.clone())
    };
    let nodes = [
        manager("n1").engine(engine),
        worker("n2").engine(engine),
        worker("n3").engine(engine),
    ];
    ClusterBuilder::of(nodes)
        .configure(move |name, _, config: &mut Config| {
            config.listen[0].address = at(name);
            config.cluster.discover = vec![Discover::Swarm { port: None }];
        })
        .run(async |bed| {
            for node in &mut bed.nodes {
                node.address = node.config.listen[0].address;
            }
            for entry in ["n1", "n2", "n3"] {
                let answer = bed.operator(entry).get("/containers/json").await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(answer.header("Skep-Missing"), None, "{entry}");
            }
            // A node that comes back is found again.
            bed.node_mut("n3").kill().await;
            assert!(eventually(|| bed.node("n2").sees() == 2).await);
            bed.node_mut("n3").start().await.unwrap();
            bed.settle().await;
        })
        .await;
}
