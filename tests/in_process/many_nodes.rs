//! Many nodes: the cost of an agent does not grow with them, and none is missing.
//!
//! A crowd stands for the other workers. Costs are counted in requests, not in time.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use skep::config::Discover;
use skep_bed::{Answer, Credentials, Crowd, Reply, eventually, fixture};

use crate::common::{ClusterBuilder, Node, TestCluster, generation, manager, worker};

const IDENTITY: &str = "/skep/v1/identity";
const TABLE: &str = "/skep/v1/members";
const UNKNOWN: &str = "abcd0000abcd0000abcd0000abcd0000abcd0000abcd0000abcd0000abcd0000";

/// The agents that a round in a large cluster probes in turn.
const SAMPLE: u64 = 4;

fn name(number: usize) -> String {
    format!("w{number}x")
}

fn id(number: usize) -> String {
    format!("{:0<25}", name(number))
}

/// The others, and how many of them are managers.
#[derive(Clone, Copy)]
struct Others {
    size: usize,
    managers: usize,
}

impl Others {
    fn role(self, number: usize) -> &'static str {
        match number < self.managers {
            true => "manager",
            false => "worker",
        }
    }

    fn identity(self, n: usize) -> Value {
        json!({
            "node_id": id(n), "hostname": name(n), "address": "", "swarm": true,
            "manager": self.role(n) == "manager", "agent": "0.1.0", "changed": 1,
            "engine": { "version": "26.1.5", "api_min": "1.24", "api_max": "1.45" },
            "guarded": null,
            "clock_ms": u64::try_from(skep::platform::clock::now().as_millis()).expect("a time"),
        })
    }

    /// The table of an agent, if any of them is on a manager.
    fn table(self, address: impl Fn(usize) -> SocketAddr) -> Value {
        let generation = generation();
        let rows = (0..self.size).map(|n| {
            let identity = self.identity(n);
            json!({
                "id": id(n), "hostname": name(n), "manager": identity["manager"],
                "state": "ready", "availability": "active",
                "agent": {
                    "version": "0.1.0", "changed": 1, "address": address(n),
                    "cluster": generation.fingerprint(), "engine": identity["engine"],
                    "clock_skew_ms": 0,
                },
            })
        });
        let rows: Vec<_> = rows.collect();
        json!({ "revision": "1-1", "whole": true, "listed": true, "nodes": rows })
    }
}

fn number(machine: Ipv4Addr) -> usize {
    let [_, _, high, low] = machine.octets();
    usize::from(high) * 256 + usize::from(low) - 1
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply {
        status,
        body: body.to_string().into_bytes().into(),
    }
}

/// What the agent of another node answers; its engine has one container.
async fn answer(others: Others, machine: Ipv4Addr, head: String, port: u16) -> Reply {
    let n = number(machine);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    match path {
        IDENTITY => reply(200, &others.identity(n)),
        TABLE if others.managers > 0 && target.contains("since=") => {
            // Nothing ever differs.
            tokio::time::sleep(Duration::from_secs(20)).await;
            reply(
                200,
                &json!({ "revision": "1-1", "whole": false, "listed": true, "nodes": [] }),
            )
        }
        TABLE if others.managers > 0 => {
            let network = machine.octets()[1];
            reply(200, &others.table(|n| Crowd::address_at(port, network, n)))
        }
        _ if path.ends_with("/containers/json") => {
            let row = fixture::container(&format!("{n:064x}"), &name(n), 1, 0);
            reply(200, &json!([row]))
        }
        _ => reply(404, &json!({ "message": "No such container" })),
    }
}

/// A cluster of a manager n1, a worker n2, and so many others that a crowd stands for.
async fn with_crowd(size: usize, test: impl AsyncFnOnce(&mut TestCluster, &Crowd)) {
    let managers = 0;
    with_others(Others { size, managers }, test).await;
}

async fn with_others(others: Others, test: impl AsyncFnOnce(&mut TestCluster, &Crowd)) {
    let size = others.size;
    let nodes = [manager("n1"), worker("n2")];
    ClusterBuilder::of(nodes)
        .run(async |bed| {
            let crowd = crowd(others, bed.node("n1")).await;
            let network = bed.node("n1").address;
            let crowds = (0..size).map(|n| crowd.address(network_of(network), n));
            let own = bed.nodes.iter().map(|node| node.address);
            let all: Vec<_> = own.chain(crowds).collect();
            list(bed, others);
            for name in ["n1", "n2"] {
                let node = bed.node_mut(name);
                node.stop().await;
                node.config.cluster.discover = vec![Discover::Static(all.clone())];
                node.start().await.expect("an agent");
            }
            sees(bed, size).await;
            test(bed, &crowd).await;
        })
        .await;
}

/// A loopback network for the crowd, which no agent has.
fn network_of(agent: SocketAddr) -> u8 {
    match agent.ip() {
        std::net::IpAddr::V4(ip) if ip.octets()[1] == 199 => 198,
        _ => 199,
    }
}

async fn crowd(others: Others, of: &Node) -> Crowd {
    let ours = of.trust().generations()[0].clone();
    let leaf = of.trust().leaf(0).expect("a certificate");
    let credentials = Credentials {
        certificate: &leaf.cert_der,
        key: &leaf.key_pkcs8,
        authority: ours.ca_der(),
    };
    let port = Arc::new(OnceLock::new());
    let at = port.clone();
    let answers: Answer = Arc::new(move |machine, head| {
        let port = *at.get().expect("it listens");
        Box::pin(answer(others, machine, head, port))
    });
    let crowd = Crowd::start(credentials, answers).await.expect("a crowd");
    port.set(crowd.port()).expect("once");
    crowd
}

/// The manager's engine lists all nodes.
fn list(bed: &TestCluster, others: Others) {
    let own = bed.nodes.iter().map(|node| {
        let role = if node.hostname == "n1" {
            "manager"
        } else {
            "worker"
        };
        fixture::node(&node.id, &node.hostname, role)
    });
    let crowd = (0..others.size).map(|n| fixture::node(&id(n), &name(n), others.role(n)));
    let rows: Vec<_> = own.chain(crowd).collect();
    bed.node("n1")
        .engine
        .set_answer("GET", "/nodes", 200, json!(rows));
}

/// Waits until both agents see all nodes.
async fn sees(bed: &TestCluster, size: usize) {
    let all = || bed.nodes.iter().all(|node| node.sees() == size + 2);
    let seen = || bed.nodes.iter().map(Node::sees).collect::<Vec<_>>();
    // Some builds are slow, and so many handshakes take their time.
    for _ in 0..4 {
        if eventually(all).await {
            return;
        }
    }
    panic!("{size} and two nodes, but the agents see {:?}", seen());
}

/// Waits until both agents have run so many rounds.
async fn rounds(bed: &TestCluster, count: usize) {
    let asked = |node: &Node| node.engine.requests_to("/info").len();
    let before: Vec<_> = bed.nodes.iter().map(asked).collect();
    let ran = || {
        let now = bed.nodes.iter().map(asked);
        now.zip(&before).all(|(now, before)| now >= before + count)
    };
    assert!(eventually(ran).await, "{count} rounds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_agent_asks_a_few_of_many_and_reads_no_list_again() {
    with_crowd(50, async |bed, crowd| {
        rounds(bed, 3).await;
        let lists = |bed: &TestCluster| bed.node("n1").engine.requests_to("/nodes").len();
        let own_rounds = |node: &str| bed.node(node).engine.requests_to("/info").len() as u64;
        let all_rounds = || own_rounds("n1") + own_rounds("n2");
        let before = (crowd.requests(IDENTITY), crowd.requests("/"), crowd.bytes());
        let (began, listed) = (all_rounds(), lists(bed));
        let managers = own_rounds("n1");
        rounds(bed, 20).await;
        // The last round may not have ended.
        let ran = all_rounds() - began + 2;
        let probes = crowd.requests(IDENTITY) - before.0;
        // One that is late on a busy machine is probed again.
        let most = ran * (SAMPLE + 2);
        assert!(probes <= most, "{probes} probes in {ran} rounds");
        assert_eq!(
            crowd.requests("/") - before.1,
            probes,
            "nothing else is asked"
        );
        let bytes = crowd.bytes() - before.2;
        assert!(bytes <= most * 10_000, "{bytes} bytes in {ran} rounds");
        // The worker reads none: it has the manager's table.
        let read = (lists(bed) - listed) as u64;
        let managers = own_rounds("n1") - managers + 1;
        assert!(
            read <= managers,
            "{read} lists of nodes in {managers} rounds"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_thousand_nodes_are_found_in_a_table_and_not_by_probes() {
    let others = Others {
        size: 1100,
        managers: 2,
    };
    with_others(others, async |bed, crowd| {
        for node in &bed.nodes {
            assert!(node.cluster().probed_once());
        }
        let probes = crowd.requests(IDENTITY);
        assert!(probes < 1000, "{probes} probes by two agents");
        let tables = crowd.requests(TABLE);
        assert!(tables < 100, "{tables} questions for a table");
        // It knows where they are: those of one node are asked of it alone.
        let id = id(1099);
        let answer = bed.operator("n2").get_from(&id, "/containers/json").await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            crowd.asked("/containers/json") + crowd.asked("/v1.45/containers/json"),
            1
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_no_node_has_is_looked_for_once() {
    with_crowd(20, async |bed, crowd| {
        let path = format!("/containers/{UNKNOWN}/json");
        for _ in 0..5 {
            let answer = bed.operator("n2").get(&path).await.unwrap();
            assert_eq!(answer.status, 404, "{}", answer.text());
            let message = answer.message().unwrap();
            assert!(message.contains("No such container"), "{message}");
        }
        let asked = |path: &str| crowd.requests(path);
        let version = "/v1.45/containers/";
        let all = || asked("/containers/") + asked(version);
        assert_eq!(all(), 20);
        // A name may come to exist at any time.
        let mut each = Vec::new();
        for _ in 0..2 {
            let before = all();
            let answer = bed.operator("n2").get("/containers/web/json").await;
            let answer = answer.unwrap();
            assert_eq!(answer.status, 404, "{}", answer.text());
            each.push(all() - before);
        }
        assert!(each[0] >= 20 && each[0] == each[1], "{each:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_table_stays_without_a_manager() {
    with_crowd(20, async |bed, _| {
        knows_all_nodes(bed, "n2").await;
        bed.node_mut("n1").kill().await;
        assert!(eventually(|| bed.node("n2").sees() == 21).await);
        rounds_of(bed, "n2", 10).await;
        let answer = bed.operator("n2").get("/containers/json").await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let rows: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(rows.len(), 20);
        let missing = answer.header("Skep-Missing").unwrap_or_default();
        assert!(
            missing.contains(" n1 (") && !missing.contains(','),
            "{missing}"
        );
    })
    .await;
}

/// Waits until the node has a manager's list of the nodes: its lists name none as missing.
async fn knows_all_nodes(bed: &TestCluster, node: &str) {
    let operator = bed.operator(node);
    for _ in 0..200 {
        let answer = operator.get("/containers/json").await;
        let answer = answer.expect("an answer");
        if answer.header("Skep-Missing").is_none() {
            return;
        }
        rounds_of(bed, node, 1).await;
    }
    panic!("{node} still misses some nodes");
}

async fn rounds_of(bed: &TestCluster, node: &str, count: usize) {
    let asked = || bed.node(node).engine.requests_to("/info").len();
    let before = asked();
    assert!(eventually(|| asked() >= before + count).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_the_engine_reports_reaches_every_agent() {
    with_crowd(20, async |bed, _| {
        let engine = &bed.node("n1").engine;
        assert!(eventually(|| engine.listeners() == 1).await);
        let mut rows: Vec<_> = (0..20)
            .map(|n| fixture::node(&id(n), &name(n), "worker"))
            .collect();
        rows.extend(bed.nodes.iter().map(|node| {
            let role = if node.hostname == "n1" {
                "manager"
            } else {
                "worker"
            };
            fixture::node(&node.id, &node.hostname, role)
        }));
        rows[7]["Spec"]["Labels"] = json!({ "zone": "north" });
        engine.set_answer("GET", "/nodes", 200, json!(rows));
        engine.publish(fixture::event("swarm", "node", "update", &id(7), 1));
        let told = |node: &Node| {
            let all = node.cluster().all();
            all.iter().any(|member| {
                let member = serde_json::to_value(&**member).expect("JSON");
                member["id"] == *id(7) && member["labels"]["zone"] == "north"
            })
        };
        assert!(eventually(|| bed.nodes.iter().all(told)).await);
    })
    .await;
}
