//! The policies of `conf/gateway.yaml` do as their comments say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use skep::config::{ClusterMode, Config};
use skep::trust::ClientCredential;
use skep_bed::{Client, Response, fixture};

use super::{KEY, changes, holder};
use crate::common::{Caller, ClusterBuilder, TestCluster, generation, manager, secret_file};

/// The networks of the key `ci` in the file, in place of which the test has its own.
const CI_NETWORKS: &str = "10.20.0.0/16";

/// The socket of the policy `traefik`.
fn socket(folder: &Path) -> PathBuf {
    folder.join("traefik.sock")
}

/// One host, guarded by an agent with the repository's file. Only paths, addresses
/// and the networks of `ci` are the test's.
fn gateway(networks: &str) -> ClusterBuilder<'_> {
    let web = || fixture::container("a1", "web", 1, 0);
    let inspect = json!({ "Id": "a1", "Config": { "Env": ["PASSWORD=hunter2"], "Labels": {} } });
    let host = manager("n1").engine(move |e| {
        e.containers(vec![web()])
            .images(vec![fixture::image("sha256:b1", &["busybox:latest"], 1)])
            .answer("GET", "/containers/web/json", 200, inspect.clone())
            .answer("POST", "/containers/create", 201, json!({ "Id": "c1" }))
    });
    let configure = |_: &str, folder: &Path, config: &mut Config| {
        let mut yaml = include_str!("../../../conf/gateway.yaml").to_owned();
        for name in ["ci_key", "grafana_key"] {
            let file = secret_file(folder, name, KEY).display().to_string();
            yaml = yaml.replace(&format!("/etc/skep/{name}"), &file);
        }
        let path = socket(folder).display().to_string();
        yaml = yaml.replace("/run/skep/traefik.sock", &path);
        yaml = yaml.replace(CI_NETWORKS, networks);
        let read = Config::parse("gateway.yaml", &yaml).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(read.cluster.mode, ClusterMode::Off);
        config.cluster.mode = read.cluster.mode;
        config.sockets = read.sockets;
        config.auth = read.auth;
        config.policies = read.policies;
    };
    ClusterBuilder::of([host]).configure(configure)
}

async fn post(caller: &Caller, target: &str, body: &serde_json::Value) -> Response {
    let json = [("Content-Type", "application/json")];
    let body = body.to_string();
    let answer = caller.ask("POST", target, &json, body.as_bytes()).await;
    answer.expect("an answer")
}

/// A body that the policy `ci` allows.
fn job() -> serde_json::Value {
    let host = json!({
        "Binds": ["/srv/ci/cache:/cache"],
        "Memory": 1 << 30,
        "SecurityOpt": ["no-new-privileges"],
    });
    json!({ "Image": "busybox", "HostConfig": host })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ci_runs_containers_with_its_paths_and_limits() {
    let over = async |bed: &mut TestCluster| {
        let ci = holder(bed, "n1", "ci");
        let made = post(&ci, "/containers/create", &job()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = changes(bed).len();
        for (field, value) in [
            ("Binds", json!(["/etc:/x"])),
            ("Privileged", json!(true)),
            ("Memory", json!(0)),
            ("Memory", json!(8_u64 << 30)),
            ("SecurityOpt", json!([])),
        ] {
            let mut body = job();
            body["HostConfig"][field] = value;
            let refused = post(&ci, "/containers/create", &body).await;
            assert_eq!(refused.status, 403, "{field}: {}", refused.text());
        }
        let services = ci.get("/services").await.unwrap();
        assert_eq!(services.status, 403, "{}", services.text());
        assert_eq!(changes(bed).len(), made);
    };
    gateway("127.0.0.0/8").run(over).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ci_builds_with_the_classic_builder_alone() {
    let over = async |bed: &mut TestCluster| {
        let ci = holder(bed, "n1", "ci");
        // The docker CLI cannot sign the context that it streams.
        let tar = [("Content-Type", "application/x-tar")];
        let context = b"3\r\ntar\r\n0\r\n\r\n";
        let build = ci.upload("/build?t=app", &tar, context).await.unwrap();
        assert_eq!(build.status, 200);
        let asked = bed.node("n1").engine.requests_to("/build");
        assert_eq!(asked[0].body.start, b"tar");
        for target in ["/build?version=2&t=app", "/build?remote=http://x.example/"] {
            let refused = ci.ask("POST", target, &tar, b"tar").await.unwrap();
            assert_eq!(refused.status, 403, "{target}: {}", refused.text());
        }
        let session = ci.ask("POST", "/session", &[], b"").await.unwrap();
        assert_eq!(session.status, 403, "{}", session.text());
    };
    gateway("127.0.0.0/8").run(over).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ci_is_refused_outside_of_its_networks() {
    let over = async |bed: &mut TestCluster| {
        let list = holder(bed, "n1", "ci").get("/containers/json").await;
        assert_eq!(list.unwrap().status, 403);
        let list = holder(bed, "n1", "grafana").get("/containers/json").await;
        assert_eq!(list.unwrap().status, 200);
    };
    gateway(CI_NETWORKS).run(over).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grafana_and_traefik_read_without_secrets() {
    let over = async |bed: &mut TestCluster| {
        let grafana = holder(bed, "n1", "grafana");
        let inspect = grafana.get("/containers/web/json").await.unwrap();
        assert_eq!(inspect.status, 200, "{}", inspect.text());
        assert!(!inspect.text().contains("hunter2"), "{}", inspect.text());
        let traefik = Client::unix(socket(bed.folder()));
        let inspect = traefik.get("/containers/web/json", &[]).await.unwrap();
        assert_eq!(inspect.status, 200, "{}", inspect.text());
        assert!(!inspect.text().contains("hunter2"), "{}", inspect.text());
        let logs = traefik.get("/containers/web/logs?stdout=1", &[]).await;
        assert_eq!(logs.unwrap().status, 403);
        for target in ["/containers/create", "/containers/web/exec"] {
            let refused = post(&grafana, target, &json!({})).await;
            assert_eq!(refused.status, 403, "{target}: {}", refused.text());
            let refused = traefik.request("POST", target, &[], b"").await.unwrap();
            assert_eq!(refused.status, 403, "{target}: {}", refused.text());
        }
        assert!(changes(bed).is_empty(), "{:?}", changes(bed));
    };
    gateway(CI_NETWORKS).run(over).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_assistant_has_its_own_containers_alone() {
    let over = async |bed: &mut TestCluster| {
        let day = Duration::from_secs(24 * 60 * 60);
        let now = skep::platform::clock::wall();
        let issued = ClientCredential::issue(&generation(), "assistant", day, now);
        let issued = issued.expect("a certificate");
        let cert = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).expect("PEM");
        let roots = vec![generation().ca_der().clone()];
        let address = bed.node("n1").address;
        let assistant = Client::tls(address, "localhost", roots, Some((vec![cert], key)));
        let assistant = assistant.expect("a TLS client");
        let list = assistant.get("/containers/json?all=1", &[]).await.unwrap();
        assert_eq!(list.status, 200, "{}", list.text());
        let asked = bed.node("n1").engine.requests_to("/containers/json");
        let target = &asked.last().expect("the list").target;
        assert!(target.contains("owner"), "{target}");
        let start = assistant.request("POST", "/containers/web/start", &[], b"");
        assert_eq!(
            start.await.unwrap().status,
            404,
            "it is not the assistant's"
        );
        assert!(changes(bed).is_empty(), "{:?}", changes(bed));
    };
    gateway(CI_NETWORKS).run(over).await;
}
