//! Callers that show a client certificate instead of a signature: the accepted
//! names, of the configuration and of the people's list, and the revoked certificates.
//!
//! A connection may live for days, so this is checked for every request. The
//! handshake has verified the certificate, in `trust/client.rs`.

mod origin;
mod revoked;

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use skep_filters::auth::{BodyBinding, Client, Principal};

use crate::config::{Config, People};
use crate::exchange::caller::Caller;
use crate::exchange::reject::{Reason, Reject};
use crate::platform::clock;
use crate::trust::{ClientCertificate, Serial};
pub(crate) use revoked::ListError;
use revoked::Revoked;

/// The accepted certificates.
#[derive(Default)]
pub(crate) struct Certificates {
    /// The accepted names; certificates that were issued before that time, in seconds
    /// since the epoch, are dead.
    names: HashMap<String, u64>,
    /// The names of users who are disabled.
    disabled: HashSet<String>,
    /// The list of the configuration.
    revoked: Option<Revoked>,
    /// That of the people's list.
    revoked_of_list: HashSet<Serial>,
}

/// Why a certificate is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refused {
    /// Neither the configuration nor the people's list has its name.
    #[error(
        "the certificate of {0:?} is not accepted here: no user has this name, and \
         auth.certificates does not list it"
    )]
    Unknown(String),
    /// The user is disabled.
    #[error("the user {0:?} is disabled")]
    Disabled(String),
    /// It has expired since the connection was made.
    #[error("the certificate of {0:?} has expired")]
    Expired(String),
    /// A list has its serial number, or all certificates of the user were revoked.
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
            Self::Disabled(_) => Reason::UserDisabled,
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
    /// Reads the list of revoked certificates that the configuration names, if there is
    /// one.
    ///
    /// # Errors
    /// If the list cannot be read: an agent does not start without it.
    pub(crate) fn new(config: &Config, people: &People) -> Result<Self, ListError> {
        let own = config.certificate_names();
        let own = own.into_iter().map(|name| (name, 0));
        let listed = people.persons.iter();
        let listed = listed.map(|person| (person.name.as_str(), person.since));
        let names = listed.chain(own);
        let file = config.auth.certificates.as_ref();
        let file = file.and_then(|all| all.revoked_file.as_ref());
        Ok(Self {
            names: names
                .map(|(name, since)| (name.to_owned(), since))
                .collect(),
            disabled: people.disabled.iter().cloned().collect(),
            revoked: file.map(|path| Revoked::open(path)).transpose()?,
            // `Document::check` has admitted these only.
            revoked_of_list: people
                .revoked
                .iter()
                .filter_map(|one| one.parse().ok())
                .collect(),
        })
    }

    /// Reads the list of the configuration again, and returns whether it has changed. It
    /// blocks: call it off the reactor, every few seconds.
    pub(crate) fn refresh(&self) -> bool {
        self.revoked.as_ref().is_some_and(Revoked::refresh)
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

    /// Whether a certificate that was accepted is accepted still, apart from its end.
    pub(crate) fn keeps(&self, shown: &ClientCertificate) -> bool {
        match self.admit(shown, SystemTime::UNIX_EPOCH) {
            Ok(()) | Err(Refused::NoList) => true,
            Err(_) => false,
        }
    }

    fn admit(&self, shown: &ClientCertificate, now: SystemTime) -> Result<(), Refused> {
        let name = || shown.name.clone();
        let Some(since) = self.names.get(&shown.name) else {
            return Err(match self.disabled.contains(&shown.name) {
                true => Refused::Disabled(name()),
                false => Refused::Unknown(name()),
            });
        };
        if shown.not_after < now {
            return Err(Refused::Expired(name()));
        }
        let issued = shown.issued.duration_since(SystemTime::UNIX_EPOCH);
        let is_old = issued.map_or(*since > 0, |issued| issued.as_secs() < *since);
        if is_old || self.revoked_of_list.contains(&shown.serial) {
            return Err(Refused::Revoked(name()));
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

    use crate::config::{self, CertificateIdentity, Grant, Person};

    use super::*;

    fn shown(name: &str) -> ClientCertificate {
        ClientCertificate {
            name: name.to_owned(),
            serial: "41".repeat(16).parse().unwrap(),
            issued: at(500),
            not_after: at(1000),
        }
    }

    fn alice(revoked_file: Option<std::path::PathBuf>) -> Config {
        let mut config = Config::default();
        config.auth.certificates = Some(config::Certificates {
            identities: vec![CertificateIdentity {
                name: "alice".to_owned(),
                grant: Grant::admin(),
            }],
            revoked_file,
        });
        config
    }

    fn of(config: &Config) -> Certificates {
        Certificates::new(config, &People::default()).unwrap()
    }

    fn listed(name: &str, since: u64) -> People {
        People {
            persons: vec![Person {
                name: name.to_owned(),
                grant: Grant::admin(),
                since,
                public_key: None,
            }],
            ..People::default()
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn only_listed_names_are_accepted_and_only_until_they_expire() {
        let certificates = of(&alice(None));
        assert_eq!(certificates.admit(&shown("alice"), at(1000)), Ok(()));
        let expired = certificates.admit(&shown("alice"), at(1001)).unwrap_err();
        assert_eq!(expired.reason(), Reason::CertificateExpired);
        for name in ["bob", "Alice", "alice2"] {
            let refused = certificates.admit(&shown(name), at(0)).unwrap_err();
            assert_eq!(refused, Refused::Unknown(name.to_owned()));
        }
        let nobody = of(&Config::default());
        assert!(nobody.admit(&shown("alice"), at(0)).is_err());
    }

    #[test]
    fn a_revoked_certificate_is_refused_and_a_list_that_is_lost_refuses_all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# nobody\n").unwrap();
        let certificates = of(&alice(Some(file.path().to_owned())));
        let now = || certificates.admit(&shown("alice"), at(0));
        assert_eq!(now(), Ok(()));
        std::fs::write(file.path(), format!("{}\n", "41".repeat(16))).unwrap();
        certificates.refresh();
        assert_eq!(now(), Err(Refused::Revoked("alice".to_owned())));
        file.close().unwrap();
        certificates.refresh();
        assert_eq!(now(), Err(Refused::NoList));
    }

    #[test]
    fn a_user_of_the_list_is_accepted_by_certificates_of_the_right_age() {
        let accepts = |since| {
            let certificates = Certificates::new(&Config::default(), &listed("bob", since));
            certificates.unwrap().admit(&shown("bob"), at(600))
        };
        assert_eq!(accepts(0), Ok(()));
        assert_eq!(accepts(500), Ok(()));
        for since in [501, u64::MAX] {
            assert_eq!(accepts(since), Err(Refused::Revoked("bob".to_owned())));
        }
        // The configuration's word counts.
        let both = Certificates::new(&alice(None), &listed("alice", 501)).unwrap();
        assert_eq!(both.admit(&shown("alice"), at(600)), Ok(()));
    }

    #[test]
    fn a_disabled_user_and_a_serial_number_of_the_list_are_refused() {
        let people = People {
            disabled: vec!["bob".to_owned()],
            revoked: vec!["41".repeat(16)],
            ..listed("carol", 0)
        };
        let certificates = Certificates::new(&alice(None), &people).unwrap();
        let refused = |name| certificates.admit(&shown(name), at(600)).unwrap_err();
        assert_eq!(refused("bob"), Refused::Disabled("bob".to_owned()));
        for name in ["carol", "alice"] {
            assert_eq!(refused(name), Refused::Revoked(name.to_owned()));
            assert!(!certificates.keeps(&shown(name)));
        }
        let expired = of(&alice(None));
        assert!(expired.keeps(&shown("alice")));
        assert!(!expired.keeps(&shown("bob")));
    }
}
