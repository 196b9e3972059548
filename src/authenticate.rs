//! Authenticates the caller of a request, the first step.
//!
//! A signature proves the identity; an agent also needs the TLS client certificate
//! of the same generation. Without a signature, a client's certificate does. At a
//! socket of this machine, only the user that the kernel reports counts; without
//! TLS, only the address. The next step decides what the caller may do.

pub(crate) mod certificates;
pub(crate) mod handshake;
pub(crate) mod keys;
pub(crate) mod plain;
pub(crate) mod sockets;

use std::any::Any;

use http::HeaderMap;
use pingora::proxy::Session;
use skep_filters::auth::profile::{SIGNATURE, SIGNATURE_INPUT};
use skep_filters::auth::{KeyKind, Principal, Verifier};

use crate::authenticate::certificates::Certificates;
use crate::authenticate::handshake::Agent;
use crate::cluster::residents::Resident;
use crate::config::{Plain, Socket};
use crate::exchange::caller::Caller;
use crate::exchange::reject::Reject;
use crate::listen::visitor::{Host, Visitor};
use crate::platform::clock;
use crate::trust::ClientCertificate;

/// Authenticates callers.
pub(crate) struct Authenticator {
    /// Checks signatures.
    pub(crate) verifier: Verifier,
    /// The accepted certificates.
    pub(crate) certificates: Certificates,
    /// The identities of users at sockets.
    pub(crate) sockets: Vec<Socket>,
    /// The identities of hosts at addresses without TLS.
    pub(crate) plain: Vec<Plain>,
}

impl Authenticator {
    /// Checks the signature of a request and whether its key may be used on this
    /// connection; without a signature, the certificate of the connection; at a
    /// socket, the user who has connected; without TLS, the address, and the
    /// container that has it.
    ///
    /// # Errors
    /// The reason why the caller is refused.
    pub(crate) fn authenticate(
        &self,
        session: &Session,
        container: Option<&Resident>,
    ) -> Result<Caller, Reject> {
        let headers = &session.req_header().headers;
        match Visitor::of(session) {
            Some(Visitor::User(user)) => {
                return sockets::authenticate(user, &self.sockets, headers);
            }
            Some(Visitor::Host(host)) => {
                return plain::authenticate(host, &self.plain, container, headers);
            }
            None => {}
        }
        match shown::<ClientCertificate>(session) {
            Some(certificate) if !is_signed(headers) => {
                self.certificates.authenticate(certificate, headers)
            }
            _ => by_signature(session, &self.verifier),
        }
    }
}

impl Authenticator {
    /// Whether the container of a host decides its identity.
    pub(crate) fn asks_for_container(&self, host: &Host) -> bool {
        let plain = self.plain.get(host.listener);
        plain.is_some_and(|plain| !plain.callers.is_empty())
    }
}

/// Whether a client's certificate decides who calls.
pub(crate) fn shows_client(session: &Session) -> bool {
    Visitor::of(session).is_none()
        && !is_signed(&session.req_header().headers)
        && client_certificate(session).is_some()
}

/// The client's certificate that was shown on a connection.
pub(crate) fn client_certificate(session: &Session) -> Option<&ClientCertificate> {
    shown(session)
}

/// Whether an agent is at the other end of a connection.
pub(crate) fn is_agent(session: &Session) -> bool {
    shown::<Agent>(session).is_some()
}

/// Whether a request has a signature, which then counts alone.
fn is_signed(headers: &HeaderMap) -> bool {
    headers.contains_key(SIGNATURE) || headers.contains_key(SIGNATURE_INPUT)
}

fn by_signature(session: &Session, verifier: &Verifier) -> Result<Caller, Reject> {
    let head = session.req_header();
    let signed = verifier.verify(head, clock::now().as_secs())?;
    let mut node_id = None;
    if signed.key.kind() == KeyKind::Agent {
        // The key is not enough: the connection must be an agent's too.
        let agent = shown::<Agent>(session).ok_or(Reject::NotAnAgent)?;
        let expected = signed.key.id().strip_prefix("agent-");
        if expected != Some(agent.fingerprint.as_str()) {
            return Err(Reject::NotAnAgent);
        }
        node_id.clone_from(&agent.certificate.node_id);
    }
    let principal = Principal::of(signed.key, &head.headers, node_id)?;
    let streams = signed.key.unsigned_streams();
    Ok(Caller::new(principal, signed.body, streams))
}

/// The certificate that the client showed in the handshake.
fn shown<T: Any + Send + Sync>(session: &Session) -> Option<&T> {
    let tls = session.digest()?.ssl_digest.as_ref()?;
    tls.extension.get::<T>()
}

#[cfg(test)]
mod tests {
    use pingora::http::RequestHeader;
    use ring::rand::SystemRandom;
    use skep_filters::auth::{Audience, Key, NonceMemory, Signer, SigningKey, Window};

    use std::sync::Arc;

    use super::*;
    use crate::platform::clock::stepped;
    use crate::upstream::clocks::{Asking, Skew};
    use crate::upstream::peers::{sign, sign_at};
    use crate::upstream::request;
    use skep_filters::auth::BodyBinding;

    #[test]
    fn a_request_signed_by_the_clock_of_its_verifier_is_accepted_once() {
        let secret = [b'x'; 40];
        let audience = Audience::of_public_key(b"the public key of the CA");
        let signer = Signer::new(SigningKey::hmac("ci", &secret).unwrap(), audience.clone());
        let keys = [Key::hmac("ci", &secret).unwrap()];
        let memory = Arc::new(NonceMemory::default());
        let verifier = Verifier::new(keys, audience, Window::default(), memory).unwrap();
        for step in stepped::STEPS {
            stepped::set(|now| now);
            let there = clock::now();
            // The signer's clock is an hour off; the refusal tells it the time.
            stepped::set(step);
            let asking = Asking::now();
            let sign = |skew| {
                let mut head = request::get("/info").unwrap();
                sign_at(
                    &mut head,
                    &signer,
                    BodyBinding::Empty,
                    &SystemRandom::new(),
                    skew,
                )
                .unwrap();
                head
            };
            let verify = |head: &RequestHeader| {
                let verified = verifier.verify(head, there.as_secs());
                verified.map_or_else(|e| e.reason(), |_| "fresh")
            };
            assert_eq!(verify(&sign(Skew::ZERO)), "timestamp-skew");
            let refusal = format!(
                r#"{{"message":"","reason":"timestamp-skew","time":{}}}"#,
                there.as_secs()
            );
            let skew = asking.refused(refusal.as_bytes()).unwrap().skew;
            assert!(skew.is_too_great(), "for an agent");
            let signed = sign(skew);
            assert_eq!(verify(&signed), "fresh");
            assert_eq!(verify(&signed), "replay");
        }
        stepped::set(|now| now);
    }

    #[test]
    fn a_signature_is_accepted_once_and_by_the_wall_clock() {
        let secret = [b'x'; 40];
        let audience = Audience::of_public_key(b"the public key of the CA");
        let signer = Signer::new(SigningKey::hmac("ci", &secret).unwrap(), audience.clone());
        let signed = || {
            let mut head = request::get("/info").unwrap();
            sign(&mut head, &signer, BodyBinding::Empty, &SystemRandom::new()).unwrap();
            head
        };
        for step in stepped::STEPS {
            stepped::set(|now| now);
            let keys = [Key::hmac("ci", &secret).unwrap()];
            let memory = Arc::new(NonceMemory::default());
            let verifier =
                Verifier::new(keys, audience.clone(), Window::default(), memory).unwrap();
            let verified = |head: &RequestHeader| {
                let verified = verifier.verify(head, clock::now().as_secs());
                verified.map_or_else(|e| e.reason(), |_| "fresh")
            };
            let (used, unused) = (signed(), signed());
            assert_eq!(verified(&used), "fresh");
            stepped::set(step);
            assert_eq!(verified(&used), "timestamp-skew");
            assert_eq!(verified(&unused), "timestamp-skew");
            let then = signed();
            assert_eq!(verified(&then), "fresh");
            assert_eq!(verified(&then), "replay");
            // After the clock is corrected, used nonces stay used.
            stepped::set(|now| now);
            assert_ne!(verified(&used), "fresh");
            assert_eq!(verified(&then), "timestamp-skew");
        }
    }
}
