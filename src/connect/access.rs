//! Loads the key to sign with and the authority to trust, for the commands that
//! call agents, `connect`, `nodes`, `health` and `sign`, and the cluster to sign for.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{WrappedX509, get_common_name};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject};
use skep_filters::auth::{Audience, KeyError, Signer, SigningKey, trim_secret};

use crate::config::AgentUrl;
use crate::platform::keepalive::{IDLE, KEEPALIVE};
use crate::trust::{self, Generation, Secret, SecretFileError, TrustError};
use crate::upstream::peers;
use crate::upstream::tls_files::{self, FileError};

/// The longest time to connect to an agent.
const CONNECT: Duration = Duration::from_secs(5);

/// The name of every derived authority, before its fingerprint.
const AUTHORITY: &str = "skep cluster ";

/// The key or the secret to sign with; one of them is required.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct Credentials {
    /// Id of the key to sign with
    #[arg(long, value_name = "ID", env = "SKEP_KEY_ID", requires = "key_file")]
    pub(crate) key_id: Option<String>,
    /// File with the key to sign with
    #[arg(long, value_name = "FILE", env = "SKEP_KEY_FILE", requires = "key_id")]
    pub(crate) key_file: Option<PathBuf>,
    /// File with the cluster's secret; it gives the rights of the operator, and the CA
    #[arg(long, value_name = "FILE", env = "SKEP_SECRET_FILE")]
    pub(crate) secret_file: Option<PathBuf>,
}

impl Credentials {
    /// Whether requests are signed with the key that derives from the cluster's
    /// secret.
    pub(crate) fn uses_cluster_secret(&self) -> bool {
        self.key_id.is_none() && self.secret_file.is_some()
    }
}

/// The cluster to call. Its CA names it in signatures too.
#[derive(Args, Debug, Default)]
pub(crate) struct Target {
    /// File with the CA of the agents' certificates, if it is not the one of
    /// the secret
    #[arg(long, value_name = "FILE", env = "SKEP_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// Cluster to sign for, if it is not the one of the CA or the secret;
    /// `skep ca --audience` prints it
    #[arg(long, value_name = "DIGITS", env = "SKEP_AUDIENCE")]
    pub(crate) audience: Option<Audience>,
}

/// A signer, and the authority of agents' certificates.
pub(crate) struct Access {
    /// Signs the requests.
    pub(crate) signer: Signer,
    /// Verifies the agents.
    pub(crate) authority: Authority,
}

/// The authority of agents' certificates.
pub(crate) struct Authority {
    roots: Arc<[WrappedX509]>,
    group: u64,
    /// The name in the certificates of all agents of the cluster.
    name: Option<String>,
}

/// Why a command cannot call agents.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub enum AccessError {
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("cannot read {}: {error}", path.display())]
    Read {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{}: holds no private key in PEM form: {error}", path.display())]
    NoPem { path: PathBuf, error: pem::Error },
    #[error(transparent)]
    Ca(#[from] FileError),
    #[error(
        "the agents' certificates cannot be verified without their CA; name its file with --ca \
         (`skep ca --secret-file FILE > ca.pem` prints it from the cluster's secret)"
    )]
    NoCa,
    #[error("name a key with --key-id and --key-file, or the cluster's secret with --secret-file")]
    NoKey,
    #[error(
        "the cluster to sign for is unknown: name the file of its CA with --ca, or the cluster \
         with --audience (`skep ca --audience --secret-file FILE` prints it)"
    )]
    NoAudience,
    #[error(
        "{} is not the one certificate of a cluster's CA, so it does not tell the cluster to sign \
         for; name it with --audience (`skep ca --audience --secret-file FILE` prints it)", .0.display()
    )]
    Ambiguous(PathBuf),
}

/// A signer with the key of the credentials, for this cluster.
///
/// # Errors
/// A file is missing or holds no key, or the cluster is unknown.
pub(crate) fn signer(credentials: &Credentials, target: &Target) -> Result<Signer, AccessError> {
    let derived = credentials.secret_file.as_deref().map(generation);
    signer_of(credentials, target, derived.transpose()?.as_ref())
}

fn signer_of(
    credentials: &Credentials,
    target: &Target,
    derived: Option<&Generation>,
) -> Result<Signer, AccessError> {
    if let (Some(id), Some(path)) = (&credentials.key_id, &credentials.key_file) {
        let audience = audience(target, derived)?;
        return Ok(Signer::new(signing_key(id, path)?, audience));
    }
    let generation = derived.ok_or(AccessError::NoKey)?;
    let named = target.audience.as_ref().unwrap_or(generation.audience());
    Ok(operator(generation, named.clone())?)
}

/// The cluster that a key of its own signs for. Other clusters may share the key, so
/// this must be the one that the connection is verified with: the CA comes before the
/// secret.
fn audience(target: &Target, derived: Option<&Generation>) -> Result<Audience, AccessError> {
    if let Some(named) = &target.audience {
        return Ok(named.clone());
    }
    let Some(path) = &target.ca else {
        let generation = derived.ok_or(AccessError::NoAudience)?;
        return Ok(generation.audience().clone());
    };
    let certificates = tls_files::certificates(path)?;
    // Of several, each may be another cluster's. One of an agent behind a certificate
    // of the operator is no cluster's.
    let found = match certificates.as_slice() {
        [one] if cluster_name(&tls_files::wrap(vec![one.clone()])).is_some() => {
            trust::audience_of(one)
        }
        _ => None,
    };
    found.ok_or_else(|| AccessError::Ambiguous(path.clone()))
}

fn operator(generation: &Generation, audience: Audience) -> Result<Signer, KeyError> {
    let id = generation.operator_key_id();
    let key = SigningKey::hmac(&id, generation.operator_key())?;
    Ok(Signer::new(key, audience))
}

/// The generation of the secret in a file.
///
/// # Errors
/// The file cannot be read, or its secret is weak.
pub fn generation(path: &Path) -> Result<Generation, AccessError> {
    let (secret, warning) = Secret::read(path)?;
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    Ok(Generation::derive(&secret)?)
}

impl Access {
    /// Reads the files that the arguments name.
    ///
    /// # Errors
    /// A file cannot be used; the error names it.
    pub(crate) fn load(credentials: &Credentials, target: &Target) -> Result<Self, AccessError> {
        let derived = match &credentials.secret_file {
            Some(path) => Some(generation(path)?),
            None => None,
        };
        let (roots, name) = match (&target.ca, &derived) {
            (Some(path), _) => {
                let roots = tls_files::wrap(tls_files::certificates(path)?);
                let name = cluster_name(&roots);
                (roots, name)
            }
            (None, Some(generation)) => (
                peers::roots(generation.ca_der()),
                Some(generation.peer_sni().to_owned()),
            ),
            (None, None) => return Err(AccessError::NoCa),
        };
        let signer = signer_of(credentials, target, derived.as_ref())?;
        Ok(Self::new(signer, roots, name))
    }

    /// Access with the rights of the operator.
    ///
    /// # Errors
    /// The keys of the secret cannot be derived.
    pub(crate) fn operator(secret: &Secret) -> Result<Self, AccessError> {
        let generation = Generation::derive(secret)?;
        let roots = peers::roots(generation.ca_der());
        let name = Some(generation.peer_sni().to_owned());
        let signer = operator(&generation, generation.audience().clone())?;
        Ok(Self::new(signer, roots, name))
    }

    /// Access for a health check of an agent that does not take the derived key for
    /// the operator's.
    ///
    /// # Errors
    /// The keys of the secret cannot be derived.
    pub(crate) fn health(secret: &Secret) -> Result<Self, AccessError> {
        let generation = Generation::derive(secret)?;
        let key = SigningKey::hmac(&generation.health_key_id(), generation.operator_key())?;
        let roots = peers::roots(generation.ca_der());
        let name = Some(generation.peer_sni().to_owned());
        let signer = Signer::new(key, generation.audience().clone());
        Ok(Self::new(signer, roots, name))
    }

    fn new(signer: Signer, roots: Arc<[WrappedX509]>, name: Option<String>) -> Self {
        Self {
            signer,
            authority: Authority::new(roots, name),
        }
    }

    /// A peer for the agent at this URL.
    ///
    /// # Errors
    /// Its host name cannot be resolved.
    pub(crate) async fn peer(&self, url: &AgentUrl) -> std::io::Result<HttpPeer> {
        self.authority.peer(url).await
    }
}

impl Authority {
    /// The authority of a cluster, whose certificate this is.
    pub(crate) fn of_cluster(ca_der: &[u8]) -> Self {
        let roots = tls_files::wrap(vec![ca_der.to_vec()]);
        let name = cluster_name(&roots);
        Self::new(roots, name)
    }

    fn new(roots: Arc<[WrappedX509]>, name: Option<String>) -> Self {
        let mut group = DefaultHasher::new();
        for root in roots.iter() {
            root.borrow_raw_cert().hash(&mut group);
        }
        Self {
            roots,
            group: group.finish(),
            name,
        }
    }

    /// The certificate in DER, and the name in the certificates of all agents; `None` for
    /// an authority that is not one cluster's.
    pub(crate) fn cluster(&self) -> Option<(&[u8], &str)> {
        let [root] = &*self.roots else {
            return None;
        };
        Some((root.borrow_raw_cert(), self.name.as_deref()?))
    }

    /// A peer for the agent at this URL.
    ///
    /// # Errors
    /// Its host name cannot be resolved.
    pub(crate) async fn peer(&self, url: &AgentUrl) -> std::io::Result<HttpPeer> {
        let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await?;
        // `localhost` often resolves to ::1 first, where the agent may not listen.
        let address = found.min_by_key(SocketAddr::is_ipv6);
        let none = || std::io::Error::other(format!("{} has no address", url.host));
        Ok(self.peer_at(address.ok_or_else(none)?, &url.host))
    }

    /// A peer for the agent at this address, verified by the cluster's name, or by
    /// this host name without one.
    pub(crate) fn peer_at(&self, address: SocketAddr, host: &str) -> HttpPeer {
        let name = self.name.as_deref().unwrap_or(host);
        let mut peer = HttpPeer::new(address, true, name.to_owned());
        peer.options.ca = Some(self.roots.clone());
        peer.group_key = self.group;
        peer.options.connection_timeout = Some(CONNECT);
        peer.options.total_connection_timeout = Some(CONNECT);
        peer.options.tcp_keepalive = Some(KEEPALIVE);
        peer.options.idle_timeout = Some(IDLE);
        peer
    }
}

/// The name in the certificates of all agents under a derived authority; `None`
/// for other authorities, which certify host names.
fn cluster_name(roots: &[WrappedX509]) -> Option<String> {
    let [root] = roots else {
        return None;
    };
    let common = get_common_name(root)?;
    let fingerprint = common.strip_prefix(AUTHORITY)?;
    Some(format!("{fingerprint}.skep.internal"))
}

/// A shared secret, or an Ed25519 key in PEM as `openssl genpkey` writes it.
fn signing_key(id: &str, path: &Path) -> Result<SigningKey, AccessError> {
    let bytes = std::fs::read(path).map_err(|error| AccessError::Read {
        path: path.to_owned(),
        error,
    })?;
    if !bytes.starts_with(b"-----BEGIN") {
        return Ok(SigningKey::hmac(id, trim_secret(&bytes))?);
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| AccessError::NoPem {
        path: path.to_owned(),
        error,
    })?;
    Ok(SigningKey::ed25519_pkcs8(id, key.secret_der())?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pingora::upstreams::peer::Peer;
    use skep_filters::auth::{BodyBinding, Key, Signer, Verifier, Window};

    use super::*;
    use crate::trust::ed25519_public;

    /// Made with `openssl genpkey -algorithm ed25519`.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn a_private_and_a_public_key_file_form_a_pair() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), PRIVATE).unwrap();
        let key = signing_key("ci", file.path()).unwrap();
        let public = ed25519_public(PUBLIC.as_bytes()).unwrap();
        let audience = Audience::of_public_key(b"the public key of the CA");
        let signer = Signer::new(key, audience.clone());
        let mut parts = http::Request::new(()).into_parts().0;
        signer
            .sign(&mut parts, BodyBinding::Empty, 0, [7; 16])
            .unwrap();
        let public = [Key::ed25519("ci", &public).unwrap()];
        let verifier = Verifier::new(public, audience, Window::default(), Arc::default()).unwrap();
        assert!(verifier.verify(&parts, 0).is_ok());
    }

    #[test]
    fn a_private_key_of_another_kind_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let p256 = rcgen::KeyPair::generate().unwrap().serialize_pem();
        std::fs::write(file.path(), p256).unwrap();
        let error = signing_key("ci", file.path()).err().unwrap();
        assert!(error.to_string().contains("not an Ed25519 key"), "{error}");
        std::fs::write(file.path(), PUBLIC).unwrap();
        let error = signing_key("ci", file.path()).err().unwrap();
        assert!(error.to_string().contains("no private key"), "{error}");
    }

    #[test]
    fn without_an_authority_the_error_says_how_to_get_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [7; 40]).unwrap();
        let credentials = Credentials {
            key_id: Some("ci".to_owned()),
            key_file: Some(file.path().to_owned()),
            secret_file: None,
        };
        let error = Access::load(&credentials, &Target::default())
            .err()
            .unwrap();
        assert!(error.to_string().contains("skep ca"));
    }

    #[test]
    fn a_key_signs_for_the_cluster_whose_authority_verifies_the_agents() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let [one, other] = [(); 2].map(|()| {
            let secret = Secret::generate().unwrap();
            let secret = Secret::from_bytes(secret.as_bytes()).unwrap();
            Generation::derive(&secret).unwrap()
        });
        let foreign = rcgen::generate_simple_self_signed(["agent".to_owned()]).unwrap();
        let ca = file("one", one.ca_pem().as_bytes());
        let both = file("both", (one.ca_pem() + &other.ca_pem()).as_bytes());
        let foreign = file("foreign", foreign.cert.pem().as_bytes());
        let found = |ca: Option<&PathBuf>, named: Option<&Generation>, derived| {
            let target = Target {
                ca: ca.cloned(),
                audience: named.map(|of| of.audience().clone()),
            };
            audience(&target, derived).ok()
        };
        let (is_one, is_other) = (Some(one.audience().clone()), Some(other.audience().clone()));
        assert_eq!(found(Some(&ca), None, None), is_one);
        assert_eq!(found(None, None, Some(&other)), is_other);
        assert_eq!(found(Some(&ca), None, Some(&other)), is_one);
        for ca in [&both, &foreign] {
            assert_eq!(found(Some(ca), None, None), None);
            assert_eq!(found(Some(ca), None, Some(&one)), None);
            assert_eq!(found(Some(ca), Some(&other), None), is_other);
        }
        assert_eq!(found(None, None, None), None);
        assert_eq!(found(None, Some(&other), None), is_other);
    }

    #[test]
    fn a_connection_that_one_ca_verified_does_not_serve_another() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, Secret::generate().unwrap()).unwrap();
        let credentials = Credentials {
            key_id: None,
            key_file: None,
            secret_file: Some(secret),
        };
        let [first, second] = ["first", "second"].map(|name| {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            let file = folder.path().join(name);
            std::fs::write(&file, made.cert.pem()).unwrap();
            let target = Target {
                ca: Some(file),
                audience: None,
            };
            Access::load(&credentials, &target).unwrap()
        });
        let address = ([127, 0, 0, 1], 9001).into();
        let key = |access: &Access| access.authority.peer_at(address, "agent").reuse_hash();
        assert_eq!(key(&first), key(&first));
        assert_ne!(key(&first), key(&second));
    }
}
