//! Reads the cluster secret from a file, refuses a weak one, and never prints it.
//!
//! The authority is derived from the secret, so anyone who connects gets a
//! certificate to check guesses against, offline. The secret must therefore be
//! random, and not a password.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::error::TrustError;
use crate::platform;

const MIN_BYTES: usize = 32;
const MAX_BYTES: usize = 4096;
/// Random hexadecimal of the minimum length has about 14 distinct digits.
const MIN_DISTINCT_BYTES: usize = 10;

const ADVICE: &str = "make one with `skep secret` or `openssl rand -base64 32`";

/// Why a secret is refused. The messages never quote it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub enum SecretError {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("the secret has {0} bytes, at least {MIN_BYTES} are needed; {ADVICE}")]
    TooShort(usize),
    #[error("the secret has more than {MAX_BYTES} bytes; is this the right file?")]
    TooLong,
    #[error("the secret repeats itself and is easy to guess; {ADVICE}")]
    Repetitive,
}

/// A file that holds no usable secret. The message never quotes it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
#[allow(missing_docs)] // The message says it.
pub struct SecretFileError {
    pub(crate) path: PathBuf,
    pub(crate) error: SecretError,
}

/// A problem of a secret that is used nevertheless.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub enum Warning {
    #[error("other users of this machine can read the secret file {}; run `chmod 600` on it", .0.display())]
    ReadableByOthers(PathBuf),
}

/// A secret in memory: wiped when dropped, absent from `Debug`.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Whether others on this machine may read a file with a secret. Docker mounts secrets
/// with mode 0444 into a file system that only the container sees.
pub(crate) fn is_exposed(path: &Path) -> bool {
    let mounted = ["/run/secrets", "/var/run/secrets"];
    platform::readable_by_others(path) && !mounted.iter().any(|folder| path.starts_with(folder))
}

impl Secret {
    /// Reads a secret file. A line break at its end is not part of the secret.
    ///
    /// # Errors
    /// The file cannot be read, or [`Secret::from_bytes`] refuses its content.
    pub(crate) fn read(path: &Path) -> Result<(Self, Option<Warning>), SecretFileError> {
        Self::read_file(path).map_err(|error| SecretFileError {
            path: path.to_owned(),
            error,
        })
    }

    fn read_file(path: &Path) -> Result<(Self, Option<Warning>), SecretError> {
        // Room for a line break and for one byte too many. It never grows, so
        // no copies are left.
        let limit = MAX_BYTES + 3;
        let mut content = Zeroizing::new(Vec::with_capacity(limit + 1));
        let file = File::open(path).map_err(SecretError::Unreadable)?;
        file.take(limit as u64)
            .read_to_end(&mut content)
            .map_err(SecretError::Unreadable)?;
        let secret = Self::from_bytes(without_line_break(&content))?;

        let warning = is_exposed(path).then(|| Warning::ReadableByOthers(path.to_owned()));
        Ok((secret, warning))
    }

    /// Takes bytes as they are.
    ///
    /// # Errors
    /// They are fewer than 32 or more than 4096, or obviously not random.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretError> {
        match bytes.len() {
            length if length < MIN_BYTES => Err(SecretError::TooShort(length)),
            length if length > MAX_BYTES => Err(SecretError::TooLong),
            _ if is_repetitive(bytes) => Err(SecretError::Repetitive),
            _ => Ok(Self(Zeroizing::new(bytes.to_vec()))),
        }
    }

    /// A new secret as text for a file: 32 random bytes in base64url.
    ///
    /// # Errors
    /// The random number generator fails.
    pub fn generate() -> Result<String, TrustError> {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(&mut *bytes)
            .map_err(|_| TrustError::Random)?;
        Ok(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    }

    /// The secret itself. Compare it in constant time only.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn without_line_break(content: &[u8]) -> &[u8] {
    content
        .strip_suffix(b"\r\n")
        .or_else(|| content.strip_suffix(b"\n"))
        .unwrap_or(content)
}

/// Whether there are few distinct bytes, or a shorter text is repeated.
fn is_repetitive(bytes: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    let distinct = seen.iter().filter(|seen| **seen).count();
    let has_period = |period: usize| bytes.iter().zip(&bytes[period..]).all(|(a, b)| a == b);
    distinct < MIN_DISTINCT_BYTES || (1..=bytes.len() / 2).any(has_period)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Yq3mZ0v8T1xkB7sRfL2cWnHd9uPjE5aG";

    fn read(content: impl AsRef<[u8]>) -> Result<(Secret, Option<Warning>), SecretFileError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, content).unwrap();
        Secret::read(&path)
    }

    #[test]
    fn exactly_one_line_break_at_the_end_is_not_part_of_the_secret() {
        for (content, secret) in [
            (GOOD.to_owned(), GOOD.to_owned()),
            (format!("{GOOD}\n"), GOOD.to_owned()),
            (format!("{GOOD}\r\n"), GOOD.to_owned()),
            (format!("{GOOD}\n\n"), format!("{GOOD}\n")),
            (format!(" {GOOD} "), format!(" {GOOD} ")),
        ] {
            assert_eq!(
                read(&content).unwrap().0.expose(),
                secret.as_bytes(),
                "{content:?}"
            );
        }
    }

    #[test]
    fn a_short_secret_is_refused_with_advice() {
        for content in [
            "",
            "\n",
            "hunter2",
            &GOOD[..31],
            &format!("{}\r\n", &GOOD[..31]),
        ] {
            let message = read(content).unwrap_err().to_string();
            assert!(
                message.contains("at least 32") && message.contains("skep secret"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_repetitive_secret_is_refused_with_advice() {
        for content in [
            "a".repeat(64),
            "changeme".repeat(6),
            "0123456789abcdef".repeat(2),
            format!("{}0123", "0123456789abcdef".repeat(2)),
            "123456789".repeat(4),
        ] {
            let message = read(&content).unwrap_err().to_string();
            assert!(
                message.contains("repeats") && message.contains("openssl rand"),
                "{content}: {message}"
            );
        }
    }

    #[test]
    fn the_longest_secret_is_read_whole_and_a_longer_one_is_refused() {
        let block = |n: u8| {
            ring::digest::digest(&ring::digest::SHA256, &[n])
                .as_ref()
                .to_vec()
        };
        let long: Vec<u8> = (0..128).flat_map(block).collect();
        assert_eq!(long.len(), MAX_BYTES);
        assert_eq!(
            read([&long[..], b"\r\n"].concat()).unwrap().0.expose(),
            long
        );
        for tail in [&b"x"[..], b"x\n", b"xy\r\n", &long[..]] {
            let error = read([&long[..], tail].concat()).unwrap_err().error;
            assert!(matches!(error, SecretError::TooLong));
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Secret::read(Path::new("/no/such/secret")).unwrap_err();
        assert!(error.to_string().contains("/no/such/secret"));
    }

    #[test]
    fn generated_secrets_are_accepted_and_differ() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(one, other);
        assert!(Secret::from_bytes(one.as_bytes()).is_ok());
        assert_eq!(one.len(), 43);
    }

    #[test]
    fn errors_and_debug_output_never_quote_the_secret() {
        let secret = Secret::from_bytes(GOOD.as_bytes()).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        let error = read(&GOOD[..20]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&GOOD[..20]));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_used_with_a_warning() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, GOOD).unwrap();
        for (mode, warns) in [(0o600, false), (0o400, false), (0o640, true), (0o644, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let (_, warning) = Secret::read(&path).unwrap();
            assert_eq!(warning.is_some(), warns, "{mode:o}");
        }
    }
}
