//! `GET /events` through any agent is one stream of the whole cluster: it has the
//! events of every node, each Swarm event once, and outlives the loss of a node.

use std::path::Path;
use std::time::Duration;

use crate::common::node::Plan;
use crate::common::{ClusterBuilder, TestCluster, manager, with_cluster, worker};
use serde_json::{Value, json};
use skep::config::Config;
use skep_bed::{Behaviour, EngineBuilder, Streaming, eventually, fixture};

const SECOND: i64 = 1_000_000_000;

/// Only the events that a test publishes, no ticks.
fn quiet(engine: EngineBuilder) -> EngineBuilder {
    engine.interval(Duration::from_secs(3600))
}

fn three_nodes() -> [Plan; 3] {
    [manager("m1"), manager("m2"), worker("w")].map(|plan| plan.engine(quiet))
}

fn now() -> i64 {
    i64::try_from(skep::platform::clock::now().as_nanos()).expect("before 2262")
}

fn local(id: &str, at: i64) -> Value {
    fixture::event("local", "network", "connect", id, at)
}

fn swarm(action: &str, id: &str, at: i64) -> Value {
    fixture::event("swarm", "service", action, id, at)
}

async fn listen(bed: &TestCluster, entry: &str, query: &str) -> Streaming {
    let target = format!("/v1.41/events{query}");
    let stream = bed.operator(entry).stream("GET", &target, &[]).await;
    let stream = stream.expect("an answer");
    assert_eq!(stream.status, 200);
    assert_eq!(stream.head.header("Content-Type"), Some("application/json"));
    stream
}

/// Waits until each of these engines has this number of listeners.
async fn wait_for_listeners(bed: &TestCluster, expected: &[(&str, usize)]) {
    let now = || {
        let listeners = |(node, _): &(&str, usize)| bed.node(node).engine.listeners();
        expected.iter().map(listeners).collect::<Vec<_>>()
    };
    let wanted: Vec<_> = expected.iter().map(|(_, n)| *n).collect();
    let reached = eventually(|| now() == wanted).await;
    assert!(reached, "{expected:?}, but it is {:?}", now());
}

/// Waits until every engine has a listener, and one manager a second one for the
/// events of the Swarm. Returns that manager.
async fn wait_for_all_streams(bed: &TestCluster) -> &'static str {
    let of = |node: &str| bed.node(node).engine.listeners();
    let all = || bed.running().map(|node| of(&node.hostname)).sum::<usize>();
    let expected = bed.running().count() + 1;
    assert!(eventually(|| all() == expected).await, "{}", all());
    ["m1", "m2"]
        .into_iter()
        .find(|m| of(m) == 2)
        .expect("a manager")
}

/// `id@node` of the next event, by its decoration.
async fn next(stream: &mut Streaming) -> String {
    let line = stream.next_line().await.expect("a stream").expect("a line");
    place(&serde_json::from_str(&line).expect("JSON"))
}

fn place(event: &Value) -> String {
    let node = event["Portainer"]["Agent"]["NodeName"].as_str();
    let id = event["Actor"]["ID"].as_str().expect("an id");
    format!("{id}@{}", node.expect("a decoration"))
}

/// The next events, sorted because events of different nodes have no order.
async fn next_sorted(stream: &mut Streaming, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(next(stream).await);
    }
    all.sort();
    all
}

/// All events of a stream that ends by itself.
async fn all_events(bed: &TestCluster, entry: &str, query: &str) -> Vec<String> {
    let mut stream = listen(bed, entry, query).await;
    let mut all = Vec::new();
    while let Some(line) = stream.next_line().await.expect("a stream that ends") {
        all.push(place(&serde_json::from_str(&line).expect("JSON")));
    }
    all
}

/// The number of requests to an engine for the events of this scope.
fn asked(bed: &TestCluster, node: &str, scope: &str) -> usize {
    let seen = bed.node(node).engine.requests_to("/events");
    seen.iter().filter(|r| r.target.contains(scope)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_has_the_events_of_all_nodes_and_names_their_node() {
    with_cluster(three_nodes(), async |bed| {
        for entry in ["m1", "m2", "w"] {
            let mut stream = listen(bed, entry, "").await;
            assert_eq!(stream.head.header("Skep-Missing"), None);
            let node = stream.head.header("Skep-Node").unwrap();
            assert!(node.ends_with(entry), "{node}");
            wait_for_all_streams(bed).await;
            for node in ["m1", "m2", "w"] {
                let event = local(&format!("of-{node}"), now());
                bed.node(node).engine.publish(event);
            }
            let events = next_sorted(&mut stream, 3).await;
            assert_eq!(events, ["of-m1@m1", "of-m2@m2", "of-w@w"], "{entry}");
            drop(stream);
            wait_for_listeners(bed, &[("m1", 0), ("m2", 0), ("w", 0)]).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_keeps_the_fields_from_its_engine() {
    with_cluster(three_nodes(), async |bed| {
        let mut stream = listen(bed, "m1", "").await;
        wait_for_all_streams(bed).await;
        let event = local("x", 1_700_000_000_123_456_789);
        bed.node("w").engine.publish(event.clone());
        let line = stream.next_line().await.unwrap().unwrap();
        let mut events: Value = serde_json::from_str(&line).unwrap();
        let id = bed.node("w").id.as_str();
        let agent = json!({ "Agent": { "NodeName": "w", "NodeID": id } });
        assert_eq!(events["Portainer"], agent);
        assert_eq!(events["Actor"]["Attributes"]["node.name"], "w");
        assert_eq!(events["Actor"]["Attributes"]["node.id"], id);
        events.as_object_mut().unwrap().remove("Portainer");
        events["Actor"]["Attributes"] = event["Actor"]["Attributes"].clone();
        assert_eq!(events, event);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swarm_event_appears_once_although_every_manager_reports_it() {
    with_cluster(three_nodes(), async |bed| {
        for entry in ["m1", "m2", "w"] {
            let before = asked(bed, "m1", "swarm") + asked(bed, "m2", "swarm");
            let mut stream = listen(bed, entry, "").await;
            let reporter = wait_for_all_streams(bed).await;
            for manager in ["m1", "m2"] {
                let engine = &bed.node(manager).engine;
                engine.publish(swarm("update", "web", now()));
                engine.publish(local("end", now()));
            }
            bed.node("w").engine.publish(local("end", now()));
            let events = next_sorted(&mut stream, 4).await;
            let web = format!("web@{reporter}");
            assert_eq!(events, ["end@m1", "end@m2", "end@w", &web], "{entry}");
            let after = asked(bed, "m1", "swarm") + asked(bed, "m2", "swarm");
            assert_eq!(after - before, 1, "one manager is asked");
            drop(stream);
            wait_for_listeners(bed, &[("m1", 0), ("m2", 0), ("w", 0)]).await;
        }
        assert_eq!(asked(bed, "w", "swarm"), 0, "a worker has no Swarm events");
    })
    .await;
}

/// Both managers report an update and a removal. Each sets its own time for the
/// removal.
fn publish_at_both(bed: &TestCluster, id: &str) {
    let at = now();
    for (manager, later) in [("m1", 0), ("m2", 7_000_000)] {
        let engine = &bed.node(manager).engine;
        engine.publish(swarm("update", id, at));
        engine.publish(swarm("remove", id, at + later));
    }
}

async fn next_two(stream: &mut Streaming, id: &str) {
    for _ in 0..2 {
        let events = next(stream).await;
        assert!(events.starts_with(&format!("{id}@m")), "{events} for {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_manager_takes_over_the_swarm_events_without_repeats() {
    for by in ["its agent dies", "its engine dies", "it is demoted"] {
        with_cluster(three_nodes(), async |bed| {
            // Not in the stream: it happened before the client asked.
            let long_ago = now() - 2 * SECOND;
            for manager in ["m1", "m2"] {
                let engine = &bed.node(manager).engine;
                engine.publish(swarm("update", "too-early", long_ago));
            }
            let mut stream = listen(bed, "w", "").await;
            let first = wait_for_all_streams(bed).await;
            let second = if first == "m1" { "m2" } else { "m1" };
            publish_at_both(bed, "one");
            next_two(&mut stream, "one").await;
            match by {
                "its agent dies" => bed.node_mut(first).kill().await,
                "its engine dies" => bed.node(first).engine.stop().await,
                _ => bed.node(first).engine.set_manager(false),
            }
            // These events happen while nothing listens.
            publish_at_both(bed, "two");
            wait_for_listeners(bed, &[(second, 2)]).await;
            publish_at_both(bed, "three");
            for id in ["two", "three"] {
                next_two(&mut stream, id).await;
            }
        })
        .await;
    }
}

/// Nodes with events at these seconds; both managers report those of the Swarm.
fn with_a_past() -> [Plan; 3] {
    let past = |own: &[i64], is_manager: bool| {
        let local = |s: &i64| local(&format!("l{s}"), s * SECOND);
        let swarm = |s: i64| swarm("update", &format!("s{s}"), s * SECOND);
        let shared = [15, 35].map(swarm).into_iter().filter(|_| is_manager);
        own.iter().map(local).chain(shared).collect::<Vec<_>>()
    };
    let [m1, m2, w] = three_nodes();
    [
        m1.engine(|e| e.events(past(&[10, 40], true))),
        m2.engine(|e| e.events(past(&[30], true))),
        w.engine(|e| e.events(past(&[20, 50], false))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_events_come_in_order_of_time_and_the_stream_ends() {
    with_cluster(with_a_past(), async |bed| {
        for entry in ["m1", "m2", "w"] {
            for (query, expected) in [
                ("?since=1&until=100", "l10 s15 l20 l30 s35 l40 l50"),
                ("?until=100", "l10 s15 l20 l30 s35 l40 l50"),
                ("?since=20&until=40", "l20 l30 s35 l40"),
                ("?since=60&until=100", ""),
            ] {
                let events = all_events(bed, entry, query).await;
                let ids: Vec<_> = events.iter().filter_map(|p| p.split('@').next()).collect();
                assert_eq!(ids.join(" "), expected, "{entry} {query}");
                assert!(!events.contains(&"l20@m1".to_owned()), "{events:?}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_events_come_sorted_before_live_ones() {
    with_cluster(with_a_past(), async |bed| {
        let mut stream = listen(bed, "w", "?since=15").await;
        for expected in ["s15", "l20", "l30", "s35", "l40", "l50"] {
            let events = next(&mut stream).await;
            assert!(events.starts_with(&format!("{expected}@")), "{events}");
        }
        // Its time is earlier, but it happens now: clocks differ.
        bed.node("w").engine.publish(local("live", SECOND));
        assert_eq!(next(&mut stream).await, "live@w");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_with_until_in_the_future_ends_at_that_time() {
    with_cluster(three_nodes(), async |bed| {
        // On a busy machine the event may come after the end. Then the test tries a
        // later end.
        for seconds in [2, 4, 8] {
            let until = skep::platform::clock::now().as_secs() + seconds;
            let mut stream = listen(bed, "w", &format!("?until={until}")).await;
            let all = || bed.nodes.iter().map(|node| node.engine.listeners());
            let over = || skep::platform::clock::now().as_secs() >= until;
            assert!(eventually(|| over() || all().sum::<usize>() == 4).await);
            bed.node("m1").engine.publish(local("x", now()));
            let event = stream.next_line().await.unwrap();
            if event.is_none() && over() {
                continue;
            }
            let event = event.expect("a line before the end");
            assert_eq!(place(&serde_json::from_str(&event).unwrap()), "x@m1");
            assert_eq!(stream.next_line().await.unwrap(), None);
            assert!(over(), "it ended too early");
            return;
        }
        panic!("no event came before the end");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_node_is_named_and_joins_the_stream_when_it_returns() {
    with_cluster(three_nodes(), async |bed| {
        bed.node_mut("m2").kill().await;
        assert!(eventually(|| bed.node("m1").sees() == 2).await);
        let mut stream = listen(bed, "m1", "").await;
        let missing = stream.head.header("Skep-Missing").unwrap().to_owned();
        let named = format!("{} m2 (", bed.node("m2").id);
        assert!(missing.starts_with(&named), "{missing}");
        wait_for_listeners(bed, &[("m1", 2), ("m2", 0), ("w", 1)]).await;
        // It happens while no agent listens.
        bed.node("m2").engine.publish(local("meanwhile", now()));
        bed.node_mut("m2").start().await.unwrap();
        assert_eq!(next(&mut stream).await, "meanwhile@m2");
        bed.node("m2").engine.publish(local("live", now()));
        assert_eq!(next(&mut stream).await, "live@m2");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_outlives_a_lost_node_and_catches_up_when_it_returns() {
    with_cluster(three_nodes(), async |bed| {
        let mut stream = listen(bed, "m1", "").await;
        wait_for_all_streams(bed).await;
        bed.node("w").engine.publish(local("before", now()));
        assert_eq!(next(&mut stream).await, "before@w");
        bed.node_mut("w").kill().await;
        wait_for_listeners(bed, &[("w", 0)]).await;
        for node in ["m1", "m2"] {
            bed.node(node).engine.publish(local("still", now()));
            assert_eq!(next(&mut stream).await, format!("still@{node}"));
        }
        bed.node("w").engine.publish(local("missed", now()));
        bed.node_mut("w").start().await.unwrap();
        wait_for_listeners(bed, &[("w", 1)]).await;
        bed.node("w").engine.publish(local("after", now()));
        for expected in ["missed@w", "after@w"] {
            assert_eq!(next(&mut stream).await, expected);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_engine_does_not_delay_the_events_of_others() {
    let short = |_: &str, _: &Path, config: &mut Config| {
        config.aggregate.deadline = Duration::from_secs(2);
    };
    ClusterBuilder::of(with_a_past())
        .configure(short)
        .run(async |bed| {
            for hanging in ["w", "m2"] {
                let engine = &bed.node(hanging).engine;
                engine.set_behaviour_of("/events", Behaviour::Hang);
                for entry in ["m1", "w"] {
                    let events = all_events(bed, entry, "?since=1&until=100").await;
                    let of = |node: &str| events.iter().filter(|p| p.ends_with(node)).count();
                    assert_eq!(of(&format!("@{hanging}")), 0, "{events:?}");
                    assert!(of("@m1") >= 2, "{entry} without {hanging}: {events:?}");
                }
                engine.set_behaviour_of("/events", Behaviour::Normal);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_reach_every_engine_and_a_scope_limits_the_engines_asked() {
    with_cluster(with_a_past(), async |bed| {
        let query =
            |filters: &str| format!("?since=1&until=100&filters={}", filters.replace('"', "%22"));
        let asked_all = |scope| ["m1", "m2", "w"].map(|node| asked(bed, node, scope));

        all_events(bed, "w", &query(r#"{"type":["network"],"label":["a=b"]}"#)).await;
        for node in ["m1", "m2", "w"] {
            let seen = bed.node(node).engine.requests_to("/events");
            for request in &seen {
                for word in ["network", "a=b", "since=1", "until=100"] {
                    let target = request.target.replace("%3D", "=");
                    assert!(target.contains(word), "{word}: {target}");
                }
            }
        }
        let (l0, s0) = (asked_all("local"), asked_all("swarm"));
        assert_eq!((l0, s0.iter().sum()), ([1, 1, 1], 1));

        let events = all_events(bed, "w", &query(r#"{"scope":["local"]}"#)).await;
        assert_eq!(events, ["l10@m1", "l20@w", "l30@m2", "l40@m1", "l50@w"]);
        assert_eq!((asked_all("local"), asked_all("swarm")), ([2, 2, 2], s0));

        let events = all_events(bed, "w", &query(r#"{"scope":{"swarm":true}}"#)).await;
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!(asked_all("local"), [2, 2, 2]);
        assert_eq!(asked_all("swarm").iter().sum::<usize>(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_an_engine_refuses_gets_the_engines_error() {
    with_cluster(with_a_past(), async |bed| {
        for (query, words) in [
            ("?filters=%7Bnot", "invalid filter"),
            ("?since=yesterday", "yesterday"),
            ("?since=9&until=8", "cannot be after"),
        ] {
            for entry in ["m1", "w"] {
                let answer = bed.operator(entry).get(&format!("/events{query}")).await;
                let answer = answer.unwrap();
                assert_eq!(answer.status, 400, "{query}: {}", answer.text());
                assert_eq!(answer.header("Content-Type"), Some("application/json"));
                let message = answer.message().unwrap();
                assert!(message.contains(words), "{query}: {message}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_a_named_node_are_its_own_and_unchanged() {
    with_cluster(with_a_past(), async |bed| {
        let answer = bed
            .operator("m1")
            .get_from("w", "/events?since=1&until=100")
            .await;
        let events = answer.unwrap().text();
        let ids = events.lines().map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["Portainer"], Value::Null);
            event["Actor"]["ID"].as_str().unwrap().to_owned()
        });
        assert_eq!(ids.collect::<Vec<_>>(), ["l20", "l50"]);
        assert!(bed.node("m1").engine.requests_to("/events").is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_learns_from_events_where_a_container_is() {
    let id = "c0de".repeat(16);
    with_cluster(three_nodes(), async |bed| {
        let mut stream = listen(bed, "m1", "").await;
        wait_for_all_streams(bed).await;
        let engine = &bed.node("w").engine;
        engine.set_containers(vec![fixture::container(&id, "web", 1, 0)]);
        engine.publish(fixture::event("local", "container", "start", &id, now()));
        assert_eq!(next(&mut stream).await, format!("{id}@w"));
        let target = format!("/containers/{id}/json");
        let answer = bed.operator("m1").get(&target).await.unwrap();
        assert_eq!(answer.status, 200);
        for node in ["m1", "m2"] {
            assert!(
                bed.node(node).engine.requests_to(&target).is_empty(),
                "{node}"
            );
        }
        assert_eq!(bed.node("w").engine.requests_to(&target).len(), 1);
    })
    .await;
}
