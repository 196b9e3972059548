//! Fuzzes Portainer's headers: a key, and a signature over a constant or a secret.
//!
//! The bytes are a head as `signature` takes it, or the text of a key.

use super::head;
use crate::auth::portainer::{Message, PUBLIC_KEY, PortainerHeaders, PublicKey};

/// Reads the headers and checks the signature.
///
/// # Panics
/// If a signature is valid for two messages, or a key is not the one in the header.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = PublicKey::from_text(text)
    {
        let again = PublicKey::from_hex(key.to_hex().as_bytes());
        assert_eq!(again, Ok(key), "a key is not read back");
    }
    let Some(parts) = head::parse(data) else {
        return;
    };
    let Ok(shown) = PortainerHeaders::of(&parts.headers) else {
        return;
    };
    let in_header = parts.headers.get(PUBLIC_KEY).map(|key| key.as_bytes());
    let own = shown.key().to_hex();
    let is_shown = in_header.is_some_and(|key| key.eq_ignore_ascii_case(own.as_bytes()));
    assert!(is_shown, "not the key of the header");

    let messages = [
        Message::application(),
        Message::secret(b"a shared secret"),
        Message::secret(b""),
    ];
    let valid = messages.iter().filter(|m| shown.verify(m).is_ok()).count();
    assert!(valid <= 1, "one signature for two messages");
}
