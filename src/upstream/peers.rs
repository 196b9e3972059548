//! Connects to other agents, with TLS that verifies both ends against the
//! cluster's authority, and signs requests with the agents' own key.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509};
use pingora::{Error, ErrorType};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::CertificateDer;
use skep_filters::auth::profile::{SKEP_ON_BEHALF_OF, SKEP_TARGET};
use skep_filters::auth::{BodyBinding, KeyError, OnBehalfOf, Signer, SigningKey};

use crate::platform::keepalive::{IDLE, KEEPALIVE};
use crate::trust::{Generation, Leaf, Trust};
use crate::upstream::clocks::{Clocks, Skew};
use crate::upstream::tls_files;

/// The keys and certificates to call other agents, for every generation.
pub(crate) struct Peers {
    trust: Arc<Trust>,
    generations: Vec<Ours>,
    connect: Duration,
    random: SystemRandom,
    clocks: Clocks,
}

/// Our side of one generation.
struct Ours {
    signer: Signer,
    roots: Arc<[WrappedX509]>,
    group: u64,
    /// The leaf in Pingora's form. Parsed once, not per connection.
    identity: Mutex<Option<(Arc<Leaf>, Arc<CertKey>)>>,
}

impl Peers {
    /// Prepares calls under every generation; `connect` bounds the handshakes.
    ///
    /// # Errors
    /// Never for the keys that a generation derives.
    pub(crate) fn new(trust: Arc<Trust>, connect: Duration) -> Result<Self, KeyError> {
        let ours = |generation: &Arc<Generation>| {
            let key = SigningKey::hmac(&generation.agent_key_id(), generation.peer_key())?;
            let ca = generation.ca_der();
            let mut group = DefaultHasher::new();
            ca.hash(&mut group);
            Ok(Ours {
                signer: Signer::new(key, generation.audience().clone()),
                roots: roots(ca),
                group: group.finish(),
                identity: Mutex::new(None),
            })
        };
        let generations = trust.generations().iter().map(ours);
        Ok(Self {
            generations: generations.collect::<Result<_, _>>()?,
            trust,
            connect,
            random: SystemRandom::new(),
            clocks: Clocks::default(),
        })
    }

    /// The clocks of the agents.
    pub(crate) fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// The number of generations.
    pub(crate) fn generations(&self) -> usize {
        self.generations.len()
    }

    /// The fingerprint of the secret at this position.
    pub(crate) fn fingerprint(&self, generation: usize) -> Option<&str> {
        let generations = self.trust.generations();
        generations.get(generation).map(|g| g.fingerprint())
    }

    /// The position of the secret with this fingerprint.
    pub(crate) fn generation_of(&self, fingerprint: &str) -> Option<usize> {
        let mut generations = self.trust.generations().iter();
        generations.position(|g| g.fingerprint() == fingerprint)
    }

    /// A peer for the agent at this address.
    ///
    /// # Errors
    /// Fails if there is no such generation.
    pub(crate) fn peer(&self, address: SocketAddr, generation: usize) -> pingora::Result<HttpPeer> {
        let unknown = || Error::explain(ErrorType::InternalError, "no such generation");
        let ours = self.generations.get(generation).ok_or_else(unknown)?;
        let name = self.trust.peer_sni(generation).ok_or_else(unknown)?;
        let leaf = self.trust.leaf(generation).ok_or_else(unknown)?;
        let mut peer = HttpPeer::new(address, true, name.to_owned());
        peer.options.ca = Some(ours.roots.clone());
        peer.client_cert_key = Some(ours.identity(leaf));
        // The pool does not compare authorities: without this key, it could
        // return a connection that was verified with another one.
        peer.group_key = ours.group;
        peer.options.connection_timeout = Some(self.connect);
        peer.options.total_connection_timeout = Some(self.connect);
        peer.options.tcp_keepalive = Some(KEEPALIVE);
        peer.options.idle_timeout = Some(IDLE);
        Ok(peer)
    }

    /// Addresses a request to a node and signs it with the time of its clock.
    ///
    /// # Errors
    /// Fails if every agent would refuse the request.
    pub(crate) fn sign(
        &self,
        head: &mut RequestHeader,
        generation: usize,
        node_id: &str,
        on_behalf_of: &OnBehalfOf,
        body: BodyBinding,
    ) -> pingora::Result<()> {
        let skew = self.clocks.of(node_id);
        self.sign_at(head, generation, node_id, on_behalf_of, body, skew)
    }

    /// The same by another clock. One that is too far off is not followed.
    ///
    /// # Errors
    /// As [`Peers::sign`].
    pub(crate) fn sign_at(
        &self,
        head: &mut RequestHeader,
        generation: usize,
        node_id: &str,
        on_behalf_of: &OnBehalfOf,
        body: BodyBinding,
        skew: Skew,
    ) -> pingora::Result<()> {
        let ours = self.generations.get(generation);
        let ours = ours.ok_or_else(|| Error::new(ErrorType::InternalError))?;
        head.insert_header(SKEP_TARGET, node_id)?;
        match on_behalf_of {
            OnBehalfOf::Agent => drop(head.remove_header(&SKEP_ON_BEHALF_OF)),
            OnBehalfOf::Client(client) => {
                let name = HeaderValue::from_str(&client.to_string()).map_err(|e| {
                    Error::because(ErrorType::InvalidHTTPHeader, "the client's name", e)
                })?;
                head.insert_header(SKEP_ON_BEHALF_OF, name)?;
            }
        }
        let skew = if skew.is_too_great() {
            Skew::ZERO
        } else {
            skew
        };
        sign_at(head, &ours.signer, body, &self.random, skew)
    }
}

impl Ours {
    fn identity(&self, leaf: Arc<Leaf>) -> Arc<CertKey> {
        let mut cached = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some((of, identity)) if Arc::ptr_eq(of, &leaf) => identity.clone(),
            _ => {
                let identity = Arc::new(CertKey::new(
                    vec![leaf.cert_der.to_vec()],
                    leaf.key_pkcs8.to_vec(),
                ));
                *cached = Some((leaf, identity.clone()));
                identity
            }
        }
    }
}

/// The cluster's authority in Pingora's form.
pub(crate) fn roots(ca: &CertificateDer<'_>) -> Arc<[WrappedX509]> {
    tls_files::wrap(vec![ca.to_vec()])
}

/// Signs a request.
///
/// # Errors
/// Fails if every verifier would refuse the request.
pub(crate) fn sign(
    head: &mut RequestHeader,
    signer: &Signer,
    body: BodyBinding,
    random: &SystemRandom,
) -> pingora::Result<()> {
    sign_at(head, signer, body, random, Skew::ZERO)
}

/// Signs a request with the time of another clock.
///
/// # Errors
/// As [`sign`].
pub(crate) fn sign_at(
    head: &mut RequestHeader,
    signer: &Signer,
    body: BodyBinding,
    random: &SystemRandom,
    skew: Skew,
) -> pingora::Result<()> {
    let mut nonce = [0; 16];
    random.fill(&mut nonce).map_err(|_| {
        Error::explain(
            ErrorType::InternalError,
            "the system's random number generator failed",
        )
    })?;
    let signed = signer
        .headers(head, body, skew.now(), nonce)
        .map_err(|e| Error::because(ErrorType::InvalidHTTPHeader, "signing", e))?;
    for (name, value) in signed.into_changes() {
        match value {
            Some(value) => head.insert_header(name, value)?,
            None => drop(head.remove_header(&name)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pingora::upstreams::peer::Peer;

    use super::*;
    use crate::platform::clock;
    use crate::trust::{LeafNames, Secret};

    /// A peer under each of two secrets, at one address.
    fn two_generations() -> [HttpPeer; 2] {
        let secrets = [(); 2].map(|()| Secret::generate().unwrap());
        let secrets = secrets.map(|text| Secret::from_bytes(text.as_bytes()).unwrap());
        let lifetime = Duration::from_secs(3600);
        let trust = Trust::new(&secrets, LeafNames::default(), lifetime, clock::wall());
        let peers = Peers::new(Arc::new(trust.unwrap()), Duration::from_secs(1)).unwrap();
        [0, 1].map(|generation| {
            let address = ([127, 0, 0, 1], 9001).into();
            peers.peer(address, generation).unwrap()
        })
    }

    #[test]
    fn a_connection_that_one_generation_verified_does_not_serve_another() {
        let [first, second] = two_generations().map(|mut peer| {
            // The CA alone must tell them apart, not what else differs today.
            peer.sni.clear();
            peer.client_cert_key = None;
            peer
        });
        assert_eq!(first.reuse_hash(), first.clone().reuse_hash());
        assert_ne!(first.reuse_hash(), second.reuse_hash());
    }

    #[test]
    fn agents_speak_http_1_with_each_other() {
        for peer in two_generations() {
            assert_eq!(peer.options.alpn, pingora::listeners::ALPN::H1);
        }
    }
}
