//! Answers and bodies that go on: flushed as they come, ended when they end,
//! never held, never cut for being quiet.

use std::time::Duration;

use crate::common::{Bed, Caller, manager, with_cluster, worker};
use skep_bed::{EngineBuilder, FakeEngine, Streaming, Sum, chunk, eventually, fixture, noise, sum};

const HOUR: Duration = Duration::from_secs(3600);

/// One way to an engine: `id` is a container of the node that is meant.
struct Way<'a> {
    operator: Caller,
    headers: Vec<(&'a str, &'a str)>,
    engine: &'a FakeEngine,
    id: &'a str,
}

impl Way<'_> {
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

/// A test against the engine next door and against another node's.
async fn both(engine: impl Fn(EngineBuilder) -> EngineBuilder, test: impl AsyncFn(&Way<'_>)) {
    let container = |id: &str| vec![fixture::container(id, id, 1, 0)];
    let near = manager("n1").engine(|e| engine(e.containers(container("near"))));
    let far = worker("n2").engine(|e| engine(e.containers(container("far"))));
    with_cluster([near, far], async |bed| {
        let bed: &Bed = bed;
        for (node, id) in [("n1", "near"), ("n2", "far")] {
            let way = Way {
                operator: bed.operator("n1"),
                headers: vec![("Skep-Target", node)],
                engine: &bed.node(node).engine,
                id,
            };
            test(&way).await;
        }
    })
    .await;
}

async fn line(stream: &mut Streaming) -> String {
    stream.next_line().await.expect("a stream").expect("a line")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_arrive_as_they_are_written_and_the_engine_sees_the_client_leave() {
    both(
        |e| e,
        async |way| {
            for target in [
                "/events",
                "/containers/ID/logs?follow=1&stdout=1",
                "/containers/ID/stats",
            ] {
                let mut stream = way.open("GET", target).await;
                // None of these ever ends: a line that is here was not held back.
                for _ in 0..3 {
                    assert!(!line(&mut stream).await.is_empty());
                }
                let path = target.replace("ID", way.id);
                let path = path.split('?').next().unwrap_or_default();
                let left = || {
                    way.engine
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
    both(
        |e| e.events(vec![event.clone()]),
        async |way| {
            let mut events = way.open("GET", "/events?until=1").await;
            assert!(line(&mut events).await.contains("die"));
            assert_eq!(events.next_line().await.unwrap(), None);
            let mut logs = way.open("GET", "/containers/ID/logs?stdout=1").await;
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
    both(
        |e| e.interval(Duration::from_secs(3)),
        async |way| {
            let mut events = way.open("GET", "/events").await;
            assert!(line(&mut events).await.contains("tick"));
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_sends_its_head_at_once_and_its_body_later() {
    both(
        |e| e.wait(HOUR),
        async |way| {
            // What this returns with is the head; the body is an hour away.
            let waiting = way
                .open("POST", "/containers/ID/wait?condition=next-exit")
                .await;
            drop(waiting);
            let path = format!("/containers/{}/wait", way.id);
            let left = || way.engine.requests_to(&path)[0].client_closed;
            assert!(eventually(left).await);
        },
    )
    .await;
    both(
        |e| e.wait(Duration::from_millis(100)),
        async |way| {
            let mut waiting = way.open("POST", "/containers/ID/wait").await;
            assert_eq!(line(&mut waiting).await, "{\"StatusCode\":0}");
            assert_eq!(waiting.next_line().await.unwrap(), None);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_arrives_unchanged() {
    const BYTES: usize = 20 << 20;
    both(
        |e| e.transfer(BYTES as u64),
        async |way| {
            let mut export = way.open("GET", "/images/get?names=busybox").await;
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
    both(
        |e| e.transfer(1 << 30),
        async |way| {
            let export = way.open("GET", "/images/get?names=busybox").await;
            let sent = || way.engine.requests_to("/images/get")[0].sent;
            let mut before = 0;
            // Until nothing more goes out; kernels hold a few megabytes a hop.
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let now = sent();
                if now > 0 && now == before {
                    break;
                }
                before = now;
            }
            assert!(before < 64 << 20, "{before} bytes are held somewhere");
            drop(export);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_arrives_unchanged_in_every_framing() {
    const BYTES: usize = 10 << 20;
    both(
        |e| e,
        async |way| {
            let body = noise(BYTES);
            let result = format!("Loaded {BYTES} bytes {:016x}", sum(&body));

            let mut load = way
                .operator
                .sign_stream("POST", "/images/load", &way.headers);
            load = load.and("Transfer-Encoding", "chunked");
            let mut connection = way.operator.client().connect().await.unwrap();
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

            let load = way
                .operator
                .sign_stream("POST", "/images/load", &way.headers);
            let client = way.operator.client();
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
    both(
        |e| e,
        async |way| {
            let piece = noise(64 * 1024);
            let mut build = way.upload("/build?t=web", &chunk(&piece)).await;
            assert_eq!(build.status, 200);
            for n in 1..=4 {
                // Said before the rest of the context was sent.
                let said = line(&mut build).await;
                assert!(said.contains("received"), "{n}: {said}");
                build.send(&chunk(&piece)).await.unwrap();
            }
            build.send(b"0\r\n\r\n").await.unwrap();
            let whole = piece.repeat(5);
            let built = format!("Built {} bytes {:016x}", whole.len(), sum(&whole));
            let mut last = String::new();
            while let Some(said) = build.next_line().await.unwrap() {
                last = said;
            }
            assert!(last.contains(&built), "{last}");
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_expect_gets_100_continue() {
    both(
        |e| e,
        async |way| {
            let mut expecting = way.headers.clone();
            expecting.push(("Expect", "100-continue"));
            // A stream, which the engine asks for, and a body that the agent holds.
            let stream = way.operator.sign_stream("POST", "/images/load", &expecting);
            let held = way
                .operator
                .sign("POST", "/containers/create", &expecting, b"{}");
            for (target, signed, status) in [
                ("/images/load", stream, 200),
                ("/containers/create", held, 404),
            ] {
                let mut connection = way.operator.client().connect().await.unwrap();
                let signed = signed.and("Content-Length", "2");
                connection
                    .ask("POST", target, &signed.fields(), b"")
                    .await
                    .unwrap();
                let mut raw = connection.into_raw();
                let told = raw.receive().await.unwrap();
                let told = String::from_utf8_lossy(&told).into_owned();
                assert!(told.starts_with("HTTP/1.1 100 "), "{target}: {told}");
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
