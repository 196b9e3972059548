//! Parses and prints the serial number of a client's certificate, by which it can
//! be revoked.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// The length that [`super::leaf::random_serial`] makes.
const BYTES: usize = 16;

/// The serial number of a certificate that was issued here.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Serial([u8; BYTES]);

/// The text is not a serial number.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a serial number: it has 32 hexadecimal digits")]
pub struct BadSerial;

impl Serial {
    /// Takes the bytes of a certificate; `None` for another length than ours.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// Reads the form of `skep cert show`, and the capitals and colons of
/// `openssl`. All 32 digits are needed, so that a truncated line names no other
/// certificate.
impl FromStr for Serial {
    type Err = BadSerial;

    fn from_str(text: &str) -> Result<Self, BadSerial> {
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
        let bytes = HEXLOWER_PERMISSIVE.decode(&digits).map_err(|_| BadSerial)?;
        bytes.try_into().map(Self).map_err(|_| BadSerial)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "4f0a00000000000000000000000000ff";

    #[test]
    fn a_serial_is_read_as_it_is_printed_here_and_by_openssl() {
        let serial: Serial = TEXT.parse().unwrap();
        assert_eq!(serial.to_string(), TEXT);
        assert_eq!(TEXT.to_uppercase().parse(), Ok(serial.clone()));
        let pairs: Vec<_> = TEXT
            .as_bytes()
            .chunks(2)
            .map(String::from_utf8_lossy)
            .collect();
        assert_eq!(pairs.join(":").parse(), Ok(serial));
    }

    #[test]
    fn a_truncated_or_wrong_number_is_refused() {
        for text in [
            "",
            &TEXT[1..],
            &format!("{TEXT}0"),
            &TEXT.replace('f', "g"),
            &TEXT.replace('f', "ä"),
        ] {
            assert_eq!(text.parse::<Serial>(), Err(BadSerial), "{text}");
        }
    }
}
