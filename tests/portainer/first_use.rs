//! Trust on first use: one server, on every node and after every restart.

use std::time::Duration;

use futures::future::join_all;
use skep_bed::eventually;

use super::*;

fn asked(bed: &Bed, node: &str, path: &str) -> usize {
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

fn app(seed: u8) -> Server {
    Server::new(seed, "Portainer-App")
}

async fn status(server: &Server, bed: &Bed, node: &str) -> u16 {
    server.get(bed, node, "/info").await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_server_that_proves_itself_stays_the_only_one() {
    let nodes = [manager("n1"), worker("n2")];
    Cluster::of(nodes)
        .configure(with_first_use)
        .run(async |bed| {
            // Keys without a valid signature leave nothing behind.
            for seed in 20..24 {
                let bad = Server::new(seed, "something else");
                assert_eq!(status(&bad, bed, "n1").await, 403);
            }
            let (owner, stranger) = (app(1), app(2));
            assert_eq!(status(&owner, bed, "n1").await, 200);
            // The other agent was never called, and knows.
            assert_eq!(status(&stranger, bed, "n2").await, 403);
            assert_eq!(status(&stranger, bed, "n1").await, 403);
            assert_eq!(status(&owner, bed, "n2").await, 200);
            // What agents tell each other is for agents.
            let told = bed.operator("n1").get("/skep/v1/portainer").await.unwrap();
            assert_eq!(told.status, 404);
            // All agents at once forget nothing.
            for node in ["n1", "n2"] {
                bed.node_mut(node).stopping().await;
            }
            for node in ["n1", "n2"] {
                bed.node_mut(node).start().await.unwrap();
                assert_eq!(status(&stranger, bed, node).await, 403);
            }
            // A worker that has just started knows no manager yet.
            bed.settle().await;
            for node in ["n1", "n2"] {
                assert_eq!(status(&stranger, bed, node).await, 403);
                assert_eq!(status(&owner, bed, node).await, 200);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_lost_its_memory_hears_from_the_others() {
    Cluster::of([manager("n1"), worker("n2")])
        .configure(with_first_use)
        .run(async |bed| {
            let (owner, stranger) = (app(1), app(2));
            assert_eq!(status(&owner, bed, "n1").await, 200);
            let file = bed.node("n1").config.state_dir.join("portainer.json");
            assert!(eventually(|| bed.folder().join("n2/portainer.json").exists()).await);
            bed.node_mut("n1").stopping().await;
            std::fs::remove_file(&file).unwrap();
            bed.node_mut("n1").start().await.unwrap();
            // Whatever it knows of the others by now, it does not fall for a stranger.
            assert_eq!(status(&stranger, bed, "n1").await, 403);
            bed.settle().await;
            assert_eq!(status(&stranger, bed, "n1").await, 403);
            assert_eq!(status(&owner, bed, "n1").await, 200);
            assert!(file.exists());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_another_node_may_know_a_key_none_is_taken() {
    let rarely = |hostname: &str, folder: &Path, config: &mut Config| {
        with_first_use(hostname, folder, config);
        config.cluster.interval = Duration::from_secs(3600);
    };
    Cluster::of([manager("n1"), worker("n2")])
        .configure(rarely)
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
async fn of_servers_that_come_at_once_one_stays() {
    Cluster::of([manager("n1"), worker("n2")])
        .configure(with_first_use)
        .run(async |bed| {
            let bed = &*bed;
            let servers: Vec<_> = (1..=8).map(app).collect();
            let at_once = servers.iter().map(|server| status(server, bed, "n1"));
            let let_in = join_all(at_once).await;
            assert_eq!(
                let_in.iter().filter(|s| **s == 200).count(),
                1,
                "{let_in:?}"
            );
        })
        .await;
    Cluster::of([manager("n1"), worker("n2")])
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
            let mut seen = Vec::new();
            for server in &servers {
                seen.push((
                    status(server, bed, "n1").await,
                    status(server, bed, "n2").await,
                ));
            }
            seen.sort();
            assert_eq!(seen, [(200, 200), (403, 403)]);
            assert!(asked(bed, "n1", "/info") > 0);
        })
        .await;
}
