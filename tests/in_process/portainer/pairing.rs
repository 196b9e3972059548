//! Servers that must prove a secret as well as a key.

use super::*;
use crate::common::secret_file;

async fn status(server: &Server, bed: &TestCluster, node: &str) -> u16 {
    server.get(bed, node, "/info").await.status
}

fn with_secret_file(folder: &Path) -> Portainer {
    let file = secret_file(folder, "agent_secret", &format!("{SECRET}\n"));
    Portainer {
        secret: Some(SecretSource::File(file)),
        ..portainer()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_and_a_public_key_are_both_required() {
    let both = |hostname: &str, folder: &Path, config: &mut Config| {
        let key = secret_file(folder, "portainer.pub", &Server::new(3, "").public_key());
        config.state_dir = folder.join(hostname);
        config.auth.portainer = Some(Portainer {
            public_key_file: Some(key),
            ..with_secret_file(folder)
        });
    };
    ClusterBuilder::of([manager("n1")])
        .configure(both)
        .run(async |bed| {
            for (seed, message, expected) in [
                (3, SECRET, 200),
                (4, SECRET, 403),
                (3, "Portainer-App", 403),
                (3, "another secret", 403),
            ] {
                let server = Server::new(seed, message);
                assert_eq!(
                    status(&server, bed, "n1").await,
                    expected,
                    "{seed} {message}"
                );
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_secret_the_first_server_that_knows_it_is_pinned() {
    let both = |hostname: &str, folder: &Path, config: &mut Config| {
        config.state_dir = folder.join(hostname);
        config.auth.portainer = Some(Portainer {
            first_use: true,
            ..with_secret_file(folder)
        });
    };
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(both)
        .run(async |bed| {
            let other = Server::new(5, "Portainer-App");
            assert_eq!(status(&other, bed, "n1").await, 403);
            let (owner, second) = (Server::new(1, SECRET), Server::new(2, SECRET));
            assert_eq!(status(&owner, bed, "n1").await, 200);
            for node in ["n1", "n2"] {
                assert_eq!(status(&second, bed, node).await, 403, "{node}");
                assert_eq!(status(&other, bed, node).await, 403, "{node}");
                assert_eq!(status(&owner, bed, node).await, 200, "{node}");
            }
        })
        .await;
}
