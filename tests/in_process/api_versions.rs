//! API versions in a cluster of different engines: the range that agents
//! announce, and the version in which they ask each engine.

use crate::common::node::Plan;
use crate::common::{Caller, ClusterBuilder, TestCluster, manager, with_cluster, worker};
use skep::config::ApiVersions;
use skep_bed::{Behaviour, Response, fixture};

fn serving(plan: Plan, engine: &str, min: &str, max: &str) -> Plan {
    plan.engine(|e| {
        e.version(engine, max)
            .api_min(min)
            .containers(vec![fixture::container("c1", "web", 1, 0)])
    })
}

/// All of these serve 1.40 and 1.41.
fn mixed() -> [Plan; 3] {
    [
        serving(manager("mid"), "26.1.5", "1.24", "1.45"),
        serving(worker("old"), "20.10.24", "1.12", "1.41"),
        serving(worker("new"), "28.5.2", "1.40", "1.51"),
    ]
}

/// 20.10 ends before 29.0 begins.
fn no_common_version() -> [Plan; 2] {
    [
        serving(manager("old"), "20.10.24", "1.12", "1.41"),
        serving(worker("new"), "29.0.0", "1.44", "1.52"),
    ]
}

async fn ping(operator: &Caller, method: &str, headers: &[(&str, &str)]) -> String {
    let answer = operator.ask(method, "/_ping", headers, b"").await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.text(), if method == "HEAD" { "" } else { "OK" });
    let swarm = answer.header("Swarm").expect("its role");
    assert!(swarm.starts_with("active/"), "{swarm}");
    let versions: Vec<_> = answer.head.all("Api-Version").collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
    versions[0].to_owned()
}

/// The minimum and maximum version, on which all parts of the answer agree.
fn range(answer: &Response) -> [String; 2] {
    let version = answer.json().expect("JSON");
    let details = &version["Components"][0]["Details"];
    ["MinAPIVersion", "ApiVersion"].map(|name| {
        assert_eq!(version[name], details[name], "{version}");
        version[name].as_str().expect("a version").to_owned()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_agent_announces_the_versions_that_all_engines_serve() {
    with_cluster(mixed(), async |bed| {
        for entry in ["mid", "old", "new"] {
            let operator = bed.operator(entry);
            for method in ["GET", "HEAD"] {
                assert_eq!(ping(&operator, method, &[]).await, "1.41", "{entry}");
            }
            for target in ["/version", "/v1.30/version"] {
                let answer = operator.get(target).await.unwrap();
                assert_eq!(range(&answer), ["1.40", "1.41"], "{entry} {target}");
                let own = answer.json().unwrap()["Version"].clone();
                let engine = &bed.node(entry).cluster().me().engine;
                assert_eq!(
                    own,
                    engine.as_ref().unwrap().version,
                    "the rest comes from its own engine"
                );
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_node_announces_its_own_versions() {
    with_cluster(mixed(), async |bed| {
        for (node, own) in [
            ("mid", ["1.24", "1.45"]),
            ("old", ["1.12", "1.41"]),
            ("new", ["1.40", "1.51"]),
        ] {
            let operator = bed.operator("mid");
            let target = [("Skep-Target", node)];
            for method in ["GET", "HEAD"] {
                assert_eq!(ping(&operator, method, &target).await, own[1], "{node}");
            }
            let answer = operator.get_from(node, "/version").await.unwrap();
            assert_eq!(range(&answer), own, "{node}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_common_version_each_agent_announces_its_own_engine() {
    with_cluster(no_common_version(), async |bed| {
        for (entry, own) in [("old", ["1.12", "1.41"]), ("new", ["1.44", "1.52"])] {
            let operator = bed.operator(entry);
            assert_eq!(ping(&operator, "HEAD", &[]).await, own[1]);
            let answer = operator.get("/version").await.unwrap();
            assert_eq!(range(&answer), own);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_announced_version_follows_the_ready_engines() {
    with_cluster(mixed(), async |bed| {
        let operator = bed.operator("mid");
        assert_eq!(ping(&operator, "HEAD", &[]).await, "1.41");
        bed.node_mut("old").kill().await;
        assert!(skep_bed::eventually(|| bed.node("mid").sees() == 2).await);
        assert_eq!(ping(&operator, "HEAD", &[]).await, "1.45");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_answers_ping_and_version_while_the_local_engine_hangs() {
    let nodes = [worker("a"), manager("m"), worker("z")];
    with_cluster(nodes, async |bed| {
        let operator = bed.operator("z");
        let answered_by = async |path: &str| {
            let answer = operator.get(path).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            let node = answer.header("Skep-Node").unwrap_or_default();
            node.rsplit(' ').next().unwrap_or_default().to_owned()
        };
        assert_eq!(answered_by("/_ping").await, "z");
        bed.node("z").engine.set_behaviour(Behaviour::Hang);
        // Before and after the agent notices it.
        assert_eq!(answered_by("/_ping").await, "m");
        assert!(skep_bed::eventually(|| bed.node("z").cluster().me().engine.is_none()).await);
        assert_eq!(answered_by("/version").await, "m");
        assert_eq!(ping(&operator, "HEAD", &[]).await, "1.45");
        bed.node("z").engine.set_behaviour(Behaviour::Normal);
        assert!(skep_bed::eventually(|| bed.node("z").cluster().me().engine.is_some()).await);
        assert_eq!(answered_by("/_ping").await, "z");
    })
    .await;
}

/// The version of each engine's last request for this path.
fn versions_asked(bed: &TestCluster, path: &str) -> Vec<String> {
    let last = |node: &crate::common::Node| {
        let seen = node.engine.requests_to(path);
        let target = seen.last().map(|r| r.target.clone()).unwrap_or_default();
        let end = target.find(path).expect("the path");
        target[..end].to_owned()
    };
    bed.nodes.iter().map(last).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_asks_each_engine_in_the_nearest_version_that_it_serves() {
    const LIST: &str = "/containers/json";
    with_cluster(mixed(), async |bed| {
        for entry in ["mid", "old", "new"] {
            for (asked, [mid, old, new]) in [
                ("/v1.51", ["/v1.45", "/v1.41", "/v1.51"]),
                ("/v1.43", ["/v1.43", "/v1.41", "/v1.43"]),
                ("/v1.41", ["/v1.41"; 3]),
                ("/v1.30", ["/v1.30", "/v1.30", "/v1.40"]),
                // Without a version: the newest that all serve, so that all rows have the same form.
                ("", ["/v1.41"; 3]),
            ] {
                let answer = bed.operator(entry).get(&format!("{asked}{LIST}")).await;
                let answer = answer.unwrap();
                assert_eq!(answer.header("Skep-Missing"), None, "{entry} {asked}");
                assert_eq!(answer.json().unwrap().as_array().unwrap().len(), 3);
                assert_eq!(
                    versions_asked(bed, LIST),
                    [mid, old, new],
                    "{entry} {asked}"
                );
            }
        }
    })
    .await;
    with_cluster(no_common_version(), async |bed| {
        bed.operator("old").get(LIST).await.unwrap();
        assert_eq!(
            versions_asked(bed, LIST),
            ["", ""],
            "each in its own newest version"
        );
        bed.operator("old")
            .get("/v1.43/containers/json")
            .await
            .unwrap();
        assert_eq!(
            versions_asked(bed, LIST),
            ["/v1.41", "/v1.44"],
            "no engine serves it"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identical_engines_get_the_version_that_the_client_sent() {
    let nodes = [manager("n1"), worker("n2")];
    with_cluster(nodes, async |bed| {
        for asked in ["", "/v1.30", "/v1.45"] {
            let answer = bed
                .operator("n2")
                .get(&format!("{asked}/images/json"))
                .await;
            assert_eq!(answer.unwrap().status, 200);
            assert_eq!(versions_asked(bed, "/images/json"), [asked; 2]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsupported_version_gets_an_engines_error_if_agents_are_strict() {
    let strict = ClusterBuilder::of(mixed()).configure(|_, _, config| {
        config.api_versions = ApiVersions::Strict;
    });
    strict
        .run(async |bed| {
            for entry in ["mid", "old"] {
                let operator = bed.operator(entry);
                for target in [
                    "/v1.99/containers/json",
                    "/v1.99/events?until=1",
                    "/v1.99/version",
                    "/v1.99/_ping",
                    "/v1.99/info",
                ] {
                    let answer = operator.get(target).await.unwrap();
                    assert_eq!(answer.status, 400, "{target}: {}", answer.text());
                    let message = answer.message().unwrap();
                    assert!(message.contains("1.99 is too new"), "{target}: {message}");
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcasts_and_events_use_the_nearest_version_too() {
    let image =
        |plan: Plan| plan.engine(|e| e.images(vec![fixture::image("sha256:1", &["a:1"], 1)]));
    with_cluster(mixed().map(image), async |bed| {
        let operator = bed.operator("mid");
        let all = [("Skep-Target", "*")];
        let pull = "/v1.45/images/create?fromImage=b";
        for (method, target, path) in [
            ("POST", pull, "/images/create"),
            ("POST", "/v1.45/images/a:1/tag?repo=c", "/images/a:1/tag"),
            ("DELETE", "/v1.45/images/a:1", "/images/a:1"),
        ] {
            let answer = operator.ask(method, target, &all, b"").await.unwrap();
            assert!(answer.status < 300, "{target}: {}", answer.text());
            assert_eq!(
                versions_asked(bed, path),
                ["/v1.45", "/v1.41", "/v1.45"],
                "{target}"
            );
        }
        let events = operator.get("/v1.45/events?until=1").await.unwrap();
        assert_eq!((events.status, events.text()), (200, String::new()));
        assert_eq!(
            versions_asked(bed, "/events"),
            ["/v1.45", "/v1.41", "/v1.45"]
        );
    })
    .await;
}
