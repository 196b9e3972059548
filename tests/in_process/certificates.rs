//! Callers with a client certificate, as a stock docker CLI with `--tlsverify`
//! sends one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{
    Caller, ClusterBuilder, TestCluster, generation, is_private, manager, secret_file, worker,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use skep::config::{CertificateIdentity, Certificates, Config, Grant};
use skep::trust::ClientCredential;
use skep_bed::{Client, Connection, EngineBuilder, Response, fixture};
use skep_filters::auth::SigningKey;

/// A path that agents never request for themselves.
const LIST: &str = "/containers/json";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn has(id: &'static str) -> impl Fn(EngineBuilder) -> EngineBuilder {
    move |e| e.containers(vec![fixture::container(id, id, 1, 0)])
}

fn revoked_file(folder: &Path) -> PathBuf {
    folder.join("revoked")
}

/// Two nodes that accept the certificate `alice` and have a revocation list.
fn alice_cluster() -> ClusterBuilder<'static> {
    let configure = |_: &str, folder: &Path, config: &mut Config| {
        secret_file(folder, "revoked", "# nobody\n");
        config.auth.certificates = Some(Certificates {
            identities: vec![CertificateIdentity {
                name: "alice".to_owned(),
                grant: Grant::admin(),
            }],
            revoked_file: Some(revoked_file(folder)),
        });
    };
    let nodes = [
        manager("n1").engine(has("exact")),
        worker("n2").engine(has("far")),
    ];
    ClusterBuilder::of(nodes).configure(configure)
}

fn issue(name: &str, lifetime: Duration) -> ClientCredential {
    ClientCredential::issue(&generation(), name, lifetime, skep::platform::clock::wall())
        .expect("issued")
}

/// A client of n1's agent that presents this certificate and signs nothing.
fn client(bed: &TestCluster, credential: &ClientCredential) -> Client {
    let cert = CertificateDer::from_pem_slice(credential.cert_pem.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(credential.key_pem.as_bytes()).expect("PEM");
    let (generation, address) = (generation(), bed.node("n1").address);
    let roots = vec![generation.ca_der().clone()];
    Client::tls(address, "localhost", roots, Some((vec![cert], key))).expect("a TLS client")
}

async fn list(connection: &mut Connection) -> Response {
    let answer = connection.request("GET", LIST, &[], b"").await;
    answer.expect("an answer")
}

fn assert_refused(answer: &Response, status: u16, says: &str) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{text}");
    assert!(text.contains(says), "{text}");
    assert_eq!(
        answer.header("Skep-Node"),
        None,
        "an unauthenticated client does not learn the node"
    );
}

fn assert_untouched(bed: &TestCluster) {
    for node in &bed.nodes {
        assert!(node.asked().is_empty(), "{:?}", node.asked());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_certificate_authenticates_unsigned_requests_to_the_whole_cluster() {
    alice_cluster()
        .run(async |bed| {
            let alice = client(bed, &issue("alice", DAY));
            let mut connection = alice.connect().await.unwrap();
            let answer = list(&mut connection).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.json().unwrap().as_array().unwrap().len(), 2);
            // A JSON body goes to the node that has the container.
            let json = [("Content-Type", "application/json")];
            let body = b"{\"Memory\":1}";
            let update = "/containers/far/update";
            let answer = connection
                .request("POST", update, &json, body)
                .await
                .unwrap();
            assert_eq!(answer.status, 404, "the engine's own: {}", answer.text());
            let asked = bed.node("n2").asked();
            let update = asked.iter().find(|r| r.path == update).unwrap();
            assert_eq!(update.body.start, body);
            // A stream arrives, as docker load sends it.
            let chunked = [("Transfer-Encoding", "chunked")];
            let tar = b"3\r\ntar\r\n0\r\n\r\n";
            let answer = alice.request("POST", "/images/load", &chunked, tar).await;
            assert_eq!(answer.unwrap().status, 200);
            let asked = bed.node("n1").asked();
            let load = asked.iter().find(|r| r.path == "/images/load").unwrap();
            assert_eq!(load.body.start, b"tar");
            for node in &bed.nodes {
                let requests = node.engine.requests();
                let all = requests.iter().flat_map(|r| &r.head.headers);
                assert_eq!(all.filter(|(name, _)| is_private(name)).count(), 0);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_holder_of_a_certificate_hears_its_name_and_its_end() {
    alice_cluster()
        .run(async |bed| {
            let alice = issue("alice", DAY);
            let client = client(bed, &alice);
            let answer = client.get("/skep/v1/whoami", &[]).await.expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
            let said = answer.json().expect("JSON");
            assert_eq!(said["policy"], "admin");
            assert_eq!(said["serial"], alice.certificate.serial.to_string());
            let now = skep::platform::clock::now().as_secs();
            let left = said["expires"]
                .as_u64()
                .expect("a time")
                .saturating_sub(now);
            assert!(
                (DAY.as_secs() - 60..=DAY.as_secs()).contains(&left),
                "{left}"
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exec_works_with_a_certificate() {
    alice_cluster()
        .run(async |bed| {
            let headers = [
                ("Skep-Target", "n2"),
                ("Connection", "Upgrade"),
                ("Upgrade", "tcp"),
                ("Content-Type", "application/json"),
            ];
            let alice = client(bed, &issue("alice", DAY));
            let start = "/exec/exact/start";
            let mut exec = alice.hijack("POST", start, &headers, b"{}").await.unwrap();
            assert_eq!(exec.status, 101);
            exec.stream.send(b"hello").await.unwrap();
            exec.stream.close_write().await.unwrap();
            assert_eq!(exec.stream.receive_to_end().await.unwrap(), b"hello");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlisted_certificate_reaches_no_engine() {
    alice_cluster()
        .run(async |bed| {
            for name in ["bob", "Alice", &generation().operator_key_id()] {
                let unlisted = client(bed, &issue(name, DAY));
                let answer = unlisted.get(LIST, &[]).await.unwrap();
                assert_refused(&answer, 403, "auth.certificates does not list it");
            }
            // Without a certificate, a request still needs a signature.
            let agentless = bed.operator("n1").client().get(LIST, &[]).await.unwrap();
            assert_eq!(agentless.status, 401);
            assert_untouched(bed);
            let operator = bed.operator("n1").get(LIST).await.unwrap();
            assert_eq!(operator.status, 200);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_does_not_excuse_an_invalid_signature() {
    alice_cluster()
        .run(async |bed| {
            let alice = client(bed, &issue("alice", DAY));
            let wrong = SigningKey::hmac("nobody", &[7; 32]).unwrap();
            let signed = bed
                .operator("n1")
                .with_key(wrong)
                .sign("GET", LIST, &[], b"");
            let answer = alice.get(LIST, &signed.fields()).await.unwrap();
            assert_eq!(answer.status, 401, "{}", answer.text());
            for half in ["Signature", "Signature-Input"] {
                let answer = alice.get(LIST, &[(half, "sig1=:AA==:")]).await.unwrap();
                assert_eq!(answer.status, 401, "{half}: {}", answer.text());
            }
            assert_untouched(bed);
            // A valid signature decides, whatever certificate the connection has.
            let bob = client(bed, &issue("bob", DAY));
            let signed = bed.operator("n1").sign("GET", LIST, &[], b"");
            assert_eq!(bob.get(LIST, &signed.fields()).await.unwrap().status, 200);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_gives_no_rights_of_an_agent() {
    alice_cluster()
        .run(async |bed| {
            let generation = generation();
            let alice = client(bed, &issue("alice", DAY));
            let on_behalf = [("Skep-On-Behalf-Of", "key:root")];
            let answer = alice.get(LIST, &on_behalf).await.unwrap();
            assert_eq!(answer.status, 400, "{}", answer.text());
            // Not even with the agents' own key.
            let id = generation.agent_key_id();
            let key = SigningKey::hmac(&id, generation.peer_key()).unwrap();
            let agent = Caller::new(bed.node("n1").address, &generation, None, key);
            let to = [("Skep-Target", bed.node("n1").id.as_str())];
            let signed = agent.sign("GET", LIST, &to, b"");
            let answer = alice.get(LIST, &signed.fields()).await.unwrap();
            assert_eq!(answer.status, 401);
            assert!(answer.text().contains("agent keys"), "{}", answer.text());
            assert_untouched(bed);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_certificate_does_not_authenticate_without_a_signature() {
    alice_cluster()
        .run(async |bed| {
            let generation = generation();
            let key = SigningKey::hmac("any", &[7; 32]).unwrap();
            let leaf = bed.node("n2").trust().leaf(0).unwrap();
            let agent = Caller::new(bed.node("n1").address, &generation, Some(&leaf), key);
            let answer = agent.client().get(LIST, &[]).await.unwrap();
            assert_eq!(answer.status, 401, "{}", answer.text());
            assert_untouched(bed);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cross_origin_page_cannot_use_the_browsers_certificate() {
    alice_cluster()
        .run(async |bed| {
            let alice = client(bed, &issue("alice", DAY));
            let evil = [("Origin", "https://evil.example")];
            for (method, target) in [
                ("POST", "/containers/exact/stop"),
                ("GET", "/containers/exact/attach/ws?stream=1"),
            ] {
                let answer = alice.request(method, target, &evil, b"").await.unwrap();
                assert_refused(&answer, 403, "another origin");
            }
            assert_untouched(bed);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_certificate_is_refused_on_an_open_connection() {
    alice_cluster()
        .run(async |bed| {
            let (lost, kept) = (issue("alice", DAY), issue("alice", DAY));
            let mut lost_one = client(bed, &lost).connect().await.unwrap();
            let mut kept_one = client(bed, &kept).connect().await.unwrap();
            assert_eq!(list(&mut lost_one).await.status, 200);
            let file = revoked_file(bed.folder());
            let write = |text: &str| std::fs::write(&file, text).unwrap();

            write(&format!("{} # lost in a train\n", lost.certificate.serial));
            let refused = until(&mut lost_one, 403).await;
            assert_refused(&refused, 403, "has been revoked");
            assert_eq!(list(&mut kept_one).await.status, 200);
            // With an unreadable list, every certificate is refused.
            write("lost: alice\n");
            let refused = until(&mut kept_one, 503).await;
            assert_refused(&refused, 503, "cannot be read");
            let operator = bed.operator("n1").get(LIST).await.unwrap();
            assert_eq!(operator.status, 200);
            write("# nobody\n");
            assert_eq!(until(&mut kept_one, 200).await.status, 200);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_refused_on_an_open_connection() {
    alice_cluster()
        .run(async |bed| {
            // On a busy machine the certificate may expire before its first use. Then
            // the test tries one with a longer lifetime.
            let mut lifetime = Duration::from_secs(2);
            let (short, mut connection) = loop {
                assert!(
                    lifetime < Duration::from_secs(20),
                    "no certificate was ever accepted"
                );
                let short = client(bed, &issue("alice", lifetime));
                let mut connection = short.connect().await.unwrap();
                let answer = connection.request("GET", LIST, &[], b"").await;
                if answer.is_ok_and(|answer| answer.status == 200) {
                    break (short, connection);
                }
                lifetime *= 2;
            };
            let refused = until(&mut connection, 403).await;
            assert_refused(&refused, 403, "has expired");
            // A new connection fails, or resumes the session of this one.
            let again = short.get(LIST, &[]).await;
            assert!(again.map_or(true, |answer| [401, 403].contains(&answer.status)));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_does_not_start_with_an_invalid_revocation_list() {
    alice_cluster()
        .run(async |bed| {
            bed.node_mut("n2").stop().await;
            std::fs::write(revoked_file(bed.folder()), "").unwrap();
            let error = bed.node_mut("n2").start().await.unwrap_err().to_string();
            assert!(
                error.contains("revoked_file") && error.contains("is empty"),
                "{error}"
            );
        })
        .await;
}

/// Repeats the request on this connection until the answer has this status.
async fn until(connection: &mut Connection, status: u16) -> Response {
    let asking = async {
        loop {
            let answer = list(connection).await;
            if answer.status == status {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), asking).await;
    answer.unwrap_or_else(|_| panic!("never answered {status}"))
}
