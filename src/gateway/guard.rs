//! Who is let in, and with what: the keys whose signatures hold, and the grant of
//! every identity.
//!
//! One value, made from one configuration and replaced whole when that changes:
//! a request sees the old one or the new one, never half of each. How a request
//! is judged by its grant is `authorise.rs`'s.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use skep_filters::auth::{Key, KeyKind, NonceMemory, Principal, Verifier, Window, trim_secret};

use crate::authenticate::certificates::Certificates;
use crate::authorise::limit::Limiter;
pub use crate::authorise::limit::Place;
use crate::config::{Config, Grant, KeyFile, KeyMaterial, Socket};
use crate::exchange::reject::Reject;
use crate::platform;
use crate::trust::{Trust, ed25519_public};

/// How far ahead of ours a caller's clock may be.
const AHEAD: Duration = Duration::from_secs(10);

/// All Portainer servers together, as their limits count them.
const SERVERS: &str = "portainer";

/// Why it cannot be told who is let in.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// A key cannot be used.
    #[error("key {id:?}: {reason}")]
    Key {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
    /// The list of revoked certificates cannot be read.
    #[error("auth.certificates.revoked_file: {0}")]
    Revoked(String),
}

/// Who is let in, and with what.
pub struct Guard {
    /// Whose signatures hold.
    pub verifier: Verifier,
    /// Whose certificates are let in.
    pub certificates: Certificates,
    /// Who is who at the sockets.
    pub sockets: Vec<Socket>,
    admin: Arc<Grant>,
    portainer: Option<Arc<Grant>>,
    /// By the text form of the principal.
    others: HashMap<String, Arc<Grant>>,
    limiter: Limiter,
}

impl Guard {
    /// Reads the keys that the configuration names. `nonces` are those seen so
    /// far: what was used before a change of the configuration stays used.
    ///
    /// # Errors
    /// If a key cannot be read or used.
    pub fn new(
        config: &Config,
        trust: &Trust,
        nonces: Arc<NonceMemory>,
    ) -> Result<Self, GuardError> {
        let others: HashMap<_, _> = identities(config)
            .map(|(name, grant)| (name, Arc::new(grant.clone())))
            .collect();
        let certificates = Certificates::new(config.auth.certificates.as_ref());
        let portainer = config.auth.portainer.as_ref();
        let portainer = portainer.map(|server| Arc::new(server.grant.clone()));
        Ok(Self {
            verifier: verifier(config, trust, nonces)?,
            certificates: certificates.map_err(GuardError::Revoked)?,
            sockets: config.sockets.clone(),
            limiter: {
                let others = others.iter().map(|(name, grant)| (name.as_str(), &**grant));
                let servers = portainer.iter().map(|grant| (SERVERS, &**grant));
                Limiter::new(others.chain(servers))
            },
            admin: Arc::new(Grant::admin()),
            portainer,
            others,
        })
    }

    /// What a caller may do; `name` is its text form, and `from` its address, if it
    /// has one. Of another
    /// agent's request, whoever stands behind it is judged by this node's
    /// configuration; where that does not know the name, nothing is allowed.
    ///
    /// # Errors
    /// If the identity is not known here, or not good from there.
    pub fn grant(
        &self,
        who: &Principal,
        name: &str,
        from: Option<IpAddr>,
    ) -> Result<&Arc<Grant>, Reject> {
        let grant = match who {
            Principal::Peer {
                on_behalf_of: Some(behind),
                ..
            } => self.by_name(behind),
            Principal::Operator { .. } | Principal::Peer { .. } => Some(&self.admin),
            Principal::Portainer { .. } => self.portainer.as_ref(),
            Principal::Key { .. } | Principal::Certificate { .. } | Principal::Local { .. } => {
                self.others.get(name)
            }
        };
        let unknown = || Reject::UnknownIdentity(name.to_owned());
        let grant = grant.ok_or_else(unknown)?;
        // Where the caller of another agent calls from was seen there.
        if matches!(who, Principal::Peer { .. }) || grant.covers(from) {
            return Ok(grant);
        }
        Err(Reject::WrongNetwork(name.to_owned()))
    }

    /// A place among the requests that a caller may have open. It is held until
    /// it is dropped. Of what agents ask each other, the first one counts.
    ///
    /// # Errors
    /// If the caller has used up what it may.
    pub fn place(&self, who: &Principal, name: &str, grant: &Grant) -> Result<Place, Reject> {
        match who {
            Principal::Operator { .. } | Principal::Peer { .. } => Ok(Place::default()),
            Principal::Portainer { .. } => self.limiter.place(SERVERS, grant.limits),
            Principal::Key { .. } | Principal::Certificate { .. } | Principal::Local { .. } => {
                self.limiter.place(name, grant.limits)
            }
        }
    }

    fn by_name(&self, name: &str) -> Option<&Arc<Grant>> {
        match name.split_once(':')? {
            ("operator", _) => Some(&self.admin),
            ("portainer", _) => self.portainer.as_ref(),
            // A socket is of one machine, and so may be who is called what
            // there: that machine's agent has judged.
            ("local", _) => self.others.get(name).or(Some(&self.admin)),
            _ => self.others.get(name),
        }
    }
}

/// Everybody whom the configuration names, in the text form of the principal.
pub fn identities(config: &Config) -> impl Iterator<Item = (String, &Grant)> {
    let keys = config.auth.keys.iter();
    let keys = keys.map(|key| (format!("key:{}", key.id), &key.grant));
    let certificates = config.auth.certificates.iter();
    let certificates = certificates
        .flat_map(|all| &all.identities)
        .map(|one| (format!("cert:{}", one.name), &one.grant));
    let sockets = config.sockets.iter();
    let local = sockets
        .flat_map(|socket| {
            let users = socket.users.iter().map(|user| &user.identity);
            users.chain(&socket.others)
        })
        .map(|one| (format!("local:{}", one.name), &one.grant));
    keys.chain(certificates).chain(local)
}

/// All keys whose signatures hold: the cluster's own and the configured ones.
fn verifier(
    config: &Config,
    trust: &Trust,
    nonces: Arc<NonceMemory>,
) -> Result<Verifier, GuardError> {
    let refused = |id: &str| {
        let id = id.to_owned();
        move |e: skep_filters::auth::KeyError| GuardError::Key {
            id,
            reason: e.to_string(),
        }
    };
    let mut keys = Vec::new();
    for generation in trust.generations() {
        let agent = generation.agent_key_id();
        let key = Key::hmac(&agent, generation.peer_key()).map_err(refused(&agent))?;
        keys.push(key.with_kind(KeyKind::Agent).with_unsigned_streams(true));
        let operator = generation.operator_key_id();
        let key = Key::hmac(&operator, generation.operator_key()).map_err(refused(&operator))?;
        keys.push(key.with_kind(KeyKind::Operator).with_unsigned_streams(true));
    }
    for file in &config.auth.keys {
        let key = read_key(file)?;
        keys.push(key.with_unsigned_streams(file.unsigned_streams));
    }
    let window = Window {
        past: config.auth.window,
        future: AHEAD,
    };
    Verifier::new(keys, window, nonces).map_err(refused(""))
}

fn read_key(file: &KeyFile) -> Result<Key, GuardError> {
    let refused = |reason: String| GuardError::Key {
        id: file.id.clone(),
        reason,
    };
    let (path, private) = match &file.material {
        KeyMaterial::Secret(path) => (path, true),
        KeyMaterial::PublicKey(path) => (path, false),
    };
    if private && platform::readable_by_others(path) && !path.starts_with("/run/secrets") {
        log::warn!("{} can be read by others; chmod 600 it", path.display());
    }
    let bytes = std::fs::read(path).map_err(|e| refused(format!("{}: {e}", path.display())))?;
    let key = if private {
        Key::hmac(&file.id, trim_secret(&bytes))
    } else {
        let public =
            ed25519_public(&bytes).map_err(|e| refused(format!("{}: {e}", path.display())))?;
        Key::ed25519(&file.id, &public)
    };
    key.map_err(|e| refused(e.to_string()))
}
