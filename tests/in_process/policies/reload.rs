//! Changes to the configuration while agents run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use skep::config::Config;

use super::{apply, holder, with_key};
use crate::common::{ClusterBuilder, TestCluster, manager, warnings_of};

const OPEN: &str = "
auth: { keys: [ { id: ci, secret_file: KEY_FILE, policy: ci } ] }
policies: { ci: { allow: [containers.read] } }
";

const CLOSED: &str = "
auth: { keys: [ { id: ci, secret_file: KEY_FILE, policy: ci } ] }
policies: { ci: { allow: [images.read] } }
";

fn with_a_file() -> ClusterBuilder<'static> {
    ClusterBuilder::of([manager("n1")]).configure(|_, folder: &Path, config: &mut Config| {
        apply(OPEN, folder, config);
        let file = folder.join("skep.yaml");
        fs::write(&file, with_key(OPEN, folder)).unwrap_or_else(|e| panic!("{e}"));
        config.file = Some(file);
    })
}

fn write(bed: &TestCluster, yaml: &str) {
    let text = with_key(yaml, bed.folder());
    fs::write(bed.folder().join("skep.yaml"), text).unwrap_or_else(|e| panic!("{e}"));
}

async fn wait_for_status(bed: &TestCluster, id: &str, status: u16) -> bool {
    for _ in 0..100 {
        let answer = holder(bed, "n1", id).get("/containers/json").await;
        if answer.is_ok_and(|answer| answer.status == status) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_policy_takes_effect_without_a_restart() {
    with_a_file()
        .run(async |bed| {
            assert!(wait_for_status(bed, "ci", 200).await);
            let request = holder(bed, "n1", "ci").sign("GET", "/containers/json", &[], b"");
            let client = holder(bed, "n1", "ci");
            let fields = request.fields();
            let send = async || {
                let sent = client
                    .client()
                    .request("GET", "/containers/json", &fields, b"");
                sent.await.unwrap().status
            };
            assert_eq!(send().await, 200);
            write(bed, CLOSED);
            assert!(wait_for_status(bed, "ci", 403).await, "the new policy");
            assert_eq!(send().await, 401, "the old signature is still a replay");
            write(bed, &OPEN.replace("id: ci,", "id: other,"));
            assert!(wait_for_status(bed, "other", 200).await, "a new key");
            assert!(wait_for_status(bed, "ci", 401).await, "the old one is gone");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_file_changes_nothing_and_is_logged() {
    with_a_file()
        .run(async |bed| {
            write(bed, "policies: { ci: { allow: [nothing.such] } }");
            let warned = || !warnings_of("the old configuration stays in force").is_empty();
            assert!(skep_bed::eventually(warned).await);
            assert!(wait_for_status(bed, "ci", 200).await);
        })
        .await;
}
