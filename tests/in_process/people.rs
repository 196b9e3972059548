//! The list of people: its versions, the rights that it gives, and the invitations.

#[cfg(unix)]
mod command;
mod enforcement;
mod invitations;
mod versions;

use std::collections::HashMap;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use skep::config::{Audit, Config};
use skep::trust::CertificateRequest;
use skep_bed::{Client, EngineBuilder, Response, SwarmStore, fixture};
use skep_filters::auth::{Signer, SigningKey};
use skep_filters::people::{Document, Envelope, Invitation, Invited, User};

use crate::common::{ClusterBuilder, TestCluster, generation, manager, worker};

const LIST: &str = "/containers/json";
const PEOPLE: &str = "/skep/v1/people";

/// Two managers with one raft store, and a worker; each has a container, a state folder
/// and an audit log of its own.
fn three(store: &SwarmStore) -> ClusterBuilder<'static> {
    let has = |id: &'static str, store: SwarmStore| {
        move |e: EngineBuilder| {
            e.containers(vec![fixture::container(id, id, 1, 0)])
                .store(&store)
        }
    };
    let nodes = [
        manager("n1").engine(has("exact", store.clone())),
        manager("n2").engine(has("echo", store.clone())),
        worker("n3").engine(has("far", store.clone())),
    ];
    ClusterBuilder::of(nodes).configure(own_state)
}

fn own_state(hostname: &str, folder: &Path, config: &mut Config) {
    config.state_dir = folder.join(hostname);
    config.audit = Some(Audit {
        file: folder.join(format!("audit-{hostname}")),
        routine: false,
    });
}

fn user(name: &str, policy: &str) -> User {
    User {
        name: name.to_owned(),
        policy: policy.to_owned(),
        since: 1,
        enabled: true,
        networks: Vec::new(),
        public_key: None,
        days: 30,
    }
}

/// A version of the list.
fn list(version: u64, users: Vec<User>) -> Document {
    Document {
        version,
        users,
        ..Document::default()
    }
}

/// The operator's signer.
fn signer() -> Signer {
    let generation = generation();
    let id = generation.operator_key_id();
    let key = SigningKey::hmac(&id, generation.operator_key()).expect("a key");
    Signer::new(key, generation.audience().clone())
}

fn signed(document: &Document) -> Vec<u8> {
    let envelope = Envelope::sign(document, &signer()).expect("an envelope");
    envelope.to_json().expect("JSON")
}

/// Sends a version to the agent of a node.
async fn send(bed: &TestCluster, node: &str, bytes: &[u8]) -> Response {
    let json = [("Content-Type", "application/json")];
    let sent = bed.operator(node).ask("POST", PEOPLE, &json, bytes).await;
    sent.expect("an answer")
}

/// Brings a version into force, and waits until all agents have it.
async fn put(bed: &TestCluster, node: &str, document: &Document) {
    let answer = send(bed, node, &signed(document)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    everywhere(bed, document.version).await;
}

/// Waits until all running agents have a version.
async fn everywhere(bed: &TestCluster, version: u64) {
    for node in bed.nodes.iter().filter(|node| node.is_running()) {
        has(bed, &node.hostname, version).await;
    }
}

/// Waits until the agent of a node has a version.
async fn has(bed: &TestCluster, node: &str, version: u64) {
    let operator = bed.operator(node);
    until(&format!("version {version} at {node}"), async || {
        let shown = operator.get("/skep/v1/people/users").await;
        shown.is_ok_and(|shown| {
            let shown = shown.json().unwrap_or_default();
            shown["version"] == version && shown["current"] == true
        })
    })
    .await;
}

/// Waits for a condition, for at most ten seconds.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..200 {
        if condition().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

/// An invitation for a user, and what the list has of it.
fn invitation(bed: &TestCluster, user: &str, seed: u16, expires: u64) -> (Invitation, Invited) {
    let agents = bed
        .nodes
        .iter()
        .map(|node| node.address.to_string())
        .collect();
    let mut secret = [0; 32];
    secret[..2].copy_from_slice(&seed.to_be_bytes());
    let invitation = Invitation::new(secret, generation().audience().clone(), agents);
    let invited = Invited {
        hash: invitation.hash(),
        user: user.to_owned(),
        expires,
    };
    (invitation, invited)
}

/// An hour from now.
fn later() -> u64 {
    skep::platform::clock::now().as_secs() + 3600
}

/// A client of a node's agent that shows nothing and signs nothing.
fn stranger(bed: &TestCluster, node: &str) -> Client {
    let (generation, address) = (generation(), bed.node(node).address);
    let roots = vec![generation.ca_der().clone()];
    Client::tls(address, generation.peer_sni(), roots, None).expect("a TLS client")
}

/// A person with a key.
struct Person {
    key: String,
    request: String,
}

impl Person {
    fn new() -> Self {
        let (request, key) = CertificateRequest::make().expect("a request");
        Self {
            key: key.to_string(),
            request,
        }
    }

    /// Redeems an invitation at the agent of a node.
    async fn join(&self, bed: &TestCluster, node: &str, invitation: &Invitation) -> Response {
        let body = json!({ "secret": invitation.secret(), "request": self.request });
        let body = body.to_string();
        let json = [("Content-Type", "application/json")];
        let client = stranger(bed, node);
        let sent = client.request("POST", "/skep/v1/join", &json, body.as_bytes());
        sent.await.expect("an answer")
    }

    /// A client of a node's agent with this certificate.
    fn client(&self, bed: &TestCluster, node: &str, certificate: &str) -> Client {
        let cert = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM");
        let (generation, address) = (generation(), bed.node(node).address);
        let roots = vec![generation.ca_der().clone()];
        let identity = Some((vec![cert], key));
        Client::tls(address, generation.peer_sni(), roots, identity).expect("a TLS client")
    }
}

/// A user of the list who has joined: the person and the certificate.
async fn joined(bed: &TestCluster, before: &Document, name: &str) -> (Person, String, Document) {
    let (invitation, invited) = invitation(bed, name, 100 + before.version as u16, later());
    let mut document = before.clone();
    document.version += 1;
    document.invitations.push(invited);
    put(bed, "n1", &document).await;
    let person = Person::new();
    let given = person.join(bed, "n1", &invitation).await;
    assert_eq!(given.status, 200, "{}", given.text());
    let given = given.json().expect("JSON");
    let certificate = given["certificate"].as_str().expect("a certificate");
    (person, certificate.to_owned(), document)
}

/// The lines of a node's audit log about a path.
async fn audited(bed: &TestCluster, node: &str, path: &str, lines: usize) -> Vec<Value> {
    let file = bed.folder().join(format!("audit-{node}"));
    let read = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let all = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.filter(|line| line["path"] == path).collect::<Vec<_>>()
    };
    until(&format!("{lines} lines about {path}"), async || {
        read().len() >= lines
    })
    .await;
    read()
}

/// How often each status was answered.
fn counted(answers: &[Response]) -> HashMap<u16, usize> {
    let mut counts = HashMap::new();
    for answer in answers {
        *counts.entry(answer.status).or_default() += 1;
    }
    counts
}
