//! Websocket consoles: what is typed and what is shown arrive whole, on
//! whichever node the container is, and neither end outlives the other.

mod common;

use common::{Bed, Caller, Cluster, manager, worker};
use futures::{SinkExt, StreamExt};
use skep::config::{Grant, Hidden, Portainer, SecretSource};
use skep_bed::{FakeEngine, Hijack, Response, Seen, eventually, fixture};
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

/// Ids by what the engine does with them.
const EXACT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const FIRST: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const EXEC: &str = "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

/// One way to a node's containers; its ids end in the node's own digit.
struct Way<'a> {
    operator: Caller,
    digit: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    engine: &'a FakeEngine,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
type Browser = WebSocketStream<Box<dyn Duplex>>;

impl Way<'_> {
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

/// A test over each way: the engine next door, a node that is named, and a
/// node that the agent has to find.
async fn everywhere(test: impl AsyncFn(&Way<'_>)) {
    let rows = |digit: &str| {
        let row = |id: &str, name: &str| fixture::container(&format!("{id}{digit}"), name, 1, 0);
        vec![row(EXACT, "exact.1"), row(FIRST, "server-first.1")]
    };
    let execs = [format!("{EXEC}1"), format!("{EXEC}2")];
    let nodes = [
        manager("n1").engine(|e| e.containers(rows("1")).execs(&[&execs[0]])),
        worker("n2").engine(|e| e.containers(rows("2")).execs(&[&execs[1]])),
    ];
    let cluster =
        Cluster::of(nodes).configure(|_, _, config| config.auth.portainer = Some(portainer()));
    let over = async |bed: &mut Bed| {
        let bed: &Bed = bed;
        for (node, digit, headers) in [
            ("n1", "1", vec![]),
            ("n2", "2", vec![("Skep-Target", "n2")]),
            ("n2", "2", vec![]),
        ] {
            test(&Way {
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

/// What it takes to serve Portainer's endpoints; the calls are the operator's.
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
async fn a_long_paste_comes_back_whole_as_text() {
    everywhere(async |way| {
        for target in [
            format!("/websocket/attach?id={}", way.id(EXACT)),
            format!("/v2/websocket/exec?id={}&nodeName=x", way.id(EXEC)),
        ] {
            let browser = way.open(&target).await;
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
        let seen = way.seen(&format!("/exec/{}/start", way.id(EXEC))).unwrap();
        let body = seen.json().unwrap();
        assert_eq!(body, serde_json::json!({ "Tty": true, "Detach": false }));
        assert_eq!(seen.header("Upgrade"), Some("tcp"));
        let seen = way.seen(&format!("/containers/{}/attach", way.id(EXACT)));
        let target = seen.unwrap().target;
        assert!(
            target.ends_with("?stdin=1&stdout=1&stderr=1&stream=1"),
            "{target}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_text_come_back_as_they_are() {
    everywhere(async |way| {
        let target = format!("/websocket/attach?id={}", way.id(EXACT));
        let mut browser = way.open(&target).await;
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
async fn the_engine_hears_that_the_browser_has_gone() {
    everywhere(async |way| {
        for politely in [true, false] {
            let target = format!("/websocket/exec?id={}", way.id(EXEC));
            let mut browser = way.open(&target).await;
            browser.send(Message::Text("x".into())).await.unwrap();
            assert_eq!(next(&mut browser).await, Message::Text("x".into()));
            if politely {
                browser.close(None).await.unwrap();
            }
            drop(browser);
            let path = format!("/exec/{}/start", way.id(EXEC));
            let gone = eventually(|| way.seen(&path).is_some_and(|seen| seen.client_closed));
            assert!(gone.await, "{politely}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_browser_is_told_that_the_engine_has_ended() {
    everywhere(async |way| {
        let target = format!("/v1/websocket/attach?id={}", way.id(FIRST));
        let mut browser = way.open(&target).await;
        assert_eq!(next(&mut browser).await, Message::Text("hello".into()));
        let Message::Close(Some(frame)) = next(&mut browser).await else {
            panic!("no close");
        };
        assert_eq!(frame.code, CloseCode::Normal);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_an_ordinary_answer() {
    everywhere(async |way| {
        let zeros = "0".repeat(64);
        for (target, status) in [
            ("/websocket/exec?id=../../info".to_owned(), 400),
            ("/websocket/attach?id=a%20b".to_owned(), 400),
            ("/websocket/attach".to_owned(), 400),
            (format!("/websocket/exec?id={zeros}"), 404),
            (format!("/websocket/attach?id={zeros}"), 404),
        ] {
            let refused = way.ask(&target).await;
            assert_eq!(refused.status, status, "{target}");
            let refused = refused.response().await.unwrap();
            assert!(!message(&refused).is_empty(), "{target}");
        }
        let target = format!("/websocket/attach?id={}", way.id(EXACT));
        let plain = hijack(&way.operator, &target, &way.headers).await;
        assert_eq!(plain.status, 426);
        let mut foreign = way.headers.clone();
        foreign.extend(WEBSOCKET);
        foreign.push(("Origin", "https://elsewhere.example"));
        let foreign = hijack(&way.operator, &target, &foreign).await;
        assert_eq!(foreign.status, 403);
    })
    .await;
}
