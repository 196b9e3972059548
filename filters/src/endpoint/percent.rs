//! Encodes and decodes percent-encoding (RFC 3986 §2.1), in paths and queries.
//!
//! Bytes to bytes: the caller decides which bytes it accepts.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The meaning of `+`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    /// Itself, as in a path.
    Plus,
    /// A space, as in a form-encoded query.
    Space,
}

/// Everything but the unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Decodes once; `None` if a `%` is not followed by two hex digits, which the
/// crate would leave as it is.
pub(super) fn decode(text: &str, plus: Plus) -> Option<Cow<'_, [u8]>> {
    let mut after_percent = text.as_bytes().split(|byte| *byte == b'%').skip(1);
    if !after_percent.all(begins_with_hex) {
        return None;
    }
    if plus == Plus::Space && text.contains('+') {
        let spaced = text.replace('+', " ");
        return Some(Cow::Owned(percent_decode_str(&spaced).collect()));
    }
    Some(percent_decode_str(text).into())
}

/// Appends `text` with everything but the unreserved characters escaped.
pub(super) fn encode(text: &str, out: &mut String) {
    out.extend(utf8_percent_encode(text, RESERVED));
}

/// Whether a `%XX` escape is anywhere in the text.
pub(super) fn has_escape(text: &str) -> bool {
    let mut after_percent = text.as_bytes().split(|byte| *byte == b'%').skip(1);
    after_percent.any(begins_with_hex)
}

fn begins_with_hex(bytes: &[u8]) -> bool {
    matches!(bytes, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_or_invalid_escape_does_not_decode() {
        for text in ["%", "%4", "a%", "%zz", "%4g", "%+1", "%%41"] {
            assert_eq!(decode(text, Plus::Space), None, "{text:?}");
        }
    }

    #[test]
    fn plus_is_a_space_only_in_a_query() {
        assert_eq!(decode("a+b", Plus::Plus).as_deref(), Some(&b"a+b"[..]));
        assert_eq!(decode("a+b", Plus::Space).as_deref(), Some(&b"a b"[..]));
    }

    #[test]
    fn only_unreserved_characters_stay() {
        let mut encoded = String::new();
        encode("aZ09-._~ +/%ü\n", &mut encoded);
        assert_eq!(encoded, "aZ09-._~%20%2B%2F%25%C3%BC%0A");
    }

    #[test]
    fn an_escape_is_found_anywhere_in_a_text() {
        for text in ["%41", "a%4a", "%%41", "%zz%4F"] {
            assert!(has_escape(text), "{text:?}");
        }
        for text in ["", "%", "%4", "%zz", "4%1"] {
            assert!(!has_escape(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_encoded_text_decodes_to_itself(text in any::<String>()) {
            let mut encoded = String::new();
            encode(&text, &mut encoded);
            let decoded = decode(&encoded, Plus::Space);
            prop_assert_eq!(decoded.as_deref(), Some(text.as_bytes()));
        }
    }
}
