//! Identifies a request by the same id on every node that takes part in it, so
//! that one call can be followed through the logs of the cluster.
//!
//! An authenticated caller may choose the id. For all other clients this agent
//! generates one, so that they cannot write text into the log.

use http::{HeaderMap, HeaderName, HeaderValue};
use ring::rand::{SecureRandom, SystemRandom};
use skep_filters::auth::profile::SKEP_REQUEST_ID;

/// The header in which a client may send an id.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The most characters of a caller's id: room for a UUID or for the trace id of
/// another system.
const LONGEST: usize = 64;

/// The random bytes of a generated id.
const RANDOM: usize = 8;

/// The id of a request, as the value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// A new id: 16 random hexadecimal digits.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; RANDOM];
        // The id is no secret: without randomness it is not unique, and signing
        // fails anyway.
        let _ = SystemRandom::new().fill(&mut bytes);
        let mut digits = [0; 2 * RANDOM];
        data_encoding::HEXLOWER.encode_mut(&bytes, &mut digits);
        let value = HeaderValue::from_bytes(&digits);
        Self(value.unwrap_or_else(|_| HeaderValue::from_static("0")))
    }

    /// The id that an authenticated caller has sent, if it is valid: 1 to 64
    /// letters, digits, dots, underscores and hyphens, in one header. Another agent
    /// passes on the id of its own log.
    pub(crate) fn of_caller(headers: &HeaderMap, is_agent: bool) -> Option<Self> {
        let passed_on = is_agent.then(|| valid(headers, &SKEP_REQUEST_ID)).flatten();
        passed_on.or_else(|| valid(headers, &X_REQUEST_ID))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn as_header(&self) -> &HeaderValue {
        &self.0
    }
}

fn valid(headers: &HeaderMap, name: &HeaderName) -> Option<RequestId> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    let bytes = value.as_bytes();
    let is_valid = (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(allowed);
    is_valid.then(|| RequestId(value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn taken(all: &[(&HeaderName, &str)], is_agent: bool) -> Option<String> {
        let id = RequestId::of_caller(&headers(all), is_agent)?;
        Some(id.as_str().to_owned())
    }

    #[test]
    fn a_valid_id_of_a_caller_is_used() {
        let longest = "x".repeat(LONGEST);
        for id in ["a", "01J-build_7.2", longest.as_str()] {
            assert_eq!(taken(&[(&X_REQUEST_ID, id)], false).as_deref(), Some(id));
        }
    }

    #[test]
    fn an_invalid_id_is_not_used() {
        let long = "x".repeat(LONGEST + 1);
        for id in ["", "a b", "a\"b", "a=b", "a/b", "a\tb", "é", long.as_str()] {
            assert_eq!(taken(&[(&X_REQUEST_ID, id)], false), None, "{id:?}");
        }
        let twice = [(&X_REQUEST_ID, "a"), (&X_REQUEST_ID, "b")];
        assert_eq!(taken(&twice, false), None);
        assert_eq!(taken(&[], true), None);
    }

    #[test]
    fn only_another_agent_passes_an_id_on() {
        let both = [(&X_REQUEST_ID, "client"), (&SKEP_REQUEST_ID, "agent")];
        assert_eq!(taken(&both, true).as_deref(), Some("agent"));
        assert_eq!(taken(&both, false).as_deref(), Some("client"));
        assert_eq!(taken(&both[1..], false), None);
    }

    #[test]
    fn generated_ids_differ_and_are_valid() {
        let (one, other) = (RequestId::random(), RequestId::random());
        assert_ne!(one, other);
        assert_eq!(one.as_str().len(), 2 * RANDOM);
        let sent = [(&X_REQUEST_ID, one.as_str())];
        assert_eq!(taken(&sent, false).as_deref(), Some(one.as_str()));
    }
}
