//! Authentication headers never reach an engine.
//!
//! An engine's authorisation plugins and its debug log see request headers;
//! what proves who is calling is none of their business. That goes for what
//! proves it to somebody else as well: Portainer servers pass on all that a
//! browser sent them, its session with the server among it. `X-Registry-Auth`
//! is not among these headers: it is meant for the engine.

use http::{HeaderMap, HeaderName, header};

use super::profile::{CONTENT_DIGEST, SIGNATURE, SIGNATURE_INPUT};

/// The headers to remove by name. `Content-Digest` goes because a body may be
/// rewritten after it was checked. The last three are a Portainer server's: its
/// API keys, its defence against forged requests, and GitLab's tokens, which its
/// UI sends to registries. Docker's API has a use for none of them.
pub static NAMES: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    CONTENT_DIGEST,
    SIGNATURE,
    SIGNATURE_INPUT,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-csrf-token"),
    HeaderName::from_static("private-token"),
];

/// The headers to remove by how their names begin, in lower case: this agent's
/// own and Portainer's.
pub const PREFIXES: [&str; 2] = ["skep-", "x-portaineragent-"];

/// Whether a header says who is calling or which agent is to answer, and so is
/// none of an engine's business.
#[must_use]
pub fn is_authentication_header(name: &HeaderName) -> bool {
    NAMES.contains(name)
        || PREFIXES
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix))
}

/// The authentication headers that a request has, each once: for servers
/// whose requests only let headers be removed by name.
#[must_use]
pub fn authentication_headers(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .keys()
        .filter(|name| is_authentication_header(name))
        .cloned()
        .collect()
}

/// Removes the authentication headers.
pub fn strip(headers: &mut HeaderMap) {
    for name in authentication_headers(headers) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::auth::profile::COVERED_HEADERS;

    #[test]
    fn no_authentication_header_is_left() {
        let mut headers = HeaderMap::new();
        for name in [
            "signature",
            "signature-input",
            "authorization",
            "proxy-authorization",
            "cookie",
            "x-api-key",
            "x-csrf-token",
            "private-token",
            "content-digest",
            "skep-body",
            "skep-target",
            "skep-on-behalf-of",
            "skep-something-new",
            "x-portaineragent-signature",
            "x-portaineragent-publickey",
            "x-portaineragent-target",
        ] {
            let name = HeaderName::from_static(name);
            headers.append(&name, HeaderValue::from_static("a"));
            headers.append(&name, HeaderValue::from_static("b"));
        }
        let engines = [
            "content-type",
            "x-registry-auth",
            "x-registry-config",
            "upgrade",
            "skepsis",
        ];
        for name in engines {
            headers.insert(name, HeaderValue::from_static("c"));
        }
        assert_eq!(authentication_headers(&headers).len(), 16);
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [
                "content-type",
                "skepsis",
                "upgrade",
                "x-registry-auth",
                "x-registry-config"
            ]
        );
    }

    #[test]
    fn every_covered_header_is_either_the_engines_or_stripped() {
        let engines = [
            "content-type",
            "x-registry-auth",
            "x-registry-config",
            "upgrade",
        ];
        for name in &COVERED_HEADERS {
            let stripped = is_authentication_header(name);
            assert_ne!(stripped, engines.contains(&name.as_str()), "{name}");
        }
    }
}
