//! Crowds: what many connections, half-sent bodies and abandoned streams of some
//! callers leave to the others.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::common::{Caller, ClusterBuilder, TestCluster, manager, secret_file, with_cluster};
use skep::config::Config;
use skep::listen::bounds;
use skep_bed::{Client, Connection, fixture};
use skep_filters::auth::SigningKey;
use tokio::time::{Duration, sleep, timeout};

/// More connections than one source may have before it has authenticated.
const CROWD: usize = bounds::UNPROVEN / 4 * 3;

/// The most that it may have.
const OF_ONE_SOURCE: usize = bounds::UNPROVEN / 2;

const KEY: &str = "the secret of a key in a test, 40 bytes.";
const PING: &str = "/_ping";
const CREATE: &str = "/v1.41/containers/create";

/// Two keys of callers without the operator's reserve, and a socket.
const YAML: &str = "
listen:
  - address: 127.0.0.1:9001
  - { socket: FOLDER/open.sock, mode: '0666', policy: admin, limits: { at_once: 1 } }
auth:
  keys:
    - { id: greedy, secret_file: KEY_FILE, policy: admin }
    - { id: modest, secret_file: KEY_FILE, policy: admin }
    - { id: reader, secret_file: KEY_FILE, policy: read-only }
    - { id: one, secret_file: KEY_FILE, policy: admin, limits: { at_once: 1 } }
";

fn one_node() -> ClusterBuilder<'static> {
    let containers = vec![fixture::container("silent", "silent", 1, 0)];
    let plan = manager("n1").engine(|e| e.containers(containers));
    ClusterBuilder::of([plan]).configure(|_, folder, config| apply(folder, config))
}

fn apply(folder: &Path, config: &mut Config) {
    let file = secret_file(folder, "key", KEY);
    let yaml = YAML
        .replace("KEY_FILE", &file.display().to_string())
        .replace("FOLDER", &folder.display().to_string());
    let read = Config::parse("test", &yaml).unwrap_or_else(|e| panic!("{e}"));
    config.auth.keys = read.auth.keys;
    config.sockets = read.sockets;
    config.policies = read.policies;
}

fn socket(bed: &TestCluster) -> PathBuf {
    bed.folder().join("open.sock")
}

fn holder(bed: &TestCluster, id: &str) -> Caller {
    let key = SigningKey::hmac(id, KEY.as_bytes()).expect("a key");
    bed.operator("n1").with_key(key)
}

/// A connection that sends nothing.
trait Idle: Read + Sized {
    fn closed(&mut self) -> bool {
        match self.read_exact(&mut [0]) {
            Ok(()) => true,
            Err(e) => e.kind() != ErrorKind::WouldBlock,
        }
    }
}

impl Idle for TcpStream {}
impl Idle for UnixStream {}

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_nonblocking(true).expect("a mode");
    stream
}

fn unix(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("a connection");
    stream.set_nonblocking(true).expect("a mode");
    stream
}

/// Waits until only `left` of these connections are open.
async fn assert_open(crowd: &mut Vec<impl Idle>, left: usize) {
    let reached = timeout(Duration::from_secs(8), async {
        loop {
            crowd.retain_mut(|one| !one.closed());
            if crowd.len() <= left {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(reached.await.is_ok(), "{} are open", crowd.len());
    assert_eq!(crowd.len(), left);
}

async fn assert_answers(caller: &Caller, connection: &mut Connection) {
    let signed = caller.sign("GET", PING, &[], b"");
    let answer = connection.request("GET", PING, &signed.fields(), b"").await;
    assert_eq!(answer.expect("an answer").status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_before_tls_are_bounded_and_leave_room_for_callers() {
    with_cluster([manager("n1")], async |bed| {
        let operator = bed.operator("n1");
        let mut kept = operator.client().connect().await.unwrap();
        assert_answers(&operator, &mut kept).await;
        let address = bed.node("n1").address;
        let mut crowd: Vec<_> = (0..CROWD).map(|_| tcp(address)).collect();
        assert_open(&mut crowd, OF_ONE_SOURCE).await;
        // From the same address as the crowd, on an old and on new connections.
        for _ in 0..20 {
            assert_answers(&operator, &mut kept).await;
            assert_eq!(operator.get(PING).await.unwrap().status, 200);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_at_a_socket_leave_room_there_and_at_other_listeners() {
    one_node()
        .run(async |bed| {
            let path = socket(bed);
            let mut crowd: Vec<_> = (0..CROWD).map(|_| unix(&path)).collect();
            // Two listeners share the places.
            assert_open(&mut crowd, OF_ONE_SOURCE / 2).await;
            let answer = Client::unix(&path).get(PING, &[]).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(bed.operator("n1").get(PING).await.unwrap().status, 200);
        })
        .await;
}

/// Sends the head of a request, and `sent` bytes of its body.
async fn half(caller: &Caller, path: &str, length: usize, sent: usize) -> Connection {
    let body = vec![b' '; length];
    let json = [("Content-Type", "application/json")];
    let signed = caller.sign("POST", path, &json, &body);
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n");
    for (name, value) in signed.fields() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut connection = caller.client().connect().await.expect("a connection");
    // A refusal may come before everything is sent.
    let _ = connection.send(head.as_bytes()).await;
    let _ = connection.send(&body[..sent]).await;
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_bodies_are_bounded_for_each_caller_and_leave_memory_for_others() {
    one_node()
        .run(async |bed| {
            let greedy = holder(bed, "greedy");
            let sent = 3 << 20;
            let fit = bounds::REQUESTS_OF_ONE / (sent * bounds::BODY_FACTOR);
            let mut open = Vec::new();
            for _ in 0..fit + 3 {
                open.push(half(&greedy, CREATE, 4 << 20, sent).await);
            }
            let refused = async {
                // The last ones are refused at once, the first after a pause.
                for connection in open.iter_mut().rev() {
                    if let Ok(answer) = connection.response("POST").await {
                        return Some(answer);
                    }
                }
                None
            };
            let refused = refused.await.expect("a refusal");
            assert_eq!(refused.status, 429, "{}", refused.text());
            let why = refused.message().unwrap();
            assert!(
                why.contains("as much memory as one caller may use"),
                "{why}"
            );
            for other in [holder(bed, "modest"), bed.operator("n1")] {
                let json = [("Content-Type", "application/json")];
                let body = br#"{"Image":"alpine"}"#;
                let answer = other.ask("POST", CREATE, &json, body).await.unwrap();
                assert_ne!(answer.status, 429, "{}", answer.text());
                assert_ne!(answer.status, 503, "{}", answer.text());
            }
            // The memory returns when the connections end.
            drop(open);
            let whole = async {
                loop {
                    let body = vec![b' '; 2 << 20];
                    let json = [("Content-Type", "application/json")];
                    let answer = greedy.ask("POST", CREATE, &json, &body).await;
                    if answer.is_ok_and(|answer| answer.status != 429) {
                        return;
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            };
            assert!(timeout(Duration::from_secs(8), whole).await.is_ok());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_the_right_is_refused_before_its_body_is_read() {
    one_node()
        .run(async |bed| {
            let reader = holder(bed, "reader");
            let mut connection = half(&reader, CREATE, 4 << 20, 0).await;
            let answer = connection.response("POST").await.unwrap();
            assert_eq!(answer.status, 403, "{}", answer.text());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_at_a_socket_ends_when_its_client_has_gone_but_not_at_a_half_close() {
    one_node()
        .run(async |bed| {
            let path = socket(bed);
            let client = Client::unix(&path);
            let attach = "/v1.41/containers/silent/attach?stream=1&stdin=1&stdout=1";
            let upgrade = [("Connection", "Upgrade"), ("Upgrade", "tcp")];
            let hijack = client.hijack("POST", attach, &upgrade, b"").await.unwrap();
            assert_eq!(hijack.status, 101);
            let mut stream = hijack.stream;
            stream.close_write().await.unwrap();
            // The output after the end of the input still arrives.
            assert_eq!(stream.receive_exact(64 * 1024).await.unwrap().len(), 65536);
            assert_eq!(client.get(PING, &[]).await.unwrap().status, 429);
            drop(stream);
            let freed = async {
                while client.get(PING, &[]).await.unwrap().status != 200 {
                    sleep(Duration::from_millis(50)).await;
                }
            };
            let freed = timeout(Duration::from_secs(8), freed).await;
            assert!(freed.is_ok(), "the stream still counts");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_over_tcp_ends_when_its_connection_is_reset_after_a_half_close() {
    one_node()
        .run(async |bed| {
            let one = holder(bed, "one");
            let attach = "/v1.41/containers/silent/attach?stream=1&stdin=1&stdout=1";
            let upgrade = [("Connection", "Upgrade"), ("Upgrade", "tcp")];
            let hijack = one.hijack(attach, &upgrade, b"").await.unwrap();
            assert_eq!(hijack.status, 101);
            let mut stream = hijack.stream;
            stream.close_write().await.unwrap();
            assert_eq!(stream.receive_exact(5).await.unwrap().len(), 5);
            assert_eq!(one.get(PING).await.unwrap().status, 429);
            // Bytes that were not read make the kernel reset the connection.
            drop(stream);
            let freed = async {
                while one.get(PING).await.unwrap().status != 200 {
                    sleep(Duration::from_millis(50)).await;
                }
            };
            let freed = timeout(Duration::from_secs(8), freed).await;
            assert!(freed.is_ok(), "the stream still counts");
        })
        .await;
}
