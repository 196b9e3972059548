//! Rules about bodies, applied before the engine sees a byte.

use serde_json::json;
use skep_bed::fixture;

use super::{changes, configured, holder};
use crate::common::{manager, worker};

const RUNNER: &str = "
auth: { keys: [ { id: ci, secret_file: KEY_FILE, policy: runner, unsigned_streams: true } ] }
policies:
  runner:
    allow: [containers.*, exec, images.*, services.*]
    may: { binds: [/srv/ci] }
    must: { images: [busybox, 'ghcr.io/team/*'] }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forbidden_container_options_never_reach_an_engine() {
    let images = || vec![fixture::image("sha256:b0", &["busybox:latest"], 1)];
    let plans = [
        manager("n1").engine(|e| e.images(images())),
        worker("n2").engine(|e| e.images(images())),
    ];
    configured(plans, RUNNER)
        .run(async |bed| {
            let ci = holder(bed, "n2", "ci");
            for (body, rule) in [
                (
                    json!({"Image": "busybox", "HostConfig": {"Privileged": true}}),
                    "may.privileged",
                ),
                (
                    json!({"Image": "busybox", "hostconfig": {"PRIVILEGED": true}}),
                    "may.privileged",
                ),
                (
                    json!({"Image": "busybox", "HostConfig": {"Binds": ["/:/host"]}}),
                    "may.binds",
                ),
                (json!({"Image": "evil/one"}), "must.images"),
            ] {
                let body = body.to_string();
                let answer = ci
                    .ask("POST", "/containers/create", &[], body.as_bytes())
                    .await;
                let answer = answer.unwrap();
                let why = answer.message().unwrap();
                assert_eq!(answer.status, 403, "{body}: {why}");
                assert!(why.contains(rule), "{body}: {why}");
            }
            for body in [
                &b"{\"Image\":\"busybox\",\"Image\":\"x\"}"[..],
                b"",
                b"[]",
                b"{",
            ] {
                let answer = ci
                    .ask("POST", "/containers/create", &[], body)
                    .await
                    .unwrap();
                assert_eq!(answer.status, 403, "{}", answer.text());
            }
            assert!(changes(bed).is_empty(), "{:?}", changes(bed));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_body_is_forwarded_unchanged() {
    let images = || vec![fixture::image("sha256:b0", &["busybox:latest"], 1)];
    configured([manager("n1").engine(|e| e.images(images()))], RUNNER)
        .run(async |bed| {
            let ci = holder(bed, "n1", "ci");
            let body = br#"{ "Image":"busybox" , "HostConfig":{"Binds":["/srv/ci/x:/x"]}}"#;
            let answer = ci.ask("POST", "/containers/create?name=x", &[], body).await;
            assert_eq!(answer.unwrap().status, 201);
            let [created] = &changes(bed)[..] else {
                panic!("{:?}", changes(bed));
            };
            assert_eq!(created.body.start, body);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_cannot_use_the_host_network_by_its_id() {
    let yaml = "
auth: { keys: [ { id: ops, secret_file: KEY_FILE, policy: ops } ] }
policies: { ops: { allow: [services.*] } }
";
    const HOST: &str = "feed000000000000000000000000000000000000000000000000000000000000";
    const OVERLAY: &str = "0ver000000000000000000000";
    let networks = || {
        let mut host = fixture::network(HOST, "host", "local");
        host["Driver"] = json!("host");
        vec![host, fixture::network(OVERLAY, "shop", "swarm")]
    };
    let plans = [
        manager("n1").engine(|e| {
            e.networks(networks())
                .answer("POST", "/services/create", 201, json!({"ID": "s"}))
        }),
        worker("n2"),
    ];
    configured(plans, yaml)
        .run(async |bed| {
            for entry in ["n1", "n2"] {
                let ops = holder(bed, entry, "ops");
                for (target, status) in
                    [(HOST, 403), ("host", 403), ("nothing", 404), ("shop", 201)]
                {
                    let body = json!({"TaskTemplate": {
                        "Networks": [{"Target": target}], "ContainerSpec": {"Image": "a"},
                    }});
                    let body = body.to_string();
                    let answer = ops.ask("POST", "/services/create", &[], body.as_bytes());
                    let answer = answer.await.unwrap();
                    assert_eq!(answer.status, status, "{target}: {}", answer.text());
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_cannot_be_inspected_is_refused() {
    let images = || vec![fixture::image("sha256:b0", &["busybox:latest"], 1)];
    configured([manager("n1").engine(|e| e.images(images()))], RUNNER)
        .run(async |bed| {
            let ci = holder(bed, "n1", "ci");
            let body = br#"{"Image":"busybox"}"#;
            for (name, value, status) in [
                ("Content-Encoding", "gzip", 403),
                ("Content-Type", "text/plain", 415),
            ] {
                let headers = [(name, value)];
                let answer = ci.ask("POST", "/containers/create", &headers, body);
                let answer = answer.await.unwrap();
                assert_eq!(answer.status, status, "{name}: {value}: {}", answer.text());
            }
            // A body that no signature covers is not accepted at all.
            let answer = ci.upload(
                "/containers/create",
                &[],
                b"13\r\n{\"Image\":\"busybox\"}\r\n0\r\n\r\n",
            );
            let status = answer.await.unwrap().status;
            assert_eq!(status, 401);
            assert!(changes(bed).is_empty(), "{:?}", changes(bed));
        })
        .await;
}
