//! Query parameters that moby does not have, which another engine could obey.

use serde_json::{Value, json};

use super::{changes, configured, holder};
use crate::common::{manager, worker};

const YAML: &str = "
auth:
  keys:
    - { id: ci, secret_file: KEY_FILE, policy: ci }
    - { id: trial, secret_file: KEY_FILE, policy: trial }
    - { id: all, secret_file: KEY_FILE, policy: admin }
policies:
  ci: { allow: [build, 'services.*', 'containers.*', images.pull] }
  trial: { allow: [build], audit_only: true }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_that_moby_does_not_have_is_refused_with_400_and_its_name() {
    let plans = [
        manager("n1").engine(|e| e.answer("POST", "/build", 200, json!({}))),
        worker("n2").engine(|e| e.answer("POST", "/build", 200, json!({}))),
    ];
    configured(plans, YAML)
        .run(async |bed| {
            for (target, name) in [
                ("/build?devices=%5B%22%2Fdev%2Fvda%22%5D", "devices"),
                (
                    "/v1.41/build?t=a&addcaps=%5B%22CAP_SYS_ADMIN%22%5D",
                    "addcaps",
                ),
                ("/build?t=a&%64evices=x", "devices"),
                ("/build?DEVICES=x", "DEVICES"),
                ("/build?isolation=chroot", "isolation"),
                ("/build?rm=1&rm=0", "rm"),
                ("/build?t=%zz", "t=%zz"),
                ("/images/create?fromImage=a&fromImage=b", "fromImage"),
                (
                    "/services/s/update?version=7&rollback=none&rollback=previous",
                    "rollback",
                ),
                ("/containers/a/start?a%0Ab", "a\\nb"),
            ] {
                for entry in ["n1", "n2"] {
                    let caller = holder(bed, entry, "ci");
                    let answer = caller.ask("POST", target, &[], b"").await.unwrap();
                    let text = answer.text();
                    assert_eq!(answer.status, 400, "{entry} {target}: {text}");
                    let read: Value = serde_json::from_str(&text).unwrap();
                    let message = read["message"].as_str().unwrap();
                    assert!(message.contains(name), "{target}: {message}");
                }
            }
            assert!(changes(bed).is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_and_a_policy_on_trial_are_refused_no_parameter() {
    let plans = [manager("n1").engine(|e| e.answer("POST", "/build", 200, json!({})))];
    configured(plans, YAML)
        .run(async |bed| {
            for who in ["all", "trial"] {
                let caller = holder(bed, "n1", who);
                let answer = caller.ask("POST", "/build?devices=x", &[], b"").await;
                assert_eq!(answer.unwrap().status, 200, "{who}");
            }
            let sent: Vec<_> = changes(bed).into_iter().map(|seen| seen.target).collect();
            assert_eq!(sent, ["/build?devices=x", "/build?devices=x"]);
        })
        .await;
}
