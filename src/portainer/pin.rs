//! Stores the key that was trusted on first use, in a file that survives the
//! agent.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skep_filters::auth::portainer::PublicKey;

use crate::platform;

/// A key, and when it was first used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// In milliseconds since the Unix epoch. The first field, because the derived
    /// order must put the older pin first.
    since: u64,
    /// In hexadecimal, as in Portainer's header.
    key: String,
}

impl Pin {
    pub(crate) fn new(key: &PublicKey, since: u64) -> Self {
        Self {
            since,
            key: key.to_hex(),
        }
    }

    /// `None` if the stored text is not a key.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        PublicKey::from_hex(self.key.as_bytes()).ok()
    }
}

/// The file of a pin cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct PinError {
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("holds no P-256 key")]
    NoKey,
}

/// The file of a pin.
#[derive(Debug)]
pub(super) struct PinFile(PathBuf);

impl PinFile {
    pub(super) fn of(state: &Path) -> Self {
        Self(state.join("portainer.json"))
    }

    /// For messages.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Reads the pin. A malformed file is an error: if it counted as none, the
    /// next server to connect would be trusted.
    ///
    /// # Errors
    /// If it cannot be read, or holds no key.
    pub(super) fn read(&self) -> Result<Option<Pin>, PinError> {
        let bytes = match fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.error(e)),
        };
        let pin: Pin = serde_json::from_slice(&bytes).map_err(|e| self.error(e))?;
        match pin.key() {
            Some(_) => Ok(Some(pin)),
            None => Err(self.no_key()),
        }
    }

    /// Replaces the pin atomically: a reader finds the whole old or the whole new
    /// one.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn write(&self, pin: &Pin) -> Result<(), PinError> {
        let json = serde_json::to_vec(pin).map_err(|e| self.error(e))?;
        platform::replace_private(&self.0, &json).map_err(|e| self.error(e))
    }

    /// The pin holds no key.
    pub(super) fn no_key(&self) -> PinError {
        self.error(Reason::NoKey)
    }

    fn error(&self, reason: impl Into<Reason>) -> PinError {
        PinError {
            path: self.0.clone(),
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "3059301306072a8648ce3d020106082a8648ce3d0301070342000443018455c01acb937e30a0e54ee41a60f8deb5afbdb25840de649715c6ff6e45f4dc4ad5ea49c6594848a965a7cbac335426fed2cd6599e18d061d64572f2273";

    fn pin(since: u64) -> Pin {
        Pin::new(&PublicKey::from_hex(KEY.as_bytes()).unwrap(), since)
    }

    #[test]
    fn a_pin_is_read_back_also_after_it_replaced_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = PinFile::of(&folder.path().join("made"));
        assert_eq!(file.read().unwrap(), None);
        for since in [7, 9] {
            file.write(&pin(since)).unwrap();
            assert_eq!(file.read().unwrap(), Some(pin(since)));
        }
        assert!(!platform::readable_by_others(file.path()));
    }

    #[test]
    fn the_partial_file_of_a_crash_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = PinFile::of(folder.path());
        fs::write(folder.path().join("portainer.new"), "{").unwrap();
        file.write(&pin(1)).unwrap();
        assert_eq!(file.read().unwrap(), Some(pin(1)));
    }

    #[test]
    fn a_malformed_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = PinFile::of(folder.path());
        for content in ["", "{}", "{\"since\":1,\"key\":\"00\"}"] {
            fs::write(file.path(), content).unwrap();
            assert!(file.read().is_err(), "{content}");
        }
    }

    #[test]
    fn the_older_pin_sorts_first() {
        assert!(pin(1) < pin(2));
    }
}
