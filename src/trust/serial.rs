//! The number that a client's certificate is known by when it is to be refused.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// As many as [`super::leaf::random_serial`] makes.
const BYTES: usize = 16;

/// The serial number of a certificate that was issued here.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Serial([u8; BYTES]);

/// A text that is no serial number.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a serial number: it has 32 hexadecimal digits")]
pub struct BadSerial;

impl Serial {
    /// Takes the bytes that a certificate has; `None` if we never make such a number.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// As `skep cert show` prints it, or with capitals and colons as `openssl` does. Not one digit fewer: a line
/// that was cut off is no other certificate's.
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
    fn what_is_cut_off_or_no_number_is_refused() {
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
