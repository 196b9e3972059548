//! Requests that an agent sends to another agent for itself. A short list is
//! allowed; every other request is refused and audited.

use std::path::Path;

use crate::common::{Caller, ClusterBuilder, Node, TestCluster, manager, worker};
use serde_json::Value;
use skep::config::{Audit, Config};
use skep_bed::{EngineBuilder, eventually, fixture};
use skep_filters::auth::SigningKey;

fn with_c1(engine: EngineBuilder) -> EngineBuilder {
    engine.containers(vec![fixture::container("c1", "web", 1, 0)])
}

fn audited(hostname: &str, folder: &Path, config: &mut Config) {
    config.audit = Some(Audit {
        file: folder.join(format!("audit-{hostname}")),
        routine: hostname == "n3",
    });
}

/// The agent of `from` as a caller of `to`: with its key and its certificate, and
/// not on behalf of a client.
fn agent(from: &Node, to: &Node) -> Caller {
    let ours = from.trust().generations()[0].clone();
    let leaf = from.trust().leaf(0).expect("a certificate");
    let key = SigningKey::hmac(&ours.agent_key_id(), ours.peer_key()).expect("a key");
    Caller::new(to.address, &ours, Some(&leaf), key)
}

/// The audit lines of a node about a path.
fn lines(bed: &TestCluster, node: &str, path: &str) -> Vec<Value> {
    let file = bed.folder().join(format!("audit-{node}"));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["path"] == path).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_may_only_inspect_for_itself_and_a_refusal_is_audited() {
    let nodes = [
        manager("n1"),
        worker("n2").engine(with_c1),
        worker("n3").engine(with_c1),
    ];
    ClusterBuilder::of(nodes)
        .configure(audited)
        .run(async |bed| {
            let n2 = bed.node("n2");
            let caller = agent(bed.node("n1"), n2);
            let to = [("Skep-Target", n2.id.as_str())];
            for (method, path, body) in [
                ("POST", "/containers/c1/exec", &b"{}"[..]),
                ("POST", "/containers/create", b"{}"),
                ("POST", "/containers/c1/kill", b""),
                ("DELETE", "/containers/c1", b""),
                ("GET", "/containers/json", b""),
                ("GET", "/containers/c1/archive", b""),
                ("HEAD", "/containers/c1/archive", b""),
                ("POST", "/services/create", b"{}"),
                ("GET", "/info", b""),
                ("GET", "/metrics", b""),
                ("GET", "/no/such/path", b""),
            ] {
                let answer = caller.ask(method, path, &to, body).await.unwrap();
                assert_eq!(answer.status, 403, "{method} {path}");
                let ours = || {
                    let mut all = lines(bed, "n2", path);
                    all.retain(|line| line["method"] == method);
                    all
                };
                assert!(eventually(|| !ours().is_empty()).await, "{method} {path}");
                assert_eq!(ours()[0]["verdict"], "deny");
                assert_eq!(ours()[0]["rule"], "internal requests");
            }
            let inspect = "/containers/c1/json";
            let answer = caller.ask("GET", inspect, &to, b"").await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            // n3 audits routine requests too, n2 does not.
            let n3 = bed.node("n3");
            let caller = agent(bed.node("n1"), n3);
            let to = [("Skep-Target", n3.id.as_str())];
            let answer = caller.ask("GET", inspect, &to, b"").await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(eventually(|| !lines(bed, "n3", inspect).is_empty()).await);
            assert!(lines(bed, "n2", inspect).is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_shares_its_table_of_nodes_with_agents_only() {
    let nodes = [manager("n1"), worker("n2"), worker("n3")];
    ClusterBuilder::of(nodes)
        .run(async |bed| {
            let n2 = bed.node("n2");
            let caller = agent(bed.node("n1"), n2);
            let to = [("Skep-Target", n2.id.as_str())];
            let ask = async |query: &str| {
                let target = format!("/skep/v1/members{query}");
                let answer = caller.ask("GET", &target, &to, b"").await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                answer.json().unwrap()
            };
            let table = ask("").await;
            assert_eq!(table["whole"], true);
            let rows = table["nodes"].as_array().unwrap();
            let ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
            let all: Vec<_> = bed.nodes.iter().map(|node| node.id.as_str()).collect();
            assert_eq!(ids, all);
            // Whoever asks n2 knows where it is.
            assert_eq!(rows[1]["agent"]["address"], Value::Null);
            let n3 = bed.node("n3").address.to_string();
            assert_eq!(rows[2]["agent"]["address"], *n3);
            let revision = table["revision"].as_str().unwrap();
            let later = ask(&format!("?since={revision}")).await;
            assert_eq!(later["whole"], false);
            // It waits for a change, here that of a role.
            let revision = later["revision"].as_str().unwrap();
            bed.node("n3").engine.set_manager(true);
            let change = ask(&format!("?since={revision}&wait=20")).await;
            assert_eq!(change["whole"], false, "{change}");
            assert_ne!(change["nodes"].as_array().unwrap().len(), 0, "{change}");
            for unreadable in ["?since=x", "?since=1-", "?since=0-0", "?wait=x"] {
                assert_eq!(ask(unreadable).await["whole"], true, "{unreadable}");
            }
            let answer = bed.operator("n2").get("/skep/v1/members").await.unwrap();
            assert_eq!(answer.status, 404, "{}", answer.text());
        })
        .await;
}
