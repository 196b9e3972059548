//! Completes a short name of an image to a reference, and judges it.
//!
//! Names are completed as in `distribution/reference`: `alpine` is
//! `docker.io/library/alpine`.

use std::borrow::Cow;

use super::{Check, demand};
use crate::json::quoted;
use crate::policy::verdict::Judged;

/// Denies an image that does not meet the demands.
pub(super) fn judge(check: &Check<'_>, field: &str, image: &str) -> Judged {
    let must = check.must;
    if must.images.is_empty() && !must.digest {
        return Ok(());
    }
    let read = Reference::parse(image);
    let has_digest = read.as_ref().is_some_and(|r| r.digest.is_some()) || is_whole_id(image);
    demand(has_digest || !must.digest, "must.digest", || {
        format!("{field} {} has no digest", quoted(image))
    })?;
    named(check, field, image)
}

/// Denies a pull of all tags of an image unless the policy allows each of them.
pub(super) fn all_tags(check: &Check<'_>, field: &str, name: &str) -> Judged {
    demand(!check.must.digest, "must.digest", || {
        format!("{field} {} has no digest", quoted(name))
    })?;
    let mut patterns = check.must.images.iter();
    let read = Reference::parse(name);
    let allowed = read.is_some_and(|image| patterns.any(|p| is_bare(p) && matches(p, &image)));
    demand(
        allowed || check.must.images.is_empty(),
        "must.images",
        || {
            let name = quoted(name);
            format!("{field} {name} without a tag asks for all of its tags: name one")
        },
    )
}

/// Denies an image that is none of those that the policy allows.
pub(super) fn named(check: &Check<'_>, field: &str, image: &str) -> Judged {
    let patterns = &check.must.images;
    let read = Reference::parse(image);
    let allowed = read.is_some_and(|image| patterns.iter().any(|p| matches(p, &image)));
    demand(allowed || patterns.is_empty(), "must.images", || {
        let hint = if may_be_id(image) {
            ": it could be an image id"
        } else {
            ""
        };
        format!(
            "{field} {} is not allowed by must.images{hint}",
            quoted(image)
        )
    })
}

/// The registry of a name or a pattern.
pub(super) fn domain(name: &str) -> &str {
    whole(split(name).0).0
}

/// Whether a policy may have this pattern: a name without a domain, with one,
/// or with `*` for a part and `**` for all the rest; perhaps a tag or digest.
pub(crate) fn is_pattern(text: &str) -> bool {
    let (name, tag, digest) = split(text);
    let parts: Vec<_> = name.split('/').collect();
    let is_part = |part: &&str| *part == "*" || is_path_part(part);
    let Some((first, rest)) = parts.split_first() else {
        return false;
    };
    let last_rest = rest.last() == Some(&"**");
    let middle = &rest[..rest.len() - usize::from(last_rest)];
    let first_ok = is_part(first) || is_domain(first) || (*first == "**" && rest.is_empty());
    first_ok && middle.iter().all(is_part) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)
}

/// Whether two texts name the same image: by the same digest, or by the same
/// name and tag.
pub(in crate::policy) fn is_same(a: &str, b: &str) -> bool {
    let ((a, tag_a, digest_a), (b, tag_b, digest_b)) = (split(a), split(b));
    match (digest_a, digest_b) {
        (Some(a), Some(b)) => a == b,
        (None, None) => {
            whole(a) == whole(b) && tag_a.unwrap_or("latest") == tag_b.unwrap_or("latest")
        }
        _ => false,
    }
}

/// Whether a name has neither a tag nor a digest.
pub(in crate::policy) fn is_bare(name: &str) -> bool {
    matches!(split(name), (_, None, None))
}

/// The name that an engine gives to an image for `repo` and `tag`: the tag takes the
/// place of one in `repo` (`reference.WithTag`).
pub(in crate::policy) fn with_tag<'t>(repo: &'t str, tag: &str) -> Cow<'t, str> {
    match tag {
        "" => Cow::Borrowed(repo),
        tag => Cow::Owned(format!("{}:{tag}", split(repo).0)),
    }
}

/// Whether an image that gets the name `given` takes the name `own`.
pub(in crate::policy) fn takes(given: &str, own: &str) -> bool {
    let ((given, tag, digest), (own, own_tag, own_digest)) = (split(given), split(own));
    // A digest alone is no name that another image can have.
    let are_names = |tag: Option<&str>, digest: Option<&str>| tag.is_some() || digest.is_none();
    are_names(tag, digest)
        && are_names(own_tag, own_digest)
        && whole(given) == whole(own)
        && tag.unwrap_or("latest") == own_tag.unwrap_or("latest")
}

/// Whether two names are those of one repository, whatever their tags and digests.
pub(in crate::policy) fn is_same_repository(a: &str, b: &str) -> bool {
    whole(split(a).0) == whole(split(b).0)
}

/// A complete reference.
#[derive(Debug, PartialEq)]
struct Reference<'a> {
    domain: &'a str,
    path: Cow<'a, str>,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// `None` if the text is not a reference, or could be the id of an image.
    fn parse(text: &'a str) -> Option<Self> {
        if may_be_id(text) {
            return None;
        }
        let (name, tag, digest) = split(text);
        let (domain, path) = whole(name);
        let is_path = path.split('/').all(is_path_part);
        let ok = is_path && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
        ok.then_some(Self {
            domain,
            path,
            tag,
            digest,
        })
    }
}

fn matches(pattern: &str, image: &Reference<'_>) -> bool {
    let (name, tag, digest) = split(pattern);
    // With a tag and a digest, the digest decides which image it is.
    let version = match (tag, digest) {
        (_, Some(digest)) => image.digest == Some(digest),
        (Some(tag), None) => image.digest.is_none() && image.tag.unwrap_or("latest") == tag,
        (None, None) => true,
    };
    if name == "**" {
        return version;
    }
    let (domain, path) = whole(name);
    version && domain == image.domain && path_matches(&path, &image.path)
}

fn path_matches(pattern: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    for wanted in pattern.split('/') {
        match (wanted, parts.next()) {
            ("**", first) => return first.is_some(),
            ("*", Some(_)) => {}
            (wanted, Some(part)) if wanted == part => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

/// Domain and path of a name (`splitDockerDomain`).
fn whole(name: &str) -> (&str, Cow<'_, str>) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if is_domain(first) => (first, rest),
        _ => ("docker.io", name),
    };
    let domain = if domain == "index.docker.io" {
        "docker.io"
    } else {
        domain
    };
    if domain == "docker.io" && !path.contains('/') {
        return (domain, format!("library/{path}").into());
    }
    (domain, path.into())
}

/// Name, tag and digest.
fn split(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (text, digest) = match text.split_once('@') {
        Some((text, digest)) => (text, Some(digest)),
        None => (text, None),
    };
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag), digest),
        _ => (text, None, digest),
    }
}

/// Engines look up hex digits as an image id, or the beginning of one, before they look up a name.
fn may_be_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    digits.len() <= 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_whole_id(text: &str) -> bool {
    is_digest(text) || is_hex(text, 64)
}

fn is_digest(text: &str) -> bool {
    match text.split_once(':') {
        Some(("sha256", hex)) => is_hex(hex, 64),
        Some(("sha512", hex)) => is_hex(hex, 128),
        _ => false,
    }
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_domain(first: &str) -> bool {
    let is_marked = first.contains(['.', ':']) || first == "localhost";
    (is_marked || first.bytes().any(|b| b.is_ascii_uppercase()))
        && first
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".:-[]".contains(&b))
}

fn is_path_part(part: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && part.bytes().all(|b| is_plain(b) || b"._-".contains(&b))
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(pattern: &str, image: &str) -> bool {
        assert!(is_pattern(pattern), "{pattern}");
        Reference::parse(image).is_some_and(|image| matches(pattern, &image))
    }

    #[test]
    fn short_names_are_completed_before_they_are_compared() {
        for (pattern, image, expected) in [
            ("alpine", "alpine", true),
            ("alpine", "docker.io/library/alpine:3", true),
            ("alpine", "index.docker.io/library/alpine", true),
            ("docker.io/library/*", "alpine", true),
            ("alpine", "evil/alpine", false),
            ("alpine", "evil.io/library/alpine", false),
            ("alpine", "localhost/alpine", false),
            ("alpine", "Alpine/alpine", false),
            ("alpine:3", "alpine:3", true),
            ("alpine:3", "alpine", false),
            ("alpine:latest", "alpine", true),
            ("ghcr.io/team/*", "ghcr.io/team/app:1", true),
            ("ghcr.io/team/*", "ghcr.io/team/app/sub", false),
            ("ghcr.io/team/**", "ghcr.io/team/app/sub", true),
            ("ghcr.io/team/**", "ghcr.io/teams/app", false),
            ("reg:5000/a", "reg:5000/a:1", true),
            ("**", "anything.io/x", true),
            ("team/*", "docker.io/team/x", true),
        ] {
            assert_eq!(allowed(pattern, image), expected, "{pattern} {image}");
        }
    }

    #[test]
    fn a_tag_beside_a_digest_is_ignored() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert!(!allowed("alpine:3", &format!("alpine:3@{digest}")));
        assert!(allowed("alpine", &format!("alpine:3@{digest}")));
        assert!(allowed(
            &format!("alpine@{digest}"),
            &format!("alpine:4@{digest}")
        ));
    }

    #[test]
    fn texts_that_may_be_ids_or_are_not_references_are_refused() {
        for text in [
            "deadbeef",
            "cafe",
            "sha256:0a",
            "",
            "a//b",
            "/a",
            "a b",
            "alpine:",
            "a@sha256:00",
            "ALPINE",
            "alpine:3:4",
            "a/../b",
            "\u{17f}cratch",
        ] {
            assert_eq!(Reference::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_wildcard_is_a_whole_part() {
        for text in [
            "ghcr.io/*x",
            "",
            "a/**/b",
            "alpine:*",
            "a b",
            "*.io/a",
            "alpine@x",
        ] {
            assert!(!is_pattern(text), "{text}");
        }
    }
}
