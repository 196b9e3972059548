//! Connections to ports of containers: every byte and both ends arrive, on every node,
//! many share one helper and none stops another, and nobody gets further than its
//! policy. The helper runs the real relay; the ports are those of this process.

#[cfg(unix)]
mod command;
mod helpers;
mod refusals;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use skep::config::{Audit, Config};
use skep::ports::relay;
use skep_bed::{EngineBuilder, Hijack, Seen, fixture, noise};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::common::{Caller, ClusterBuilder, Node, TestCluster, manager, worker};

const UPGRADE: [(&str, &str); 2] = [("Connection", "Upgrade"), ("Upgrade", "tcp")];

const IMAGE: &str = "sha256:5ce9000000000000000000000000000000000000000000000000000000000000";

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The id of the agent's container on a node.
fn agent(node: &str) -> String {
    format!("a9{}{:0<60}", &node[1..], "")
}

/// The id of the container `web` on a node.
fn web(node: &str) -> String {
    format!("eb{}{:0<61}", &node[1..], "")
}

/// An engine with its agent in a container, and the container `web.NODE`.
fn engine(engine: EngineBuilder, node: &str, more: Vec<Value>) -> EngineBuilder {
    let (id, name) = (agent(node), format!("skep-{node}"));
    let inspect = json!({
        "Id": id, "Name": format!("/{name}"), "Image": IMAGE,
        "Config": { "Image": "r.example/skep:1" },
        "HostConfig": { "NetworkMode": "bridge" },
        "State": { "Running": true },
    });
    let mut row = fixture::container(&web(node), &format!("web.{node}"), 1, 0);
    row["Labels"] = json!({ "team": "a" });
    let own = fixture::container(&id, &name, 1, 0);
    let mut rows = vec![row, own];
    rows.extend(more);
    engine
        .answer(
            "GET",
            &format!("/containers/{id}/json"),
            200,
            inspect.clone(),
        )
        .answer("GET", &format!("/containers/{name}/json"), 200, inspect)
        .containers(rows)
        .images(vec![fixture::image(IMAGE, &["r.example/skep:1"], 1)])
        .wait(Duration::from_secs(3600))
        .program(|stream| async { drop(relay::serve(stream).await) })
}

fn configure(node: &str, folder: &Path, config: &mut Config) {
    config.cluster.container = Some(format!("skep-{node}"));
    config.audit = Some(Audit {
        file: folder.join(format!("audit-{node}")),
        routine: false,
    });
}

/// Two nodes; `more` are further containers of n2.
fn two(more: Vec<Value>) -> ClusterBuilder<'static> {
    let plans = [
        manager("n1").engine(|e| engine(e, "n1", Vec::new())),
        worker("n2").engine(|e| engine(e, "n2", more)),
    ];
    ClusterBuilder::of(plans).configure(configure)
}

fn target(name: &str, port: u16) -> String {
    format!("/skep/v1/containers/{name}/forward?port={port}")
}

async fn connect(caller: &Caller, name: &str, port: u16) -> Hijack {
    let hijack = caller.hijack(&target(name, port), &UPGRADE, b"").await;
    hijack.expect("an answer")
}

async fn connected(caller: &Caller, name: &str, port: u16) -> Hijack {
    let hijack = connect(caller, name, port).await;
    assert_eq!(hijack.status, 101, "{:?}", hijack.head);
    assert_eq!(hijack.head.header("Upgrade"), Some("tcp"));
    hijack
}

/// The requests for new containers at a node's engine.
fn made(node: &Node) -> Vec<Seen> {
    node.engine.requests_to("/containers/create")
}

/// A server on the loopback of this process, which is also that of every helper.
async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// Serves connections: reads each to its end, and then sends this.
async fn after_the_end(answer: Vec<u8>) -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut all = Vec::new();
                socket.read_to_end(&mut all).await.expect("an end");
                socket.write_all(&answer).await.expect("a reader");
                socket.write_all(&all).await.expect("a reader");
            });
        }
    });
    port
}

/// Serves connections: sends back what comes, as it comes.
async fn echo() -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = socket.split();
                drop(tokio::io::copy(&mut from, &mut to).await);
                drop(to.shutdown().await);
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_and_both_ends_arrive_on_every_node() {
    two(Vec::new())
        .run(async |bed| {
            let sent = noise(1 << 20);
            let port = after_the_end(noise(300_000)).await;
            for (entry, node) in [("n1", "n1"), ("n1", "n2"), ("n2", "n1")] {
                let operator = bed.operator(entry);
                let mut hijack = connected(&operator, &format!("web.{node}"), port).await;
                assert_eq!(hijack.head.header("Content-Type"), None);
                hijack.stream.send(&sent).await.unwrap();
                hijack.stream.close_write().await.unwrap();
                let got = hijack.stream.receive_to_end().await.unwrap();
                let expected = [noise(300_000), sent.clone()].concat();
                assert_eq!(got.len(), expected.len(), "{entry} to {node}");
                assert!(got == expected, "{entry} to {node}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_server_comes_alone_and_the_client_goes_on() {
    two(Vec::new())
        .run(async |bed| {
            let (listener, port) = listen().await;
            let server = tokio::spawn(async move {
                let (mut socket, _) = listener.accept().await.unwrap();
                socket.write_all(b"hello").await.unwrap();
                socket.shutdown().await.unwrap();
                let mut rest = Vec::new();
                socket.read_to_end(&mut rest).await.unwrap();
                rest
            });
            let mut hijack = connected(&bed.operator("n1"), "web.n2", port).await;
            let got = hijack.stream.receive_to_end().await.unwrap();
            assert_eq!(got, b"hello");
            for _ in 0..3 {
                hijack.stream.send(b"still here ").await.unwrap();
            }
            hijack.stream.close_write().await.unwrap();
            let rest = timeout(PATIENCE, server).await.unwrap().unwrap();
            assert_eq!(rest, b"still here still here still here ");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_no_end() {
    two(Vec::new())
        .run(async |bed| {
            let (listener, port) = listen().await;
            let mut hijack = connected(&bed.operator("n1"), "web.n2", port).await;
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_zero_linger().unwrap();
            drop(socket);
            let end = hijack.stream.receive_to_end().await;
            assert!(end.is_err(), "{end:?}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_breaks_off_resets_the_connection_to_the_port() {
    two(Vec::new())
        .run(async |bed| {
            let (listener, port) = listen().await;
            let mut hijack = connected(&bed.operator("n1"), "web.n2", port).await;
            hijack.stream.send(b"x").await.unwrap();
            let (mut socket, _) = listener.accept().await.unwrap();
            assert_eq!(socket.read_u8().await.unwrap(), b'x');
            drop(hijack);
            let end = timeout(PATIENCE, socket.read_u8()).await.unwrap();
            assert!(end.is_err(), "{end:?}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_connections_at_once_share_one_helper() {
    two(Vec::new())
        .run(async |bed| {
            let port = echo().await;
            let operator = bed.operator("n1");
            // The others name its id, so that they are no test of a hundred look-ups.
            connected(&operator, "web.n2", port).await;
            let mut open = JoinSet::new();
            for n in 0..100_u32 {
                let operator = operator.clone();
                open.spawn(async move {
                    let mut hijack = connected(&operator, &web("n2"), port).await;
                    for _ in 0..5 {
                        let piece = n.to_be_bytes().repeat(500);
                        hijack.stream.send(&piece).await.unwrap();
                        let got = hijack.stream.receive_exact(piece.len()).await.unwrap();
                        assert!(got == piece, "{n}");
                    }
                    hijack.stream.close_write().await.unwrap();
                    assert!(hijack.stream.receive_to_end().await.unwrap().is_empty());
                });
            }
            while let Some(done) = open.join_next().await {
                done.unwrap();
            }
            assert_eq!(made(bed.node("n2")).len(), 1);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_nobody_reads_stops_no_other() {
    two(Vec::new())
        .run(async |bed| {
            let (listener, port) = listen().await;
            tokio::spawn(async move {
                while let Ok((mut socket, _)) = listener.accept().await {
                    // Without end: nobody reads it.
                    tokio::spawn(async move {
                        let piece = noise(64 * 1024);
                        while socket.write_all(&piece).await.is_ok() {}
                    });
                }
            });
            let operator = bed.operator("n1");
            let mut slow = Vec::new();
            for _ in 0..8 {
                slow.push(connected(&operator, "web.n2", port).await);
            }
            let port = echo().await;
            let mut fast = connected(&operator, "web.n2", port).await;
            let piece = noise(64 * 1024);
            for _ in 0..50 {
                fast.stream.send(&piece).await.unwrap();
                let got = fast.stream.receive_exact(piece.len()).await.unwrap();
                assert!(got == piece);
            }
            // And none is lost.
            let got = slow[0].stream.receive_exact(1 << 20).await.unwrap();
            assert!(got.chunks(64 * 1024).all(|chunk| chunk == piece));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_come_one_by_one_break_no_helper() {
    two(Vec::new())
        .run(async |bed| {
            let (listener, port) = listen().await;
            tokio::spawn(async move {
                let (mut socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                while socket.write_all(b"x").await.is_ok() {}
            });
            let operator = bed.operator("n1");
            let _slow = connected(&operator, "web.n2", port).await;
            let port = echo().await;
            let mut other = connected(&operator, "web.n2", port).await;
            for _ in 0..2000 {
                other.stream.send(b"y").await.unwrap();
                assert_eq!(other.stream.receive_exact(1).await.unwrap(), b"y");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_means_one_of_its_running_tasks_and_a_slot_its_own() {
    let task = |id: &str, slot: u64, node: &str, state: &str| {
        json!({
            "ID": id, "ServiceID": "shop1shop1shop1shop1shop1", "Slot": slot,
            "NodeID": format!("{node:0<25}"), "CreatedAt": format!("2023-11-14T22:13:{slot:02}Z"),
            "Status": { "State": state, "ContainerStatus": { "ContainerID": web(node) } },
        })
    };
    let tasks = vec![
        task("taskaaaaaaaaaaaaaaaaaaaaa", 1, "n2", "running"),
        task("taskbbbbbbbbbbbbbbbbbbbbb", 2, "n1", "running"),
        task("taskccccccccccccccccccccc", 3, "n1", "shutdown"),
    ];
    let service = json!({ "ID": "shop1shop1shop1shop1shop1", "Spec": { "Name": "shop" } });
    let plans = [
        manager("n1").engine(|e| {
            engine(e, "n1", Vec::new())
                .answer("GET", "/services/shop", 200, service)
                .swarm_objects("tasks", tasks)
        }),
        worker("n2").engine(|e| engine(e, "n2", Vec::new())),
    ];
    ClusterBuilder::of(plans)
        .configure(configure)
        .run(async |bed| {
            for (entry, name, node) in [
                ("n1", "shop", Some("n1")),
                ("n2", "shop", Some("n2")),
                ("n1", "shop.1", Some("n2")),
                ("n2", "shop.2", Some("n1")),
                ("n1", "shop.3", None),
                ("n1", "shop.4", None),
            ] {
                let check = format!("{}&check=1", target(name, 1));
                let answer = bed.operator(entry).ask("POST", &check, &[], b"").await;
                let answer = answer.unwrap();
                let found = answer.json().unwrap_or_default();
                match node {
                    Some(node) => assert_eq!(found["Id"], web(node), "{entry} {name}: {found}"),
                    None => assert_eq!(answer.status, 404, "{entry} {name}: {found}"),
                }
            }
            let port = echo().await;
            connected(&bed.operator("n2"), "shop", port).await;
        })
        .await;
}

/// The lines of a node's audit log about forwards.
fn audited(bed: &TestCluster, node: &str) -> Vec<Value> {
    let file = bed.folder().join(format!("audit-{node}"));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines
        .filter(|line| line["what"] == "ContainerForward")
        .collect()
}

/// A connection of a program on this machine.
async fn dial(address: SocketAddr) -> TcpStream {
    let dialled = timeout(PATIENCE, TcpStream::connect(address)).await;
    dialled.expect("in time").expect("a connection")
}
