//! Callers that ask for whom the cluster takes them.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::{manager, with_cluster, worker};
use crate::policies::{configured, holder};

const WHOAMI: &str = "/skep/v1/whoami";

const LIMITED: &str = "
auth:
  contact: ops@example.com
  keys:
    - { id: grafana, secret_file: KEY_FILE, policy: readers }
    - { id: closed, secret_file: KEY_FILE, policy: closed }
policies:
  readers: { allow: [containers.read, 'GET /images/json'], labels: { team: a }, redact: [env] }
  closed: { deny: [agent], allow: ['*.read'] }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_with_limits_hears_its_identity_its_policy_and_its_limits() {
    configured([manager("n1"), worker("n2")], LIMITED)
        .run(async |bed| {
            for node in ["n1", "n2"] {
                let answer = holder(bed, node, "grafana").get(WHOAMI).await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                let said: Value = answer.json().unwrap();
                assert_eq!(said["caller"], "key:grafana");
                assert_eq!(said["policy"], "readers");
                assert_eq!(said["admin"], false);
                assert_eq!(said["node"], node);
                assert_eq!(said["contact"], "ops@example.com");
                assert_eq!(said["may"]["all"], json!(["containers.read"]));
                assert_eq!(said["may"]["some"], json!(["images.read"]));
                let limits = said["limits"].to_string();
                for part in ["team=a", "environment variables", "`must`"] {
                    assert!(limits.contains(part), "{part}: {limits}");
                }
                assert_eq!(said.get("expires"), None);
            }
            let denied = holder(bed, "n1", "closed").get(WHOAMI).await.unwrap();
            assert_eq!(denied.status, 403, "{}", denied.text());
            let stranger = holder(bed, "n1", "nobody").get(WHOAMI).await.unwrap();
            assert_eq!(stranger.status, 401);
            assert!(!stranger.text().contains("policy"), "{}", stranger.text());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_prints_what_the_first_agent_says() {
    with_cluster([manager("n1")], async |bed| {
        let to = format!("https://{}", bed.node("n1").address);
        let secret = bed.folder().join("secret");
        let run = move || {
            Command::new(env!("CARGO_BIN_EXE_skep"))
                .args(["whoami", "--to", &to, "--secret-file"])
                .arg(secret)
                .stdin(Stdio::null())
                .output()
                .expect("skep whoami runs")
        };
        let output = tokio::task::spawn_blocking(run).await.expect("an output");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        for line in [
            "proof     a signature with the operator's key",
            "policy    admin",
            "may       everything",
            "said by   n1",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}: {text}");
        }
        assert!(text.starts_with("caller    operator:"), "{text}");
    })
    .await;
}
