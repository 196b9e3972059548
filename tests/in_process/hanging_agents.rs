//! Agents that hang, and machines that disappear without closing connections: the
//! other agents close the streams to them, and no others.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{Caller, ClusterBuilder, TestCluster, manager, worker};
use futures::StreamExt;
use skep::config::{Config, Discover, Grant, Hidden, Portainer, SecretSource};
use skep_bed::{Behaviour, Cable, Client, Hijack, eventually, fixture};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const UPGRADE: [(&str, &str); 2] = [("Connection", "Upgrade"), ("Upgrade", "tcp")];
const WEBSOCKET: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
const N2: (&str, &str) = ("Skep-Target", "n2");
const BODY: &[u8] = b"{\"Detach\":false,\"Tty\":true}";

/// An exec and a container of n2.
const ID: &str = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
const START: &str = "/exec/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd/start";

/// Longer than n1 waits here for a sign of life from n2.
const SILENCE_LIMIT: Duration = Duration::from_secs(12);

/// Two nodes; n1 reaches n2 only through a cable.
async fn over_a_cable(test: impl AsyncFnOnce(&mut TestCluster, &Cable)) {
    let cable = Arc::new(Cable::new().expect("a cable"));
    let row = fixture::container(ID, "exact.1", 1, 0);
    let nodes = [
        manager("n1"),
        worker("n2").engine(|e| e.containers(vec![row]).execs(&[ID])),
    ];
    let shared = cable.clone();
    let cluster = ClusterBuilder::of(nodes).configure(move |node, _, config: &mut Config| {
        config.cluster.probe_timeout = Duration::from_millis(100);
        // Consoles are among Portainer's endpoints.
        config.auth.portainer = Some(Portainer {
            secret: Some(SecretSource::Given(Hidden::new(vec![b'x'; 40]))),
            public_key_file: None,
            first_use: false,
            grant: Grant::admin(),
        });
        let [Discover::Static(all)] = &mut config.cluster.discover[..] else {
            panic!("{:?}", config.cluster.discover);
        };
        if node == "n1" {
            shared.lead_to(all[1]);
            all[1] = shared.address();
        }
    });
    cluster.run(async |bed| test(bed, &cable).await).await;
}

/// A client with a longer timeout than the agent's.
fn client(bed: &TestCluster) -> (Caller, Client) {
    let operator = bed.operator("n1");
    let client = operator.client().clone().limit(SILENCE_LIMIT * 2);
    (operator, client)
}

async fn exec(bed: &TestCluster) -> Hijack {
    let (operator, client) = client(bed);
    let headers = [UPGRADE[0], UPGRADE[1], N2];
    let signed = operator.sign("POST", START, &headers, BODY);
    let fields = signed.fields();
    let asked = client.hijack("POST", START, &fields, BODY).await;
    asked.expect("an answer")
}

/// An exec that echoes. The probe timeout is so short here that a busy machine
/// may fail a probe; the next one corrects that.
async fn echoing_exec(bed: &TestCluster) -> Hijack {
    let mut hijack = exec(bed).await;
    for _ in 0..10 {
        if hijack.status == 101 {
            break;
        }
        bed.settle().await;
        hijack = exec(bed).await;
    }
    assert_eq!(hijack.status, 101, "{:?}", hijack.head);
    check_echo(&mut hijack).await;
    hijack
}

async fn check_echo(hijack: &mut Hijack) {
    hijack.stream.send(b"hello").await.expect("it is sent");
    let echo = hijack.stream.receive_exact(5).await;
    assert_eq!(echo.expect("an echo"), b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_through_a_hanging_agent_are_closed() {
    over_a_cable(async |bed, cable| {
        let mut idle = echoing_exec(bed).await;
        let mut typing = echoing_exec(bed).await;
        let (operator, client) = client(bed);
        let target = format!("/websocket/attach?id={ID}");
        let headers = [&WEBSOCKET[..], &[N2]].concat();
        let signed = operator.sign("GET", &target, &headers, b"");
        let console = client.hijack("GET", &target, &signed.fields(), b"").await;
        let console = console.unwrap();
        assert_eq!(console.status, 101, "{:?}", console.head);
        let (read, write) = console.stream.into_split();
        let stream = tokio::io::join(read, write);
        let mut browser = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;

        cable.cut();
        typing.stream.send(b"are you there?").await.unwrap();
        let browsing = async {
            let next = tokio::time::timeout(SILENCE_LIMIT * 2, browser.next()).await;
            let next = next.expect("the browser sees the end");
            assert!(!matches!(next, Some(Ok(Message::Text(_)))), "{next:?}");
        };
        // Without TLS's close_notify, which would mean a complete stream.
        let broken = |end: std::io::Result<Vec<u8>>| {
            let end = end.expect_err("the stream breaks");
            assert_ne!(end.kind(), std::io::ErrorKind::TimedOut, "{end}");
        };
        let (idle, typing, ()) = tokio::join!(
            idle.stream.receive_to_end(),
            typing.stream.receive_to_end(),
            browsing
        );
        broken(idle);
        broken(typing);

        cable.mend();
        let engine = &bed.node("n2").engine;
        let attach = format!("/containers/{ID}/attach");
        for path in [START, &attach] {
            let ended = || {
                engine
                    .requests_to(path)
                    .iter()
                    .any(|seen| seen.client_closed)
            };
            assert!(eventually(ended).await, "{path}");
        }
        bed.settle().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_a_hanging_agent_does_not_begin_is_refused() {
    over_a_cable(async |bed, cable| {
        let engine = &bed.node("n2").engine;
        engine.set_behaviour_of("/exec/", Behaviour::Hang);
        let asking = async {
            let refused = exec(bed).await;
            assert_eq!(refused.status, 503);
            let refused = refused.response().await.unwrap().message().unwrap();
            assert!(refused.contains("has not answered since"), "{refused}");
        };
        let cutting = async {
            let asked = || engine.requests_to(START).len() == 1;
            assert!(eventually(asked).await);
            cable.cut();
        };
        tokio::join!(asking, cutting);
        cable.mend();
        // Otherwise it would still hang on the old request.
        engine.restart().await.unwrap();
        bed.settle().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_through_a_hanging_agent_end_and_say_why() {
    over_a_cable(async |bed, cable| {
        let target = format!("/containers/{ID}/logs?follow=1&stdout=1");
        let operator = bed.operator("n1");
        let logs = operator.stream("GET", &target, &[N2]).await;
        let mut logs = logs.unwrap();
        assert_eq!(logs.status, 200);
        assert!(logs.next_line().await.unwrap().is_some());
        cable.cut();
        loop {
            let line = logs.next_line().await;
            let line = line.expect("a reason before the end").expect("a reason");
            if line.contains("node n2 does not answer any more") {
                break;
            }
        }
        // Not the end of a complete answer.
        assert!(logs.next_line().await.is_err());
        cable.mend();
        let path = format!("/containers/{ID}/logs");
        let engine = &bed.node("n2").engine;
        let ended = || engine.requests_to(&path).iter().any(|r| r.client_closed);
        assert!(eventually(ended).await);
        bed.settle().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_agent_keeps_its_idle_streams() {
    over_a_cable(async |bed, _| {
        let mut quiet = echoing_exec(bed).await;
        let stopping = bed.node_mut("n2").stop();
        tokio::time::sleep(SILENCE_LIMIT).await;
        check_echo(&mut quiet).await;
        let seen = || bed.node("n1").sees() == 2;
        assert!(eventually(seen).await, "it answers while it drains");
        quiet.stream.close_write().await.unwrap();
        assert!(quiet.stream.receive_to_end().await.unwrap().is_empty());
        stopping.await;
    })
    .await;
}
