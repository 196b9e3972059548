//! Refuses requests that a browser sends for a page of another origin.
//!
//! A browser shows its user's certificate on every connection to this agent, for
//! every page: a form on any site, or a WebSocket, could stop containers or open a
//! shell. Signatures are not sent like that, and Docker's clients send none of
//! these headers across origins.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName};

/// <https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header>
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the headers name no other origin.
pub(super) fn is_own(headers: &HeaderMap) -> bool {
    let sites = headers.get_all(SEC_FETCH_SITE).iter();
    let own = sites.map(|site| site == "same-origin" || site == "none");
    let host = headers.get(HOST).map_or(&b""[..], |host| host.as_bytes());
    let origins = headers.get_all(ORIGIN).iter();
    let same = origins.map(|origin| {
        let origin = origin.as_bytes().strip_prefix(b"https://");
        origin.is_some_and(|origin| !host.is_empty() && origin.eq_ignore_ascii_case(host))
    });
    own.chain(same).all(|it_is| it_is)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn own(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("node1:9001"));
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        is_own(&headers)
    }

    #[test]
    fn programs_and_pages_of_the_agent_s_own_origin_are_accepted() {
        for pairs in [
            &[][..],
            &[("origin", "https://node1:9001")],
            &[
                ("origin", "https://NODE1:9001"),
                ("sec-fetch-site", "same-origin"),
            ],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(own(pairs), "{pairs:?}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        for pairs in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "https://node1")],
            &[("origin", "http://node1:9001")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://evil.example"),
            ],
            &[
                ("origin", "https://node1:9001"),
                ("origin", "https://evil.example"),
            ],
        ] {
            assert!(!own(pairs), "{pairs:?}");
        }
    }
}
