//! Parses API versions, as in `/v1.41/…` and `ApiVersion` of `/version`.
//!
//! Not for engine versions (20.10.24), which have another form.

use std::fmt;
use std::str::FromStr;

/// A version of the Engine API, ordered by number (1.9 < 1.41).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// The part before the dot; always 1 so far.
    pub major: u16,
    /// The part after the dot.
    pub minor: u16,
}

impl ApiVersion {
    /// The oldest version that agents accept. Engines since 25.0 refuse older
    /// ones themselves. In older engines, versions below 1.24 can do more than
    /// any row of the table shows: `start` accepts a whole `HostConfig`, and
    /// `POST /containers/{name}/copy` reads files.
    pub const FLOOR: Self = Self::new(1, 24);

    /// The version `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The text is not `<digits>.<digits>`, or a number does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an API version is two numbers joined by a dot, such as 1.41")]
pub struct BadVersion;

impl FromStr for ApiVersion {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let (major, minor) = text.split_once('.').ok_or(BadVersion)?;
        Ok(Self::new(number(major)?, number(minor)?))
    }
}

/// `u16::from_str` alone would accept a leading `+`.
fn number(digits: &str) -> Result<u16, BadVersion> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadVersion);
    }
    digits.parse().map_err(|_| BadVersion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number_not_by_text() {
        let parse = |text: &str| text.parse::<ApiVersion>().unwrap();
        assert!(parse("1.9") < parse("1.41"));
        assert!(parse("1.56") < parse("2.0"));
    }

    #[test]
    fn a_version_reads_back_as_it_was_written() {
        assert_eq!(ApiVersion::new(1, 41).to_string(), "1.41");
        assert_eq!("1.41".parse(), Ok(ApiVersion::new(1, 41)));
    }

    #[test]
    fn a_text_that_is_not_two_numbers_is_refused() {
        for text in [
            "", ".", "1", "1.", ".41", "1.41.0", "1..41", "+1.41", "1.-4", "1.70000", "one.two",
        ] {
            assert_eq!(text.parse::<ApiVersion>(), Err(BadVersion), "{text:?}");
        }
    }
}
