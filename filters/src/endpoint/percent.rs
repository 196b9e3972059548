//! Percent-encoding (RFC 3986 §2.1), shared by paths and query strings.
//!
//! Only bytes to bytes: what may appear where is the caller's business.

use std::borrow::Cow;
use std::fmt::Write;

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    /// Itself, as in a path.
    Plus,
    /// A space, as in a form-encoded query.
    Space,
}

/// Decodes once; `None` if a `%` is not followed by two hex digits.
pub(super) fn decode(text: &str, plus: Plus) -> Option<Cow<'_, [u8]>> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') && (plus == Plus::Plus || !bytes.contains(&b'+')) {
        return Some(Cow::Borrowed(bytes));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return Some(Cow::Owned(decoded)),
            [b'%', high, low, tail @ ..] => {
                decoded.push(hex(*high)? << 4 | hex(*low)?);
                tail
            }
            [b'%', ..] => return None,
            [b'+', tail @ ..] if plus == Plus::Space => {
                decoded.push(b' ');
                tail
            }
            [byte, tail @ ..] => {
                decoded.push(*byte);
                tail
            }
        }
    }
}

/// Appends `text` with everything but the unreserved characters escaped.
pub(super) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Whether a `%XX` escape is anywhere in the text.
pub(super) fn has_escape(text: &str) -> bool {
    text.as_bytes()
        .windows(3)
        .any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_or_false_escape_does_not_decode() {
        for text in ["%", "%4", "a%", "%zz", "%4g", "%+1", "%%41"] {
            assert_eq!(decode(text, Plus::Space), None, "{text:?}");
        }
    }

    #[test]
    fn plus_is_a_space_only_in_a_query() {
        assert_eq!(decode("a+b", Plus::Plus).as_deref(), Some(&b"a+b"[..]));
        assert_eq!(decode("a+b", Plus::Space).as_deref(), Some(&b"a b"[..]));
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_itself(text in any::<String>()) {
            let mut encoded = String::new();
            encode(&text, &mut encoded);
            let decoded = decode(&encoded, Plus::Space);
            prop_assert_eq!(decoded.as_deref(), Some(text.as_bytes()));
        }
    }
}
