//! Long answers and bodies: flushed as they arrive, never buffered, ended when the
//! other side ends them and not for being idle.

use std::time::Duration;

use crate::common::{Caller, TestCluster, manager, with_cluster, worker};
use skep_bed::{EngineBuilder, FakeEngine, Streaming, Sum, chunk, eventually, fixture, noise, sum};

const HOUR: Duration = Duration::from_secs(3600);

/// One route to an engine: `id` is a container of the target node.
struct Route<'a> {
    operator: Caller,
    headers: Vec<(&'a str, &'a str)>,
    engine: &'a FakeEngine,
    id: &'a str,
}

impl Route<'_> {
    async fn open(&self, method: &str, target: &str) -> Streaming {
        let target = target.replace("ID", self.id);
        let stream = self
            .operator
            .stream(method, &target, &self.headers)
            .await
            .expect("an answer");
        assert_eq!(stream.status, 200, "{target}");
        stream
    }

    async fn upload(&self, target: &str, first: &[u8]) -> Streaming {
        self.operator
            .upload(target, &self.headers, first)
            .await
            .expect("an answer")
    }
}

/// Runs a test against the local engine and against the engine of another node.
async fn on_both_nodes(
    engine: impl Fn(EngineBuilder) -> EngineBuilder,
    test: impl AsyncFn(&Route<'_>),
) {
    let container = |id: &str| vec![fixture::container(id, id, 1, 0)];
    let near = manager("n1").engine(|e| engine(e.containers(container("near"))));
    let far = worker("n2").engine(|e| engine(e.containers(container("far"))));
    with_cluster([near, far], async |bed| {
        let bed: &TestCluster = bed;
        for (node, id) in [("n1", "near"), ("n2", "far")] {
            let route = Route {
                operator: bed.operator("n1"),
                headers: vec![("Skep-Target", node)],
                engine: &bed.node(node).engine,
                id,
            };
            test(&route).await;
        }
    })
    .await;
}

async fn line(stream: &mut Streaming) -> String {
    stream.next_line().await.expect("a stream").expect("a line")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_arrive_as_they_are_written_and_the_engine_sees_the_client_leave() {
    on_both_nodes(
        |e| e,
        async |route| {
            for target in [
                "/events",
                "/containers/ID/logs?follow=1&stdout=1",
                "/containers/ID/stats",
            ] {
                let mut stream = route.open("GET", target).await;
                // None of these ends, so an agent that buffers them would deliver no line.
                for _ in 0..3 {
                    assert!(!line(&mut stream).await.is_empty());
                }
                let path = target.replace("ID", route.id);
                let path = path.split('?').next().unwrap_or_default();
                let left = || {
                    route
                        .engine
                        .requests_to(path)
                        .last()
                        .is_some_and(|r| r.client_closed)
                };
                assert!(!left(), "{target}");
                drop(stream);
                assert!(eventually(left).await, "{target}");
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_sees_the_end_of_a_stream() {
    let event = serde_json::json!({ "Type": "container", "Action": "die" });
    on_both_nodes(
        |e| e.events(vec![event.clone()]),
        async |route| {
            let mut events = route.open("GET", "/events?until=1").await;
            assert!(line(&mut events).await.contains("die"));
            assert_eq!(events.next_line().await.unwrap(), None);
            let mut logs = route.open("GET", "/containers/ID/logs?stdout=1").await;
            for n in 0..3 {
                assert!(line(&mut logs).await.ends_with(&format!("line {n}")));
            }
            assert_eq!(logs.next_line().await.unwrap(), None);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_stream_stays_open() {
    on_both_nodes(
        |e| e.interval(Duration::from_secs(3)),
        async |route| {
            let mut events = route.open("GET", "/events").await;
            assert!(line(&mut events).await.contains("tick"));
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_sends_its_head_at_once_and_its_body_later() {
    on_both_nodes(
        |e| e.wait(HOUR),
        async |route| {
            // This returns with the head; the body comes in an hour.
            let waiting = route
                .open("POST", "/containers/ID/wait?condition=next-exit")
                .await;
            drop(waiting);
            let path = format!("/containers/{}/wait", route.id);
            let left = || route.engine.requests_to(&path)[0].client_closed;
            assert!(eventually(left).await);
        },
    )
    .await;
    on_both_nodes(
        |e| e.wait(Duration::from_millis(100)),
        async |route| {
            let mut waiting = route.open("POST", "/containers/ID/wait").await;
            assert_eq!(line(&mut waiting).await, "{\"StatusCode\":0}");
            assert_eq!(waiting.next_line().await.unwrap(), None);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_arrives_unchanged() {
    const BYTES: usize = 20 << 20;
    on_both_nodes(
        |e| e.transfer(BYTES as u64),
        async |route| {
            let mut export = route.open("GET", "/images/get?names=busybox").await;
            assert_eq!(
                export.head.header("Content-Type"),
                Some("application/x-tar")
            );
            let (mut bytes, mut arrived) = (0, Sum::default());
            while let Some(piece) = export.next_chunk().await.unwrap() {
                bytes += piece.len();
                arrived.update(&piece);
            }
            assert_eq!(bytes, BYTES);
            assert_eq!(arrived.value(), sum(&noise(BYTES)));
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_back_the_engine_without_buffering() {
    on_both_nodes(
        |e| e.transfer(1 << 30),
        async |route| {
            let export = route.open("GET", "/images/get?names=busybox").await;
            let sent = || route.engine.requests_to("/images/get")[0].sent;
            let mut before = 0;
            // Until nothing more is sent; kernels buffer a few megabytes per hop.
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let now = sent();
                if now > 0 && now == before {
                    break;
                }
                before = now;
            }
            assert!(before < 64 << 20, "{before} bytes are buffered");
            drop(export);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_arrives_unchanged_in_every_framing() {
    const BYTES: usize = 10 << 20;
    on_both_nodes(
        |e| e,
        async |route| {
            let body = noise(BYTES);
            let result = format!("Loaded {BYTES} bytes {:016x}", sum(&body));

            let mut load = route
                .operator
                .sign_stream("POST", "/images/load", &route.headers);
            load = load.and("Transfer-Encoding", "chunked");
            let mut connection = route.operator.client().connect().await.unwrap();
            connection
                .ask("POST", "/images/load", &load.fields(), b"")
                .await
                .unwrap();
            for piece in body.chunks(60_001) {
                connection.send(&chunk(piece)).await.unwrap();
            }
            connection.send(b"0\r\n\r\n").await.unwrap();
            let answer = connection.response("POST").await.unwrap();
            assert!(answer.text().contains(&result), "{}", answer.text());

            let load = route
                .operator
                .sign_stream("POST", "/images/load", &route.headers);
            let client = route.operator.client();
            let answer = client
                .request("POST", "/images/load", &load.fields(), &body)
                .await;
            assert!(answer.unwrap().text().contains(&result));
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_reports_progress_while_its_context_is_sent() {
    on_both_nodes(
        |e| e,
        async |route| {
            let piece = noise(64 * 1024);
            let mut build = route.upload("/build?t=web", &chunk(&piece)).await;
            assert_eq!(build.status, 200);
            for n in 1..=4 {
                // The line arrives before the client sends the rest of the context.
                let line = line(&mut build).await;
                assert!(line.contains("received"), "{n}: {line}");
                build.send(&chunk(&piece)).await.unwrap();
            }
            build.send(b"0\r\n\r\n").await.unwrap();
            let whole = piece.repeat(5);
            let built = format!("Built {} bytes {:016x}", whole.len(), sum(&whole));
            let mut last = String::new();
            while let Some(line) = build.next_line().await.unwrap() {
                last = line;
            }
            assert!(last.contains(&built), "{last}");
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_expect_gets_100_continue() {
    on_both_nodes(
        |e| e,
        async |route| {
            let mut expecting = route.headers.clone();
            expecting.push(("Expect", "100-continue"));
            // A stream, for which the engine sends 100, and a body that the agent reads itself.
            let stream = route
                .operator
                .sign_stream("POST", "/images/load", &expecting);
            let held = route
                .operator
                .sign("POST", "/containers/create", &expecting, b"{}");
            for (target, signed, status) in [
                ("/images/load", stream, 200),
                ("/containers/create", held, 404),
            ] {
                let mut connection = route.operator.client().connect().await.unwrap();
                let signed = signed.and("Content-Length", "2");
                connection
                    .ask("POST", target, &signed.fields(), b"")
                    .await
                    .unwrap();
                let mut raw = connection.into_raw();
                let interim = raw.receive().await.unwrap();
                let interim = String::from_utf8_lossy(&interim).into_owned();
                assert!(interim.starts_with("HTTP/1.1 100 "), "{target}: {interim}");
                raw.send(b"{}").await.unwrap();
                let answer = raw.receive().await.unwrap();
                let answer = String::from_utf8_lossy(&answer).into_owned();
                assert!(
                    answer.starts_with(&format!("HTTP/1.1 {status} ")),
                    "{target}: {answer}"
                );
            }
        },
    )
    .await;
}
