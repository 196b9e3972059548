//! Agents that hang, and machines that are gone without a word: who waits for
//! them at another agent is let go, and nobody else.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{Bed, Caller, Cluster, manager, worker};
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

/// How long n1 looks for a sign of life of n2 here, and then some.
const PATIENCE: Duration = Duration::from_secs(12);

/// Two nodes; n1 reaches n2 through a cable only.
async fn over_a_cable(test: impl AsyncFnOnce(&mut Bed, &Cable)) {
    let cable = Arc::new(Cable::new().expect("a cable"));
    let row = fixture::container(ID, "exact.1", 1, 0);
    let nodes = [
        manager("n1"),
        worker("n2").engine(|e| e.containers(vec![row]).execs(&[ID])),
    ];
    let laid = cable.clone();
    let cluster = Cluster::of(nodes).configure(move |node, _, config: &mut Config| {
        config.cluster.probe_timeout = Duration::from_millis(100);
        // Consoles are of its endpoints.
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
            laid.lead_to(all[1]);
            all[1] = laid.address();
        }
    });
    cluster.run(async |bed| test(bed, &cable).await).await;
}

/// A client with more patience than the agent.
fn client(bed: &Bed) -> (Caller, Client) {
    let operator = bed.operator("n1");
    let client = operator.client().clone().limit(PATIENCE * 2);
    (operator, client)
}

async fn exec(bed: &Bed) -> Hijack {
    let (operator, client) = client(bed);
    let headers = [UPGRADE[0], UPGRADE[1], N2];
    let signed = operator.sign("POST", START, &headers, BODY);
    let fields = signed.fields();
    let asked = client.hijack("POST", START, &fields, BODY).await;
    asked.expect("an answer")
}

/// One that echoes. Probes are so hasty here that a busy machine may fail one;
/// the next one mends that.
async fn talking(bed: &Bed) -> Hijack {
    let mut hijack = exec(bed).await;
    for _ in 0..10 {
        if hijack.status == 101 {
            break;
        }
        bed.settle().await;
        hijack = exec(bed).await;
    }
    assert_eq!(hijack.status, 101, "{:?}", hijack.head);
    talk(&mut hijack).await;
    hijack
}

async fn talk(hijack: &mut Hijack) {
    hijack.stream.send(b"hello").await.expect("it is sent");
    let echo = hijack.stream.receive_exact(5).await;
    assert_eq!(echo.expect("an echo"), b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_through_a_hanging_agent_are_closed() {
    over_a_cable(async |bed, cable| {
        let mut idle = talking(bed).await;
        let mut typing = talking(bed).await;
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
        typing.stream.send(b"is anybody there?").await.unwrap();
        let browsing = async {
            let next = tokio::time::timeout(PATIENCE * 2, browser.next()).await;
            let next = next.expect("the browser sees an end");
            assert!(!matches!(next, Some(Ok(Message::Text(_)))), "{next:?}");
        };
        // Without the farewell of TLS, which would say that all has come.
        let broken = |end: std::io::Result<Vec<u8>>| {
            let end = end.expect_err("it breaks");
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
        // What it was asked, it would go on to hang over.
        engine.restart().await.unwrap();
        bed.settle().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_agent_keeps_its_idle_streams() {
    over_a_cable(async |bed, _| {
        let mut quiet = talking(bed).await;
        let stopping = bed.node_mut("n2").stopping();
        let gone = || bed.node("n1").sees() == 1;
        assert!(eventually(gone).await);
        tokio::time::sleep(PATIENCE).await;
        talk(&mut quiet).await;
        quiet.stream.close_write().await.unwrap();
        assert!(quiet.stream.receive_to_end().await.unwrap().is_empty());
        stopping.await;
    })
    .await;
}
