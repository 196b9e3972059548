//! Reads the port of a container from the query of a request that connects to it.

use super::query;

/// The parameter with the port.
pub const PORT: &str = "port";

/// The parameter of a request that asks whether it could connect, and does not.
pub const CHECK: &str = "check";

/// The query names no port, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`port` has to be one number from 1 to 65535, such as port=80")]
pub struct PortError;

/// The port in a query.
///
/// # Errors
/// If there is none, or it has a second reading.
pub fn of(raw_query: &str) -> Result<u16, PortError> {
    let mut given = query::all(raw_query, PORT);
    let first = given.next().ok_or(PortError)?;
    if given.any(|other| other != first) {
        return Err(PortError);
    }
    number(&first).ok_or(PortError)
}

/// A port in plain digits: no sign, no zero in front.
pub(crate) fn number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_one_reading() {
        for (query, expected) in [
            ("port=80", Some(80)),
            ("port=65535&check=1", Some(65535)),
            ("port=80&port=80", Some(80)),
            ("p%6frt=80", Some(80)),
            ("", None),
            ("port", None),
            ("port=", None),
            ("port=0", None),
            ("port=080", None),
            ("port=%2B80", None),
            ("port=-1", None),
            ("port=65536", None),
            ("port=80&port=81", None),
            ("port=80%20", None),
            ("port=http", None),
            ("port=0x50", None),
            ("Port=80", None),
        ] {
            assert_eq!(of(query).ok(), expected, "{query}");
        }
    }
}
