//! `skep ps`, the real program.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use skep_bed::{EngineBuilder, fixture};

use crate::common::{ClusterBuilder, TestCluster, manager, worker};

fn two_nodes() -> ClusterBuilder<'static> {
    let has = |id: &'static str, port: Value, labels: Value| {
        let mut row = fixture::container(id, id, 1, 0);
        row["Ports"] = json!([port]);
        row["Labels"] = labels;
        let gone = fixture::exited(fixture::container("gone", "gone", 1, 0));
        move |e: EngineBuilder| e.containers(vec![row, gone])
    };
    let port = |ip: &str| json!({ "IP": ip, "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" });
    let swarm = json!({ "com.docker.swarm.service.name": "web" });
    ClusterBuilder::of([
        manager("n1").engine(has("here", port("127.0.0.1"), json!({}))),
        worker("n2").engine(has("far", port("0.0.0.0"), swarm)),
    ])
}

async fn ps(bed: &TestCluster, arguments: &'static [&'static str]) -> Output {
    let to = format!("https://{}", bed.node("n1").address);
    let secret = bed.folder().join("secret");
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_skep"))
            .args(["ps", "--to", &to, "--secret-file"])
            .arg(secret)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("skep ps runs")
    };
    tokio::task::spawn_blocking(run).await.expect("an output")
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let [out, err] = [out, err].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{out}{err}");
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_container_is_listed_with_its_node_and_where_its_ports_are() {
    two_nodes()
        .run(async |bed| {
            let table = text(&ps(bed, &[]).await);
            let lines: Vec<_> = table.lines().collect();
            assert!(lines[0].starts_with("NODE  CONTAINER ID  NAME"), "{table}");
            assert_eq!(lines.len(), 3, "{table}");
            let line = |node: &str| lines.iter().find(|line| line.starts_with(node)).unwrap();
            for (node, words) in [
                ("n1", ["here", "n1/127.0.0.1:8080->80/tcp"]),
                // The engine prints 0.0.0.0; the managers know the node's address.
                ("n2", ["web", "127.0.0.1:8080->80/tcp"]),
            ] {
                let words_of: Vec<_> = line(node).split_whitespace().collect();
                for word in words {
                    assert!(words_of.contains(&word), "{word}: {table}");
                }
            }
            let all = text(&ps(bed, &["--all"]).await);
            assert_eq!(all.lines().count(), 5, "{all}");
            let one = text(&ps(bed, &["-a", "--filter", "node=n2"]).await);
            assert_eq!(one.lines().count(), 3, "{one}");
            assert!(!one.contains("n1 "), "{one}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_has_one_object_for_each_container() {
    two_nodes()
        .run(async |bed| {
            let lines = text(&ps(bed, &["--json", "--filter", "node=n2"]).await);
            let [line] = lines.lines().collect::<Vec<_>>()[..] else {
                panic!("{lines}");
            };
            let row: Value = serde_json::from_str(line).unwrap();
            for (name, expected) in [
                ("Node", json!("n2")),
                ("NodeID", json!(bed.node("n2").id)),
                ("NodeAddress", json!("127.0.0.1")),
                ("ID", json!("far")),
                ("Service", json!("web")),
                ("State", json!("running")),
                ("Ports", json!(["127.0.0.1:8080->80/tcp"])),
            ] {
                assert_eq!(row[name], expected, "{name}: {line}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_answer_is_named() {
    two_nodes()
        .run(async |bed| {
            bed.node_mut("n2").kill().await;
            let output = ps(bed, &[]).await;
            assert!(!text(&output).contains("far"));
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                err.contains("did not answer") && err.contains("n2"),
                "{err}"
            );
        })
        .await;
}
