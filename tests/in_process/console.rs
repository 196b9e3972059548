//! Websocket consoles: input and output arrive whole, on every node, and neither
//! end outlives the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::common::{Caller, ClusterBuilder, TestCluster, manager, worker};
use futures::{SinkExt, StreamExt};
use serde_json::json;
use skep::config::{Grant, Hidden, Portainer, SecretSource};
use skep_bed::{
    EngineBuilder, FakeEngine, Hijack, Noise, Response, Seen, eventually, fixture, noise,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const WEBSOCKET: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Ids, by the behaviour of the fake engine.
const EXACT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const FIRST: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const FLOOD: &str = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
const DEAF: &str = "ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
const PLAIN: &str = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
const EXEC: &str = "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

/// One route to a node's containers, whose ids end in the node's digit.
struct Route<'a> {
    bed: &'a TestCluster,
    operator: Caller,
    digit: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    engine: &'a FakeEngine,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
type Browser = WebSocketStream<Box<dyn Duplex>>;

impl Route<'_> {
    fn id(&self, id: &str) -> String {
        format!("{id}{}", self.digit)
    }

    async fn ask(&self, target: &str) -> Hijack {
        let mut headers = self.headers.clone();
        headers.extend(WEBSOCKET);
        hijack(&self.operator, target, &headers).await
    }

    async fn open(&self, target: &str) -> Browser {
        let hijack = self.ask(target).await;
        assert_eq!(hijack.status, 101, "{target}: {:?}", hijack.head);
        let accept = hijack.head.header("Sec-WebSocket-Accept");
        assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        let (read, write) = hijack.stream.into_split();
        let stream: Box<dyn Duplex> = Box::new(tokio::io::join(read, write));
        WebSocketStream::from_raw_socket(stream, Role::Client, None).await
    }

    fn seen(&self, path: &str) -> Option<Seen> {
        let requests = self.engine.requests();
        requests.into_iter().rev().find(|seen| seen.path == path)
    }
}

async fn hijack(operator: &Caller, target: &str, headers: &[(&str, &str)]) -> Hijack {
    let signed = operator.sign("GET", target, headers, b"");
    let client = operator.client();
    let asked = client.hijack("GET", target, &signed.fields(), b"").await;
    asked.expect("an answer")
}

/// Runs a test over each route: to the local engine, to a named node, and to a
/// node that the agent locates.
async fn on_every_route(test: impl AsyncFn(&Route<'_>)) {
    let engine = |digit: &'static str| {
        let names = [
            (EXACT, "exact.1"),
            (FIRST, "server-first.1"),
            (FLOOD, "flood.1"),
            (DEAF, "deaf.1"),
            (PLAIN, "exact.2"),
        ];
        let id = |id: &str| format!("{id}{digit}");
        let rows = names.map(|(of, name)| fixture::container(&id(of), name, 1, 0));
        let plain = json!({ "Id": id(PLAIN), "Name": "/exact.2", "Config": { "Tty": false } });
        move |e: EngineBuilder| {
            let inspect = format!("/containers/{PLAIN}{digit}/json");
            // A version without the content type for multiplexed streams.
            e.version("20.10.24", "1.41")
                .containers(rows.to_vec())
                .answer("GET", &inspect, 200, plain)
                .execs(&[&format!("{EXEC}{digit}")])
        }
    };
    let nodes = [
        manager("n1").engine(engine("1")),
        worker("n2").engine(engine("2")),
    ];
    let cluster = ClusterBuilder::of(nodes)
        .configure(|_, _, config| config.auth.portainer = Some(portainer()));
    let over = async |bed: &mut TestCluster| {
        let bed: &TestCluster = bed;
        for (node, digit, headers) in [
            ("n1", "1", vec![]),
            ("n2", "2", vec![("Skep-Target", "n2")]),
            ("n2", "2", vec![]),
        ] {
            test(&Route {
                bed,
                operator: bed.operator("n1"),
                digit,
                headers,
                engine: &bed.node(node).engine,
            })
            .await;
        }
    };
    cluster.run(over).await;
}

/// The setting that enables Portainer's endpoints; the operator calls them.
fn portainer() -> Portainer {
    Portainer {
        secret: Some(SecretSource::Given(Hidden::new(vec![b'x'; 40]))),
        public_key_file: None,
        first_use: false,
        grant: Grant::admin(),
    }
}

async fn next(browser: &mut Browser) -> Message {
    let next = tokio::time::timeout(skep_bed::LIMIT, browser.next()).await;
    next.expect("in time").expect("a message").expect("a frame")
}

fn message(answer: &Response) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    body["message"].as_str().expect("a message").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_paste_is_echoed_whole_as_text() {
    on_every_route(async |route| {
        for target in [
            format!("/websocket/attach?id={}", route.id(EXACT)),
            format!("/v2/websocket/exec?id={}&nodeName=x", route.id(EXEC)),
        ] {
            let browser = route.open(&target).await;
            let paste = "é€🐝".repeat(100_000 / 9);
            let (mut sink, mut source) = browser.split();
            let pasted = paste.clone();
            let sending = tokio::spawn(async move {
                sink.send(Message::Text(pasted.into())).await.unwrap();
                drop(sink);
            });
            let mut shown = String::new();
            while shown.len() < paste.len() {
                let next = tokio::time::timeout(skep_bed::LIMIT, source.next()).await;
                match next.expect("in time").unwrap().unwrap() {
                    Message::Text(text) => shown.push_str(&text),
                    other => panic!("{target}: {other:?}"),
                }
            }
            assert!(shown == paste, "{target}");
            sending.await.unwrap();
        }
        let seen = route
            .seen(&format!("/exec/{}/start", route.id(EXEC)))
            .unwrap();
        let body = seen.json().unwrap();
        assert_eq!(body, serde_json::json!({ "Tty": true, "Detach": false }));
        assert_eq!(seen.header("Upgrade"), Some("tcp"));
        let seen = route.seen(&format!("/containers/{}/attach", route.id(EXACT)));
        let target = seen.unwrap().target;
        assert!(
            target.ends_with("?stdin=1&stdout=1&stderr=1&stream=1"),
            "{target}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_utf_8_are_echoed_unchanged() {
    on_every_route(async |route| {
        let target = format!("/websocket/attach?id={}", route.id(EXACT));
        let mut browser = route.open(&target).await;
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        browser
            .send(Message::Binary(bytes.clone().into()))
            .await
            .unwrap();
        let mut shown = Vec::new();
        while shown.len() < bytes.len() {
            shown.extend_from_slice(&next(&mut browser).await.into_data());
        }
        assert!(shown == bytes);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_sees_the_browser_disconnect() {
    on_every_route(async |route| {
        for politely in [true, false] {
            let target = format!("/websocket/exec?id={}", route.id(EXEC));
            let mut browser = route.open(&target).await;
            browser.send(Message::Text("x".into())).await.unwrap();
            assert_eq!(next(&mut browser).await, Message::Text("x".into()));
            if politely {
                browser.close(None).await.unwrap();
            }
            drop(browser);
            let path = format!("/exec/{}/start", route.id(EXEC));
            let gone = eventually(|| route.seen(&path).is_some_and(|seen| seen.client_closed));
            assert!(gone.await, "{politely}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_browser_gets_a_normal_close_when_the_engine_ends_the_stream() {
    on_every_route(async |route| {
        let target = format!("/v1/websocket/attach?id={}", route.id(FIRST));
        let mut browser = route.open(&target).await;
        assert_eq!(next(&mut browser).await, Message::Text("hello".into()));
        let Message::Close(Some(frame)) = next(&mut browser).await else {
            panic!("no close");
        };
        assert_eq!(frame.code, CloseCode::Normal);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_console_gets_an_ordinary_http_answer() {
    on_every_route(async |route| {
        let zeros = "0".repeat(64);
        for (target, status) in [
            ("/websocket/exec?id=../../info".to_owned(), 400),
            ("/websocket/attach?id=a%20b".to_owned(), 400),
            ("/websocket/attach".to_owned(), 400),
            (format!("/websocket/exec?id={zeros}"), 404),
            (format!("/websocket/attach?id={zeros}"), 404),
        ] {
            let refused = route.ask(&target).await;
            assert_eq!(refused.status, status, "{target}");
            let refused = refused.response().await.unwrap();
            assert!(!message(&refused).is_empty(), "{target}");
        }
        let target = format!("/websocket/attach?id={}", route.id(EXACT));
        let plain = hijack(&route.operator, &target, &route.headers).await;
        assert_eq!(plain.status, 426);
        let mut foreign = route.headers.clone();
        foreign.extend(WEBSOCKET);
        foreign.push(("Origin", "https://elsewhere.example"));
        let foreign = hijack(&route.operator, &target, &foreign).await;
        assert_eq!(foreign.status, 403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_console_names_its_node_and_agent() {
    on_every_route(async |route| {
        let target = format!("/websocket/attach?id={}", route.id(EXACT));
        let agreed = route.ask(&target).await;
        assert_eq!(agreed.status, 101);
        let head = String::from_utf8(agreed.head.raw).unwrap();
        let node = format!("n{}", route.digit);
        for (name, value) in [
            ("Portainer-Agent", "2.45.0"),
            ("Portainer-Agent-API-Version", "2"),
            ("Portainer-Agent-Platform", "1"),
            ("Skep-Node", &*format!("{node:0<25} {node}")),
        ] {
            let line = format!("\r\n{name}: {value}\r\n");
            assert_eq!(head.matches(&line).count(), 1, "{name}: {head}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_answers_websocket_pings() {
    on_every_route(async |route| {
        let target = format!("/websocket/attach?id={}", route.id(EXACT));
        let mut browser = route.open(&target).await;
        browser.send(Message::Ping("a".into())).await.unwrap();
        assert_eq!(next(&mut browser).await, Message::Pong("a".into()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_an_older_engine_the_agent_inspects_the_container_for_a_terminal() {
    on_every_route(async |route| {
        let target = format!("/websocket/attach?id={}", route.id(PLAIN));
        let mut browser = route.open(&target).await;
        // The engine echoes it: output and errors as frames of a multiplexed stream.
        let typed = b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err";
        let typed = Message::Binary(typed.to_vec().into());
        browser.send(typed).await.unwrap();
        let mut shown = String::new();
        while shown.len() < 6 {
            shown.push_str(next(&mut browser).await.to_text().unwrap());
        }
        assert_eq!(shown, "outerr");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_browser_gets_a_close_frame_when_the_engine_dies() {
    on_every_route(async |route| {
        let target = format!("/websocket/exec?id={}", route.id(EXEC));
        let mut browser = route.open(&target).await;
        browser.send(Message::Text("x".into())).await.unwrap();
        assert_eq!(next(&mut browser).await, Message::Text("x".into()));
        route.engine.restart().await.unwrap();
        let end = next(&mut browser).await;
        assert!(matches!(end, Message::Close(Some(_))), "{end:?}");
        // For the next route: wait until the agents have probed it twice.
        let probes = || route.engine.requests_to("/version").len();
        let before = probes();
        assert!(eventually(|| probes() >= before + 2).await);
        route.bed.settle().await;
    })
    .await;
}

/// More than the socket buffers of the whole route hold.
const MUCH: u64 = 64 << 20;

/// Waits until this count stops growing.
async fn stable(count: impl Fn() -> u64) -> u64 {
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        match count() {
            now if now == before && now > 0 => return now,
            now => before = now,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_browser_holds_back_the_engine_and_loses_no_output() {
    on_every_route(async |route| {
        let target = format!("/websocket/attach?id={}", route.id(FLOOD));
        let mut browser = route.open(&target).await;
        let path = format!("/containers/{}/attach", route.id(FLOOD));
        let sent = || route.seen(&path).map_or(0, |seen| seen.sent);
        let stopped = stable(sent).await;
        assert!(stopped < MUCH, "{stopped}");
        let mut expected = Noise::new();
        let mut shown = 0;
        while shown <= stopped {
            let frame = next(&mut browser).await.into_data();
            let mut same = vec![0; frame.len()];
            expected.fill(&mut same);
            assert!(frame == same, "after {shown}");
            shown += frame.len() as u64;
        }
        drop(browser);
        let gone = || route.seen(&path).is_some_and(|seen| seen.client_closed);
        assert!(eventually(gone).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_does_not_read_holds_back_the_browser() {
    on_every_route(async |route| {
        let target = format!("/websocket/attach?id={}", route.id(DEAF));
        let (mut sink, mut source) = route.open(&target).await.split();
        let typed = noise(64 << 10);
        let sent = Arc::new(AtomicU64::new(0));
        let (piece, count) = (typed.clone(), sent.clone());
        let typing = tokio::spawn(async move {
            let message = Message::Binary(piece.into());
            while sink.send(message.clone()).await.is_ok() {
                count.fetch_add(64 << 10, Ordering::Relaxed);
            }
        });
        let sent = || sent.load(Ordering::Relaxed);
        let stopped = stable(sent).await;
        assert!(stopped < MUCH, "{stopped}");
        route.engine.publish(json!({ "Type": "container" }));
        assert!(eventually(|| route.engine.listeners() == 0).await);
        let mut shown = 0;
        while shown <= stopped {
            let next = tokio::time::timeout(skep_bed::LIMIT, source.next()).await;
            let frame = next.expect("in time").unwrap().unwrap().into_data();
            let same = typed.iter().cycle().skip(shown as usize % typed.len());
            assert!(frame.iter().eq(same.take(frame.len())), "after {shown}");
            shown += frame.len() as u64;
        }
        typing.abort();
    })
    .await;
}
