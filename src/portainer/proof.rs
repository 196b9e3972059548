//! Reads the proof that a Portainer server must give, from the configured files.

use std::io;
use std::path::{Path, PathBuf};

use skep_filters::auth::portainer::{Message, PublicKey};
use skep_filters::auth::trim_secret;

use super::pin::PinError;
use crate::config::{self, SecretSource};

/// The length of a secret, in bytes, below which somebody who has seen one request
/// could guess it.
const GOOD_SECRET: usize = 16;

/// The longest file of a secret or a key, in bytes.
const MAX_BYTES: usize = 4096;

/// The proof that a server must give, from the configured files.
#[derive(PartialEq)]
pub(super) struct Proof {
    pub(super) message: Message,
    /// `None` accepts any key that signs the message.
    pub(super) only: Option<PublicKey>,
}

/// A file of the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// It cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is longer than a secret or a key.
    #[error("{}: is longer than {MAX_BYTES} bytes", .0.display())]
    TooLong(PathBuf),
    /// The secret from here is empty.
    #[error("{0}: the secret is empty")]
    Empty(String),
    /// It holds no key.
    #[error("{}: {reason}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What was expected.
        reason: &'static str,
    },
    /// The key that was pinned before is not known.
    #[error(transparent)]
    Pin(#[from] PinError),
}

impl Proof {
    /// Reads the files.
    ///
    /// # Errors
    /// If one of them cannot be read or used.
    pub(super) fn read(config: &config::Portainer) -> Result<Self, ProofError> {
        let message = match &config.secret {
            None => Message::application(),
            Some(SecretSource::Given(secret)) => message(secret.expose(), "AGENT_SECRET")?,
            Some(SecretSource::File(path)) => {
                let secret = zeroize::Zeroizing::new(read(path)?);
                message(trim_secret(&secret), &path.display().to_string())?
            }
        };
        let only = config.public_key_file.as_deref().map(|path| {
            let text = String::from_utf8(read(path)?).unwrap_or_default();
            PublicKey::from_text(&text).map_err(|reason| ProofError::NoKey {
                path: path.to_owned(),
                reason,
            })
        });
        let only = only.transpose()?;
        Ok(Self { message, only })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ProofError> {
    let bytes = std::fs::read(path).map_err(|error| ProofError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    match bytes.len() {
        0..=MAX_BYTES => Ok(bytes),
        _ => Err(ProofError::TooLong(path.to_owned())),
    }
}

fn message(secret: &[u8], name: &str) -> Result<Message, ProofError> {
    match secret.len() {
        0 => Err(ProofError::Empty(name.to_owned())),
        length => {
            if length < GOOD_SECRET {
                tracing::warn!(
                    "{name}: the secret has {length} bytes; anyone who sees one request of the \
                     server can guess it (`skep secret` prints a good one)"
                );
            }
            Ok(Message::secret(secret))
        }
    }
}
