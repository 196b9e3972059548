//! An engine that stops and starts: the agent stays up, reports it, and reuses
//! its connections.

use std::path::Path;
use std::time::Duration;

use crate::common::{ClusterBuilder, is_routine, manager, with_cluster};
use skep::agent::Agent;
use skep::config::{Config, Engine};
use skep_bed::{Behaviour, FakeEngine, eventually, fixture};

const INSPECT: &str = "/containers/c1/json";

fn with_c1(engine: skep_bed::EngineBuilder) -> skep_bed::EngineBuilder {
    engine.containers(vec![fixture::container("c1", "web", 1, 0)])
}

/// Waits until the agent answers the inspect with this status.
async fn wait_for_status(operator: &crate::common::Caller, status: u16) {
    let mut last = 0;
    for _ in 0..200 {
        last = operator.get(INSPECT).await.expect("an answer").status;
        if last == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it still answers {last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_starts_without_its_engine_and_recovers_when_it_appears() {
    let no_engine = |_: &str, folder: &Path, config: &mut Config| {
        config.engine = Engine::Socket(folder.join("later.sock"));
    };
    ClusterBuilder::of([manager("n1").engine(with_c1)])
        .configure(no_engine)
        .without_settling()
        .run(async |bed| {
            let operator = bed.operator("n1");
            let socket = bed.folder().join("later.sock");
            for target in [INSPECT, "/containers/json", "/_ping", "/info", "/events"] {
                let answer = operator.get(target).await.unwrap();
                assert_eq!(answer.status, 503, "{target}: {}", answer.text());
                assert_eq!(answer.header("Content-Type"), Some("application/json"));
                let message = answer.message().unwrap();
                assert!(message.contains(&socket.display().to_string()), "{message}");
            }
            let json = [("Content-Type", "application/json")];
            let answer = operator
                .ask("POST", "/containers/create", &json, b"{}")
                .await
                .unwrap();
            assert_eq!(answer.status, 503);
            let answer = operator
                .ask("POST", "/exec/echo/start", &json, b"{}")
                .await
                .unwrap();
            assert_eq!(answer.status, 503);
            assert_eq!(operator.get("/skep/v1/health").await.unwrap().status, 200);

            std::os::unix::fs::symlink(bed.node("n1").engine.socket(), &socket).unwrap();
            wait_for_status(&operator, 200).await;
            let cluster = bed.node("n1").cluster();
            assert!(eventually(|| cluster.me().engine.is_some()).await);
            assert!(cluster.is_on());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_the_engine_are_reused_even_through_a_symlink() {
    let through_a_link = |name: &str, folder: &Path, config: &mut Config| {
        if name == "linked" {
            let link = folder.join("run");
            let Engine::Socket(socket) = &config.engine else {
                return;
            };
            let target = socket.parent().expect("a folder");
            std::os::unix::fs::symlink(target, &link).expect("a link");
            config.engine = Engine::Socket(link.join("docker.sock"));
        }
    };
    for name in ["plain", "linked"] {
        ClusterBuilder::of([manager(name).engine(with_c1)])
            .configure(through_a_link)
            .run(async |bed| {
                let operator = bed.operator(name);
                let engine = &bed.node(name).engine;
                let before = engine.connections();
                for _ in 0..20 {
                    assert_eq!(operator.get(INSPECT).await.unwrap().status, 200);
                    let list = operator.get("/containers/json").await.unwrap();
                    assert_eq!(list.status, 200);
                    let posted = operator.ask("POST", "/containers/create", &[], b"{}").await;
                    assert_eq!(posted.unwrap().status, 404);
                }
                let made = engine.connections() - before;
                assert!(made <= 10, "{name}: {made} connections for 60 requests");
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_can_be_reached_over_tcp() {
    let engine = FakeEngine::node("far")
        .manager(true)
        .tcp(([127, 0, 0, 1], 0).into());
    let engine = with_c1(engine).start().await.unwrap();
    let address = engine.addr().unwrap();
    let by_tcp = |_: &str, _: &Path, config: &mut Config| {
        config.engine = Engine::Tcp {
            host: "localhost".to_owned(),
            port: address.port(),
            tls: None,
        };
    };
    ClusterBuilder::of([manager("n1")])
        .configure(by_tcp)
        .without_settling()
        .run(async |bed| {
            let operator = bed.operator("n1");
            let before = engine.connections();
            for _ in 0..10 {
                assert_eq!(operator.get(INSPECT).await.unwrap().status, 200);
            }
            assert!(engine.connections() - before <= 5);
            let answer = operator.get("/containers/json").await.unwrap();
            assert_eq!(
                answer.json().unwrap()[0]["Portainer"]["Agent"]["NodeName"],
                "far"
            );
            engine.stop().await;
            let answer = operator.get(INSPECT).await.unwrap();
            assert_eq!(answer.status, 503);
            assert!(answer.message().unwrap().contains("tcp://localhost"));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_engine_is_reported_and_found_again_after_a_restart() {
    with_cluster([manager("n1").engine(with_c1)], async |bed| {
        let operator = bed.operator("n1");
        let node = bed.node("n1");
        assert_eq!(operator.get(INSPECT).await.unwrap().status, 200);
        node.engine.stop().await;
        let answer = operator.get(INSPECT).await.unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        let socket = node.engine.socket().display().to_string();
        assert!(answer.message().unwrap().contains(&socket));
        assert!(eventually(|| node.cluster().me().engine.is_none()).await);

        node.engine.restart().await.unwrap();
        wait_for_status(&operator, 200).await;
        assert!(eventually(|| node.cluster().me().engine.is_some()).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_restart_between_two_requests_fails_neither() {
    with_cluster([manager("n1").engine(with_c1)], async |bed| {
        let operator = bed.operator("n1");
        for _ in 0..5 {
            for target in [INSPECT, "/containers/json", "/_ping"] {
                let answer = operator.get(target).await.unwrap();
                assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            }
            bed.node("n1").engine.restart().await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_answer_fails_and_an_engines_own_error_passes_unchanged() {
    // Without the label, an inspect is not read whole before it is passed on.
    let nodes = [manager("n1").engine(with_c1)];
    let cluster = ClusterBuilder::of(nodes).configure(|_, _, config| {
        config.aggregate.node_label = None;
    });
    cluster
        .run(async |bed| {
            let operator = bed.operator("n1");
            let engine = &bed.node("n1").engine;
            for behaviour in [Behaviour::Garbage, Behaviour::Refuse] {
                engine.set_behaviour_of(INSPECT, behaviour);
                for (method, body) in [("GET", &b""[..]), ("POST", b"{}")] {
                    let answer = operator.ask(method, INSPECT, &[], body).await.unwrap();
                    let text = answer.text();
                    assert!(
                        (502..=504).contains(&answer.status),
                        "{behaviour:?} {method}: {text}"
                    );
                    assert_eq!(answer.header("Content-Type"), Some("application/json"));
                    assert!(answer.message().is_some());
                }
            }
            // The engine sent less than its Content-Length: the answer must not look complete.
            engine.set_behaviour_of(INSPECT, Behaviour::HalfJson);
            for (method, body) in [("GET", &b""[..]), ("POST", b"{}")] {
                let answer = operator.ask(method, INSPECT, &[], body).await;
                assert!(answer.is_err(), "{method}: {answer:?}");
            }
            // An engine's own error is passed on.
            engine.set_behaviour_of(INSPECT, Behaviour::Status(500));
            let answer = operator.get(INSPECT).await.unwrap();
            assert_eq!(answer.status, 500);
            assert_eq!(answer.message().unwrap(), "this engine is set to fail");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_inspect_that_gets_the_label_is_refused() {
    with_cluster([manager("n1").engine(with_c1)], async |bed| {
        let engine = &bed.node("n1").engine;
        for behaviour in [Behaviour::Garbage, Behaviour::Refuse, Behaviour::HalfJson] {
            engine.set_behaviour_of(INSPECT, behaviour);
            let answer = bed.operator("n1").get(INSPECT).await.unwrap();
            let text = answer.text();
            assert!(
                (502..=504).contains(&answer.status),
                "{behaviour:?}: {text}"
            );
            assert!(answer.message().is_some(), "{behaviour:?}: {text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standalone_host_needs_no_secret_and_asks_only_its_own_engine() {
    let engine = FakeEngine::node("alone").in_swarm(false);
    let engine = with_c1(engine).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config {
        engine: Engine::Socket(engine.socket()),
        state_dir: folder.path().join("state"),
        ..Config::default()
    };
    config.listen[0].address = ([127, 0, 0, 1], 0).into();
    let agent = Agent::start(config.clone()).await.unwrap();
    let address = agent.addresses()[0];
    let trust = agent.trust();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(agent.run(async move { drop(stopped.await) }));
    let operator = crate::common::Caller::operator(address, trust.generations()[0].clone());
    for target in ["/containers/json", "/info", "/volumes", INSPECT] {
        let answer = operator.get(target).await.unwrap();
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    }
    assert_eq!(operator.get("/nodes").await.unwrap().status, 503);
    let routine = engine
        .requests()
        .iter()
        .filter(|r| is_routine(&r.path))
        .count();
    assert!(routine > 0);
    drop(stop);
    running.await.unwrap().unwrap();

    // The agent keeps its generated secret: the same clients work after a restart.
    let again = Agent::start(config).await.unwrap();
    let (old, new) = (
        &trust.generations()[0],
        &again.trust().generations()[0].clone(),
    );
    assert_eq!(old.fingerprint(), new.fingerprint());
}
