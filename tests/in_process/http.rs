//! Forms of HTTP that other clients than Docker's send: HTTP/1.0, absolute targets,
//! paths with empty segments, and long heads.
#![cfg(unix)]

use std::path::Path;

use serde_json::json;
use skep::config::{Config, Grant, Socket, SocketIdentity};
use skep_bed::{Client, EngineBuilder, fixture};
use skep_filters::endpoint::query;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{ClusterBuilder, TestCluster, manager, worker};

/// Two nodes, and a socket at n1.
fn two_nodes() -> ClusterBuilder<'static> {
    let with = |id: &'static str| {
        move |e: EngineBuilder| {
            let event = fixture::event("local", "container", "die", id, 1);
            e.containers(vec![fixture::container(id, id, 1, 0)])
                .images(vec![fixture::image("sha256:b0", &["busybox:latest"], 1)])
                .answer("POST", &format!("/containers/{id}/update"), 200, json!({}))
                .events(vec![event])
        }
    };
    let nodes = [
        manager("n1").engine(with("near")),
        worker("n2").engine(with("far")),
    ];
    ClusterBuilder::of(nodes).configure(|node: &str, folder: &Path, config: &mut Config| {
        if node == "n1" {
            config.sockets = vec![Socket {
                path: folder.join("s"),
                owner: None,
                group: None,
                mode: 0o660,
                users: Vec::new(),
                others: Some(SocketIdentity {
                    name: "local".to_owned(),
                    grant: Grant::admin(),
                }),
            }];
        }
    })
}

fn client(bed: &TestCluster) -> Client {
    Client::unix(bed.folder().join("s"))
}

/// Sends these bytes, and reads to the end of the connection.
async fn exchange(bed: &TestCluster, bytes: &str) -> (String, String) {
    let mut stream = client(bed).dial().await.expect("a connection");
    stream
        .write_all(bytes.as_bytes())
        .await
        .expect("the request is sent");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("an answer comes");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_http_1_0_have_no_chunks_and_end_with_the_connection() {
    two_nodes()
        .run(async |bed| {
            for keep_alive in ["", "Connection: keep-alive\r\n"] {
                for (target, begins) in [
                    ("/_ping", "OK"),
                    ("/version", "{"),
                    ("/info", "{"),
                    ("/containers/json", "["),
                    ("/containers/near/json", "{"),
                    ("/containers/far/json", "{"),
                    ("/containers/near/logs?stdout=1", ""),
                    ("/containers/far/logs?stdout=1", ""),
                    ("/events?until=1", "{"),
                    ("/v1.30/images/json", "["),
                    ("/containers/none/json", "{\"message\""),
                    ("/no/such/path", "{\"message\""),
                ] {
                    let request = format!("GET {target} HTTP/1.0\r\n{keep_alive}\r\n");
                    let (head, body) = exchange(bed, &request).await;
                    assert!(!head.contains("transfer-encoding"), "{target}: {head}");
                    assert!(!head.contains("keep-alive"), "{target}: {head}");
                    assert!(body.starts_with(begins), "{target}: {head} {body}");
                    assert!(!body.ends_with("0\r\n\r\n"), "{target}: {body:?}");
                    assert!(!body.is_empty(), "{target}: {head}");
                }
            }
            for node in ["near", "far"] {
                let request = format!("POST /containers/{node}/start HTTP/1.0\r\n\r\n");
                let (head, body) = exchange(bed, &request).await;
                assert!(head.contains(" 204 "), "{head} {body}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_in_absolute_form_is_served_as_its_path() {
    two_nodes()
        .run(async |bed| {
            for (target, sent) in [
                ("http://docker/containers/far/json", "/containers/far/json"),
                (
                    "http://localhost:2375/containers/far/json?size=1",
                    "/containers/far/json?size=1",
                ),
            ] {
                let host = target.split('/').nth(2).unwrap();
                let answer = client(bed).get(target, &[("Host", host)]).await.unwrap();
                assert_eq!(answer.status, 200, "{target}: {}", answer.text());
                let seen = bed.node("n2").engine.requests_to("/containers/far/json");
                assert_eq!(seen.last().unwrap().target, sent);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_in_absolute_form_is_served_as_its_path() {
    two_nodes()
        .run(async |bed| {
            let json = [("Host", "docker"), ("Content-Type", "application/json")];
            for (node, target, body, status) in [
                ("n2", "/containers/far/start", "", 204),
                ("n1", "/containers/near/start", "", 204),
                (
                    "n1",
                    "/containers/create?name=a",
                    r#"{"Image":"busybox"}"#,
                    201,
                ),
                ("n2", "/v1.41/containers/far/update", r#"{"Memory":0}"#, 200),
                ("n1", "/volumes/create", r#"{"Name":"v"}"#, 201),
                ("n1", "/build?t=a", "a context", 200),
            ] {
                let absolute = format!("http://docker{target}");
                let headers = if body.starts_with('{') {
                    &json[..]
                } else {
                    &json[..1]
                };
                let answer = client(bed)
                    .request("POST", &absolute, headers, body.as_bytes())
                    .await
                    .unwrap();
                assert_eq!(answer.status, status, "{target}: {}", answer.text());
                let path = target.split('?').next().unwrap_or_default();
                let path = path.trim_start_matches("/v1.41");
                let seen = bed.node(node).engine.requests_to(path);
                let seen = seen.last().unwrap_or_else(|| panic!("{target}"));
                assert_eq!(
                    (&*seen.target, &*seen.body.start),
                    (target, body.as_bytes())
                );
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_with_empty_segments_is_sent_back_without_them() {
    two_nodes()
        .run(async |bed| {
            for (target, location) in [
                (
                    "/containers//far/json?size=1",
                    "/containers/far/json?size=1",
                ),
                (
                    "//v1.41//containers/%2Ffar/json",
                    "/v1.41/containers/far/json",
                ),
                ("//evil.example/", "/evil.example/"),
            ] {
                for method in ["GET", "HEAD"] {
                    let answer = client(bed).request(method, target, &[], b"").await.unwrap();
                    assert_eq!(answer.status, 301, "{target}: {}", answer.text());
                    assert_eq!(answer.header("Location"), Some(location));
                    assert_eq!(answer.text(), "");
                }
                let answer = client(bed).request("POST", target, &[], b"").await.unwrap();
                assert_eq!(answer.status, 400, "{target}");
            }
            assert!(bed.node("n2").asked().is_empty(), "no engine is asked");
            let operator = bed.operator("n1");
            let unsigned = operator.client().get("//info", &[]).await.unwrap();
            assert_eq!(unsigned.status, 401, "nobody else learns anything");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_up_to_256_kib_are_served_and_longer_ones_are_answered_431() {
    two_nodes()
        .run(async |bed| {
            let operator = bed.operator("n1");
            for container in ["near", "far"] {
                let path = format!("/containers/{container}/json");
                let long = "a".repeat(250 << 10);
                let fields = [("Cookie", long.as_str())];
                let answer = client(bed).get(&path, &fields).await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                let answer = operator.ask("GET", &path, &fields, b"").await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                let filters = format!("{{\"label\":[\"{}\"]}}", "a".repeat(50 << 10));
                let target = format!("/containers/json?{}", query::with("", "filters", &filters));
                assert_eq!(client(bed).get(&target, &[]).await.unwrap().status, 200);
                let longer = "a".repeat(300 << 10);
                let fields = [("Cookie", longer.as_str())];
                for answer in [
                    client(bed).get(&path, &fields).await.unwrap(),
                    operator.ask("GET", &path, &fields, b"").await.unwrap(),
                ] {
                    assert_eq!(answer.status, 431, "{}", answer.text());
                    assert!(answer.message().unwrap().contains("256 KiB"));
                }
            }
        })
        .await;
}
