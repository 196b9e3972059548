//! Parses and prints sizes in bytes: `512KiB`, `64MiB`, `1GiB`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// The text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a size is a whole number with a unit: 512KiB, 64MiB, 1GiB")]
pub struct BadSize;

impl FromStr for Size {
    type Err = BadSize;

    /// Reads a whole number with its unit. A single letter is the unit of
    /// `docker run --memory`, and a number alone is one of bytes.
    fn from_str(text: &str) -> Result<Self, BadSize> {
        let end = text.find(|c: char| !c.is_ascii_digit());
        let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
        let factor = match unit {
            "" | "b" | "B" => 1,
            "kB" | "KB" => 1000,
            "MB" => 1000 * 1000,
            "GB" => 1000 * 1000 * 1000,
            "k" | "K" | "KiB" => KIB,
            "m" | "M" | "MiB" => MIB,
            "g" | "G" | "GiB" => GIB,
            _ => return Err(BadSize),
        };
        let number: u64 = digits.parse().map_err(|_| BadSize)?;
        number.checked_mul(factor).map(Self).ok_or(BadSize)
    }
}

/// In the largest unit that it is a multiple of.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
        let exact = |(bytes, _): &(u64, &str)| self.0 > 0 && self.0.is_multiple_of(*bytes);
        let (bytes, unit) = units.into_iter().find(exact).unwrap_or((1, "B"));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{BadSize}")
            }

            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(SizeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_alone_or_with_any_unit_is_read() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("512B", 512),
            ("2k", 2048),
            ("2K", 2048),
            ("2KiB", 2048),
            ("2kB", 2000),
            ("2KB", 2000),
            ("512m", 512 << 20),
            ("512M", 512 << 20),
            ("512MiB", 512 << 20),
            ("512MB", 512_000_000),
            ("1g", 1 << 30),
            ("1G", 1 << 30),
            ("1GiB", 1 << 30),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn other_units_signs_fractions_and_spaces_are_refused() {
        for text in [
            "",
            "m",
            "MiB",
            "-1",
            "+1",
            "1.5g",
            "1.5GiB",
            "1gb",
            "64 MiB",
            "64mib",
            "64Mib",
            "64MIB",
            "1t",
            "1TiB",
            "99999999999999999999",
            "18446744073709551615KiB",
        ] {
            assert_eq!(text.parse::<Size>(), Err(BadSize), "{text}");
        }
    }

    #[test]
    fn the_largest_exact_unit_is_written() {
        for (bytes, text) in [
            (0, "0B"),
            (1500, "1500B"),
            (1536, "1536B"),
            (2048, "2KiB"),
            (512 << 20, "512MiB"),
            (3 << 30, "3GiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn a_size_reads_back_as_it_was_written(bytes: u64) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9kKmMgGiBb .+é-]{0,24}") {
            let _ = text.parse::<Size>();
        }
    }
}
