//! The cluster secret and its rollover, the rotation of certificates in use, and
//! the start and stop of an agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{
    Caller, ClusterBuilder, TestCluster, manager, secret_file, with_cluster, worker,
};
use skep::agent::{Agent, StartError};
use skep::config::Config;
use skep::trust::{Generation, Secret};
use skep_bed::{Behaviour, EngineBuilder, eventually, fixture};
use skep_filters::auth::SigningKey;

const NEW: &str = "kP4wX9cQz7Lr2Vb8Nf6Tj1Hs5Gd3Ma0E";

fn with_c(id: &'static str) -> impl Fn(EngineBuilder) -> EngineBuilder {
    move |e| e.containers(vec![fixture::container(id, id, 1, 0)])
}

fn new_generation() -> Arc<Generation> {
    let secret = Secret::from_bytes(NEW.as_bytes()).expect("a good secret");
    Arc::new(Generation::derive(&secret).expect("a generation"))
}

/// The number of rows in a list that has all nodes.
async fn whole_list(caller: &Caller) -> usize {
    let answer = caller.get("/containers/json").await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("Skep-Missing"), None);
    answer
        .json()
        .expect("JSON")
        .as_array()
        .expect("a list")
        .len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_different_clusters_do_not_trust_each_other() {
    let two_secrets = |name: &str, folder: &Path, config: &mut Config| {
        if name.starts_with("other") {
            config.cluster.secret_files = vec![secret_file(folder, "new", NEW)];
        }
    };
    let nodes = [
        manager("n1").engine(with_c("c1")),
        worker("n2").engine(with_c("c2")),
        manager("other1").engine(with_c("c3")),
        worker("other2").engine(with_c("c4")),
    ];
    ClusterBuilder::of(nodes)
        .configure(two_secrets)
        .without_settling()
        .run(async |bed| {
            // Every agent knows all four addresses, and trusts two.
            let pairs = || bed.nodes.iter().all(|node| node.sees() == 2);
            assert!(eventually(pairs).await);
            let new = new_generation();
            let theirs = Caller::operator(bed.node("other1").address, new.clone());
            for (caller, mine) in [(bed.operator("n1"), ["c1", "c2"]), (theirs, ["c3", "c4"])] {
                let list = caller
                    .get("/containers/json")
                    .await
                    .unwrap()
                    .json()
                    .unwrap();
                let mut ids: Vec<_> = list
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|r| r["Id"].clone())
                    .collect();
                ids.sort_by_key(ToString::to_string);
                assert_eq!(ids, mine);
            }
            // A key of the other cluster is unknown, and so is its certificate.
            let n1 = bed.node("n1");
            let ours = n1.trust().generations()[0].clone();
            let key = SigningKey::hmac(&new.agent_key_id(), new.peer_key()).unwrap();
            let outsider = Caller::new(n1.address, &ours, None, key);
            let to = [("Skep-Target", n1.id.as_str())];
            let answer = outsider
                .ask("GET", "/containers/json", &to, b"")
                .await
                .unwrap();
            assert_eq!(answer.status, 401);
            let leaf = bed.node("other1").trust().leaf(0).unwrap();
            let key = SigningKey::hmac(&ours.agent_key_id(), ours.peer_key()).unwrap();
            let outsider = Caller::new(n1.address, &ours, Some(&leaf), key);
            let answer = outsider.ask("GET", "/containers/json", &to, b"").await;
            assert!(answer.is_err(), "the handshake fails: {answer:?}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_rollover_fails_no_request() {
    let nodes = [
        manager("n1").engine(with_c("c1")),
        worker("n2").engine(with_c("c2")),
        worker("n3").engine(with_c("c3")),
    ];
    with_cluster(nodes, async |bed| {
        let old = bed.node("n1").config.cluster.secret_files[0].clone();
        let new = secret_file(bed.folder(), "new", NEW);
        let generation = new_generation();
        let both = vec![new.clone(), old.clone()];
        let steps = [("n1", &both), ("n2", &both), ("n3", &both)];
        for (node, secrets) in steps {
            restart(bed, node, secrets).await;
            // All agents still know the old secret.
            for entry in ["n1", "n2", "n3"] {
                check_every_node(bed, &bed.operator(entry)).await;
            }
        }
        // All agents use the new secret before one forgets the old.
        let moved =
            |node: &crate::common::Node| node.cluster().others().iter().all(|m| m.generation == 0);
        assert!(eventually(|| bed.nodes.iter().all(moved)).await);
        let only_new = vec![new];
        for node in ["n2", "n1", "n3"] {
            restart(bed, node, &only_new).await;
            for entry in ["n1", "n2", "n3"] {
                let caller = Caller::operator(bed.node(entry).address, generation.clone());
                check_every_node(bed, &caller).await;
            }
        }
        // The old secret is useless now: even the server name is unknown.
        let late = bed.operator("n1").get("/version").await;
        assert!(late.map_or(true, |answer| answer.status == 401));
    })
    .await;
}

async fn restart(bed: &mut TestCluster, name: &str, secrets: &[PathBuf]) {
    let node = bed.node_mut(name);
    node.stop().await;
    node.config.cluster.secret_files = secrets.to_vec();
    let others = bed.nodes.len() - 1;
    let missed = || bed.running().all(|node| node.sees() == others);
    assert!(eventually(missed).await);
    bed.node_mut(name).start().await.expect("it starts");
    bed.settle().await;
}

async fn check_every_node(bed: &TestCluster, caller: &Caller) {
    assert_eq!(whole_list(caller).await, 3);
    for node in &bed.nodes {
        let answer = caller
            .get_from(&node.hostname, "/version")
            .await
            .expect("an answer");
        assert_eq!(answer.status, 200, "{}: {}", node.hostname, answer.text());
        let to = [("Skep-Target", node.hostname.as_str())];
        let answer = caller.ask("POST", "/containers/create", &to, b"{}").await;
        assert_eq!(answer.expect("an answer").status, 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_rotation_under_load_fails_no_request() {
    let short = |_: &str, _: &Path, config: &mut Config| {
        config.cluster.certificate_lifetime = Duration::from_secs(60);
    };
    let nodes = [
        manager("n1").engine(with_c("c1")),
        worker("n2").engine(with_c("c2")),
    ];
    ClusterBuilder::of(nodes)
        .configure(short)
        .run(async |bed| {
            let done = AtomicBool::new(false);
            let serial = || {
                bed.node("n1")
                    .trust()
                    .leaf(0)
                    .map(|leaf| leaf.serial.clone())
            };
            let first = serial();
            let load = async |entry: &str, done: &AtomicBool| {
                let operator = bed.operator(entry);
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(whole_list(&operator).await, 2);
                }
            };
            let rotate = async {
                // A tunnel that is open before the rotation stays open.
                let to = [("Skep-Target", "n2")];
                let operator = bed.operator("n1");
                let mut tunnel = operator
                    .hijack("/exec/exact/start", &to, b"{}")
                    .await
                    .unwrap();
                for _ in 0..10 {
                    for node in &bed.nodes {
                        node.trust().rotate(skep::platform::clock::wall()).unwrap();
                    }
                    assert_eq!(whole_list(&operator).await, 2);
                }
                tunnel.stream.send(b"still").await.unwrap();
                assert_eq!(tunnel.stream.receive_exact(5).await.unwrap(), b"still");
                done.store(true, Ordering::Relaxed);
            };
            tokio::join!(load("n1", &done), load("n2", &done), rotate);
            assert_ne!(serial(), first);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_stops_the_start_and_the_error_says_why() {
    with_cluster([manager("n1")], async |bed| {
        let config = bed.node("n1").config.clone();
        let address = config.listen[0].address;
        let Err(error) = Agent::start(config).await else {
            panic!("two agents on one address");
        };
        assert!(matches!(error, StartError::Listen { .. }));
        let text = error.to_string();
        assert!(
            text.contains(&address.to_string()) && text.contains("another program"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swarm_node_without_a_secret_does_not_start_and_says_how_to_create_one() {
    with_cluster([manager("n1")], async |bed| {
        let mut config = bed.node("n1").config.clone();
        config.cluster.secret_files.clear();
        config.listen[0].address.set_port(0);
        let error = Agent::start(config).await.err().unwrap();
        assert!(
            error.to_string().contains("docker secret create"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_finishes_open_requests_after_a_stop_signal_and_accepts_none_after_them() {
    const INSPECT: &str = "/containers/c1/json";
    let nodes = [
        manager("n1").engine(with_c("c1")),
        worker("n2").engine(with_c("c2")),
    ];
    with_cluster(nodes, async |bed| {
        let operator = bed.operator("n1");
        let engine = &bed.node("n1").engine;
        engine.set_behaviour_of(INSPECT, Behaviour::Held);
        let mut idle = operator.client().connect().await.unwrap();
        let signed = operator.sign("GET", "/version", &[], b"");
        let answer = idle
            .request("GET", "/version", &signed.fields(), b"")
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
        let mut unused = operator.client().connect().await.unwrap();

        let running = {
            let operator = operator.clone();
            tokio::spawn(async move { operator.get(INSPECT).await })
        };
        assert!(eventually(|| !engine.requests_to(INSPECT).is_empty()).await);
        let stopping = bed.node_mut("n1").stop();
        let stopping = tokio::spawn(stopping);
        assert_eq!(operator.get("/version").await.unwrap().status, 200);
        assert!(
            !stopping.is_finished(),
            "it does not wait for the open request"
        );
        let engine = &bed.node("n1").engine;
        engine.set_behaviour_of(INSPECT, Behaviour::Normal);
        assert_eq!(running.await.unwrap().unwrap().status, 200);
        assert!(idle.closed().await.unwrap());
        assert!(unused.closed().await.unwrap());
        stopping.await.unwrap();
        assert!(
            operator.client().connect().await.is_err(),
            "it still accepts connections"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_stream_does_not_keep_a_stopped_agent_alive() {
    let short = |_: &str, _: &Path, config: &mut Config| {
        config.drain = Duration::from_millis(500);
    };
    ClusterBuilder::of([manager("n1").engine(with_c("c1"))])
        .configure(short)
        .run(async |bed| {
            let operator = bed.operator("n1");
            let mut events = operator.stream("GET", "/events", &[]).await.unwrap();
            let mut tunnel = operator
                .hijack("/exec/exact/start", &[], b"{}")
                .await
                .unwrap();
            assert!(events.next_line().await.unwrap().is_some());
            bed.node_mut("n1").stop().await;
            let rest = tunnel.stream.receive_to_end().await.unwrap_or_default();
            assert!(rest.is_empty());
            while let Ok(Some(_)) = events.next_line().await {}
            let engine = &bed.node("n1").engine;
            for path in ["/events", "/exec/exact/start"] {
                let closed = || engine.requests_to(path)[0].client_closed;
                assert!(eventually(closed).await, "{path}");
            }
        })
        .await;
}
