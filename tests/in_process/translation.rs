//! Calls in an API version that the engine of the node does not serve: the agent of
//! that node asks its engine in the nearest version, and says so.

use serde_json::json;
use skep::config::{ApiVersions, Config};
use skep_bed::{EngineBuilder, Response, Seen, fixture};
use skep_filters::auth::SigningKey;

use crate::common::node::Plan;
use crate::common::{
    Caller, ClusterBuilder, TestCluster, manager, secret_file, with_cluster, worker,
};

/// Older than all that the new engine serves, and newer than all that the old one does.
const VERSIONS: [(&str, &str, &str); 2] = [("old", "1.51", "1.41"), ("new", "1.30", "1.44")];

fn aged(plan: fn(&str) -> Plan, node: &str, engine: &str, min: &str, max: &str) -> Plan {
    let change = |e: EngineBuilder| {
        let exec = format!("exact.{node}");
        let id = format!("{:0<64}", if node == "old" { "c01d" } else { "cafe" });
        e.version(engine, max)
            .api_min(min)
            .execs(&[&exec])
            .images(vec![fixture::image("sha256:b0", &["busybox:latest"], 1)])
            .containers(vec![fixture::container(
                &id,
                &format!("exact.{node}"),
                1,
                0,
            )])
            .answer("GET", "/info/unknown", 200, json!({}))
    };
    plan(node).engine(change)
}

/// 20.10 ends before 29 begins.
fn two_ages() -> [Plan; 2] {
    [
        aged(manager, "old", "20.10.24", "1.12", "1.41"),
        aged(worker, "new", "29.0.0", "1.44", "1.52"),
    ]
}

/// Runs a test for each entry and each node that answers, with a version that this
/// node's engine does not serve, and the version in which it is to be asked.
async fn for_each_entry_and_node(test: impl AsyncFn(&TestCluster, &Caller, Case)) {
    with_cluster(two_ages(), async |bed| {
        for entry in ["old", "new"] {
            for (node, asked, sent) in VERSIONS {
                let case = Case { node, asked, sent };
                test(bed, &bed.operator(entry), case).await;
            }
        }
    })
    .await;
}

#[derive(Clone, Copy)]
struct Case {
    node: &'static str,
    asked: &'static str,
    sent: &'static str,
}

impl Case {
    fn target(&self, path: &str) -> String {
        format!("/v{}{path}", self.asked)
    }

    /// Checks the answer, and the version in which the engine was asked.
    fn check(&self, bed: &TestCluster, path: &str, answer: &Response) {
        let text = answer.text();
        assert!(answer.status < 300, "{} {path}: {text}", self.node);
        let said: Vec<_> = answer.head.all("Skep-Api-Version").collect();
        assert_eq!(said, [self.sent], "{} {path}", self.node);
        let resource = path.split('?').next().unwrap_or_default();
        let seen = bed.node(self.node).engine.requests_to(resource);
        // The agent reads its engine's `/info` too, in no version.
        let mut seen = seen.iter().rev().filter(|s| s.target.starts_with("/v"));
        let seen = seen.next().map(|seen| &*seen.target).unwrap_or_default();
        let expected = format!("/v{}{path}", self.sent);
        assert!(seen.starts_with(&expected), "{seen}");
    }
}

fn last(bed: &TestCluster, node: &str, path: &str) -> Seen {
    let path = path.split('?').next().unwrap_or_default();
    let seen = bed.node(node).engine.requests_to(path);
    seen.last()
        .unwrap_or_else(|| panic!("{path} at {node}"))
        .clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_calls_are_answered_in_the_nearest_version() {
    for_each_entry_and_node(async |bed, operator, case| {
        let container = format!("/containers/exact.{}", case.node);
        for (method, path) in [
            ("GET", format!("{container}/json")),
            ("GET", format!("{container}/logs?stdout=1")),
            ("POST", format!("{container}/start")),
        ] {
            let body: &[u8] = if method == "POST" { b"{}" } else { b"" };
            let answer = operator.ask(method, &case.target(&path), &[], body).await;
            case.check(bed, &path, &answer.unwrap());
        }
        for (path, name) in [
            ("/info", "Skep-Target"),
            ("/info/unknown", "X-PortainerAgent-Target"),
        ] {
            let target = [(name, case.node)];
            let answer = operator.ask("GET", &case.target(path), &target, b"").await;
            case.check(bed, path, &answer.unwrap());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_created_started_and_removed_in_the_nearest_version() {
    for_each_entry_and_node(async |bed, operator, case| {
        let path = "/containers/create?name=made";
        let body = json!({ "Image": "busybox", "Labels": { "skep.node": case.node } }).to_string();
        let (target, body) = (case.target(path), body.as_bytes());
        let answer = operator.ask("POST", &target, &[], body).await.unwrap();
        case.check(bed, path, &answer);
        assert_eq!(
            last(bed, case.node, path).body.start,
            body,
            "not a byte changes"
        );
        let answer = operator
            .ask("DELETE", &case.target("/containers/made"), &[], b"")
            .await;
        case.check(bed, "/containers/made", &answer.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hijacks_and_streams_use_the_nearest_version() {
    const UPGRADE: [(&str, &str); 3] = [
        ("Connection", "Upgrade"),
        ("Upgrade", "tcp"),
        ("Content-Type", "application/json"),
    ];
    for_each_entry_and_node(async |bed, operator, case| {
        for (path, body) in [
            (
                format!("/exec/exact.{}/start", case.node),
                "{\"Detach\":false}",
            ),
            (
                format!("/containers/exact.{}/attach?stream=1&stdin=1", case.node),
                "",
            ),
        ] {
            let target = case.target(&path);
            let mut hijack = operator
                .hijack(&target, &UPGRADE, body.as_bytes())
                .await
                .unwrap();
            assert_eq!(hijack.status, 101, "{path}: {:?}", hijack.head);
            assert_eq!(
                hijack.head.header("Skep-Api-Version"),
                Some(case.sent),
                "{path}"
            );
            hijack.stream.send(b"hello").await.unwrap();
            assert_eq!(hijack.stream.receive_exact(5).await.unwrap(), b"hello");
            let expected = format!("/v{}{path}", case.sent);
            assert_eq!(last(bed, case.node, &path).target, expected);
        }
        let path = format!("/containers/exact.{}/logs?follow=1&stdout=1", case.node);
        let mut logs = operator
            .stream("GET", &case.target(&path), &[])
            .await
            .unwrap();
        assert_eq!(logs.head.header("Skep-Api-Version"), Some(case.sent));
        assert!(logs.next_line().await.unwrap().is_some());
        assert_eq!(
            last(bed, case.node, &path).target,
            format!("/v{}{path}", case.sent)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merged_answers_name_the_versions_of_their_parts() {
    with_cluster(two_ages(), async |bed| {
        for entry in ["old", "new"] {
            let operator = bed.operator(entry);
            for (asked, old, new, said) in [
                ("/v1.51", "/v1.41", "/v1.51", Some("1.41")),
                ("/v1.30", "/v1.30", "/v1.44", Some("1.44")),
                ("/v1.43", "/v1.41", "/v1.44", Some("1.41, 1.44")),
                ("/v1.99", "/v1.41", "/v1.52", Some("1.41, 1.52")),
                ("", "", "", None),
            ] {
                for path in [
                    "/containers/json",
                    "/images/json",
                    "/volumes",
                    "/events?until=1",
                ] {
                    let answer = operator.get(&format!("{asked}{path}")).await.unwrap();
                    assert_eq!(answer.status, 200, "{asked}{path}: {}", answer.text());
                    assert_eq!(answer.header("Skep-Missing"), None, "{asked}{path}");
                    assert_eq!(answer.header("Skep-Api-Version"), said, "{asked}{path}");
                    for (node, sent) in [("old", old), ("new", new)] {
                        let target = last(bed, node, path).target;
                        assert!(
                            target.starts_with(&format!("{sent}{}", &path[..5])),
                            "{target}"
                        );
                    }
                }
            }
            let all = [("Skep-Target", "*")];
            let path = "/images/busybox/tag?repo=a";
            let answer = operator
                .ask("POST", &format!("/v1.43{path}"), &all, b"")
                .await;
            let answer = answer.unwrap();
            assert_eq!(answer.status, 201, "{}", answer.text());
            assert_eq!(answer.header("Skep-Api-Version"), Some("1.41, 1.44"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_the_version_of_the_request_says_nothing() {
    with_cluster(two_ages(), async |bed| {
        for entry in ["old", "new"] {
            let operator = bed.operator(entry);
            for (node, version) in [
                ("old", "/v1.41"),
                ("new", "/v1.44"),
                ("new", ""),
                ("old", ""),
            ] {
                let path = format!("/containers/exact.{node}/json");
                let answer = operator.get(&format!("{version}{path}")).await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(answer.header("Skep-Api-Version"), None, "{version}{path}");
                assert_eq!(last(bed, node, &path).target, format!("{version}{path}"));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_agent_leaves_the_refusal_to_its_engine() {
    let strict = |config: &mut Config| config.api_versions = ApiVersions::Strict;
    let cluster = ClusterBuilder::of(two_ages()).configure(move |_, _, config| strict(config));
    cluster
        .run(async |bed| {
            for entry in ["old", "new"] {
                let operator = bed.operator(entry);
                for (node, asked, why) in [("old", "1.51", "too new"), ("new", "1.30", "too old")] {
                    let path = format!("/v{asked}/containers/exact.{node}");
                    for (method, call) in
                        [("GET", "json"), ("POST", "exec"), ("GET", "logs?stdout=1")]
                    {
                        let target = format!("{path}/{call}");
                        let answer = operator.ask(method, &target, &[], b"").await.unwrap();
                        assert_eq!(answer.status, 400, "{target}: {}", answer.text());
                        let message = answer.message().unwrap();
                        assert!(message.contains(why), "{target}: {message}");
                        assert_eq!(answer.header("Skep-Api-Version"), None);
                    }
                }
            }
        })
        .await;
}

/// A bind that is read-only down to the mounts below it, which engines before 25.0
/// and versions below 1.44 do not have.
const READ_ONLY: &str = "
auth: { keys: [ { id: ci, secret_file: KEY_FILE, policy: reader } ] }
policies:
  reader: { allow: [containers.*], may: { binds: ['/srv:ro'] } }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_judges_the_version_in_which_the_engine_is_asked() {
    const KEY: &str = "the secret of a key in a test, 40 bytes.";
    let cluster = ClusterBuilder::of(two_ages()).configure(move |_, folder, config| {
        let file = secret_file(folder, "key", KEY);
        let yaml = READ_ONLY.replace("KEY_FILE", &file.display().to_string());
        let read = Config::parse("test", &yaml).unwrap_or_else(|e| panic!("{e}"));
        config.auth.keys = read.auth.keys;
        config.policies = read.policies;
    });
    cluster
        .run(async |bed| {
            for entry in ["old", "new"] {
                let key = SigningKey::hmac("ci", KEY.as_bytes()).expect("a key");
                let ci = bed.operator(entry).with_key(key);
                for (node, asked, status) in [
                    // Sent in 1.41, whatever newer version the client asks in.
                    ("old", "/v1.51", 403),
                    ("old", "/v1.44", 403),
                    ("old", "/v1.41", 403),
                    ("old", "/v1.30", 403),
                    // Sent in 1.44 at least, also for an older client.
                    ("new", "/v1.51", 201),
                    ("new", "/v1.44", 201),
                    ("new", "/v1.41", 201),
                    ("new", "/v1.30", 201),
                ] {
                    let body = json!({
                        "Image": "busybox",
                        "Labels": { "skep.node": node },
                        "HostConfig": { "Binds": ["/srv/a:/a:ro"] },
                    });
                    let target = format!("{asked}/containers/create");
                    let before = bed
                        .node(node)
                        .engine
                        .requests_to("/containers/create")
                        .len();
                    let answer = ci
                        .ask("POST", &target, &[], body.to_string().as_bytes())
                        .await;
                    let answer = answer.unwrap();
                    assert_eq!(
                        answer.status,
                        status,
                        "{entry} {node} {asked}: {}",
                        answer.text()
                    );
                    let after = bed
                        .node(node)
                        .engine
                        .requests_to("/containers/create")
                        .len();
                    assert_eq!(after - before, usize::from(status == 201), "{entry} {node}");
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_of_a_new_object_is_written_as_its_engine_reads_it() {
    const MAC: &str = "02:42:ac:11:00:09";
    for_each_entry_and_node(async |bed, operator, case| {
        let endpoint = json!({ "EndpointsConfig": { "n": { "MacAddress": MAC } } });
        let mut body = json!({
            "Image": "busybox",
            "Labels": { "skep.node": case.node },
            "HostConfig": { "NetworkMode": "n" },
        });
        match case.node {
            "old" => body["NetworkingConfig"] = endpoint.clone(),
            _ => body["MacAddress"] = json!(MAC),
        }
        let path = "/containers/create";
        let (target, body) = (case.target(path), body.to_string());
        let answer = operator.ask("POST", &target, &[], body.as_bytes()).await;
        case.check(bed, path, &answer.unwrap());
        let seen = last(bed, case.node, path).json().expect("JSON");
        match case.node {
            "old" => assert_eq!(seen["MacAddress"], MAC),
            _ => assert_eq!(
                (&seen["NetworkingConfig"], &seen["MacAddress"]),
                (&endpoint, &json!(null))
            ),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_which_an_old_engine_would_ignore_a_limit_does_not_reach_it() {
    with_cluster(two_ages(), async |bed| {
        for entry in ["old", "new"] {
            let operator = bed.operator(entry);
            let part = json!({ "Type": "volume", "VolumeOptions": { "Subpath": "a" } });
            let body = json!({
                "Image": "busybox",
                "Labels": { "skep.node": "old" },
                "HostConfig": { "Mounts": [part] },
            });
            let create = "/containers/create";
            let target = format!("/v1.51{create}");
            let answer = operator
                .ask("POST", &target, &[], body.to_string().as_bytes())
                .await
                .unwrap();
            let message = answer.message().unwrap_or_default();
            assert_eq!(answer.status, 400, "{message}");
            assert!(message.contains("Subpath"), "{message}");
            assert_eq!(bed.node("old").engine.requests_to(create).len(), 0);
        }
    })
    .await;
}

/// An engine that serves nothing that its clients know.
fn beyond() -> [Plan; 2] {
    let id = format!("{:0<64}", "cafe");
    let networks = json!({ "bridge": { "IPAddress": "172.17.0.9" } });
    let container = json!({
        "Id": id,
        "Name": "/exact.new",
        "Config": { "Hostname": "h" },
        "NetworkSettings": { "Networks": networks },
    });
    let image = json!({ "Id": "sha256:b0", "Config": { "Cmd": ["sh"] }, "Size": 5 });
    let events = vec![fixture::event("local", "container", "die", &id, 1)];
    let new = aged(worker, "new", "30.0.0", "1.52", "1.60").engine(|e: EngineBuilder| {
        e.answer("GET", "/containers/exact.new/json", 200, container)
            .answer("GET", "/images/only/json", 200, image)
            .images(vec![fixture::image("sha256:b0", &["only:latest"], 1)])
            .events(events)
    });
    [aged(manager, "old", "20.10.24", "1.12", "1.41"), new]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_client_finds_its_fields_in_the_answers_of_a_new_engine() {
    with_cluster(beyond(), async |bed| {
        for entry in ["old", "new"] {
            let operator = bed.operator(entry);
            let get = async |path: &str| {
                let answer = operator.get(&format!("/v1.41{path}")).await.unwrap();
                assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                answer
            };
            let container = get("/containers/exact.new/json").await.json().unwrap();
            let settings = &container["NetworkSettings"];
            assert_eq!(settings["IPAddress"], "172.17.0.9", "{container}");
            let image = get("/images/only/json").await.json().unwrap();
            assert_eq!(image["ContainerConfig"]["Cmd"], json!(["sh"]), "{image}");
            assert_eq!(
                (&image["VirtualSize"], &image["Parent"]),
                (&json!(5), &json!(""))
            );
            let events = get("/events?until=1").await.text();
            let event = events.lines().find(|line| line.contains("cafe"));
            let event: serde_json::Value = serde_json::from_str(event.unwrap()).unwrap();
            assert_eq!(event["status"], "die", "{event}");
        }
    })
    .await;
}
