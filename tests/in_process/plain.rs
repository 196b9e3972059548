//! Callers at a listener without TLS, as every socket proxy has one for containers.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use skep::agent::{Agent, StartError};
use skep::cli::health;
use skep::config::{ClusterMode, Config};
use skep_bed::{Client, EngineBuilder, Response, eventually, fixture};
use skep_filters::auth::SigningKey;

use crate::common::{ClusterBuilder, TestCluster, generation, manager, worker};

const LIST: &str = "/containers/json";

const IMAGE: &str = "/images/sha256:b0/json";

/// A cluster of n1 and n2; n1 has one more entry of `listen` without TLS.
struct Bed {
    address: Mutex<Option<SocketAddr>>,
    entry: &'static str,
    container: Option<&'static str>,
}

impl Bed {
    fn with(entry: &'static str) -> Self {
        Self {
            address: Mutex::default(),
            entry,
            container: None,
        }
    }

    /// The agent of n1 runs in this container.
    fn in_container(self, name: &'static str) -> Self {
        let container = Some(name);
        Self { container, ..self }
    }

    fn address(&self) -> SocketAddr {
        let address = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        address.expect("the cluster has started")
    }

    fn client(&self) -> Client {
        Client::tcp(self.address())
    }

    fn cluster(&self) -> ClusterBuilder<'_> {
        let has = |id: &'static str| {
            let labels = json!({ "Config": { "Labels": { "skep.role": "of-the-image" } } });
            move |e: EngineBuilder| {
                e.containers(vec![fixture::container(id, id, 1, 0)])
                    .answer("GET", IMAGE, 200, labels)
            }
        };
        let nodes = [
            manager("n1").engine(has("here")),
            worker("n2").engine(has("far")),
        ];
        ClusterBuilder::of(nodes).configure(|node, _, config| {
            if node == "n1" {
                config.cluster.container = self.container.map(str::to_owned);
                self.configure(config);
            }
        })
    }

    fn configure(&self, config: &mut Config) {
        // A port that is free on the loopback address of this test's agent.
        let ip = config.listen[0].address.ip();
        let free = TcpListener::bind((ip, 0)).expect("a loopback address");
        let address = free.local_addr().expect("an address");
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
        let parsed = parsed(&self.text(address));
        config.plain = parsed.plain;
        config.policies = parsed.policies;
    }

    fn text(&self, address: SocketAddr) -> String {
        let entry = self.entry;
        format!("listen: [ {{}}, {{ address: '{address}', plain: true, {entry} }} ]\n{POLICIES}")
    }
}

const POLICIES: &str = "
policies:
  maker: { allow: [containers.read, containers.write, images.read] }
  lister: { allow: [containers.read] }
";

fn parsed(text: &str) -> Config {
    Config::parse("skep.yaml", text).unwrap_or_else(|e| panic!("{e}"))
}

/// A row of `GET /containers/json` with an address and labels.
fn at(address: &str, name: &str, labels: Value) -> Value {
    let mut row = fixture::container(name, name, 1, 0);
    row["Labels"] = labels;
    row["NetworkSettings"] = json!({ "Networks": { "proxy": { "IPAddress": address } } });
    row
}

async fn get(client: &Client, path: &str) -> Response {
    client.get(path, &[]).await.expect("an answer")
}

fn assert_untouched(bed: &TestCluster) {
    for node in &bed.nodes {
        assert!(node.asked().is_empty(), "{:?}", node.asked());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_of_the_networks_has_the_policy_for_the_whole_cluster() {
    let bed_of = Bed::with("networks: [127.0.0.0/8], policy: lister");
    bed_of
        .cluster()
        .run(async |bed| {
            let client = bed_of.client();
            let list = get(&client, LIST).await;
            assert_eq!(list.status, 200, "{}", list.text());
            assert_eq!(list.json().unwrap().as_array().unwrap().len(), 2);
            assert_eq!(get(&client, "/containers/far/json").await.status, 200);
            let denied = client.request("DELETE", "/containers/far", &[], b"").await;
            let denied = denied.unwrap();
            assert_eq!(denied.status, 403);
            let message = denied.message().unwrap();
            assert!(message.contains("local:plain-"), "{message}");
            let far = bed.node("n2").engine.requests();
            assert!(far.iter().all(|seen| seen.method != "DELETE"));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_of_another_network_is_closed_at_once() {
    let bed_of = Bed::with("networks: [10.0.0.0/8, '::1'], policy: lister");
    bed_of
        .cluster()
        .run(async |bed| {
            let answer = bed_of.client().get(LIST, &[]).await;
            assert!(answer.is_err(), "{answer:?}");
            assert_untouched(bed);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_callers_and_other_agents_are_refused_without_tls() {
    let bed_of = Bed::with("networks: [127.0.0.0/8], policy: admin");
    bed_of
        .cluster()
        .run(async |bed| {
            let operator = bed.operator("n1");
            let generation = generation();
            let id = generation.agent_key_id();
            let agent = SigningKey::hmac(&id, generation.peer_key()).unwrap();
            let to = [("Skep-Target", bed.node("n1").id.as_str())];
            let client = bed_of.client();
            for signed in [
                operator.sign("GET", LIST, &[], b""),
                operator.sign("GET", LIST, &to, b""),
                operator.with_key(agent).sign("GET", LIST, &to, b""),
            ] {
                let refused = client.get(LIST, &signed.fields()).await.unwrap();
                assert_eq!(refused.status, 403, "{}", refused.text());
                assert!(refused.message().unwrap().contains("HTTPS"));
            }
            for name in [
                "Signature",
                "Signature-Input",
                "X-PortainerAgent-Signature",
                "X-PortainerAgent-PublicKey",
            ] {
                let refused = client.get(LIST, &[(name, "a")]).await.unwrap();
                assert_eq!(refused.status, 403, "{name}: {}", refused.text());
            }
            let on_behalf = [("Skep-On-Behalf-Of", "key:root")];
            let refused = client.get(LIST, &on_behalf).await.unwrap();
            assert_eq!(refused.status, 400, "{}", refused.text());
            assert_untouched(bed);
            // The same signature was not used up, and counts where it belongs.
            let answer = operator.get(LIST).await.unwrap();
            assert_eq!(answer.status, 200);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_port_stops_the_start_and_closes_a_running_listener() {
    let bed_of = Bed::with("networks: [127.0.0.0/8], policy: lister").in_container("agent");
    let container = |bindings: Value| json!({ "Id": "a".repeat(64), "Name": "/agent", "NetworkSettings": { "Ports": bindings } });
    let started = Mutex::new(None);
    bed_of
        .cluster()
        .run(async |bed| {
            let port = bed_of.address().port();
            let agent = "/containers/agent/json";
            let by_id = format!("/containers/{}/json", "a".repeat(64));
            let publish = |bed: &TestCluster, ip: &str| {
                let key = format!("{port}/tcp");
                let body = container(json!({ key: [{ "HostIp": ip, "HostPort": "80" }] }));
                for path in [agent, &by_id] {
                    let engine = &bed.node("n1").engine;
                    engine.set_answer("GET", path, 200, body.clone());
                }
            };
            // Nobody knows the container yet.
            assert!(bed_of.client().get(LIST, &[]).await.is_err());
            publish(bed, "127.0.0.1");
            let client = bed_of.client();
            let opens = async || client.get(LIST, &[]).await.is_ok_and(|a| a.status == 200);
            assert!(soon(&opens, true).await, "only this machine reaches it");
            publish(bed, "0.0.0.0");
            assert!(soon(&opens, false).await, "every host reaches it");
            publish(bed, "");
            bed.node_mut("n1").stop().await;
            let error = bed.node_mut("n1").start().await.expect_err("published");
            assert!(matches!(error, StartError::Published(_)), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("0.0.0.0:80") && text.contains("--publish"),
                "{text}"
            );
            *started.lock().unwrap() = Some(());
        })
        .await;
    assert!(started.lock().unwrap().is_some());
}

/// Waits until a check has this outcome.
async fn soon(check: &impl AsyncFn() -> bool, expected: bool) -> bool {
    for _ in 0..200 {
        if check().await == expected {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_has_the_identity_of_its_mark_as_long_as_it_has_the_address() {
    let bed_of = Bed::with(
        "networks: [127.0.0.0/8], name: p, callers: [ { service: traefik, policy: lister }, \
         { container: maker, policy: maker }, { label: skep.role=x, policy: maker, name: roled }, \
         { label: skep.role, policy: maker }, { label: skep.policy } ]",
    );
    bed_of
        .cluster()
        .run(async |bed| {
            let client = bed_of.client();
            let me = "127.0.0.1";
            let compose = json!({ "com.docker.compose.service": "traefik" });
            let swarm = json!({ "com.docker.swarm.service.name": "traefik" });
            for (rows, expected) in [
                (vec![], None),
                (vec![at("127.0.0.2", "maker", json!({}))], None),
                (vec![at(me, "a", compose.clone())], Some("local:traefik")),
                (vec![at(me, "a", swarm)], Some("local:traefik")),
                (vec![at(me, "maker", json!({}))], Some("local:maker")),
                (vec![at(me, "maker2", json!({}))], None),
                (
                    vec![at(me, "a", json!({ "skep.role": "x" }))],
                    Some("local:roled"),
                ),
                (
                    vec![at(me, "a", json!({ "skep.role": "" }))],
                    Some("local:skep.role"),
                ),
                // The image has that label with that value.
                (
                    vec![at(me, "a", json!({ "skep.role": "of-the-image" }))],
                    None,
                ),
                (
                    vec![at(me, "a", json!({ "skep.policy": "maker" }))],
                    Some("local:p-maker"),
                ),
                (vec![at(me, "a", json!({ "skep.policy": "admin" }))], None),
                (vec![at(me, "a", json!({ "skep.policy": "gone" }))], None),
                // Nobody knows which of the two calls.
                (
                    vec![at(me, "a", compose.clone()), at(me, "b", json!({}))],
                    None,
                ),
            ] {
                bed.node("n1").engine.set_containers(rows.clone());
                let answer = client.request("POST", "/swarm/leave", &[], b"").await;
                let answer = answer.unwrap();
                let message = answer.message().unwrap();
                assert_eq!(answer.status, 403, "{message}");
                match expected {
                    Some(who) => {
                        assert!(message.contains(&format!("{who} ")), "{rows:?} {message}")
                    }
                    None => assert!(message.contains("`callers`"), "{rows:?} {message}"),
                }
            }
            // Only the node of the listener knows who has an address there.
            bed.node("n1").engine.set_containers(Vec::new());
            bed.node("n2")
                .engine
                .set_containers(vec![at(me, "a", compose)]);
            assert_eq!(get(&client, LIST).await.status, 403);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_without_a_mark_has_the_policy_of_the_listener() {
    let bed_of = Bed::with(
        "networks: [127.0.0.0/8], policy: lister, callers: [ { container: maker, policy: maker } ]",
    );
    bed_of
        .cluster()
        .run(async |bed| {
            let client = bed_of.client();
            assert_eq!(get(&client, LIST).await.status, 200);
            assert_eq!(get(&client, "/images/json").await.status, 403);
            let rows = vec![at("127.0.0.1", "maker", json!({}))];
            bed.node("n1").engine.set_containers(rows);
            // Each connection is looked up anew.
            assert_eq!(get(&client, "/images/json").await.status, 200);
            bed.node("n1").engine.set_containers(Vec::new());
            assert_eq!(get(&client, "/images/json").await.status, 403);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_cannot_give_its_containers_the_mark_of_another() {
    let bed_of = Bed::with(
        "networks: [127.0.0.0/8], policy: maker, \
         callers: [ { service: traefik, policy: lister }, { container: boss, policy: maker }, { label: skep.policy } ]",
    );
    bed_of
        .cluster()
        .run(async |bed| {
            let client = bed_of.client();
            let create = async |path: &str, labels: Value| {
                let body = json!({ "Image": "busybox", "Labels": labels }).to_string();
                let json = [("Content-Type", "application/json")];
                let answer = client.request("POST", path, &json, body.as_bytes()).await;
                answer.unwrap()
            };
            let path = "/containers/create";
            for (path, labels) in [
                (path, json!({ "com.docker.compose.service": "traefik" })),
                (path, json!({ "skep.policy": "maker" })),
                ("/containers/create?name=boss", json!({})),
                ("/containers/far/rename?name=boss", json!({})),
            ] {
                let answer = create(path, labels).await;
                let message = answer.message().unwrap_or_default();
                assert_eq!(answer.status, 403, "{path}: {message}");
                assert!(message.contains("without TLS"), "{message}");
            }
            // Other agents know the marks too.
            let announced = || {
                let all = bed.node("n2").cluster().guarded();
                all.is_some_and(|all| all.marks.names == ["boss"])
            };
            assert!(eventually(announced).await);
            let free = json!({ "com.docker.compose.service": "web" });
            let answer = create(path, free).await;
            assert_eq!(
                answer.status,
                404,
                "the engine has no such image: {}",
                answer.text()
            );
        })
        .await;
}

/// The row of a network that has a container with this address.
fn network_with(address: &str) -> Value {
    let mut row = fixture::network("proxy", "proxy", "local");
    row["IPAM"] = json!({ "Config": [{ "Subnet": "127.0.0.0/8" }] });
    let endpoint = json!({ "IPv4Address": format!("{address}/8"), "IPv6Address": "" });
    row["Containers"] = json!({ "c".repeat(64): endpoint });
    row
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_calls_before_the_engine_lists_it_is_waited_for() {
    let bed_of = Bed::with(
        "networks: [127.0.0.0/8], policy: lister, callers: [ { service: traefik, policy: maker } ]",
    );
    bed_of
        .cluster()
        .run(async |bed| {
            let engine = &bed.node("n1").engine;
            engine.set_containers(Vec::new());
            let network = network_with("127.0.0.1");
            engine.set_answer("GET", "/networks", 200, json!([network]));
            engine.set_answer("GET", "/networks/proxy", 200, network);
            let client = bed_of.client();
            let listed = async {
                let seen = || !engine.requests_to("/networks/proxy").is_empty();
                assert!(eventually(seen).await);
                let labels = json!({ "com.docker.compose.service": "traefik" });
                engine.set_containers(vec![at("127.0.0.1", "a", labels)]);
            };
            let (answer, ()) = tokio::join!(get(&client, "/images/json"), listed);
            assert_eq!(answer.status, 200, "{}", answer.text());
            // It never gets the policy of others.
            engine.set_containers(Vec::new());
            let answer = get(&client, LIST).await;
            assert_eq!(answer.status, 503, "{}", answer.text());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_engine_lets_no_container_in() {
    let bed_of = Bed::with(
        "networks: [127.0.0.0/8], policy: maker, callers: [ { service: traefik, policy: lister } ]",
    );
    bed_of
        .cluster()
        .run(async |bed| {
            let broken = json!({ "message": "no" });
            bed.node("n1").engine.set_answer("GET", LIST, 500, broken);
            let answer = get(&bed_of.client(), "/images/json").await;
            assert_eq!(answer.status, 503, "{}", answer.text());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_and_policy_change_without_a_restart() {
    let bed_of = Bed::with("networks: [127.0.0.0/8], policy: lister");
    let write = |folder: &Path, address: SocketAddr, entry: &str| {
        let text = format!("listen: [ {{}}, {{ address: '{address}', plain: true, {entry} }} ]");
        fs::write(folder.join("skep.yaml"), format!("{text}\n{POLICIES}")).expect("a file");
    };
    bed_of
        .cluster()
        .configure(|node, folder, config| {
            if node == "n1" {
                bed_of.configure(config);
                write(folder, bed_of.address(), bed_of.entry);
                config.file = Some(folder.join("skep.yaml"));
            }
        })
        .run(async |bed| {
            let client = bed_of.client();
            let images = async || {
                let answer = client.get("/images/json", &[]).await;
                answer.map_or(0, |answer| answer.status)
            };
            assert_eq!(images().await, 403);
            let address = bed_of.address();
            write(
                bed.folder(),
                address,
                "networks: [127.0.0.1], policy: maker",
            );
            assert!(soon(&async || images().await == 200, true).await);
            write(
                bed.folder(),
                address,
                "networks: [127.99.0.0/16], policy: maker",
            );
            assert!(soon(&async || images().await == 0, true).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_any_tls_is_healthy_and_has_no_other_door() {
    let bed_of = Bed::with("networks: [127.0.0.0/8], policy: lister");
    ClusterBuilder::of([manager("n1")])
        .configure(|_, _, config| {
            bed_of.configure(config);
            config.cluster.mode = ClusterMode::Off;
            config.listen.clear();
        })
        .without_settling()
        .run(async |bed| {
            assert_eq!(get(&bed_of.client(), LIST).await.status, 200);
            let config = bed.node("n1").config.clone();
            let health = health::run(&config).await.unwrap();
            assert!(health.contains('{'), "{health}");
            // The port is taken.
            let again = Agent::start(config.clone()).await.err().unwrap();
            assert!(matches!(again, StartError::Listen { .. }), "{again}");
            bed.node_mut("n1").stop().await;
            assert!(health::run(&config).await.is_err());
        })
        .await;
}
