//! Callers that show a client certificate instead of a signature: the accepted
//! names, and the revoked certificates.
//!
//! A connection may live for days, so this is checked for every request. The
//! handshake has verified the certificate, in `trust/client.rs`.

mod origin;
mod revoked;

use std::collections::HashSet;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use skep_filters::auth::{BodyBinding, Client, Principal};

use crate::config;
use crate::exchange::caller::Caller;
use crate::exchange::reject::{Reason, Reject};
use crate::platform::clock;
use crate::trust::ClientCertificate;
pub(crate) use revoked::ListError;
use revoked::Revoked;

/// The accepted certificates.
#[derive(Default)]
pub(crate) struct Certificates {
    names: HashSet<String>,
    revoked: Option<Revoked>,
}

/// Why a certificate is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refused {
    /// The configuration does not list its name.
    #[error("the certificate of {0:?} is not accepted here: auth.certificates does not list it")]
    Unknown(String),
    /// It has expired since the connection was made.
    #[error("the certificate of {0:?} has expired")]
    Expired(String),
    /// The revocation list has its serial number.
    #[error("the certificate of {0:?} has been revoked")]
    Revoked(String),
    /// The revocation list cannot be read.
    #[error(
        "no client certificate is taken now: the list of revoked ones cannot be read, see the agent's log"
    )]
    NoList,
    /// A browser sends the certificate with the requests of any page.
    #[error("a web page of another origin sent this request, so a client certificate is no proof")]
    CrossOrigin,
}

impl Refused {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoList => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Unknown(_) => Reason::CertificateUnknown,
            Self::Expired(_) => Reason::CertificateExpired,
            Self::Revoked(_) => Reason::CertificateRevoked,
            Self::NoList => Reason::CertificateList,
            Self::CrossOrigin => Reason::CrossOrigin,
        }
    }
}

impl From<Refused> for Reject {
    fn from(refused: Refused) -> Self {
        Self::refused(refused.status(), refused.reason(), refused)
    }
}

impl Certificates {
    /// Reads the list of revoked certificates, if there is one.
    ///
    /// # Errors
    /// If the list cannot be read: an agent does not start without it.
    pub(crate) fn new(config: Option<&config::Certificates>) -> Result<Self, ListError> {
        let Some(config) = config else {
            return Ok(Self::default());
        };
        let identities = config.identities.iter();
        Ok(Self {
            names: identities.map(|one| one.name.clone()).collect(),
            revoked: match &config.revoked_file {
                Some(path) => Some(Revoked::open(path)?),
                None => None,
            },
        })
    }

    /// Reads the list again. It blocks: call it off the reactor, every few seconds.
    pub(crate) fn refresh(&self) {
        if let Some(revoked) = &self.revoked {
            revoked.refresh();
        }
    }

    /// The caller on a connection with this certificate, for one request.
    ///
    /// # Errors
    /// [`Refused`], or if headers contradict each other.
    pub(crate) fn authenticate(
        &self,
        shown: &ClientCertificate,
        headers: &HeaderMap,
    ) -> Result<Caller, Reject> {
        self.admit(shown, clock::wall())?;
        if !origin::is_own(headers) {
            return Err(Refused::CrossOrigin.into());
        }
        let client = Client::certificate(&shown.name, headers)?;
        let body = BodyBinding::uncovered(headers)?;
        Ok(Caller::new(Principal::Client(client), body, true))
    }

    fn admit(&self, shown: &ClientCertificate, now: SystemTime) -> Result<(), Refused> {
        let name = || shown.name.clone();
        if !self.names.contains(&shown.name) {
            return Err(Refused::Unknown(name()));
        }
        if shown.not_after < now {
            return Err(Refused::Expired(name()));
        }
        match self.revoked.as_ref().map(|list| list.has(&shown.serial)) {
            Some(None) => Err(Refused::NoList),
            Some(Some(true)) => Err(Refused::Revoked(name())),
            Some(Some(false)) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::{CertificateIdentity, Grant};

    use super::*;

    fn shown(name: &str) -> ClientCertificate {
        ClientCertificate {
            name: name.to_owned(),
            serial: "41".repeat(16).parse().unwrap(),
            not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(1000),
        }
    }

    fn alice(revoked_file: Option<std::path::PathBuf>) -> config::Certificates {
        config::Certificates {
            identities: vec![CertificateIdentity {
                name: "alice".to_owned(),
                grant: Grant::admin(),
            }],
            revoked_file,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn only_listed_names_are_accepted_and_only_until_they_expire() {
        let certificates = Certificates::new(Some(&alice(None))).unwrap();
        assert_eq!(certificates.admit(&shown("alice"), at(1000)), Ok(()));
        let expired = certificates.admit(&shown("alice"), at(1001)).unwrap_err();
        assert_eq!(expired.reason(), Reason::CertificateExpired);
        for name in ["bob", "Alice", "alice2"] {
            let refused = certificates.admit(&shown(name), at(0)).unwrap_err();
            assert_eq!(refused, Refused::Unknown(name.to_owned()));
        }
        let nobody = Certificates::new(None).unwrap();
        assert!(nobody.admit(&shown("alice"), at(0)).is_err());
    }

    #[test]
    fn a_revoked_certificate_is_refused_and_a_list_that_is_lost_refuses_all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# nobody\n").unwrap();
        let certificates = Certificates::new(Some(&alice(Some(file.path().to_owned())))).unwrap();
        let now = || certificates.admit(&shown("alice"), at(0));
        assert_eq!(now(), Ok(()));
        std::fs::write(file.path(), format!("{}\n", "41".repeat(16))).unwrap();
        certificates.refresh();
        assert_eq!(now(), Err(Refused::Revoked("alice".to_owned())));
        file.close().unwrap();
        certificates.refresh();
        assert_eq!(now(), Err(Refused::NoList));
    }
}
