//! The certificates that the operator brings, and the list of revoked ones.

use std::path::Path;
use std::time::Duration;

use x509_parser::prelude::{FromDer, X509Certificate};

use super::finding::{Finding, Subject};
use crate::authenticate::certificates::Certificates;
use crate::config::{Config, People};
use crate::platform::clock;
use crate::trust::{UserCertificate, is_exposed};

/// How long before its end a certificate is worth a warning.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for listen in &config.listen {
        if let Some((certificate, key)) = &listen.tls.certificate {
            findings.push(of_a_listener(certificate, key, clock::now()));
            if is_exposed(key) {
                let shown = key.display();
                findings.push(Finding::warning(
                    Subject::Certificate,
                    format!("other users of this machine can read {shown}"),
                    format!("chmod 600 {shown}; replace the key if somebody may have read it"),
                ));
            }
        }
    }
    if let Err(e) = Certificates::new(config, &People::default()) {
        findings.push(Finding::error(
            Subject::Certificate,
            format!("no client certificate is taken: {e}"),
            "correct auth.certificates.revoked_file: a serial number on each line",
        ));
    }
    findings
}

fn of_a_listener(certificate: &Path, key: &Path, now: Duration) -> Finding {
    let loaded = match UserCertificate::load(certificate, key) {
        Ok(loaded) => loaded.certified_key(),
        Err(e) => {
            let remedy = "correct listen[].tls, or the file";
            return Finding::error(Subject::Certificate, e.to_string(), remedy);
        }
    };
    let shown = certificate.display();
    let first = loaded.cert.first();
    let Some(end) = first.and_then(|der| ends(der)) else {
        let found = format!("{shown}: the end of its validity cannot be read");
        return Finding::skipped(Subject::Certificate, found);
    };
    let left = end.saturating_sub(now);
    let renew = "renew it; agents read the file again by themselves";
    if left.is_zero() {
        return Finding::error(Subject::Certificate, format!("{shown} has expired"), renew);
    }
    let days = left.as_secs() / (24 * 3600);
    let found = format!("{shown} is valid for {days} more days");
    if left < SOON {
        return Finding::warning(Subject::Certificate, found, renew);
    }
    Finding::fine(Subject::Certificate, found)
}

/// The end of a certificate's validity, since the Unix epoch.
fn ends(der: &[u8]) -> Option<Duration> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let end = certificate.validity().not_after.timestamp();
    Some(Duration::from_secs(u64::try_from(end).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::platform::write_private;

    #[test]
    fn a_certificate_is_fine_then_ends_soon_then_has_expired() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["docker.example.com".to_owned()]).unwrap();
        let (certificate, key) = (folder.path().join("c"), folder.path().join("k"));
        write_private(&certificate, made.cert.pem().as_bytes()).unwrap();
        write_private(&key, made.signing_key.serialize_pem().as_bytes()).unwrap();
        let end = ends(made.cert.der()).unwrap();
        let day = Duration::from_secs(24 * 3600);
        for (now, expected) in [
            (end - 15 * day, "ok certificate"),
            (end - day, "warning certificate"),
            (end + day, "error certificate"),
        ] {
            let found = of_a_listener(&certificate, &key, now);
            assert_eq!(found.kind(), expected, "{}", found.words());
        }
        let found = of_a_listener(&key, &certificate, end);
        assert_eq!(found.kind(), "error certificate");
    }

    #[test]
    fn a_list_of_revoked_certificates_that_cannot_be_read_is_an_error() {
        let mut config = Config::default();
        assert!(check(&config).is_empty());
        config.auth.certificates = Some(config::Certificates {
            identities: Vec::new(),
            revoked_file: Some("/none".into()),
        });
        let found = check(&config);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind(), "error certificate");
    }
}
