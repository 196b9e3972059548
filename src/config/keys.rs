//! Reads the keys that may sign requests: `auth.keys`.

use std::path::PathBuf;

use serde_saphyr::{Location, Spanned};

use super::error::ValueError;
use super::faults::Faults;
use super::grant::{self, Grant};
use super::policies::Policies;
use super::raw::{self, Text};
use super::scalar;

/// A key that may sign requests.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyFile {
    /// The name by which a signature refers to the key.
    pub id: String,
    /// The file with the key.
    pub material: KeyMaterial,
    /// The rights of its holder.
    pub grant: Grant,
    /// Whether streamed bodies may go without a digest.
    pub unsigned_streams: bool,
}

/// The file with the key, or with its public half.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyMaterial {
    /// An Ed25519 public key.
    PublicKey(PathBuf),
    /// A shared secret for HMAC.
    Secret(PathBuf),
}

/// Reads `auth.keys`.
pub(super) fn read(
    faults: &mut Faults,
    policies: &Policies,
    list: Vec<Spanned<raw::Key>>,
) -> Vec<KeyFile> {
    faults.distinct(
        "auth.keys",
        "id",
        list,
        |key| key.id.as_ref(),
        |faults, key, raw| key_file(faults, policies, key, raw),
    )
}

fn key_file(
    faults: &mut Faults,
    policies: &Policies,
    key: &str,
    raw: Spanned<raw::Key>,
) -> Option<KeyFile> {
    let location = raw.referenced;
    let raw = raw.value;
    if raw.id.is_none() {
        let error = ValueError::new("a key needs `id`").help("for example `id: ci`");
        faults.report(key, location, error);
    }
    let grant = grant::Raw {
        policy: raw.policy,
        networks: raw.networks,
        limits: raw.limits,
        node: raw.node,
        nodes: raw.nodes,
    };
    let grant = grant.read(faults, policies, key, location);
    let id = faults.read(&format!("{key}.id"), raw.id, scalar::key_id);
    let unsigned_streams = faults.or(
        &format!("{key}.unsigned_streams"),
        raw.unsigned_streams,
        false,
        scalar::flag,
    );
    let material = material(faults, key, location, raw.secret_file, raw.public_key_file);
    Some(KeyFile {
        id: id?,
        material: material?,
        grant: grant?,
        unsigned_streams,
    })
}

fn material(
    faults: &mut Faults,
    key: &str,
    location: Location,
    secret: Option<Text>,
    public: Option<Text>,
) -> Option<KeyMaterial> {
    match (secret, public) {
        (Some(_), Some(public)) => {
            let error = ValueError::new("`secret_file` is set too")
                .help("a key is either shared or public: leave one out");
            faults.report(&format!("{key}.public_key_file"), public.referenced, error);
            None
        }
        (None, None) => {
            let error = ValueError::new("a key needs `secret_file` or `public_key_file`")
                .help("for example `secret_file: /run/secrets/ci_key`");
            faults.report(key, location, error);
            None
        }
        (Some(file), None) => faults
            .path(key, "secret_file", Some(file))
            .map(KeyMaterial::Secret),
        (None, file) => faults
            .path(key, "public_key_file", file)
            .map(KeyMaterial::PublicKey),
    }
}
