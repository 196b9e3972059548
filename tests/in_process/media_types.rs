//! Bodies that an engine could read in another way than skep: forms in every
//! spelling are refused, and an endpoint that takes no body gets none.
#![cfg(unix)]

use std::path::{Path, PathBuf};

use crate::common::{ClusterBuilder, TestCluster, manager, worker};
use skep::config::{Config, Grant, Socket, SocketIdentity};
use skep_bed::{Client, EngineBuilder, Response, Seen, fixture};

const JSON: &str = "Content-Type: application/json\r\n";
const FORM: &[u8] = b"force=1&v=1";

fn has(id: &'static str) -> impl Fn(EngineBuilder) -> EngineBuilder {
    move |e| e.containers(vec![fixture::container(id, id, 1, 0)])
}

fn at(folder: &Path) -> PathBuf {
    folder.join("media.sock")
}

/// Two nodes with a container each. Any user may do everything at the socket of n1,
/// where a test can send any bytes.
fn two_nodes() -> ClusterBuilder<'static> {
    let configure = |node: &str, folder: &Path, config: &mut Config| {
        let others = SocketIdentity {
            name: "anybody".to_owned(),
            grant: Grant::admin(),
        };
        if node == "n1" {
            config.sockets = vec![Socket {
                path: at(folder),
                owner: None,
                group: None,
                mode: 0o660,
                users: Vec::new(),
                others: Some(others),
            }];
        }
    };
    let nodes = [
        manager("n1").engine(has("here")),
        worker("n2").engine(has("far")),
    ];
    ClusterBuilder::of(nodes).configure(configure)
}

/// A request with these fields, whose body has a length or is chunked.
fn request(line: &str, fields: &[u8], body: &[u8], chunked: bool) -> Vec<u8> {
    let framing = match chunked {
        true => "Transfer-Encoding: chunked\r\n".to_owned(),
        false => format!("Content-Length: {}\r\n", body.len()),
    };
    let mut bytes = format!("{line} HTTP/1.1\r\nHost: docker\r\n{framing}").into_bytes();
    bytes.extend_from_slice(fields);
    bytes.extend_from_slice(b"\r\n");
    if chunked {
        bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\r\n0\r\n\r\n");
    } else {
        bytes.extend_from_slice(body);
    }
    bytes
}

async fn ask(bed: &TestCluster, bytes: &[u8]) -> Response {
    let method = bytes.split(|b| *b == b' ').next().expect("a request");
    let method = std::str::from_utf8(method).expect("a request");
    let client = Client::unix(at(bed.folder()));
    let mut connection = client.connect().await.expect("a request");
    let _ = connection.send(bytes).await;
    let shown = String::from_utf8_lossy(bytes);
    let answer = connection.response(method).await;
    answer.unwrap_or_else(|e| panic!("{shown:?}: {e}"))
}

/// The requests with this path at both engines.
fn seen(bed: &TestCluster, path: &str) -> Vec<Seen> {
    let nodes = bed.nodes.iter();
    nodes.flat_map(|n| n.engine.requests_to(path)).collect()
}

fn assert_bare(asked: &str, seen: &Seen) {
    assert_eq!(seen.header("Content-Type"), None, "{asked:?}");
    assert_eq!(seen.header("Transfer-Encoding"), None, "{asked:?}");
    let length = seen.header("Content-Length").unwrap_or("0");
    assert_eq!(length, "0", "{asked:?}");
    assert!(seen.body.start.is_empty(), "{asked:?}: {:?}", seen.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_refused_with_415_in_every_spelling() {
    let mut kinds: Vec<Vec<u8>> = [
        "application/x-www-form-urlencoded",
        "APPLICATION/X-WWW-FORM-URLENCODED;",
        "application/x-www-form-urlencoded ; charset",
        "application/x-www-form-urlencoded, application/json",
        "application/json, application/x-www-form-urlencoded",
        "\u{a0}application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded\u{2003}",
        "multipart/form-data; boundary=b",
        "\u{3000}multipart/form-data; boundary=b",
        "multipart/mixed; boundary=b",
        "text/html",
        "application",
        "",
    ]
    .map(|kind| format!("Content-Type: {kind}\r\n").into_bytes())
    .into();
    for space in [0xa0, 0x85, 0x0b, 0x0c] {
        let kind = b"application/x-www-form-urlencoded\r\n";
        kinds.push([b"Content-Type: ", &[space][..], kind].concat());
    }
    let two = |first, second| format!("Content-Type: {first}\r\nContent-Type: {second}\r\n");
    let form = "application/x-www-form-urlencoded";
    kinds.push(two(form, "application/json").into_bytes());
    kinds.push(two("application/json", form).into_bytes());
    two_nodes()
        .run(async |bed| {
            for target in [
                "/containers/prune",
                "/containers/create",
                "/containers/here/start",
                "/containers/far/update",
                "/commit?container=here",
                "/images/create?fromImage=busybox",
                "/images/load",
                "/build",
                "/v1.41/build?dockerfile=Dockerfile",
                "/plugins/create?name=a",
                "/exec/1/start",
                "/session",
                "/containers/here/attach",
                "/later/than/this/table",
            ] {
                for kind in &kinds {
                    for chunked in [false, true] {
                        let line = format!("POST {target}");
                        let bytes = request(&line, kind, FORM, chunked);
                        let answer = ask(bed, &bytes).await;
                        let shown = String::from_utf8_lossy(&bytes);
                        // A parser may refuse a control byte before that.
                        let control = kind.iter().any(|b| matches!(b, 0x0b | 0x0c));
                        let refused = answer.status == 415 || control && answer.status == 400;
                        assert!(refused, "{shown}: {} {}", answer.status, answer.text());
                        assert!(answer.message().is_some_and(|m| !m.is_empty()), "{shown}");
                    }
                }
            }
            for node in &bed.nodes {
                assert!(node.asked().is_empty(), "{:?}", node.asked());
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_without_a_body_is_not_sent_on() {
    two_nodes()
        .run(async |bed| {
            for kind in [
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "nonsense",
            ] {
                let fields = format!("Content-Type: {kind}\r\n");
                for (target, path) in [
                    ("/containers/here/start", "/containers/here/start"),
                    ("/containers/far/start", "/containers/far/start"),
                    ("/images/create?fromImage=a", "/images/create"),
                    ("/containers/prune", "/containers/prune"),
                ] {
                    let before = seen(bed, path).len();
                    let line = format!("POST {target}");
                    ask(bed, &request(&line, fields.as_bytes(), b"", false)).await;
                    let seen = seen(bed, path);
                    assert_eq!(seen.len(), before + 1, "{kind}: {target}");
                    assert_bare(target, seen.last().unwrap());
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_takes_no_body_gets_none() {
    let host = br#"{"HostConfig":{"Privileged":true},"Binds":["/:/host"]}"#;
    let kinds = ["", JSON, "Content-Type: text/plain\r\n"];
    two_nodes()
        .run(async |bed| {
            for line in [
                "POST /containers/here/start",
                "POST /containers/far/start",
                "POST /v1.24/containers/here/start",
                "POST /containers/here/stop?t=5",
                "POST /containers/far/kill?signal=KILL",
                "POST /containers/here/wait?condition=removed",
                "POST /containers/here/rename?name=b",
                "POST /containers/prune",
                "POST /volumes/prune",
                "POST /swarm/leave",
                "GET /containers/here/json",
                "GET /containers/far/json",
                "GET /containers/here/logs?stdout=1",
                "DELETE /containers/here",
                "DELETE /volumes/a",
            ] {
                let target = line.split(' ').nth(1).unwrap();
                let path = target.split('?').next().unwrap();
                let path = path.strip_prefix("/v1.24").unwrap_or(path);
                for kind in kinds {
                    for chunked in [false, true] {
                        let before = seen(bed, path).len();
                        ask(bed, &request(line, kind.as_bytes(), host, chunked)).await;
                        let seen = seen(bed, path);
                        assert!(seen.len() > before, "{line}");
                        seen.iter().for_each(|seen| assert_bare(line, seen));
                    }
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_that_takes_no_body_gets_none() {
    two_nodes()
        .run(async |bed| {
            for id in ["here", "far"] {
                let path = format!("/containers/{id}/attach");
                for chunked in [false, true] {
                    let line = format!("POST {path}");
                    let bytes = request(&line, JSON.as_bytes(), b"{\"stream\":1}", chunked);
                    let client = Client::unix(at(bed.folder()));
                    let mut connection = client.connect().await.unwrap();
                    connection.send(&bytes).await.unwrap();
                    connection.head().await.unwrap();
                    let seen = seen(bed, &path);
                    assert_bare(&path, seen.last().unwrap());
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_body_is_checked_and_then_dropped() {
    two_nodes()
        .run(async |bed| {
            let operator = bed.operator("n1");
            let json = [("Content-Type", "application/json")];
            for (target, headers) in [
                ("/containers/here/start", &json[..]),
                ("/containers/far/start", &json),
                ("/containers/far/start", &[("Skep-Target", "n2"), json[0]]),
            ] {
                let answer = operator.ask("POST", target, headers, b"{\"t\":5}").await;
                assert!(answer.unwrap().status < 300, "{target}");
                seen(bed, target)
                    .iter()
                    .for_each(|s| assert_bare(target, s));
            }
            let everywhere = [("Skep-Target", "*"), json[0]];
            let prune = "/containers/prune";
            operator
                .ask("POST", prune, &everywhere, b"{}")
                .await
                .unwrap();
            let seen = seen(bed, prune);
            assert_eq!(seen.len(), 2);
            seen.iter().for_each(|seen| assert_bare(prune, seen));

            let signed = operator.sign("POST", "/containers/here/start", &json, b"{\"t\":5}");
            let client = operator.client();
            let answer = client
                .request(
                    "POST",
                    "/containers/here/start",
                    &signed.fields(),
                    b"{\"t\":6}",
                )
                .await;
            assert_eq!(answer.unwrap().status, 401);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_serves_the_next_request_after_a_dropped_body() {
    two_nodes()
        .run(async |bed| {
            let client = Client::unix(at(bed.folder()));
            let mut connection = client.connect().await.unwrap();
            for chunked in [false, true] {
                for id in ["here", "far"] {
                    let line = format!("POST /containers/{id}/start");
                    let bytes = request(&line, JSON.as_bytes(), b"{\"t\":5}", chunked);
                    connection.send(&bytes).await.unwrap();
                    let answer = connection.response("POST").await.unwrap();
                    assert!(answer.status < 300, "{}", answer.text());
                }
            }
            let answer = connection.request("GET", "/_ping", &[], b"").await;
            assert_eq!(answer.unwrap().status, 200);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_send_arrives_with_one_type() {
    two_nodes()
        .run(async |bed| {
            for (target, fields, kind) in [
                // docker CLI, docker-py, bollard, curl -T.
                (
                    "/images/load",
                    "Content-Type: application/x-tar\r\n",
                    Some("application/x-tar"),
                ),
                (
                    "/build",
                    "Content-Type: application/tar\r\n",
                    Some("application/tar"),
                ),
                (
                    "/build",
                    "Content-Type: application/x-tar\r\nContent-Type: application/json\r\n",
                    Some("application/x-tar"),
                ),
                (
                    "/images/load",
                    "Content-Type: text/plain\r\n",
                    Some("text/plain"),
                ),
                ("/images/load", "", None),
                ("/containers/here/update", JSON, Some("application/json")),
                (
                    "/containers/far/update",
                    "Content-Type: application/json; charset=utf-8\r\n",
                    Some("application/json; charset=utf-8"),
                ),
                ("/containers/far/update", "", None),
            ] {
                let line = format!("POST {target}");
                for chunked in [false, true] {
                    let before = seen(bed, target).len();
                    ask(bed, &request(&line, fields.as_bytes(), b"{}", chunked)).await;
                    let seen = seen(bed, target);
                    assert_eq!(seen.len(), before + 1, "{target} {fields:?}");
                    let last = seen.last().unwrap();
                    assert_eq!(last.header("Content-Type"), kind, "{target}");
                    let types = last.head.headers.iter();
                    let types = types.filter(|(n, _)| n.eq_ignore_ascii_case("content-type"));
                    assert_eq!(types.count(), usize::from(kind.is_some()), "{target}");
                    assert_eq!(last.body.start, b"{}", "{target}");
                }
            }
        })
        .await;
}
