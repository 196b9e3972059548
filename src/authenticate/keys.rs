//! The keys that callers may sign with: the cluster's and the configured ones.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use skep_filters::auth::{
    Audiences, Key, KeyError, KeyKind, NonceMemory, Verifier, Window, trim_secret,
};

use crate::config::{Config, Grant, KeyFile, KeyMaterial, Operator, People};
use crate::trust::{Trust, ed25519_public, is_exposed};

/// How far a caller's clock may be ahead of this machine's.
const AHEAD: Duration = Duration::from_secs(10);

/// The id of the operator's own key.
const OPERATOR: &str = "operator-key";

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("key {id:?}: {reason}")]
pub struct KeysError {
    id: String,
    reason: String,
}

/// All keys that callers may sign with. The configuration's hide those of the people's
/// list that have the same id.
pub(crate) fn verifier(
    config: &Config,
    people: &People,
    trust: &Trust,
    nonces: Arc<NonceMemory>,
) -> Result<Verifier, KeysError> {
    let mut keys = Vec::new();
    for generation in trust.generations() {
        let agent = generation.agent_key_id();
        let key = Key::hmac(&agent, generation.peer_key()).map_err(refused(&agent))?;
        keys.push(key.with_kind(KeyKind::Agent).with_unsigned_streams(true));
        // Where the derived key is not the operator's, the image's health check
        // still signs with it, under a name with hardly any rights.
        let (id, kind) = match &config.cluster.operator {
            Operator::Derived => (generation.operator_key_id(), KeyKind::Operator),
            Operator::Off | Operator::Key(_) => (generation.health_key_id(), KeyKind::Client),
        };
        let key = Key::hmac(&id, generation.operator_key()).map_err(refused(&id))?;
        let streams = kind == KeyKind::Operator;
        keys.push(key.with_kind(kind).with_unsigned_streams(streams));
        // It is refused in words that say why, to those who have the secret.
        if config.cluster.operator != Operator::Derived {
            let id = generation.operator_key_id();
            let key = Key::hmac(&id, generation.operator_key()).map_err(refused(&id))?;
            keys.push(key.with_kind(KeyKind::FormerOperator));
        }
    }
    if let Operator::Key(path) = &config.cluster.operator {
        let key = read_key(&operator(path))?;
        keys.push(key.with_kind(KeyKind::Operator).with_unsigned_streams(true));
    }
    for file in &config.auth.keys {
        let key = read_key(file)?;
        keys.push(key.with_unsigned_streams(file.unsigned_streams));
    }
    for person in &people.persons {
        let Some(public) = &person.public_key else {
            continue;
        };
        let key = Key::ed25519(&person.name, public).map_err(refused(&person.name))?;
        if !keys.iter().any(|other| other.id() == key.id()) {
            keys.push(key.with_unsigned_streams(true));
        }
    }
    let window = Window {
        past: config.auth.window,
        future: AHEAD,
    };
    let without = config.auth.accept_without_audience;
    if without {
        tracing::warn!(
            "auth.accept_without_audience is on: a cluster that shares a client's key can replay \
             the client's requests here; turn it off once every client signs Skep-Audience"
        );
    }
    let audiences = Audiences::required(trust.audiences()).or_none(without);
    Verifier::new(keys, audiences, window, nonces).map_err(refused(""))
}

/// The keys that sign the list of people: the operator's.
pub(crate) fn operators(config: &Config, trust: &Trust) -> Result<Vec<Key>, KeysError> {
    match &config.cluster.operator {
        Operator::Off => Ok(Vec::new()),
        Operator::Key(path) => Ok(vec![read_key(&operator(path))?]),
        Operator::Derived => {
            let generations = trust.generations().iter();
            let keys = generations.map(|generation| {
                let id = generation.operator_key_id();
                Key::hmac(&id, generation.operator_key()).map_err(refused(&id))
            });
            keys.collect()
        }
    }
}

/// The operator's own key, with its public half in this file.
pub(crate) fn operator(path: &Path) -> KeyFile {
    KeyFile {
        id: OPERATOR.to_owned(),
        material: KeyMaterial::PublicKey(path.to_owned()),
        grant: Grant::admin(),
        unsigned_streams: true,
    }
}

fn refused(id: &str) -> impl FnOnce(KeyError) -> KeysError {
    let id = id.to_owned();
    move |e| KeysError {
        id,
        reason: e.to_string(),
    }
}

/// Reads the file of a key.
///
/// # Errors
/// The file cannot be read, or holds no such key.
pub(crate) fn read_key(file: &KeyFile) -> Result<Key, KeysError> {
    let refused = |reason: String| KeysError {
        id: file.id.clone(),
        reason,
    };
    let (path, private) = match &file.material {
        KeyMaterial::Secret(path) => (path, true),
        KeyMaterial::PublicKey(path) => (path, false),
    };
    if private && is_exposed(path) {
        tracing::warn!("{} can be read by others; chmod 600 it", path.display());
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
