//! Trust on first use: one pinned server, on every node and after every restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use skep_bed::eventually;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

fn asked(bed: &TestCluster, node: &str, path: &str) -> usize {
    bed.node(node).engine.requests_to(path).len()
}

fn with_first_use(hostname: &str, folder: &Path, config: &mut Config) {
    config.state_dir = folder.join(hostname);
    config.auth.portainer = Some(Portainer {
        secret: None,
        first_use: true,
        ..portainer()
    });
}

/// All agents take part in the first round, and no round follows.
fn with_rare_probes(hostname: &str, folder: &Path, config: &mut Config) {
    with_first_use(hostname, folder, config);
    config.cluster.interval = Duration::from_secs(3600);
}

fn app(seed: u8) -> Server {
    Server::new(seed, "Portainer-App")
}

async fn status(server: &Server, bed: &TestCluster, node: &str) -> u16 {
    server.get(bed, node, "/info").await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_proven_server_is_pinned_on_every_node() {
    let nodes = [manager("n1"), worker("n2")];
    ClusterBuilder::of(nodes)
        .configure(with_first_use)
        .run(async |bed| {
            // A key without a valid signature is not pinned.
            for seed in 20..24 {
                let bad = Server::new(seed, "something else");
                assert_eq!(status(&bad, bed, "n1").await, 403);
            }
            let (owner, other) = (app(1), app(2));
            assert_eq!(status(&owner, bed, "n1").await, 200);
            // The other agent knows the pin although no server called it.
            assert_eq!(status(&other, bed, "n2").await, 403);
            assert_eq!(status(&other, bed, "n1").await, 403);
            assert_eq!(status(&owner, bed, "n2").await, 200);
            // The endpoint for the pin is for agents only.
            let pin = bed.operator("n1").get("/skep/v1/portainer").await.unwrap();
            assert_eq!(pin.status, 404);
            // The pin outlives a restart of all agents at once.
            for node in ["n1", "n2"] {
                bed.node_mut(node).stop().await;
            }
            for node in ["n1", "n2"] {
                bed.node_mut(node).start().await.unwrap();
                assert_eq!(status(&other, bed, node).await, 403);
            }
            // Before that, a worker that has just started knows no manager.
            bed.settle().await;
            for node in ["n1", "n2"] {
                assert_eq!(status(&other, bed, node).await, 403);
                assert_eq!(status(&owner, bed, node).await, 200);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_lost_its_state_gets_the_pin_from_the_others() {
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(with_first_use)
        .run(async |bed| {
            let (owner, other) = (app(1), app(2));
            assert_eq!(status(&owner, bed, "n1").await, 200);
            let file = bed.node("n1").config.state_dir.join("portainer.json");
            assert!(eventually(|| bed.folder().join("n2/portainer.json").exists()).await);
            bed.node_mut("n1").stop().await;
            std::fs::remove_file(&file).unwrap();
            bed.node_mut("n1").start().await.unwrap();
            // It pins no other server, however much it knows of the others by now.
            assert_eq!(status(&other, bed, "n1").await, 403);
            bed.settle().await;
            assert_eq!(status(&other, bed, "n1").await, 403);
            assert_eq!(status(&owner, bed, "n1").await, 200);
            assert!(file.exists());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_pinned_while_another_node_may_have_one() {
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(with_rare_probes)
        .run(async |bed| {
            bed.node_mut("n2").kill().await;
            let answer = app(1).get(bed, "n1", "/info").await;
            assert_eq!(answer.status, 403);
            let details = answer.json().unwrap()["details"].to_string();
            assert!(details.contains("n2"), "{details}");
            bed.node_mut("n2").start().await.unwrap();
            assert_eq!(status(&app(2), bed, "n1").await, 200);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_outside_the_allowed_networks_is_not_pinned() {
    let from_elsewhere = |hostname: &str, folder: &Path, config: &mut Config| {
        with_first_use(hostname, folder, config);
        let elsewhere = "10.9.0.0/16".parse().expect("a network");
        let portainer = config.auth.portainer.as_mut().expect("servers");
        portainer.grant.networks = vec![elsewhere];
    };
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(from_elsewhere)
        .run(async |bed| {
            let (owner, other) = (app(1), app(2));
            for _ in 0..2 {
                assert_eq!(status(&other, bed, "n1").await, 403);
            }
            bed.node_mut("n1").stop().await;
            let portainer = bed.node_mut("n1").config.auth.portainer.as_mut();
            portainer.expect("servers").grant.networks.clear();
            bed.node_mut("n1").start().await.unwrap();
            bed.settle().await;
            assert_eq!(status(&owner, bed, "n1").await, 200);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contradictory_request_pins_no_key() {
    ClusterBuilder::of([manager("n1")])
        .configure(with_first_use)
        .run(async |bed| {
            let (owner, other) = (app(1), app(2));
            let behind = [("Skep-On-Behalf-Of", "operator:1")];
            let answer = other.ask(bed, "n1", "GET", "/info", &behind, b"").await;
            assert_eq!(answer.status, 400);
            assert_eq!(status(&owner, bed, "n1").await, 200);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_an_agent_delays_the_first_pin_only_for_a_while() {
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .and_an_agentless_worker("n3")
        .configure(with_rare_probes)
        .run(async |bed| {
            let (owner, other) = (app(1), app(2));
            // The delay is a number of rounds, which are an hour apart here.
            let answer = owner.get(bed, "n1", "/info").await;
            assert_eq!(answer.status, 403);
            let details = answer.json().unwrap()["details"].to_string();
            assert!(details.contains("n3"), "{details}");
            // Here they are a few milliseconds apart.
            bed.node_mut("n1").stop().await;
            bed.node_mut("n1").config.cluster.interval = Duration::from_millis(10);
            bed.node_mut("n1").start().await.unwrap();
            let waiting = async {
                while status(&owner, bed, "n1").await != 200 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(MINUTE, waiting).await.expect("the delay ends");
            assert_eq!(status(&other, bed, "n2").await, 403);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_unpinned_servers_do_not_queue_for_a_silent_node() {
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(with_rare_probes)
        .run(async |bed| {
            bed.node_mut("n2").kill().await;
            // Accepts connections and sends nothing.
            let silent = TcpListener::bind(bed.node("n2").address).await.unwrap();
            let asked = Arc::new(AtomicUsize::new(0));
            let counted = asked.clone();
            let listening = tokio::spawn(async move {
                let mut open = Vec::new();
                while let Ok((connection, _)) = silent.accept().await {
                    counted.fetch_add(1, Ordering::Relaxed);
                    open.push(connection);
                }
            });
            let bed = &*bed;
            let others: Vec<_> = (10..40).map(app).collect();
            let all = others.iter().map(|other| status(other, bed, "n1"));
            assert!(join_all(all).await.iter().all(|&status| status == 403));
            let asked = asked.load(Ordering::Relaxed);
            assert!(
                (1..=3).contains(&asked),
                "the silent node was asked {asked} times"
            );
            listening.abort();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_simultaneous_servers_is_pinned() {
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(with_first_use)
        .run(async |bed| {
            let bed = &*bed;
            let servers: Vec<_> = (1..=8).map(app).collect();
            let at_once = servers.iter().map(|server| status(server, bed, "n1"));
            let statuses = join_all(at_once).await;
            assert_eq!(
                statuses.iter().filter(|s| **s == 200).count(),
                1,
                "{statuses:?}"
            );
        })
        .await;
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(with_first_use)
        .run(async |bed| {
            let bed = &*bed;
            let servers = [app(1), app(2)];
            let at_once = [
                status(&servers[0], bed, "n1"),
                status(&servers[1], bed, "n2"),
            ];
            join_all(at_once).await;
            let read =
                |node: &str| std::fs::read(bed.folder().join(node).join("portainer.json")).ok();
            let agreed = || read("n1").is_some() && read("n1") == read("n2");
            assert!(eventually(agreed).await);
            let seen = async |server: &Server| {
                let on_n1 = status(server, bed, "n1").await;
                (on_n1, status(server, bed, "n2").await)
            };
            // A key is stored before it takes effect.
            let in_force = async {
                loop {
                    let mut seen = [seen(&servers[0]).await, seen(&servers[1]).await];
                    if seen.iter().all(|(on_n1, on_n2)| on_n1 == on_n2) {
                        seen.sort_unstable();
                        return seen;
                    }
                }
            };
            let seen = timeout(MINUTE, in_force).await.expect("they agree");
            assert_eq!(seen, [(200, 200), (403, 403)]);
            assert!(asked(bed, "n1", "/info") > 0);
        })
        .await;
}
