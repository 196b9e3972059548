//! Loads the operator's own certificate, for clients that do not know the
//! cluster's authority.
//!
//! Its files are read again when they change, so that a renewed certificate
//! needs no restart. Agents do not use it among each other.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::digest::{Context, SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::provider::provider;

/// The largest file, far above the size of any chain.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why the operator's certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub enum UserCertificateError {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} has more than 1 MiB; is this the right file?", .0.display())]
    TooLarge(PathBuf),
    #[error("{} holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no private key in PEM form (`-----BEGIN PRIVATE KEY-----`)", .0.display())]
    NoKey(PathBuf),
    #[error("the private key in {} is encrypted; decrypt it with `openssl pkey`", .0.display())]
    EncryptedKey(PathBuf),
    #[error("the private key in {} does not belong to the first certificate in {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("{} and {} cannot be used: {error}", certificate.display(), key.display())]
    Unusable {
        certificate: PathBuf,
        key: PathBuf,
        error: rustls::Error,
    },
}

/// The operator's certificate with its key, as last read from their files.
pub struct UserCertificate {
    certificate_file: PathBuf,
    key_file: PathBuf,
    loaded: ArcSwap<Content>,
}

struct Content {
    certified_key: Arc<CertifiedKey>,
    /// The digest of both files; a time stamp misses a changed symbolic link.
    digest: [u8; 32],
}

impl UserCertificate {
    /// Reads a certificate (with its chain, the server's own first) and its
    /// private key, both in PEM form. They may be the same file.
    ///
    /// # Errors
    /// A file cannot be read, has other content, or does not belong to the
    /// other one.
    pub(crate) fn load(
        certificate_file: &Path,
        key_file: &Path,
    ) -> Result<Self, UserCertificateError> {
        let files = Files::read(certificate_file, key_file)?;
        Ok(Self {
            loaded: ArcSwap::from_pointee(Content {
                digest: files.digest(),
                certified_key: Arc::new(files.parse(certificate_file, key_file)?),
            }),
            certificate_file: certificate_file.to_owned(),
            key_file: key_file.to_owned(),
        })
    }

    /// Reads the files again. Returns whether they have changed.
    ///
    /// # Errors
    /// As [`UserCertificate::load`]; the certificate in use stays.
    pub(crate) fn reload(&self) -> Result<bool, UserCertificateError> {
        let files = Files::read(&self.certificate_file, &self.key_file)?;
        let digest = files.digest();
        if digest == self.loaded.load().digest {
            return Ok(false);
        }
        let certified_key = Arc::new(files.parse(&self.certificate_file, &self.key_file)?);
        self.loaded.store(Arc::new(Content {
            certified_key,
            digest,
        }));
        Ok(true)
    }

    /// The certificate and key in use.
    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.loaded.load().certified_key)
    }
}

impl fmt::Debug for UserCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserCertificate")
            .field("certificate_file", &self.certificate_file)
            .field("key_file", &self.key_file)
            .finish_non_exhaustive()
    }
}

/// The content of the two files.
struct Files {
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

impl Files {
    fn read(certificate_file: &Path, key_file: &Path) -> Result<Self, UserCertificateError> {
        Ok(Self {
            certificate: read(certificate_file)?,
            key: read(key_file)?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(&self.certificate.len().to_be_bytes());
        context.update(&self.certificate);
        context.update(&self.key);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }

    fn parse(
        &self,
        certificate_file: &Path,
        key_file: &Path,
    ) -> Result<CertifiedKey, UserCertificateError> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .unwrap_or_default();
        if chain.is_empty() {
            return Err(UserCertificateError::NoCertificate(
                certificate_file.to_owned(),
            ));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            // Both forms, `BEGIN ENCRYPTED PRIVATE KEY` and `Proc-Type:
            // 4,ENCRYPTED`, have this word.
            if self.key.windows(9).any(|window| window == b"ENCRYPTED") {
                UserCertificateError::EncryptedKey(key_file.to_owned())
            } else {
                UserCertificateError::NoKey(key_file.to_owned())
            }
        })?;
        let (certificate, key_path) = (certificate_file.to_owned(), key_file.to_owned());
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => UserCertificateError::Mismatch {
                certificate,
                key: key_path,
            },
            error => UserCertificateError::Unusable {
                certificate,
                key: key_path,
                error,
            },
        })
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, UserCertificateError> {
    let unreadable = |error| UserCertificateError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let mut content = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(UserCertificateError::TooLarge(path.to_owned()));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::tests::certificate_files;
    use std::fs;

    #[test]
    fn a_certificate_and_its_key_are_loaded_from_two_files_or_from_one() {
        let files = certificate_files("docker.example.com");
        UserCertificate::load(&files.certificate, &files.key).unwrap();
        let both = [
            fs::read(&files.key).unwrap(),
            fs::read(&files.certificate).unwrap(),
        ]
        .concat();
        fs::write(&files.key, both).unwrap();
        UserCertificate::load(&files.key, &files.key).unwrap();
    }

    #[test]
    fn an_error_says_what_is_wrong_with_the_files() {
        let (files, other) = (
            certificate_files("a.example"),
            certificate_files("b.example"),
        );
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let missing = dir.path().join("missing");
        let empty = write("empty", "");
        let pem = |kind: &str, body: &str| {
            format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
        };
        let encrypted = write("encrypted", &pem("ENCRYPTED PRIVATE KEY", "AAAA"));
        let not_a_key = write("not_a_key", &pem("PRIVATE KEY", "AAAA"));
        let not_a_certificate = write("not_a_certificate", &pem("CERTIFICATE", "AAAA"));
        let large = write("large", &"x".repeat(MAX_BYTES as usize + 1));
        for (certificate, key, message) in [
            (&missing, &files.key, "cannot read"),
            (&files.certificate, &missing, "cannot read"),
            (&empty, &files.key, "no certificate"),
            (&files.key, &files.key, "no certificate"),
            (&files.certificate, &files.certificate, "no private key"),
            (&files.certificate, &encrypted, "is encrypted"),
            (&files.certificate, &other.key, "does not belong"),
            (&files.certificate, &not_a_key, "cannot be used"),
            (&not_a_certificate, &files.key, "cannot be used"),
            (&large, &files.key, "more than 1 MiB"),
        ] {
            let error = UserCertificate::load(certificate, key)
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{error:?} should say {message:?}");
        }
    }

    #[test]
    fn a_changed_pair_is_used_and_a_half_changed_pair_is_not() {
        let (files, renewed) = (
            certificate_files("a.example"),
            certificate_files("a.example"),
        );
        let user = UserCertificate::load(&files.certificate, &files.key).unwrap();
        let in_use = || user.certified_key().cert[0].clone();
        let first = in_use();
        assert!(!user.reload().unwrap());

        fs::copy(&renewed.certificate, &files.certificate).unwrap();
        assert!(matches!(
            user.reload(),
            Err(UserCertificateError::Mismatch { .. })
        ));
        assert_eq!(in_use(), first);

        fs::copy(&renewed.key, &files.key).unwrap();
        assert!(user.reload().unwrap());
        assert_ne!(in_use(), first);
    }

    #[test]
    fn debug_output_shows_no_key() {
        let files = certificate_files("a.example");
        let user = UserCertificate::load(&files.certificate, &files.key).unwrap();
        let shown = format!("{user:?}");
        assert!(
            shown.ends_with(", .. }") && !shown.contains("CertifiedKey"),
            "{shown}"
        );
    }
}
