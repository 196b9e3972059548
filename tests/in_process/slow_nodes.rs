//! Nodes that answer late, and agents that have just started: calls take longer, and
//! nothing is missing without a word.

use std::path::Path;
use std::time::{Duration, Instant};

use skep::config::Config;
use skep_bed::{Behaviour, fixture};

use crate::common::{ClusterBuilder, manager, worker};

const DEADLINE: Duration = Duration::from_secs(3);

fn deadline(_: &str, _: &Path, config: &mut Config) {
    config.aggregate.deadline = DEADLINE;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_that_hangs_costs_no_call_while_another_answers() {
    let nodes = [manager("n1"), manager("n2"), worker("n3")];
    let cluster = ClusterBuilder::of(nodes).configure(deadline);
    cluster
        .run(async |bed| {
            bed.node("n1")
                .engine
                .set_behaviour_of("/services", Behaviour::Hang);
            let began = Instant::now();
            for _ in 0..6 {
                let asked = Instant::now();
                let answer = bed.operator("n3").get("/services").await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert!(asked.elapsed() < DEADLINE + Duration::from_secs(1));
            }
            // It comes last for a while.
            assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
            bed.node("n1")
                .engine
                .set_behaviour_of("/services", Behaviour::Normal);
            bed.node("n1").engine.restart().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_asked_just_after_the_start_is_complete() {
    let row = |name: &str| vec![fixture::container(name, name, 1, 0)];
    let nodes = [
        manager("n1").engine(|e| e.containers(row("c1"))),
        worker("n2").engine(|e| e.containers(row("c2"))),
        worker("n3").engine(|e| e.containers(row("c3"))),
    ];
    let cluster = ClusterBuilder::of(nodes).configure(deadline);
    cluster
        .without_settling()
        .run(async |bed| {
            for entry in ["n3", "n1", "n2"] {
                let answer = bed.operator(entry).get("/containers/json").await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(answer.header("Skep-Missing"), None, "{entry}");
                for id in ["c1", "c2", "c3"] {
                    assert!(
                        answer.text().contains(&format!("\"{id}\"")),
                        "{entry}: {id}"
                    );
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_no_manager_could_complete_says_so() {
    let lonely = worker("n2").engine(|e| e.remote_managers(&[("m1", "127.0.0.1:2377")]));
    let cluster = ClusterBuilder::of([lonely]).configure(deadline);
    cluster
        .without_settling()
        .run(async |bed| {
            let began = Instant::now();
            let answer = bed.operator("n2").get("/containers/json").await.unwrap();
            assert!(began.elapsed() < DEADLINE + Duration::from_secs(1));
            let missing = answer.header("Skep-Missing").unwrap_or_default();
            assert!(missing.contains("m1 - (no agent found)"), "{missing}");
            assert!(missing.contains("- - (no manager has listed"), "{missing}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_only_says_late_who_it_is_is_not_given_up() {
    let configure = |_: &str, _: &Path, config: &mut Config| {
        config.cluster.probe_timeout = Duration::from_millis(500);
    };
    let nodes = [manager("n1"), worker("n2")];
    let cluster = ClusterBuilder::of(nodes).configure(configure);
    cluster
        .run(async |bed| {
            let engine = &bed.node("n2").engine;
            engine.set_behaviour_of("/info", Behaviour::Hang);
            let asked = || engine.requests_to("/info").len();
            let before = asked();
            // Several rounds later it is still a node like the others.
            assert!(skep_bed::eventually(|| asked() >= before + 6).await);
            assert_eq!(bed.node("n1").sees(), 2);
            let answer = bed.operator("n1").get("/containers/json").await.unwrap();
            assert_eq!(answer.header("Skep-Missing"), None);
            engine.set_behaviour_of("/info", Behaviour::Normal);
            engine.restart().await.unwrap();
            bed.settle().await;
        })
        .await;
}
