//! Reads how Portainer servers authenticate: `auth.portainer`.

use std::fmt;
use std::path::PathBuf;

use serde_saphyr::Spanned;
use zeroize::Zeroizing;

use super::error::ValueError;
use super::faults::Faults;
use super::grant::{self, Grant};
use super::policies::Policies;
use super::{raw, scalar};

/// The proofs that a Portainer server must give, at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Portainer {
    /// The `AGENT_SECRET` that server and agents share. Without one, servers
    /// sign a constant, which anyone can do with a key of their own.
    pub secret: Option<SecretSource>,
    /// The file with the public key of the only server; `None` for any key.
    pub public_key_file: Option<PathBuf>,
    /// Whether the first valid key becomes the only trusted one.
    pub first_use: bool,
    /// The rights of servers.
    pub grant: Grant,
}

impl Portainer {
    /// The files with the secret and the public key.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let secret = match &self.secret {
            Some(SecretSource::File(path)) => Some(path),
            Some(SecretSource::Given(_)) | None => None,
        };
        secret.into_iter().chain(&self.public_key_file)
    }
}

/// Reads `auth.portainer`.
pub(super) fn read(
    faults: &mut Faults,
    policies: &Policies,
    raw: Spanned<raw::Portainer>,
) -> Option<Portainer> {
    const KEY: &str = "auth.portainer";
    let location = raw.referenced;
    let raw = raw.value;
    let grant = grant::Raw {
        policy: raw.policy,
        networks: raw.networks,
        limits: raw.limits,
        // A server names the node itself.
        node: None,
        nodes: None,
    };
    let grant = grant.read(faults, policies, KEY, location);
    let first_use = raw
        .first_use
        .as_ref()
        .map_or(location, |text| text.referenced);
    let read = Portainer {
        secret: faults
            .path(KEY, "secret_file", raw.secret_file)
            .map(SecretSource::File),
        public_key_file: faults.path(KEY, "public_key_file", raw.public_key_file),
        first_use: faults.or(
            "auth.portainer.first_use",
            raw.first_use,
            false,
            scalar::flag,
        ),
        grant: grant?,
    };
    if read.first_use && read.public_key_file.is_some() {
        let error = ValueError::new("`public_key_file` is set too")
            .help("that key is the only one, also at the first use: leave one out");
        faults.report("auth.portainer.first_use", first_use, error);
    }
    if !read.first_use && read.secret.is_none() && read.public_key_file.is_none() {
        let error = ValueError::new("this needs `secret_file` or `public_key_file`").help(
            "for example `secret_file: /run/secrets/agent_secret`, the AGENT_SECRET of the server; \
             `first_use: true` trusts the first server that calls",
        );
        faults.report(KEY, location, error);
    }
    Some(read)
}

/// Where a secret comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// The environment, as in Portainer's own stack files.
    Given(Hidden),
}

/// A secret in memory: wiped when dropped, absent from `Debug`.
#[derive(Clone, Eq, PartialEq)]
pub struct Hidden(Zeroizing<Vec<u8>>);

impl Hidden {
    /// Takes bytes as they are.
    #[must_use]
    pub fn new(secret: Vec<u8>) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret itself.
    #[must_use]
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}
