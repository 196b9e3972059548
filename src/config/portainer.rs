//! Whether, and on what proof, Portainer servers are let in.

use std::{fmt, path::PathBuf};

use zeroize::Zeroizing;

use super::Grant;

/// How a Portainer server proves that it is one. At least one of the proofs is
/// asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Portainer {
    /// The `AGENT_SECRET` that server and agents were given. Without one, servers
    /// sign a constant, which anybody can do with a key of their own.
    pub secret: Option<SecretSource>,
    /// The file with the public key of the one server; `None` is any key.
    pub public_key_file: Option<PathBuf>,
    /// Whether the first key that proves itself becomes the one that is trusted.
    pub first_use: bool,
    /// What servers may do.
    pub grant: Grant,
}

impl Portainer {
    /// The files that hold a proof.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let secret = match &self.secret {
            Some(SecretSource::File(path)) => Some(path),
            Some(SecretSource::Given(_)) | None => None,
        };
        secret.into_iter().chain(&self.public_key_file)
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// The environment, as Portainer's own stack files have it.
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
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}
