//! `conf/portainer.yaml` does as its comments say.

use super::*;
use crate::common::secret_file;
use crate::examples::{run_as, uncommented};

const FILE: &str = include_str!("../../../conf/portainer.yaml");

/// The file with these lines of its comments made settings, and paths of the test.
fn running(folder: &Path, config: &mut Config, lines: &[&str], public_key: &str) {
    let secret = secret_file(folder, "agent_secret", SECRET);
    let key = secret_file(folder, "portainer.pub", public_key);
    let mut text = FILE.to_owned();
    for line in lines {
        text = uncommented(&text, line);
    }
    text = text.replace("/run/secrets/agent_secret", &secret.display().to_string());
    text = text.replace("/etc/skep/portainer.pub", &key.display().to_string());
    run_as(&text, folder, config);
}

fn two() -> [crate::common::node::Plan; 2] {
    [
        manager("n1").engine(with_objects("c1")),
        worker("n2").engine(with_objects("c2")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_the_secret_manages_the_swarm_and_no_other_does() {
    let configure = |_: &str, folder: &Path, config: &mut Config| running(folder, config, &[], "");
    let over = async |bed: &mut TestCluster| {
        for node in ["n1", "n2"] {
            let list = server().get(bed, node, "/containers/json").await;
            assert_eq!(list.status, 200, "{}", list.text());
            assert!(list.text().contains("c1") && list.text().contains("c2"));
            let start = "/containers/c2/start";
            let start = server().ask(bed, node, "POST", start, &[], b"").await;
            assert_eq!(start.status, 204, "{}", start.text());
            let other = Server::new(2, "another secret");
            assert_eq!(other.get(bed, node, "/containers/json").await.status, 403);
            let unsigned = send(bed, node, "GET", "/containers/json", &[], b"").await;
            assert!(unsigned.status >= 400, "{}", unsigned.text());
        }
        // "Without it, the UI can browse only volumes."
        let host = server().get(bed, "n1", "/v2/browse/ls?path=/etc").await;
        assert!(host.status >= 400, "{}", host.text());
        // The server does not have the secret of the agents: the operator does.
        let operator = bed.operator("n1").get("/info").await.unwrap();
        assert_eq!(operator.status, 200);
    };
    ClusterBuilder::of(two())
        .configure(configure)
        .run(over)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_server_with_the_named_key_is_trusted() {
    let configure = |_: &str, folder: &Path, config: &mut Config| {
        let key = server().public_key();
        running(
            folder,
            config,
            &["public_key_file: /etc/skep/portainer.pub"],
            &key,
        );
    };
    let over = async |bed: &mut TestCluster| {
        assert_eq!(
            server().get(bed, "n1", "/containers/json").await.status,
            200
        );
        let other = Server::new(2, SECRET)
            .get(bed, "n1", "/containers/json")
            .await;
        assert_eq!(other.status, 403, "{}", other.text());
    };
    ClusterBuilder::of(two())
        .configure(configure)
        .run(over)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_the_first_server_is_trusted_and_no_other() {
    let configure = |_: &str, folder: &Path, config: &mut Config| {
        running(folder, config, &["first_use: true"], "");
        let portainer = config.auth.portainer.as_mut().expect("the setting");
        portainer.secret = None;
    };
    let over = async |bed: &mut TestCluster| {
        let first = Server::new(1, "Portainer-App");
        assert_eq!(first.get(bed, "n1", "/containers/json").await.status, 200);
        let second = Server::new(2, "Portainer-App");
        assert_eq!(second.get(bed, "n1", "/containers/json").await.status, 403);
        assert_eq!(second.get(bed, "n2", "/containers/json").await.status, 403);
    };
    ClusterBuilder::of(two())
        .configure(configure)
        .run(over)
        .await;
}
