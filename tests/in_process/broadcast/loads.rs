//! Loads: the client sends an archive once, and it reaches every engine unchanged,
//! at the pace of the slowest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use skep_bed::{Behaviour, Connection, Response, Seen, chunk, eventually, noise, sum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::*;
use crate::common::Caller;

const LOAD: &str = "/images/load";

/// Begins a load on all nodes; the test sends its chunked body later.
async fn begin_load(operator: &Caller, headers: &[(&str, &str)]) -> Connection {
    let headers = [&[ALL, ("Content-Type", "application/x-tar")], headers].concat();
    let signed = operator.sign_stream("POST", LOAD, &headers);
    let signed = signed.and("Transfer-Encoding", "chunked");
    let mut connection = operator.client().connect().await.expect("a connection");
    let asked = connection.ask("POST", LOAD, &signed.fields(), b"").await;
    asked.expect("a request");
    connection
}

async fn send(connection: &mut Connection, body: &[u8]) {
    for piece in body.chunks(60_001) {
        connection
            .send(&chunk(piece))
            .await
            .expect("the agent reads it");
    }
}

async fn end(mut connection: Connection) -> Response {
    connection
        .send(b"0\r\n\r\n")
        .await
        .expect("the agent reads it");
    connection.response("POST").await.expect("an answer")
}

/// Each of these engines has received exactly this body, once.
fn assert_loaded(bed: &TestCluster, nodes: &[&str], body: &[u8]) {
    for node in nodes {
        let seen = bed.node(node).engine.requests_to(LOAD);
        assert_eq!(seen.len(), 1, "{node}");
        let arrived = (seen[0].body.bytes, seen[0].body.sum.value());
        assert_eq!(arrived, (body.len() as u64, sum(body)), "{node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_arrives_whole_however_its_chunks_are_cut() {
    let body = noise(100);
    with_cluster(three_nodes(), async |bed| {
        let mut load = begin_load(&bed.operator("n1"), &[]).await;
        // Reads of the agent then end inside the size of a chunk, inside its data and
        // between its CR and LF. The pause gives it the time to read each byte alone.
        for piece in body.chunks(20) {
            for byte in chunk(piece) {
                load.send(&[byte]).await.expect("the agent reads it");
                sleep(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(end(load).await.status, 200);
        assert_loaded(bed, &NODES, &body);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_upload_loads_an_image_unchanged_on_every_node() {
    let body = noise(10 << 20);
    for entry in ["n1", "n3"] {
        with_cluster(three_nodes(), async |bed| {
            let mut load = begin_load(&bed.operator(entry), &[]).await;
            send(&mut load, &body).await;
            let answer = end(load).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_loaded(bed, &NODES, &body);
            let messages = messages(&answer.text());
            for node in NODES {
                let loaded = format!("{node}: Loaded {} bytes {:016x}", body.len(), sum(&body));
                let of = |m: &&Value| m["stream"] == *loaded;
                assert_eq!(messages.iter().filter(of).count(), 1, "{messages:?}");
                assert_eq!(outcome(&messages, node), "done");
            }
            assert_eq!(messages.len(), 6, "and no error: {messages:?}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_with_a_length_or_a_digest_arrives_unchanged_too() {
    for len in [0, 3, 1 << 20] {
        let body = noise(len);
        with_cluster(three_nodes(), async |bed| {
            let operator = bed.operator("n2");
            let answer = operator.ask("POST", LOAD, &[ALL], &body).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_loaded(bed, &NODES, &body);
        })
        .await;
        with_cluster(three_nodes(), async |bed| {
            let operator = bed.operator("n2");
            let signed = operator.sign_stream("POST", LOAD, &[ALL]);
            let client = operator.client();
            let answer = client
                .request("POST", LOAD, &signed.fields(), &body)
                .await
                .unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_loaded(bed, &NODES, &body);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_with_expect_gets_100_continue() {
    with_cluster(three_nodes(), async |bed| {
        let load = begin_load(&bed.operator("n1"), &[("Expect", "100-continue")]).await;
        let mut raw = load.into_raw();
        let interim = raw.receive().await.unwrap();
        assert!(interim.starts_with(b"HTTP/1.1 100 "), "{interim:?}");
        raw.send(b"3\r\ntar\r\n0\r\n\r\n").await.unwrap();
        let interim = raw.receive().await.unwrap();
        assert!(interim.starts_with(b"HTTP/1.1 200 "), "{interim:?}");
        let arrived = |node: &str| {
            let seen = bed.node(node).engine.requests_to(LOAD);
            let whole = |r: &Seen| r.body.bytes == 3 && r.header("Expect").is_none();
            seen.first().is_some_and(whole)
        };
        assert!(eventually(|| NODES.into_iter().all(arrived)).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_dies_during_a_load_fails_alone() {
    let body = noise(8 << 20);
    for dying in ["n1", "n2"] {
        with_cluster(three_nodes(), async |bed| {
            let (first, rest) = body.split_at(3 << 20);
            let mut load = begin_load(&bed.operator("n1"), &[]).await;
            send(&mut load, first).await;
            let arrived = |node: &str| {
                let seen = bed.node(node).engine.requests_to(LOAD);
                seen.first().map_or(0, |r| r.body.bytes)
            };
            assert!(eventually(|| arrived(dying) > 1 << 20).await);
            bed.node(dying).engine.stop().await;
            send(&mut load, rest).await;
            let answer = end(load).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let messages = messages(&answer.text());
            assert_failed(&messages, &[dying]);
            let others: Vec<_> = NODES.into_iter().filter(|node| *node != dying).collect();
            assert_loaded(bed, &others, &body);
            for node in others {
                assert_eq!(outcome(&messages, node), "done");
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_refuses_a_load_fails_alone_with_its_own_error() {
    let body = noise(8 << 20);
    for (behaviour, words) in [
        (Behaviour::Reject(403), "set to reject"),
        (Behaviour::Status(507), "set to fail"),
        (Behaviour::FailMidway, "set to fail"),
    ] {
        for unwilling in ["n1", "n2"] {
            with_cluster(three_nodes(), async |bed| {
                behave(bed, unwilling, LOAD, behaviour);
                let mut load = begin_load(&bed.operator("n1"), &[]).await;
                send(&mut load, &body).await;
                let answer = end(load).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                let error = assert_failed(&messages(&answer.text()), &[unwilling]);
                assert!(
                    error.contains(words),
                    "{behaviour:?} at {unwilling}: {error}"
                );
                let others: Vec<_> = NODES.into_iter().filter(|n| *n != unwilling).collect();
                assert_loaded(bed, &others, &body);
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_does_not_read_holds_back_the_client_without_buffering() {
    const PIECES: usize = 64;
    for stalled in ["n1", "n2"] {
        with_cluster(three_nodes(), async |bed| {
            behave(bed, stalled, LOAD, Behaviour::Stall);
            let load = begin_load(&bed.operator("n1"), &[("Connection", "close")]).await;
            let (mut answer, mut upload) = load.into_raw().into_split();
            let sent = Arc::new(AtomicUsize::new(0));
            let counter = sent.clone();
            let uploading = tokio::spawn(async move {
                let piece = chunk(&noise(1 << 20));
                for _ in 0..PIECES {
                    upload.write_all(&piece).await?;
                    upload.flush().await?;
                    counter.fetch_add(1, Ordering::SeqCst);
                }
                upload.write_all(b"0\r\n\r\n").await?;
                upload.flush().await?;
                // Dropping it would also close the connection for the answer.
                Ok::<_, std::io::Error>(upload)
            });
            // Until nothing more is sent; kernels buffer a few megabytes per hop.
            let mut before = 0;
            for _ in 0..100 {
                sleep(Duration::from_millis(300)).await;
                let now = sent.load(Ordering::SeqCst);
                if now > 0 && now == before {
                    break;
                }
                before = now;
            }
            assert!(before < PIECES / 2, "{before} MiB are buffered");
            let seen = bed.node("n3").engine.requests_to(LOAD);
            let arrived = seen.first().map_or(0, |r| r.body.bytes);
            assert!(
                arrived < (PIECES as u64 / 2) << 20,
                "it is not ahead of the others"
            );

            // The client continues as soon as that engine is gone.
            bed.node(stalled).engine.stop().await;
            let mut text = String::new();
            let read = timeout(Duration::from_secs(60), answer.read_to_string(&mut text));
            read.await.expect("an end").expect("an answer");
            drop(uploading.await.unwrap().unwrap());
            let whole = noise(1 << 20).repeat(PIECES);
            let others: Vec<_> = NODES.into_iter().filter(|n| *n != stalled).collect();
            assert_loaded(bed, &others, &whole);
            assert!(
                text.contains(&format!("\"errorDetail\":{{\"message\":\"{stalled}: ")),
                "{text}"
            );
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_disconnects_during_a_load_leaves_no_open_connections() {
    with_cluster(three_nodes(), async |bed| {
        let mut load = begin_load(&bed.operator("n1"), &[]).await;
        send(&mut load, &noise(1 << 20)).await;
        let begun = || asked(bed, LOAD) == [1; 3];
        assert!(eventually(begun).await);
        let open = || {
            bed.nodes
                .iter()
                .map(|n| n.engine.open_connections())
                .collect::<Vec<_>>()
        };
        let before = open();
        drop(load);
        let fewer = || open().iter().zip(&before).all(|(now, before)| now < before);
        assert!(eventually(fewer).await, "{before:?}, then {:?}", open());
    })
    .await;
}
