//! Names the cluster that a request is signed for.
//!
//! Two clusters may share a client's key. Without a name, one of them could send a
//! request that it got on to the other one.

use std::fmt;

use data_encoding::HEXLOWER;

use super::digest;

/// A cluster: the SHA-256 of its CA's public key (`SubjectPublicKeyInfo` in DER), as
/// 64 lower-case hexadecimal digits.
///
/// A client has the CA anyway, to verify the agents' certificates, and so learns the
/// audience from no server. A cluster cannot have the audience of another one: its
/// certificates would need the other one's key.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Audience(String);

/// The audiences that a verifier accepts.
#[derive(Clone, Debug)]
pub struct Audiences {
    own: Vec<Audience>,
    optional: bool,
}

impl Audiences {
    /// Requests must be for one of these: a cluster has one for each of its secrets.
    #[must_use]
    pub fn required(own: Vec<Audience>) -> Self {
        Self {
            own,
            optional: false,
        }
    }

    /// Also accepts requests of the old profile `skep/1`, which are for every cluster.
    #[must_use]
    pub fn or_none(self, optional: bool) -> Self {
        Self { optional, ..self }
    }

    /// Whether a request must have an audience.
    pub(super) fn are_required(&self) -> bool {
        !self.optional
    }

    /// Whether a request with this value of `Skep-Audience` is for this cluster. It is
    /// compared byte for byte; it is no secret.
    pub(super) fn admit(&self, value: Option<&[u8]>) -> bool {
        match value {
            Some(value) => self.own.iter().any(|own| own.0.as_bytes() == value),
            None => self.optional,
        }
    }
}

impl From<Audience> for Audiences {
    fn from(own: Audience) -> Self {
        Self::required(vec![own])
    }
}

/// A text that is not an audience.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "an audience is 64 lower-case hexadecimal digits, the SHA-256 of the public key of the cluster's CA; `skep ca --audience` prints it"
)]
pub struct BadAudience;

impl Audience {
    /// The audience of the cluster whose CA has this public key, as in its certificate.
    #[must_use]
    pub fn of_public_key(spki_der: &[u8]) -> Self {
        Self(HEXLOWER.encode(&digest::sha256(spki_der)))
    }

    /// Reads the 64 digits.
    ///
    /// # Errors
    ///
    /// [`BadAudience`] for all else, upper-case digits too.
    pub fn parse(text: &str) -> Result<Self, BadAudience> {
        let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.as_bytes().iter().all(digit) {
            return Err(BadAudience);
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::str::FromStr for Audience {
    type Err = BadAudience;

    fn from_str(text: &str) -> Result<Self, BadAudience> {
        Self::parse(text)
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_is_the_digest_of_a_public_key() {
        let audience = Audience::of_public_key(b"abc");
        // The first vector of FIPS 180-2.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(audience.to_string(), text);
        assert_eq!(Audience::parse(text), Ok(audience));
    }

    #[test]
    fn only_sixty_four_lower_case_digits_are_an_audience() {
        let digits = "0123456789abcdef".repeat(4);
        assert!(Audience::parse(&digits).is_ok());
        for text in [
            "",
            &digits[1..],
            &format!("{digits}0"),
            &digits.to_uppercase(),
            &digits.replace('a', "g"),
            &format!(" {}", &digits[1..]),
            &format!("{}é", &digits[2..]),
            "05cff52c",
        ] {
            assert_eq!(Audience::parse(text), Err(BadAudience), "{text:?}");
        }
    }

    #[test]
    fn only_its_own_audiences_are_admitted() {
        let [one, two, other] = [&b"1"[..], b"2", b"3"].map(Audience::of_public_key);
        let upper = one.to_string().to_uppercase();
        let list = format!("{one}, {two}");
        let own = Audiences::required(vec![one.clone(), two.clone()]);
        for optional in [false, true] {
            let own = own.clone().or_none(optional);
            let admits = |text: &str| own.admit(Some(text.as_bytes()));
            assert!(admits(&one.to_string()) && admits(&two.to_string()));
            for text in [&other.to_string(), &upper, &list, "", "*"] {
                assert!(!admits(text), "{text}");
            }
            assert_eq!(own.admit(None), optional);
        }
        assert!(!Audiences::required(Vec::new()).admit(Some(b"")));
    }
}
