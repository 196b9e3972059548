//! The time that a server waits for an engine that hangs. It takes snapshots of its
//! environments one after the other, and inspects one container at a time.

use tokio::time::timeout;

use super::*;

fn id(n: u32) -> String {
    format!("{n:064x}")
}

fn with_many(engine: EngineBuilder) -> EngineBuilder {
    let row = |n| fixture::container(&id(n), &format!("c{n}"), 1, 0);
    engine.containers((1..=8).map(row).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_waits_for_a_hanging_engine_do_not_add_up() {
    let nodes = [manager("n1"), worker("n2").engine(with_many)];
    ClusterBuilder::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            let bed = &*bed;
            let server = server();
            for entry in ["n2", "n1"] {
                let rows = server.get(bed, entry, "/containers/json?all=1").await;
                assert_eq!(rows.json().unwrap().as_array().unwrap().len(), 8);
                bed.node("n2").engine.set_behaviour(Behaviour::Hang);
                // Five seconds for each would take longer.
                let all = timeout(MINUTE / 2, async {
                    for n in 1..=8 {
                        let target = format!("/containers/{}/json", id(n));
                        let answer = server.get(bed, entry, &target).await;
                        assert_eq!(answer.status, 503, "{}", answer.text());
                        let gone = format!("No such container: {}", id(n));
                        assert!(answer.message().unwrap().contains(&gone));
                    }
                });
                assert!(all.await.is_ok(), "through {entry}");
                bed.node("n2").engine.set_behaviour(Behaviour::Normal);
                bed.settle().await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_answered_in_time_even_with_rare_probes() {
    let with_rare_probes = |hostname: &str, folder: &Path, config: &mut Config| {
        with_secret(hostname, folder, config);
        config.cluster.interval = Duration::from_secs(3600);
    };
    let nodes = [manager("n1"), worker("n2").engine(with_many)];
    ClusterBuilder::of(nodes)
        .configure(with_rare_probes)
        .run(async |bed| {
            let bed = &*bed;
            let server = server();
            server.get(bed, "n1", "/containers/json?all=1").await;
            bed.node("n2").engine.set_behaviour(Behaviour::Hang);
            let target = format!("/containers/{}/json", id(1));
            let answer = server.get(bed, "n1", &target).await;
            assert_eq!(answer.status, 503, "{}", answer.text());
            // The next request finds it again.
            bed.node("n2").engine.set_behaviour(Behaviour::Normal);
            let again = async {
                while server.get(bed, "n1", &target).await.status != 200 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            assert!(timeout(MINUTE, again).await.is_ok());
        })
        .await;
}
