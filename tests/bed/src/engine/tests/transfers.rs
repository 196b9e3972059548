//! Long streams and bulk data.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::{chunk, noise, sum};

const CHUNKED: &[(&str, &str)] = &[("Transfer-Encoding", "chunked")];

fn with_container() -> EngineBuilder {
    let web = fixture::container("c1", "web", 1, 0);
    FakeEngine::node("node1")
        .containers(vec![web])
        .interval(Duration::from_millis(1))
}

#[tokio::test]
async fn streams_last_until_the_client_closes_and_the_engine_sees_it() {
    let (engine, client) = start(with_container()).await;
    for (n, target) in [
        "/events",
        "/containers/web/logs?follow=1&stdout=1",
        "/containers/c1/stats",
    ]
    .iter()
    .enumerate()
    {
        let mut stream = client.stream("GET", target, &[], b"").await.unwrap();
        assert_eq!(stream.head.header("Transfer-Encoding"), Some("chunked"));
        let first = stream.next_line().await.unwrap().unwrap();
        let second = stream.next_line().await.unwrap().unwrap();
        assert_ne!(first, second);
        assert!(!engine.requests()[n].client_closed);
        drop(stream);
        assert!(
            eventually(|| engine.requests()[n].client_closed).await,
            "{target}"
        );
    }
}

#[tokio::test]
async fn an_idle_stream_sends_its_head_and_sees_the_client_leave() {
    let builder = with_container().interval(Duration::from_secs(3600));
    let (engine, client) = start(builder).await;
    let quiet = client.stream("GET", "/events", &[], b"").await.unwrap();
    assert_eq!(quiet.status, 200);
    drop(quiet);
    assert!(eventually(|| engine.requests()[0].client_closed).await);
    assert_eq!(engine.requests()[0].sent, 0);
}

#[tokio::test]
async fn past_events_are_sent_only_on_request_and_within_their_times_and_scope() {
    let event = |scope, at: i64| fixture::event(scope, "network", "x", scope, at * 1_000_000_000);
    let past = vec![event("local", 5), event("swarm", 6), event("local", 7)];
    let (engine, client) = start(with_container().events(past)).await;
    for (query, times) in [
        ("since=1&until=20", vec![5, 6, 7]),
        ("until=6", vec![5, 6]),
        ("since=5.000000001&until=20", vec![6, 7]),
        (
            "since=1&until=20&filters={%22scope%22:{%22local%22:true}}",
            vec![5, 7],
        ),
        (
            "since=1&until=20&filters={%22scope%22:[%22swarm%22]}",
            vec![6],
        ),
    ] {
        let answer = client.get(&format!("/events?{query}"), &[]).await.unwrap();
        let text = answer.text();
        let events = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found: Vec<_> = events
            .map(|event| event["time"].as_i64().unwrap())
            .collect();
        assert_eq!(found, times, "{query}");
    }
    for wrong in ["since=x", "since=3&until=2", "filters={", "filters=[]"] {
        let refused = client.get(&format!("/events?{wrong}"), &[]).await.unwrap();
        assert_eq!(refused.status, 400, "{wrong}");
    }
    let mut live = client.stream("GET", "/events", &[], b"").await.unwrap();
    engine.publish(serde_json::json!({ "Action": "now" }));
    loop {
        let line = live.next_line().await.unwrap().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        match event["Action"].as_str() {
            Some("now") => break,
            action => assert_eq!(action, Some("tick")),
        }
    }
}

#[tokio::test]
async fn logs_without_follow_and_stats_without_stream_end() {
    let (_engine, client) = start(with_container()).await;
    let logs = client
        .get("/containers/web/logs?stdout=1", &[])
        .await
        .unwrap();
    assert_eq!(logs.text(), "web line 0\nweb line 1\nweb line 2\n");
    let stats = client
        .get("/containers/web/stats?stream=0", &[])
        .await
        .unwrap();
    assert_eq!(stats.json().unwrap()["id"], "c1");
    let missing = client
        .get("/containers/x/logs?follow=1", &[])
        .await
        .unwrap();
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn wait_sends_its_head_long_before_its_body() {
    let (engine, client) = start(with_container()).await;
    engine
        .shared
        .change(|config| config.wait = Duration::from_secs(3600));
    let wait = client
        .stream("POST", "/containers/web/wait", &[], b"")
        .await;
    assert_eq!(wait.unwrap().status, 200);
    engine
        .shared
        .change(|config| config.wait = Duration::from_millis(1));
    let wait = client
        .request("POST", "/containers/web/wait", &[], b"")
        .await;
    assert_eq!(wait.unwrap().text(), "{\"StatusCode\":0}\n");
}

#[tokio::test]
async fn a_saved_image_is_noise_of_the_configured_size() {
    let (engine, client) = start(with_container().transfer(100_001)).await;
    for target in ["/images/get?names=a", "/images/a/b:1/get"] {
        let saved = client.get(target, &[]).await.unwrap();
        assert_eq!(saved.header("Content-Type"), Some("application/x-tar"));
        assert!(saved.body == noise(100_001));
    }
    assert_eq!(engine.requests()[0].sent, 100_001);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_engine_back() {
    const SIZE: u64 = 64 * 1024 * 1024;
    let (engine, client) = start(with_container().transfer(SIZE)).await;
    let mut save = client.stream("GET", "/images/get", &[], b"").await.unwrap();
    assert!(eventually(|| engine.requests()[0].sent > 0).await);
    save.next_chunk().await.unwrap();
    assert!(engine.requests()[0].sent < SIZE);
}

#[tokio::test]
async fn a_load_reports_the_size_and_checksum_of_its_body() {
    let (engine, client) = start(with_container()).await;
    let image = noise(300_000);
    let loaded = client
        .request("POST", "/images/load", &[], &image)
        .await
        .unwrap();
    let expected = format!("Loaded 300000 bytes {:016x}", sum(&image));
    assert_eq!(loaded.json().unwrap()["stream"], expected);
    let body = &engine.requests()[0].body;
    assert_eq!((body.bytes, body.sum.value()), (300_000, sum(&image)));
}

#[tokio::test]
async fn a_build_reports_progress_while_its_context_is_sent() {
    let (_engine, client) = start(with_container()).await;
    let context = noise(70_000);
    let mut build = client
        .stream("POST", "/build", CHUNKED, &chunk(&context[..10]))
        .await
        .unwrap();
    let line = build.next_line().await.unwrap().unwrap();
    assert_eq!(line, "{\"stream\":\"received 10 bytes\"}");
    build.send(&chunk(&context[10..])).await.unwrap();
    let line = build.next_line().await.unwrap().unwrap();
    assert!(line.contains("received"), "{line}");
    build.send(b"0\r\n\r\n").await.unwrap();
    let last = build.next_line().await.unwrap().unwrap();
    assert!(
        last.contains(&format!("Built 70000 bytes {:016x}", sum(&context))),
        "{last}"
    );
    assert!(build.next_line().await.unwrap().is_none());
}

#[tokio::test]
async fn the_answer_to_an_interrupted_build_is_incomplete() {
    let (_engine, client) = start(with_container()).await;
    let mut build = client
        .stream("POST", "/build", CHUNKED, &chunk(b"begun"))
        .await
        .unwrap();
    build.next_line().await.unwrap();
    build.send(b"not a chunk size\r\n").await.unwrap();
    assert!(build.next_line().await.is_err());
}
