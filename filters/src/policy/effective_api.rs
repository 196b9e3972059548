//! The API as the engine that gets a request speaks it: a demand is met only by
//! a field that this engine honours in this version, and each release of the
//! engine hides its own parts of /proc and /sys.

use crate::endpoint::ApiVersion;

/// The effective version of a request, and the engine's release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectiveApi {
    /// The version of the API in which the engine reads the request.
    pub version: ApiVersion,
    /// The engine's release; `None` if it is not known or not Docker's.
    pub release: Option<Release>,
}

/// A release of the engine, such as 20.10.24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u16, pub u16, pub u16);

impl EffectiveApi {
    /// The newest version that is known.
    pub const NEWEST: Self = Self {
        version: ApiVersion::new(1, 56),
        release: None,
    };

    /// For a request in this version, or in the engine's newest one. If that is
    /// not known either, the request counts as one in the oldest version.
    pub fn of(
        asked: Option<ApiVersion>,
        newest: Option<ApiVersion>,
        release: Option<Release>,
    ) -> Self {
        let version = match (asked, newest) {
            (Some(asked), Some(newest)) => asked.min(newest),
            (asked, newest) => asked.or(newest).unwrap_or(ApiVersion::FLOOR),
        };
        Self { version, release }
    }
}

impl Release {
    /// The oldest release with this scheme of versions. Other engines count differently.
    const FIRST: Self = Self(17, 3, 0);

    /// Reads the engine's version, such as `20.10.24+dfsg1`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.splitn(3, '.').map(|part| {
            let end = part.find(|c: char| !c.is_ascii_digit());
            part[..end.unwrap_or(part.len())].parse().ok()
        });
        let mut next = || numbers.next().flatten();
        let release = Self(next()?, next()?, next()?);
        (release >= Self::FIRST).then_some(release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_version_is_the_older_one() {
        let v = |minor| Some(ApiVersion::new(1, minor));
        for (asked, newest, effective) in [
            (v(30), v(41), v(30)),
            (v(51), v(41), v(41)),
            (None, v(45), v(45)),
            (v(43), None, v(43)),
            (None, None, v(24)),
        ] {
            let api = EffectiveApi::of(asked, newest, None);
            assert_eq!(Some(api.version), effective, "{asked:?} {newest:?}");
        }
    }

    #[test]
    fn a_release_is_read_with_any_suffix() {
        for (text, expected) in [
            ("20.10.24+dfsg1", Some(Release(20, 10, 24))),
            ("28.5.2", Some(Release(28, 5, 2))),
            ("29.0.0-rc.1", Some(Release(29, 0, 0))),
            ("17.03.1-ce", Some(Release(17, 3, 1))),
            ("5.4.0", None),
            ("dev", None),
            ("28.5", None),
            ("", None),
        ] {
            assert_eq!(Release::parse(text), expected, "{text}");
        }
    }
}
