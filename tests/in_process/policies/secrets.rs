//! Swarm secrets and configs that a service may use: managers go by the id in the
//! body, so the name beside it proves nothing.

use serde_json::{Value, json};

use super::{changes, configured, holder};
use crate::common::{manager, worker};

const YAML: &str = "
auth: { keys: [ { id: ci, secret_file: KEY_FILE, policy: ci } ] }
policies:
  ci: { allow: ['services.*'], may: { secrets: [db], configs: [db] } }
";

fn service(secret: &Value, config: &Value) -> String {
    let container = json!({ "Image": "a", "Secrets": secret, "Configs": config });
    json!({ "Name": "s", "TaskTemplate": { "ContainerSpec": container } }).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_granted_by_its_own_name() {
    let plans = [
        manager("n1").engine(|e| {
            let object = |id: &str, name: &str| json!({ "ID": id, "Spec": { "Name": name } });
            e.answer("GET", "/secrets/s1", 200, object("s1", "db"))
                .answer("GET", "/secrets/s2", 200, object("s2", "admin"))
                .answer("GET", "/secrets/db", 200, object("s1", "db"))
                .answer("GET", "/configs/c1", 200, object("c1", "db"))
                .answer("GET", "/configs/c2", 200, object("c2", "admin"))
                .answer("POST", "/services/create", 201, json!({ "ID": "new" }))
        }),
        worker("n2"),
    ];
    configured(plans, YAML)
        .run(async |bed| {
            let json = [("Content-Type", "application/json")];
            for entry in ["n1", "n2"] {
                let ci = holder(bed, entry, "ci");
                let create = async |secrets: Value, configs: Value| {
                    let body = service(&secrets, &configs);
                    let answer = ci.ask("POST", "/services/create", &json, body.as_bytes());
                    answer.await.unwrap()
                };
                let before = changes(bed).len();
                for (secrets, configs, expected) in [
                    (
                        json!([{"SecretID": "s2", "SecretName": "admin"}]),
                        json!([]),
                        403,
                    ),
                    (
                        json!([{"SecretID": "s2", "SecretName": "db"}]),
                        json!([]),
                        403,
                    ),
                    (
                        json!([{"SecretID": "db", "SecretName": "db"}]),
                        json!([]),
                        404,
                    ),
                    (
                        json!([{"SecretID": "s3", "SecretName": "db"}]),
                        json!([]),
                        404,
                    ),
                    (
                        json!([{"SecretID": "../info", "SecretName": "db"}]),
                        json!([]),
                        404,
                    ),
                    (
                        json!([]),
                        json!([{"ConfigID": "c2", "ConfigName": "db"}]),
                        403,
                    ),
                    (
                        json!([{"SecretID": "s1", "SecretName": "db"}]),
                        json!([{"ConfigID": "c2", "ConfigName": "db"}]),
                        403,
                    ),
                ] {
                    let answer = create(secrets.clone(), configs.clone()).await;
                    let text = answer.text();
                    assert_eq!(
                        answer.status, expected,
                        "{entry}: {secrets} {configs}: {text}"
                    );
                }
                assert_eq!(changes(bed).len(), before, "{:?}", changes(bed));
                let own = create(
                    json!([{"SecretID": "s1", "SecretName": "db"}]),
                    json!([{"ConfigID": "c1", "ConfigName": "db"}]),
                );
                let own = own.await;
                assert_eq!(own.status, 201, "{entry}: {}", own.text());
            }
        })
        .await;
}
