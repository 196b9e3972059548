//! Tests real TLS handshakes between agents, clients and other clusters, in
//! memory.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, ProtocolVersion, RootCertStore,
    ServerConfig, ServerConnection,
};

use super::*;
use crate::platform::clock;

/// The lifetime of a leaf in these tests.
pub(super) const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The secret of this name.
pub(super) fn secret(name: &str) -> Secret {
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    Secret::from_bytes(digest.as_ref()).unwrap()
}

/// The generation of this secret. Cached, because stretching a secret is slow
/// on purpose.
pub(super) fn generation(name: &str) -> Arc<Generation> {
    static DERIVED: LazyLock<Mutex<HashMap<String, Arc<Generation>>>> =
        LazyLock::new(Mutex::default);
    let mut derived = DERIVED.lock().unwrap();
    let derive = || Arc::new(Generation::derive(&secret(name)).unwrap());
    Arc::clone(derived.entry(name.to_owned()).or_insert_with(derive))
}

/// An agent with these secrets.
pub(super) fn trust(secrets: &[&str]) -> Trust {
    trust_since(secrets, clock::wall())
}

fn trust_since(secrets: &[&str], now: SystemTime) -> Trust {
    let generations = secrets.iter().map(|name| generation(name)).collect();
    Trust::of_generations(generations, LeafNames::default(), LIFETIME, now).unwrap()
}

/// An operator's self-signed certificate in files.
pub(super) struct CertificateFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    _dir: tempfile::TempDir,
}

pub(super) fn certificate_files(name: &str) -> CertificateFiles {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    CertificateFiles {
        certificate,
        key,
        _dir: dir,
    }
}

fn server(trust: &Trust) -> Arc<ServerConfig> {
    server_with(trust, None)
}

fn server_with(trust: &Trust, user: Option<Arc<UserCertificate>>) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(trust.client_verifier().unwrap())
        .with_cert_resolver(trust.server_resolver(user));
    Arc::new(config)
}

/// A client with its roots, its certificate and the server name.
struct Client {
    roots: CertificateDer<'static>,
    leaf: Option<Arc<Leaf>>,
    server_name: String,
}

impl Client {
    /// An agent that connects to a peer with one of its generations.
    fn agent(trust: &Trust, generation: usize) -> Self {
        Self {
            roots: trust.generations()[generation].ca_der().clone(),
            leaf: trust.leaf(generation),
            server_name: trust.peer_sni(generation).unwrap().to_owned(),
        }
    }

    fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.roots.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match &self.leaf {
            Some(leaf) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf.key_pkcs8.to_vec()));
                builder
                    .with_client_auth_cert(vec![leaf.cert_der.clone()], key)
                    .unwrap()
            }
            None => builder.with_no_client_auth(),
        })
    }

    /// Returns the certificates that each side saw, or the first error of a
    /// side.
    fn connect(&self, server: &Arc<ServerConfig>) -> Result<Session, Error> {
        let name = ServerName::try_from(self.server_name.clone()).unwrap();
        let mut client = ClientConnection::new(self.config(), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
        // A TLS 1.3 client is done before the server has seen its certificate:
        // wait for both.
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        let first =
            |chain: Option<&[CertificateDer<'_>]>| chain.map(|chain| chain[0].clone().into_owned());
        Ok(Session {
            version: client.protocol_version().unwrap(),
            server_cert: first(client.peer_certificates()).unwrap(),
            client_cert: first(server.peer_certificates()),
        })
    }
}

#[derive(Debug)]
struct Session {
    version: ProtocolVersion,
    server_cert: CertificateDer<'static>,
    client_cert: Option<CertificateDer<'static>>,
}

fn is_certificate_error(error: &Error, expected: &[CertificateError]) -> bool {
    matches!(error, Error::InvalidCertificate(actual) if expected.contains(actual))
}

#[test]
fn agents_with_one_secret_connect_over_tls_1_3_and_recognise_each_other() {
    let (one, other) = (trust(&["a"]), trust(&["a"]));
    let connected = Client::agent(&one, 0).connect(&server(&other)).unwrap();
    assert_eq!(connected.version, ProtocolVersion::TLSv1_3);
    assert_eq!(connected.server_cert, other.leaf(0).unwrap().cert_der);
    let peer = other.classify(&connected.client_cert.unwrap()).unwrap();
    assert_eq!(peer.generation, 0);
}

#[test]
fn agents_that_derive_on_their_own_connect() {
    let derived_apart = Trust::new(
        &[secret("a")],
        LeafNames::default(),
        LIFETIME,
        clock::wall(),
    );
    let (one, other) = (trust(&["a"]), derived_apart.unwrap());
    Client::agent(&one, 0).connect(&server(&other)).unwrap();
    Client::agent(&other, 0).connect(&server(&one)).unwrap();
}

#[test]
fn an_agent_refuses_a_server_of_another_cluster() {
    let (ours, theirs) = (trust(&["a"]), trust(&["b"]));
    let error = Client::agent(&ours, 0)
        .connect(&server(&theirs))
        .unwrap_err();
    assert!(
        is_certificate_error(&error, &[CertificateError::UnknownIssuer]),
        "{error:?}"
    );
}

#[test]
fn an_agent_refuses_a_client_of_another_cluster() {
    let (ours, theirs) = (trust(&["a"]), trust(&["b"]));
    let mut intruder = Client::agent(&ours, 0);
    intruder.leaf = theirs.leaf(0);
    let error = intruder.connect(&server(&ours)).unwrap_err();
    assert!(
        is_certificate_error(&error, &[CertificateError::UnknownIssuer]),
        "{error:?}"
    );
}

#[test]
fn a_client_without_a_certificate_connects_unauthenticated() {
    let trust = trust(&["a"]);
    let mut client = Client::agent(&trust, 0);
    client.leaf = None;
    assert_eq!(client.connect(&server(&trust)).unwrap().client_cert, None);
}

#[test]
fn during_a_rollover_old_and_new_agents_connect_both_ways() {
    let (updated, behind) = (trust(&["new", "old"]), trust(&["old"]));
    let connected = Client::agent(&updated, 1)
        .connect(&server(&behind))
        .unwrap();
    assert!(behind.classify(&connected.client_cert.unwrap()).is_some());

    let connected = Client::agent(&behind, 0)
        .connect(&server(&updated))
        .unwrap();
    assert_eq!(connected.server_cert, updated.leaf(1).unwrap().cert_der);
    assert_eq!(
        updated
            .classify(&connected.client_cert.unwrap())
            .unwrap()
            .generation,
        1
    );

    // Once the old secret is dropped, agents with only that one cannot connect.
    let done = trust(&["new"]);
    Client::agent(&updated, 0).connect(&server(&done)).unwrap();
    Client::agent(&behind, 0)
        .connect(&server(&done))
        .unwrap_err();
    Client::agent(&done, 0)
        .connect(&server(&behind))
        .unwrap_err();
}

#[test]
fn the_next_handshake_uses_a_rotated_leaf() {
    let trust = trust(&["a"]);
    let server = server(&trust);
    let before = Client::agent(&trust, 0).connect(&server).unwrap();
    trust.rotate(clock::wall()).unwrap();
    let after = Client::agent(&trust, 0).connect(&server).unwrap();
    assert_ne!(after.server_cert, before.server_cert);
    assert_ne!(after.client_cert, before.client_cert);
    assert_eq!(after.server_cert, trust.leaf(0).unwrap().cert_der);
}

#[test]
fn leaves_that_expired_while_the_clock_was_wrong_are_replaced_by_a_refresh() {
    let now = clock::wall();
    let month_ago = now - Duration::from_secs(30 * 24 * 60 * 60);
    let (trust, other) = (trust_since(&["a"], month_ago), trust(&["a"]));
    let expired = |error: Error| {
        matches!(
            error,
            Error::InvalidCertificate(CertificateError::ExpiredContext { .. })
        )
    };
    assert!(expired(
        Client::agent(&other, 0)
            .connect(&server(&trust))
            .unwrap_err()
    ));
    assert!(expired(
        Client::agent(&trust, 0)
            .connect(&server(&other))
            .unwrap_err()
    ));

    trust.refresh(now).unwrap();
    Client::agent(&other, 0).connect(&server(&trust)).unwrap();
    Client::agent(&trust, 0).connect(&server(&other)).unwrap();
}

#[test]
fn a_refresh_before_half_life_changes_nothing() {
    let trust = trust(&["a"]);
    let before = trust.leaf(0).unwrap();
    trust.refresh(clock::wall()).unwrap();
    assert!(Arc::ptr_eq(&before, &trust.leaf(0).unwrap()));
}

#[test]
fn a_peer_on_a_slow_clock_accepts_a_fresh_leaf() {
    let ahead = clock::wall() + Duration::from_secs(23 * 60 * 60);
    let (fast, right) = (trust_since(&["a"], ahead), trust(&["a"]));
    Client::agent(&right, 0).connect(&server(&fast)).unwrap();
    Client::agent(&fast, 0).connect(&server(&right)).unwrap();
}

#[test]
fn clients_get_the_operators_certificate_and_agents_still_the_clusters() {
    let files = certificate_files("docker.example.com");
    let user = UserCertificate::load(&files.certificate, &files.key).unwrap();
    let operators = user.certified_key().cert[0].clone();
    let user = Arc::new(user);
    let trust = trust(&["a"]).with_user_certificate(user.clone());
    let server = server_with(&trust, Some(user));
    let browser = Client {
        roots: operators.clone(),
        leaf: None,
        server_name: "docker.example.com".to_owned(),
    };
    assert_eq!(browser.connect(&server).unwrap().server_cert, operators);
    Client::agent(&trust, 0).connect(&server).unwrap();

    let renewed = certificate_files("docker.example.com");
    std::fs::copy(&renewed.certificate, &files.certificate).unwrap();
    std::fs::copy(&renewed.key, &files.key).unwrap();
    trust.refresh(clock::wall()).unwrap();
    let error = browser.connect(&server).unwrap_err();
    assert!(
        matches!(error, Error::InvalidCertificate(_)),
        "still the old certificate: {error:?}"
    );
}

#[test]
fn a_client_that_trusts_the_authority_reaches_an_agent_by_its_hostname() {
    let names = LeafNames {
        hostname: "node_1".into(),
        ..Default::default()
    };
    let trust = trust(&["a"]);
    let client = Client {
        roots: generation("a").ca_der().clone(),
        leaf: None,
        server_name: "node_1".to_owned(),
    };
    client.connect(&server(&trust)).unwrap_err();
    trust.rename(names, clock::wall()).unwrap();
    client.connect(&server(&trust)).unwrap();
}

#[test]
fn at_least_one_secret_is_needed() {
    let none = Trust::new(&[], LeafNames::default(), LIFETIME, clock::wall());
    assert!(matches!(none, Err(TrustError::NoSecret)));
}

#[test]
fn a_repeated_secret_counts_once() {
    let secrets = [secret("a"), secret("a")];
    let trust = Trust::new(&secrets, LeafNames::default(), LIFETIME, clock::wall()).unwrap();
    assert_eq!(trust.generations().len(), 1);
}
