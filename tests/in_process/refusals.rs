//! An answer that comes before the body has ended reaches a client that reads only
//! after its last byte, as Go's does: to it, a failed write is the outcome.
#![cfg(unix)]

use std::io;
use std::path::Path;

use crate::common::{Caller, ClusterBuilder, Connect, TestCluster, manager, secret_file, worker};
use skep::config::Config;
use skep_bed::{Behaviour, Client, Response, fixture};
use skep_filters::auth::SigningKey;

const KEY: &str = "the secret of a key in a test, 40 bytes.";

const YAML: &str = "
listen:
  - { address: '127.0.0.1:9001' }
  - { socket: FOLDER/reader.sock, policy: read-only }
  - { socket: FOLDER/admin.sock, policy: admin }
auth:
  keys:
    - { id: reader, secret_file: FOLDER/key, policy: read-only, unsigned_streams: true }
";

/// A body that needs more than the buffers of both sockets.
const LARGE: usize = 8 << 20;

/// A request before its body.
#[derive(Clone, Copy)]
struct Call {
    method: &'static str,
    target: &'static str,
    kind: &'static str,
    status: u16,
}

const fn call(method: &'static str, target: &'static str, kind: &'static str, status: u16) -> Call {
    Call {
        method,
        target,
        kind,
        status,
    }
}

const JSON: &str = "application/json";
const TAR: &str = "application/x-tar";

/// Calls that a policy to read refuses.
const DENIED: &[Call] = &[
    call("POST", "/volumes/create", JSON, 403),
    call("POST", "/containers/create", JSON, 403),
    call("POST", "/containers/one/exec", JSON, 403),
    call("POST", "/exec/one/start", JSON, 403),
    call("POST", "/images/load", TAR, 403),
    call("POST", "/images/create?fromSrc=-", TAR, 403),
    call("POST", "/build", TAR, 403),
    call("PUT", "/containers/one/archive?path=/", TAR, 403),
];

/// How the length of a body is announced.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunked,
}

/// Whether the client sends its body before the answer arrives, or begins after it.
#[derive(Clone, Copy, Debug)]
enum Pace {
    Eager,
    Late,
}

const BOTH: &[Pace] = &[Pace::Eager, Pace::Late];

/// Sends the head, then the whole body, and only then reads the answer, up to the end
/// of the connection.
///
/// # Errors
/// If a write fails, or the connection does not end as the answer says.
async fn ask(
    client: &Client,
    call: Call,
    headers: &[(&str, &str)],
    (size, framing, pace): (usize, Framing, Pace),
) -> io::Result<Response> {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: docker\r\nContent-Type: {}\r\n",
        call.method, call.target, call.kind
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&match framing {
        Framing::Length => format!("Content-Length: {size}\r\n\r\n"),
        Framing::Chunked => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
    });
    let mut connection = client.connect().await?;
    connection.send(head.as_bytes()).await?;
    let first = match pace {
        Pace::Eager => None,
        Pace::Late => Some(connection.head().await?),
    };
    let piece = vec![b' '; 32 << 10];
    let mut left = size;
    while left > 0 {
        let n = left.min(piece.len());
        match framing {
            Framing::Length => connection.send(&piece[..n]).await?,
            Framing::Chunked => connection.send(&skep_bed::chunk(&piece[..n])).await?,
        }
        left -= n;
    }
    if let Framing::Chunked = framing {
        connection.send(b"0\r\n\r\n").await?;
    }
    let head = match first {
        Some(head) => head,
        None => connection.head().await?,
    };
    let response = connection.body_of(head, call.method).await?;
    if response.head.header("Connection") == Some("close") {
        let after = connection.into_raw().receive_to_end().await?;
        assert!(after.is_empty(), "{} bytes after the answer", after.len());
    }
    Ok(response)
}

/// Asks `times` times, and panics with the number of lost answers.
async fn assert_arrives(
    what: &str,
    client: &Client,
    call: Call,
    headers: impl Fn() -> Vec<(String, String)>,
    (size, framing, pace): (usize, Framing, Pace),
    times: usize,
) {
    let mut lost = Vec::new();
    for _ in 0..times {
        let headers = headers();
        let fields: Vec<_> = headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        match ask(client, call, &fields, (size, framing, pace)).await {
            Ok(answer) => {
                assert_eq!(answer.status, call.status, "{what}: {}", answer.text());
                let message = answer.message();
                assert!(message.is_some_and(|m| !m.is_empty()), "{what}");
            }
            Err(e) => lost.push(e.to_string()),
        }
    }
    let (all, Call { method, target, .. }) = (lost.len(), call);
    lost.dedup();
    assert!(
        lost.is_empty(),
        "{what}: {method} {target} with {size} bytes, {framing:?}, {pace:?}: lost {all} of {times}: {lost:?}"
    );
}

/// Every call with small and large bodies, with a length and chunked, at these paces.
async fn assert_all_arrive(
    what: &str,
    client: &Client,
    calls: &[Call],
    headers: impl Fn(Call) -> Vec<(String, String)>,
    paces: &[Pace],
) {
    for call in calls {
        let own = || headers(*call);
        for pace in paces {
            for framing in [Framing::Length, Framing::Chunked] {
                assert_arrives(what, client, *call, own, (700, framing, *pace), 20).await;
            }
            let body = (LARGE, Framing::Length, *pace);
            assert_arrives(what, client, *call, own, body, 2).await;
        }
    }
}

fn nothing(_: Call) -> Vec<(String, String)> {
    Vec::new()
}

/// Two nodes; only `n1` knows the key and has the sockets.
fn two_nodes() -> ClusterBuilder<'static> {
    let has = |id: &'static str| vec![fixture::container(id, id, 1, 0)];
    let nodes = [
        manager("n1").engine(|e| e.containers(has("one"))),
        worker("n2").engine(|e| e.containers(has("two"))),
    ];
    ClusterBuilder::of(nodes).configure(|node, folder, config| {
        if node == "n1" {
            apply(folder, config);
        }
    })
}

fn apply(folder: &Path, config: &mut Config) {
    secret_file(folder, "key", KEY);
    let yaml = YAML.replace("FOLDER", &folder.display().to_string());
    let read = Config::parse("test", &yaml).unwrap_or_else(|e| panic!("{e}"));
    config.auth.keys = read.auth.keys;
    config.policies = read.policies;
    config.sockets = read.sockets;
}

fn socket(bed: &TestCluster, name: &str) -> Client {
    Client::unix(bed.folder().join(format!("{name}.sock")))
}

fn reader(bed: &TestCluster) -> Caller {
    let key = SigningKey::hmac("reader", KEY.as_bytes()).expect("a key");
    bed.operator("n1").with_key(key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_on_a_socket_arrives_before_the_body_has_ended() {
    two_nodes()
        .run(async |bed| {
            let client = socket(bed, "reader");
            assert_all_arrive("socket", &client, DENIED, nothing, BOTH).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_over_tls_arrives_before_the_body_has_ended() {
    two_nodes()
        .run(async |bed| {
            let reader = reader(bed);
            let streams: Vec<_> = DENIED.iter().copied().filter(|c| c.kind == TAR).collect();
            let signed = |call: Call| {
                let kind = [("Content-Type", call.kind)];
                let signed = reader.sign_stream(call.method, call.target, &kind);
                let mut fields = signed.0;
                fields.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
                fields
            };
            assert_all_arrive("signed", reader.client(), &streams, signed, BOTH).await;
            let unsigned: Vec<_> = DENIED.iter().map(|c| Call { status: 401, ..*c }).collect();
            let client = reader.client();
            assert_all_arrive("unsigned", client, &unsigned[3..5], nothing, BOTH).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_through_skep_connect_arrives_before_the_body_has_ended() {
    two_nodes()
        .run(async |bed| {
            let connect = Connect::start(
                bed,
                &["--key-id", "reader", "--key-file", "FOLDER/key"],
                &[bed.node("n1").address],
            )
            .await;
            let is_stream = |call: &Call| call.kind == TAR;
            let (streams, held): (Vec<_>, Vec<_>) = DENIED.iter().copied().partition(is_stream);
            let client = &connect.client;
            assert_all_arrive("stream", client, &streams, nothing, BOTH).await;
            // Its whole body is read and signed first; one of 8 MiB is too long.
            for call in held {
                let body = (700, Framing::Length, Pace::Eager);
                assert_arrives("held", client, call, Vec::new, body, 20).await;
                let long = Call {
                    status: 413,
                    ..call
                };
                let body = (LARGE, Framing::Chunked, Pace::Eager);
                assert_arrives("too long", client, long, Vec::new, body, 2).await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_of_an_engine_arrives_also_through_another_agent() {
    two_nodes()
        .run(async |bed| {
            for node in ["n1", "n2"] {
                let engine = &bed.node(node).engine;
                engine.set_behaviour_of("/images/load", Behaviour::Reject(404));
            }
            let early = [call("POST", "/images/load", TAR, 404)];
            let target =
                |node: &'static str| move |_| vec![("Skep-Target".to_owned(), node.to_owned())];
            let admin = socket(bed, "admin");
            assert_all_arrive("engine", &admin, &early, target("n1"), BOTH).await;
            assert_all_arrive("other engine", &admin, &early, target("n2"), BOTH).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_after_an_early_answer_whose_body_never_comes() {
    two_nodes()
        .run(async |bed| {
            let engine = &bed.node("n2").engine;
            engine.set_behaviour_of("/images/load", Behaviour::Reject(404));
            for (name, node, status) in [("reader", "n1", 403), ("admin", "n2", 404)] {
                for expect in ["", "Expect: 100-continue\r\n"] {
                    let mut connection = socket(bed, name).connect().await.unwrap();
                    let head = format!(
                        "POST /images/load HTTP/1.1\r\nHost: docker\r\nSkep-Target: {node}\r\n\
                         {expect}Content-Length: 9000000\r\n\r\n"
                    );
                    connection.send(head.as_bytes()).await.unwrap();
                    let answer = connection.response("POST").await.unwrap();
                    assert_eq!(answer.status, status, "{}", answer.text());
                    assert_eq!(answer.header("Connection"), Some("close"));
                    let mut rest = connection.into_raw();
                    assert!(rest.receive_to_end().await.unwrap().is_empty());
                    // The other half is still open.
                    rest.send(b"late").await.unwrap();
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_closes_after_a_failure_says_so() {
    two_nodes()
        .run(async |bed| {
            let target = "/containers/one/json";
            let engine = &bed.node("n1").engine;
            engine.set_behaviour_of(target, Behaviour::Refuse);
            let mut connection = socket(bed, "admin").connect().await.unwrap();
            let to = [("Skep-Target", "n1")];
            let answer = connection.request("GET", target, &to, b"").await.unwrap();
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert_eq!(answer.header("Connection"), Some("close"));
            assert!(connection.closed().await.unwrap());
        })
        .await;
}
