//! Decodes the path of a request once, to its only possible reading.
//!
//! The agent forwards the bytes that it judged: nothing is normalised. A path
//! that the engine could read differently is refused (answer 400) instead.

use std::borrow::Cow;

use super::percent::{self, Plus};
use super::version::ApiVersion;

/// Far longer than any image reference or container name.
const MAX_BYTES: usize = 8 * 1024;

/// The segments that may follow `/v1` and `/v2` in a path: Portainer numbers the
/// routes of its agent so. An engine would take the prefix for a version, but
/// has no route that begins with one of these.
pub(super) const PREFIXED: [&str; 6] =
    ["ping", "agents", "host", "browse", "websocket", "dockerhub"];

/// Why a path is refused. Each is the client's mistake: answer 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Longer than 8 KiB.
    #[error("the path is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Not starting with a slash, such as `*` or an empty path.
    #[error("the path must start with '/'")]
    NotAbsolute,
    /// A raw `?` or `#`: it ends the path, or must be encoded.
    #[error("the path contains a raw '?' or '#': encode it as %3F or %23")]
    Delimiter,
    /// `%` without two hex digits.
    #[error("the path contains '%' without two hex digits after it")]
    BadEscape,
    /// Not UTF-8 once decoded.
    #[error("the decoded path is not UTF-8")]
    NotUtf8,
    /// A control character, raw or encoded.
    #[error("the path contains a control character")]
    Control,
    /// `;`, which begins path parameters for some servers.
    #[error("the path contains ';'")]
    Semicolon,
    /// `\`, which some servers read as a slash.
    #[error("the path contains a backslash")]
    Backslash,
    /// `//`. The engine would answer with a redirect, which Docker clients do not follow.
    #[error("the path contains an empty segment ('//'); names are given without a leading slash")]
    EmptySegment,
    /// `.` or `..` as a segment.
    #[error("the path contains a '.' or '..' segment")]
    DotSegment,
    /// A decoded escape that is an escape again, such as `%2541`.
    #[error("the path is percent-encoded twice")]
    DoubleEncoding,
    /// A version that the engine's matcher (`/v[0-9.]+`) accepts but that is not
    /// `/v<digits>.<digits>`. Engines read `/v1.41.0` and `/v1.41.` as 1.41, so
    /// forwarding it as an unknown path would bypass the policy.
    #[error("the API version in the path must be two numbers joined by a dot, such as /v1.41")]
    BadVersion,
    /// Below [`ApiVersion::FLOOR`]. The text is the engine's own.
    #[error(
        "client version {0} is too old. Minimum supported API version is {floor}, \
         please upgrade your client to a newer version",
        floor = ApiVersion::FLOOR
    )]
    OldVersion(ApiVersion),
}

/// A request path that has exactly one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath<'a> {
    raw: &'a str,
    decoded: Cow<'a, str>,
    version: Option<ApiVersion>,
    /// Where in `decoded` the path after the version starts.
    unversioned: usize,
}

impl<'a> RequestPath<'a> {
    /// Reads the path of a request target (no scheme, no query).
    ///
    /// An encoded slash separates segments like a plain one, because the
    /// engine routes by the decoded path. One trailing slash is kept as an
    /// empty last segment.
    ///
    /// # Errors
    /// [`BadPath`] for every path with a second reading.
    pub fn parse(raw: &'a str) -> Result<Self, BadPath> {
        if raw.len() > MAX_BYTES {
            return Err(BadPath::TooLong);
        }
        if !raw.starts_with('/') {
            return Err(BadPath::NotAbsolute);
        }
        if raw.contains(['?', '#']) {
            return Err(BadPath::Delimiter);
        }
        let decoded = match percent::decode(raw, Plus::Plus).ok_or(BadPath::BadEscape)? {
            Cow::Borrowed(_) => Cow::Borrowed(raw),
            Cow::Owned(bytes) => {
                Cow::Owned(String::from_utf8(bytes).map_err(|_| BadPath::NotUtf8)?)
            }
        };
        refuse_second_readings(&decoded)?;
        let (version, unversioned) = leading_version(&decoded)?;
        Ok(Self {
            raw,
            decoded,
            version,
            unversioned,
        })
    }

    /// The decoded path with each run of slashes as one, if it has such runs and no
    /// other fault; `None` if not.
    pub fn without_empty_segments(raw: &str) -> Option<String> {
        if RequestPath::parse(raw) != Err(BadPath::EmptySegment) {
            return None;
        }
        let decoded = percent::decode(raw, Plus::Plus)?;
        let decoded = String::from_utf8(decoded.into_owned()).ok()?;
        let mut path = String::with_capacity(decoded.len());
        for char in decoded.chars() {
            if char != '/' || !path.ends_with('/') {
                path.push(char);
            }
        }
        refuse_second_readings(&path).ok()?;
        leading_version(&path).ok()?;
        Some(path)
    }

    /// The bytes that were parsed. Forward these.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// The requested version; `None` means the engine's newest.
    pub fn version(&self) -> Option<ApiVersion> {
        self.version
    }

    /// The decoded path without its version; starts with a slash.
    pub fn path(&self) -> &str {
        match &self.decoded[self.unversioned..] {
            "" => "/",
            path => path,
        }
    }

    /// The segments of [`Self::path`]; the last is empty after a trailing slash.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path().split('/').skip(1)
    }
}

fn refuse_second_readings(decoded: &str) -> Result<(), BadPath> {
    for char in decoded.chars() {
        match char {
            ';' => return Err(BadPath::Semicolon),
            '\\' => return Err(BadPath::Backslash),
            c if c.is_control() => return Err(BadPath::Control),
            _ => {}
        }
    }
    if decoded.contains("//") {
        return Err(BadPath::EmptySegment);
    }
    if decoded
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
    {
        return Err(BadPath::DotSegment);
    }
    if percent::has_escape(decoded) {
        return Err(BadPath::DoubleEncoding);
    }
    Ok(())
}

/// The version in the first segment, and where the path after it starts.
fn leading_version(decoded: &str) -> Result<(Option<ApiVersion>, usize), BadPath> {
    let mut segments = decoded.split('/').skip(1);
    let first = segments.next().unwrap_or_default();
    let next = segments.next().unwrap_or_default();
    if matches!(first, "v1" | "v2") && PREFIXED.contains(&next) {
        return Ok((None, 0));
    }
    let Some(digits) = first
        .strip_prefix('v')
        .filter(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    else {
        return Ok((None, 0));
    };
    let version: ApiVersion = digits.parse().map_err(|_| BadPath::BadVersion)?;
    if version < ApiVersion::FLOOR {
        return Err(BadPath::OldVersion(version));
    }
    Ok((Some(version), "/".len() + first.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(raw: &str) -> Option<BadPath> {
        RequestPath::parse(raw).err()
    }

    #[test]
    fn a_version_is_removed_from_the_front_once() {
        let path = RequestPath::parse("/v1.41/v1.40/json").unwrap();
        assert_eq!(path.version(), Some(ApiVersion::new(1, 41)));
        assert_eq!(path.path(), "/v1.40/json");
        assert_eq!(path.raw(), "/v1.41/v1.40/json");
    }

    #[test]
    fn a_path_without_a_version_has_none() {
        for raw in [
            "/",
            "/_ping",
            "/volumes",
            "/V1.41/info",
            "/version",
            "/v/info",
        ] {
            let path = RequestPath::parse(raw).unwrap();
            assert_eq!((path.version(), path.path()), (None, raw));
        }
    }

    #[test]
    fn the_numbers_of_portainers_routes_are_not_versions() {
        for (raw, version, unversioned) in [
            ("/v2/ping", None, "/v2/ping"),
            ("/v1/browse/a/ls", None, "/v1/browse/a/ls"),
            (
                "/v1.41/v2/agents",
                Some(ApiVersion::new(1, 41)),
                "/v2/agents",
            ),
        ] {
            let path = RequestPath::parse(raw).unwrap();
            assert_eq!((path.version(), path.path()), (version, unversioned));
        }
    }

    #[test]
    fn a_bare_version_leaves_the_root() {
        assert_eq!(RequestPath::parse("/v1.41").unwrap().path(), "/");
        assert_eq!(RequestPath::parse("/v1.41/").unwrap().path(), "/");
    }

    #[test]
    fn escapes_are_decoded_once_and_slashes_among_them_separate() {
        let path = RequestPath::parse("/%761.41/images/a%2Fb+c%20d/json").unwrap();
        assert_eq!(path.version(), Some(ApiVersion::new(1, 41)));
        assert_eq!(
            path.segments().collect::<Vec<_>>(),
            ["images", "a", "b+c d", "json"]
        );
    }

    #[test]
    fn a_trailing_slash_is_an_empty_last_segment() {
        let path = RequestPath::parse("/networks/").unwrap();
        assert_eq!(path.segments().collect::<Vec<_>>(), ["networks", ""]);
    }

    #[test]
    fn a_path_with_a_second_reading_is_refused() {
        for (raw, why) in [
            ("", BadPath::NotAbsolute),
            ("*", BadPath::NotAbsolute),
            ("containers/json", BadPath::NotAbsolute),
            ("http://docker/info", BadPath::NotAbsolute),
            ("%2Fcontainers/json", BadPath::NotAbsolute),
            ("/info?a=b", BadPath::Delimiter),
            ("/info#a", BadPath::Delimiter),
            ("//containers/json", BadPath::EmptySegment),
            ("/containers//json", BadPath::EmptySegment),
            ("/containers/%2Fweb/json", BadPath::EmptySegment),
            ("/containers/web/%2F", BadPath::EmptySegment),
            ("/networks//", BadPath::EmptySegment),
            ("/v1.41//info", BadPath::EmptySegment),
            ("/./info", BadPath::DotSegment),
            ("/containers/..", BadPath::DotSegment),
            ("/containers/../info", BadPath::DotSegment),
            ("/containers/%2e%2E/info", BadPath::DotSegment),
            ("/containers/a%2F..%2Fb/json", BadPath::DotSegment),
            ("/containers/.%2e/", BadPath::DotSegment),
            ("/containers/%2541/json", BadPath::DoubleEncoding),
            ("/%252e%252e/info", BadPath::DoubleEncoding),
            ("/containers/a%25%34%31/json", BadPath::DoubleEncoding),
            ("/containers/%/json", BadPath::BadEscape),
            ("/containers/%4", BadPath::BadEscape),
            ("/containers/%g1/json", BadPath::BadEscape),
            ("/containers/%u0041/json", BadPath::BadEscape),
            ("/containers/a%00/json", BadPath::Control),
            ("/containers/a%0d%0aHost:b/json", BadPath::Control),
            ("/containers/a\tb/json", BadPath::Control),
            ("/containers/a%7F/json", BadPath::Control),
            ("/containers/json;a=b", BadPath::Semicolon),
            ("/containers/json%3Ba", BadPath::Semicolon),
            ("/containers\\json", BadPath::Backslash),
            ("/containers/..%5Cinfo", BadPath::Backslash),
            ("/containers/%ff/json", BadPath::NotUtf8),
            ("/containers/%c0%ae%c0%ae/json", BadPath::NotUtf8),
            ("/v1/info", BadPath::BadVersion),
            ("/v2/containers/json", BadPath::BadVersion),
            ("/v2/pings", BadPath::BadVersion),
            ("/v2", BadPath::BadVersion),
            ("/v3/ping", BadPath::BadVersion),
            ("/v1./info", BadPath::BadVersion),
            ("/v1.41./info", BadPath::BadVersion),
            ("/v1.41.0/info", BadPath::BadVersion),
            ("/v..../info", BadPath::BadVersion),
            ("/%76%31.41.0/info", BadPath::BadVersion),
            ("/v1.99999/info", BadPath::BadVersion),
            ("/v1.23/info", BadPath::OldVersion(ApiVersion::new(1, 23))),
            ("/v0.99/info", BadPath::OldVersion(ApiVersion::new(0, 99))),
        ] {
            assert_eq!(refusal(raw), Some(why), "{raw:?}");
        }
    }

    #[test]
    fn a_path_may_be_8_kib_long_and_no_longer() {
        let longest = format!("/{}", "a".repeat(MAX_BYTES - 1));
        assert_eq!(refusal(&longest), None);
        assert_eq!(refusal(&format!("{longest}a")), Some(BadPath::TooLong));
    }

    #[test]
    fn unusual_names_are_accepted() {
        for raw in [
            "/images/reg:5000/a/b@sha256:0a/json",
            "/containers/100%25/json",
            "/volumes/...",
            "/volumes/.hidden",
            "/volumes/a..b",
            "/services/%C3%BC",
            "/services/ü",
        ] {
            assert_eq!(refusal(raw), None, "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(raw in any::<String>()) {
            let _ = RequestPath::parse(&raw);
        }

        #[test]
        fn an_accepted_path_has_one_reading(raw in "/(v1\\.[0-9]{2}/)?[%2fFeE5cC.;a/\\\\\r]{0,24}") {
            if let Ok(path) = RequestPath::parse(&raw) {
                prop_assert!(path.path().starts_with('/'));
                prop_assert!(!path.path().contains(['\\', ';', '\r']));
                let inner: Vec<_> = path.segments().collect();
                prop_assert!(inner.iter().all(|s| *s != "." && *s != ".."));
                prop_assert!(inner.iter().rev().skip(1).all(|s| !s.is_empty()));
                // Decoding the decoded path again changes nothing.
                prop_assert_eq!(percent::has_escape(path.path()), false);
            }
        }
    }
}
