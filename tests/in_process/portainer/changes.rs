//! A secret or key that is replaced while the agents run.

use std::fs;

use super::*;
use crate::common::secret_file;

const NEXT: &str = "the next secret of server and agents";

async fn wait_for_status(server: &Server, bed: &TestCluster, status: u16) -> bool {
    for _ in 0..100 {
        if server.get(bed, "n1", "/info").await.status == status {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_secret_is_replaced_the_old_server_is_refused() {
    let with_a_file = |hostname: &str, folder: &Path, config: &mut Config| {
        with_secret(hostname, folder, config);
        let file = secret_file(folder, "agent-secret", SECRET);
        let portainer = config.auth.portainer.as_mut().expect("servers");
        portainer.secret = Some(SecretSource::File(file));
    };
    ClusterBuilder::of([manager("n1")])
        .configure(with_a_file)
        .run(async |bed| {
            let (old, new) = (Server::new(1, SECRET), Server::new(1, NEXT));
            assert!(wait_for_status(&old, bed, 200).await);
            assert_eq!(new.get(bed, "n1", "/info").await.status, 403);
            let file = bed.folder().join("agent-secret");
            fs::write(&file, NEXT).unwrap();
            assert!(wait_for_status(&new, bed, 200).await, "the new secret");
            assert_eq!(old.get(bed, "n1", "/info").await.status, 403);
            // A file that is missing for a moment changes nothing.
            fs::remove_file(&file).unwrap();
            let warned = || !warnings_of("the old one stays in force").is_empty();
            assert!(skep_bed::eventually(warned).await);
            assert!(wait_for_status(&new, bed, 200).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_key_is_replaced_only_the_new_one_is_accepted() {
    let with_key = |hostname: &str, folder: &Path, config: &mut Config| {
        let file = secret_file(folder, "portainer.pub", &Server::new(3, "").public_key());
        config.state_dir = folder.join(hostname);
        config.auth.portainer = Some(Portainer {
            public_key_file: Some(file),
            ..portainer()
        });
    };
    ClusterBuilder::of([manager("n1")])
        .configure(with_key)
        .run(async |bed| {
            // The server must know the secret and have the key.
            let (old, new) = (Server::new(3, SECRET), Server::new(4, SECRET));
            assert!(wait_for_status(&old, bed, 200).await);
            for refused in [&new, &Server::new(3, "Portainer-App")] {
                assert_eq!(refused.get(bed, "n1", "/info").await.status, 403);
            }
            fs::write(bed.folder().join("portainer.pub"), new.public_key() + "\n").unwrap();
            assert!(wait_for_status(&new, bed, 200).await, "the new key");
            assert_eq!(old.get(bed, "n1", "/info").await.status, 403);
        })
        .await;
}
