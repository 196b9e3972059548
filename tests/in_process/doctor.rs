//! `skep doctor`, on nodes with fake engines and from another machine.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use skep::cli::doctor;
use skep::config::{ClusterMode, Config, Discover};
use skep_bed::{Behaviour, FakeEngine};

use crate::common::{ClusterBuilder, TestCluster, manager, secret_file, worker};

/// What was found in a subject: outcome, words and remedy.
async fn findings(config: &Config, subject: &str) -> Vec<String> {
    let report = doctor::node(config).await;
    let report: Value = serde_json::from_str(&report.json()).expect("JSON");
    let all = report["findings"].as_array().expect("a list").iter();
    let own = all.filter(|finding| finding["subject"] == subject);
    let words = |finding: &Value| {
        let part = |name: &str| finding[name].as_str().unwrap_or("-").to_owned();
        format!(
            "{}: {} -> {}",
            part("outcome"),
            part("found"),
            part("remedy")
        )
    };
    own.map(words).collect()
}

/// The one finding in a subject.
async fn finding(config: &Config, subject: &str) -> String {
    let mut all = findings(config, subject).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// A host outside of a Swarm with this engine, and no agent.
fn host(engine: &FakeEngine) -> Config {
    Config {
        engine: skep::config::Engine::Socket(engine.socket()),
        state_dir: engine.socket().with_file_name("state"),
        ..Config::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_cluster_has_no_error_and_no_warning() {
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .run(async |bed| {
            let report = doctor::node(&bed.node("n1").config).await;
            let text = report.text();
            assert!(report.is_healthy(), "{text}");
            assert!(text.ends_with("0 errors, 0 warnings\n"), "{text}");
            for part in [
                "26.1.5 at unix://",
                "n1 is a manager",
                "is strong enough",
                "the agent answers at",
                "nobody but the operator",
                "1 other agents answer, with the same secret",
                "2 nodes are ready",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_gone_hangs_or_refuses_has_a_remedy() {
    let engine = FakeEngine::node("n1")
        .in_swarm(false)
        .start()
        .await
        .unwrap();
    let config = host(&engine);
    assert!(finding(&config, "engine").await.starts_with("ok: 26.1.5"));
    engine.set_answer("GET", "/info", 500, json!({ "message": "broken" }));
    let found = finding(&config, "engine").await;
    assert!(
        found.contains("error:") && found.contains("answered 500"),
        "{found}"
    );
    engine.stop().await;
    let found = finding(&config, "engine").await;
    assert!(found.starts_with("error: cannot open"), "{found}");
    let secret = finding(&config, "secret").await;
    assert!(secret.starts_with("skipped"), "{secret}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_hangs_is_named_after_a_while() {
    let engine = FakeEngine::node("n1")
        .in_swarm(false)
        .start()
        .await
        .unwrap();
    engine.set_behaviour(Behaviour::Hang);
    let found = finding(&host(&engine), "engine").await;
    assert!(found.contains("does not answer within"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_of_other_ages_and_podman_are_named() {
    for (version, api, expected) in [
        (
            "19.03.5",
            "1.40",
            "nobody has tested skep with engine 19.03.5",
        ),
        ("1.11.2", "1.23", "skep speaks API 1.24"),
    ] {
        let engine = FakeEngine::node("n1").in_swarm(false).version(version, api);
        let engine = engine.api_min("1.12").start().await.unwrap();
        let text = doctor::node(&host(&engine)).await.text();
        assert!(text.contains(expected), "{text}");
    }
    let version = json!({
        "Components": [{ "Name": "Podman Engine", "Version": "4.3.1" }],
        "ApiVersion": "1.41", "MinAPIVersion": "1.24", "Version": "4.3.1",
    });
    let engine = FakeEngine::node("n1").in_swarm(false);
    let engine = engine.answer("GET", "/version", 200, version);
    let engine = engine.start().await.unwrap();
    let found = findings(&host(&engine), "engine").await;
    assert!(
        found
            .iter()
            .any(|f| f.starts_with("warning: this is Podman")),
        "{found:?}"
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_everybody_may_use_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let engine = FakeEngine::node("n1")
        .in_swarm(false)
        .start()
        .await
        .unwrap();
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(engine.socket(), open).unwrap();
    let found = findings(&host(&engine), "engine").await;
    assert!(found[0].starts_with("warning: every user"), "{found:?}");
    let closed = std::fs::Permissions::from_mode(0o660);
    std::fs::set_permissions(engine.socket(), closed).unwrap();
    assert_eq!(findings(&host(&engine), "engine").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swarm_that_is_locked_missing_or_without_a_secret_is_an_error() {
    let engine = FakeEngine::node("n1").start().await.unwrap();
    let mut config = host(&engine);
    let found = finding(&config, "secret").await;
    assert!(
        found.contains("docker secret create skep_secret"),
        "{found}"
    );
    engine.set_in_swarm(false);
    assert!(finding(&config, "swarm").await.starts_with("ok: none"));
    config.cluster.mode = ClusterMode::On;
    let found = finding(&config, "swarm").await;
    assert!(found.contains("docker swarm join"), "{found}");
    let locked = json!({ "Name": "n1", "Swarm": { "LocalNodeState": "locked", "NodeID": "" } });
    engine.set_answer("GET", "/info", 200, locked);
    let found = finding(&config, "swarm").await;
    assert!(found.contains("docker swarm unlock"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_that_are_gone_or_have_another_secret_are_named_with_what_helps() {
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(|name, folder, config| {
            if name == "n2" {
                let other = "aW5kZXBlbmRlbnQgYW5kIHJhbmRvbSBieXRlcw";
                config.cluster.secret_files = vec![secret_file(folder, "other", other)];
            }
        })
        .without_settling()
        .run(async |bed| {
            let config = bed.node("n1").config.clone();
            let found = findings(&config, "agent").await;
            assert!(found[0].contains("its secret is another one"), "{found:?}");
            bed.node_mut("n2").stop().await;
            let found = findings(&config, "port").await;
            assert!(
                found.iter().any(|f| f.contains("no agent listens there")),
                "{found:?}"
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_without_addresses_and_agents_without_names_are_found() {
    let engine = FakeEngine::node("n1").start().await.unwrap();
    let folder = engine.socket().with_file_name("x");
    let mut config = host(&engine);
    let secret = "Yq3mZ0v8T1xkB7sRfL2cWnHd9uPjE5aG";
    config.cluster.secret_files = vec![secret_file(folder.parent().unwrap(), "s", secret)];
    let found = finding(&config, "name").await;
    assert!(
        found.starts_with("warning: cluster.discover is empty"),
        "{found}"
    );
    config.cluster.discover = vec![Discover::Dns {
        name: "nowhere.invalid".to_owned(),
        port: None,
    }];
    let found = finding(&config, "name").await;
    assert!(found.starts_with("error: dns:nowhere.invalid"), "{found}");
    config.cluster.discover = vec![Discover::Swarm { port: None }];
    assert!(finding(&config, "name").await.starts_with("skipped"));
}

/// Runs the real program from "another machine".
async fn program(bed: &TestCluster, secret: &str, arguments: &'static [&'static str]) -> Output {
    let to = format!("https://{},https://127.0.0.1:1", bed.node("n1").address);
    let secret = bed.folder().join(secret);
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_skep"))
            .args(["doctor", "--to", &to, "--secret-file"])
            .arg(secret)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("skep doctor runs")
    };
    tokio::task::spawn_blocking(run).await.expect("an output")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_another_machine_it_names_the_agents_and_nodes_that_are_missing() {
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .and_an_agentless_worker("n3")
        .without_settling()
        .run(async |bed| {
            let knows = || bed.node("n1").cluster().all().len() == 3;
            assert!(skep_bed::eventually(knows).await);
            let output = program(bed, "secret", &["--json"]).await;
            assert_eq!(output.status.code(), Some(1));
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(report["healthy"], false);
            let text = report.to_string();
            for part in [
                " answers",
                "https://127.0.0.1:1: no connection",
                "n3: no agent has answered",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_secret_is_told_from_a_closed_port() {
    ClusterBuilder::of([manager("n1")])
        .run(async |bed| {
            let other = "aW5kZXBlbmRlbnQgYW5kIHJhbmRvbSBieXRlcw";
            secret_file(bed.folder(), "other", other);
            let output = program(bed, "other", &[]).await;
            assert_eq!(output.status.code(), Some(1));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("its secret is another one"), "{text}");
            assert!(text.ends_with("2 errors, 0 warnings\n"), "{text}");
        })
        .await;
}

#[test]
fn a_configuration_with_errors_is_a_finding_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skep.yaml");
    std::fs::write(&file, "threads: 0").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(["doctor", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("error  configuration"), "{text}");
    assert!(text.contains("threads"), "{text}");
}
