//! Finds the authentication headers, which never reach an engine.
//!
//! Authorisation plugins and the debug log of an engine see request headers, and
//! must not see credentials. That includes credentials for others: a Portainer
//! server passes on everything that a browser sent, including the session with
//! the server. `X-Registry-Auth` is not among these headers: it is for the engine.

use http::{HeaderMap, HeaderName, header};

use super::profile::{CONTENT_DIGEST, SIGNATURE, SIGNATURE_INPUT};

/// The headers to remove by name. `Content-Digest` is removed because a body may
/// be rewritten after it was checked. The last three are those of a Portainer
/// server: its API keys, its protection against forged requests, and GitLab's
/// tokens, which its UI sends to registries. Docker's API uses none of them.
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

/// The headers to remove by the prefix of their names, in lower case: those of
/// skep and of Portainer.
pub const PREFIXES: [&str; 2] = ["skep-", "x-portaineragent-"];

/// Whether a header authenticates the caller or addresses an agent, so that an
/// engine must not get it.
#[must_use]
pub fn is_authentication_header(name: &HeaderName) -> bool {
    NAMES.contains(name)
        || PREFIXES
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix))
}

/// The authentication headers of a request, each once, to be removed by name.
#[must_use]
pub fn authentication_headers(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .keys()
        .filter(|name| is_authentication_header(name))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::auth::profile::COVERED_HEADERS;

    #[test]
    fn every_authentication_header_is_found() {
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
        let found = authentication_headers(&headers);
        assert_eq!(found.len(), 16);
        for name in found {
            headers.remove(name);
        }
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
