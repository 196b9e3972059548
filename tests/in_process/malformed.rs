//! Ambiguous and malformed requests: each gets an error with a message, and none
//! reaches an engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{Caller, TestCluster, manager, with_cluster};
use skep_bed::{Connection, Response, eventually};
use tokio::task::JoinSet;

/// An error with a message that a client can show.
fn assert_refused(asked: &str, answer: &Response) {
    let text = answer.text();
    assert!(
        (400..500).contains(&answer.status),
        "{asked:?}: {} {text}",
        answer.status
    );
    let kind = answer.header("Content-Type");
    assert_eq!(kind, Some("application/json"), "{asked:?}: {text}");
    assert!(
        answer.message().is_some_and(|m| !m.is_empty()),
        "{asked:?}: {text}"
    );
}

fn assert_untouched(bed: &TestCluster) {
    let asked = bed.node("n1").asked();
    assert!(asked.is_empty(), "the engine saw {asked:?}");
}

/// After a refusal the connection serves the next request or is closed, but never
/// sends half an answer.
async fn assert_usable_or_closed(caller: &Caller, mut connection: Connection, asked: &str) {
    let signed = caller.sign("GET", "/skep/v1/health", &[], b"");
    match connection
        .request("GET", "/skep/v1/health", &signed.fields(), b"")
        .await
    {
        Ok(answer) => assert_eq!(answer.status, 200, "{asked:?}: {}", answer.text()),
        Err(e) => assert_ne!(e.kind(), std::io::ErrorKind::TimedOut, "{asked:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_paths_are_refused_even_when_signed() {
    with_cluster([manager("n1")], async |bed| {
        let operator = bed.operator("n1");
        for path in [
            "/containers/../images/json",
            "/containers/./json",
            "/..",
            "//containers/../json",
            "/containers/%2e%2e/images/json",
            "/containers/%252e%252e/json",
            "/containers/%2525/json",
            "/containers/a%00b/json",
            "/containers/a%0d%0aX:%20y/json",
            "/containers/a%5cb/json",
            "/containers/a%ffb/json",
            "/containers/a%zz/json",
            "/containers/a;b/json",
            "/containers/a%3bb/json",
            "/v1.41.0/containers/json",
            "/v1/containers/json",
            "/v0.9/containers/json",
            "/containers/json?a=1;b=2",
        ] {
            let mut connection = operator.client().connect().await.unwrap();
            let signed = operator.sign("GET", path, &[], b"");
            let answer = connection.request("GET", path, &signed.fields(), b"").await;
            let answer = answer.unwrap_or_else(|e| panic!("{path}: {e}"));
            assert_eq!(answer.status, 400, "{path}: {}", answer.text());
            assert_refused(path, &answer);
            assert_usable_or_closed(&operator, connection, path).await;
        }
        let long = format!("/containers/{}/json", "a".repeat(9000));
        assert_refused("a long path", &operator.get(&long).await.unwrap());
        assert_untouched(bed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_get_a_json_error() {
    with_cluster([manager("n1")], async |bed| {
        let operator = bed.operator("n1");
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(1000));
        for bytes in [
            "CONNECT docker:2375 HTTP/1.1\r\nHost: docker\r\n\r\n",
            "GET http://docker/containers/json HTTP/1.1\r\nHost: docker\r\n\r\n",
            "GET ftp://docker/containers/json HTTP/1.1\r\nHost: docker\r\n\r\n",
            "GET //docker/containers/json HTTP/1.1\r\nHost: docker\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: docker\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: docker\r\n\r\n",
            "GET containers/json HTTP/1.1\r\nHost: docker\r\n\r\n",
            "GET /containers/json HTTP/1.1\r\nno colon\r\n\r\n",
            "GET /containers/json HTTP/1.1\r\nHost : docker\r\n\r\n",
            "GET /containers/json HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET /containers/json HTTP/3.7\r\nHost: docker\r\n\r\n",
            "no request at all\r\n\r\n",
            "POST /exec/x/start HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            "POST /exec/x/start HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            many.as_str(),
        ] {
            let asked = &bytes[..bytes.len().min(60)];
            let mut connection = operator.client().connect().await.unwrap();
            // The refusal may come before the client has sent everything.
            let _ = connection.send(bytes.as_bytes()).await;
            let answer = connection.response("GET").await;
            let answer = answer.unwrap_or_else(|e| panic!("{asked:?}: {e}"));
            assert_refused(asked, &answer);
            assert_usable_or_closed(&operator, connection, asked).await;
        }
        assert_untouched(bed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_head_is_cut_off() {
    with_cluster([manager("n1")], async |bed| {
        let operator = bed.operator("n1");
        let mut connection = operator.client().connect().await.unwrap();
        let head = "GET /containers/json HTTP/1.1\r\nHost: a\r\nA: ";
        connection.send(head.as_bytes()).await.unwrap();
        let mut taken = 0;
        while connection.send(&[b'b'; 64 << 10]).await.is_ok() {
            taken += 64 << 10;
            assert!(taken < 64 << 20, "the agent reads without a limit");
        }
        assert_untouched(bed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_unfinished_heads_are_cut_off_while_other_requests_are_served() {
    // Each uses about 60 KiB of the 24 MiB that all may use together.
    const CONNECTIONS: usize = 620;
    const TOO_MANY: usize = 60;
    with_cluster([manager("n1")], async |bed| {
        let operator = bed.operator("n1");
        let head = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(63 << 10));
        let closed = Arc::new(AtomicUsize::new(0));
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let mut connection = operator.client().connect().await.unwrap();
            let (head, closed) = (head.clone(), closed.clone());
            connections.spawn(async move {
                let _ = connection.send(head.as_bytes()).await;
                if connection.closed().await.is_ok() {
                    closed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // They end for lack of memory, before their timeout.
        assert!(eventually(|| closed.load(Ordering::Relaxed) >= TOO_MANY).await);
        assert!(closed.load(Ordering::Relaxed) < CONNECTIONS / 2);
        assert_eq!(operator.get("/skep/v1/health").await.unwrap().status, 200);
        connections.abort_all();
        while connections.join_next().await.is_some() {}
        assert_untouched(bed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_http_end_only_their_connection() {
    with_cluster([manager("n1")], async |bed| {
        let operator = bed.operator("n1");
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"[..],
            &[0xff; 512],
            b"\r\n\r\n\r\n",
        ] {
            let mut connection = operator.client().connect().await.unwrap();
            let _ = connection.send(bytes).await;
            let mut rest = connection.into_raw();
            let _ = rest.close_write().await;
            let answer = rest.receive_to_end().await.unwrap_or_default();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
                "{answer}"
            );
        }
        // Without TLS.
        let plain = skep_bed::Client::tcp(bed.node("n1").address);
        let answer = plain.get("/containers/json", &[]).await;
        assert!(answer.is_err(), "{answer:?}");

        assert_eq!(operator.get("/skep/v1/health").await.unwrap().status, 200);
        assert_untouched(bed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_closes_when_the_client_asks_for_it() {
    with_cluster([manager("n1")], async |bed| {
        let operator = bed.operator("n1");
        for request in [
            "GET /containers/json HTTP/1.0\r\n\r\n",
            "GET /containers/json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ] {
            let mut connection = operator.client().connect().await.unwrap();
            connection.send(request.as_bytes()).await.unwrap();
            let answer = connection.response("GET").await.unwrap();
            assert_eq!(answer.status, 401);
            assert_refused(request, &answer);
            assert!(connection.closed().await.unwrap(), "{request}");
        }
        assert_untouched(bed);

        let signed = operator.sign("GET", "/containers/json", &[], b"");
        let fields = signed.0.iter().map(|(n, v)| format!("{n}: {v}\r\n"));
        let fields: String = fields.collect();
        let request = format!("GET /containers/json HTTP/1.0\r\n{fields}\r\n");
        let mut connection = operator.client().connect().await.unwrap();
        connection.send(request.as_bytes()).await.unwrap();
        let answer = connection.response("GET").await.unwrap();
        assert_eq!((answer.status, answer.text().trim()), (200, "[]"));
        assert!(connection.closed().await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_cannot_smuggle_a_second_request() {
    const SMUGGLED: &str = "GET /containers/smuggled/json HTTP/1.1\r\nHost: docker\r\n\r\n";
    with_cluster([manager("n1")], async |bed| {
        let operator = bed.operator("n1");
        let length = SMUGGLED.len().to_string();
        for framing in [
            &[("Content-Length", "5"), ("Transfer-Encoding", "chunked")][..],
            &[
                ("Transfer-Encoding", "chunked"),
                ("Transfer-Encoding", "identity"),
            ],
            &[("Transfer-Encoding", "identity, chunked")],
            &[("Transfer-Encoding", "xchunked")],
            &[("Transfer-Encoding", "chunked, identity")],
            &[("Transfer-Encoding", "Chunked ")],
            &[("Content-Length", "+5")],
            &[("Content-Length", "5, 5")],
            &[("Content-Length", length.as_str())],
        ] {
            let mut signed = operator.sign_stream("POST", "/images/load", &[]);
            for (name, value) in framing {
                signed = signed.and(name, value);
            }
            let body = format!("0\r\n\r\n{SMUGGLED}");
            let mut connection = operator.client().connect().await.unwrap();
            let fields = signed.fields();
            let _ = connection
                .ask("POST", "/images/load", &fields, body.as_bytes())
                .await;
            // The first answer may be any answer. The rest was not signed, so that
            // a second answer can only be a refusal.
            let _ = connection.response("POST").await;
            if let Ok(second) = connection.response("GET").await {
                assert_refused("a smuggled request", &second);
            }
        }
        let smuggled = bed
            .node("n1")
            .engine
            .requests_to("/containers/smuggled/json");
        assert!(smuggled.is_empty(), "{smuggled:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_are_refused_because_engines_read_parameters_from_them() {
    with_cluster([manager("n1")], async |bed| {
        let operator = bed.operator("n1");
        let form = b"force=1&v=1";
        for kind in [
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-Urlencoded",
            "application/x-www-form-urlencoded; charset=utf-8",
            "application/x-www-form-urlencoded;",
        ] {
            let headers = [("Content-Type", kind)];
            let answer = operator
                .ask("POST", "/containers/prune", &headers, form)
                .await
                .unwrap();
            assert_eq!(answer.status, 415, "{kind}");
            assert_refused(kind, &answer);
            assert!(answer.message().unwrap().contains("Content-Type"));
        }
        assert_untouched(bed);
    })
    .await;
}
