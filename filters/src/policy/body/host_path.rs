//! Judges paths of the host by the grants of a policy.
//!
//! A path is cleaned as text, as engines do. This module cannot see symbolic links
//! on the host, so grant no folder in which others can create links.

use super::{Check, listed};
use crate::json::quoted;
use crate::policy::verdict::Judged;

/// Whether a policy may grant this: an absolute path, plain, perhaps with `:ro`.
pub(crate) fn is_grant(text: &str) -> bool {
    let path = text.strip_suffix(":ro").unwrap_or(text);
    let plain = clean(path);
    // A trailing slash is harmless; anything else that cleaning removes is a mistake.
    plain.is_some_and(|plain| plain.len() + 1 >= path.len() && !has_dots(path))
}

/// Denies a path of the host that is not granted, for writing if `writable`.
pub(super) fn bind(check: &Check<'_>, field: &str, path: &str, writable: bool) -> Judged {
    let granted = check.may.binds.iter().any(|grant| {
        let (root, writable_grant) = match grant.strip_suffix(":ro") {
            Some(root) => (root, false),
            None => (grant.as_str(), true),
        };
        (root == "*" || is_below(path, root)) && (writable_grant || !writable)
    });
    check.grant(granted, "may.binds", || {
        let how = if writable {
            "the path"
        } else {
            "to read the path"
        };
        format!("{field} asks for {how} {} of the host", quoted(path))
    })
}

/// Denies a device that is not granted.
pub(super) fn device(check: &Check<'_>, path: &str) -> Judged {
    let devices = &check.may.devices;
    let granted = listed(devices, path) || devices.iter().any(|root| is_below(path, root));
    check.grant(granted, "may.devices", || {
        format!("the device {}", quoted(path))
    })
}

/// Whether `path` is `root` or below it, once cleaned.
pub(in crate::policy) fn is_below(path: &str, root: &str) -> bool {
    match (Clean::of(path), Clean::of(root)) {
        (Some(path), Some(root)) => path.is_below(&root),
        (None, _) | (_, None) => false,
    }
}

/// An absolute path without `.`, `..` and empty parts, with slashes only; Windows' in
/// lower case.
pub(in crate::policy) struct Clean(String);

impl Clean {
    /// `None` if the path is not absolute.
    pub(in crate::policy) fn of(path: &str) -> Option<Self> {
        clean(path).map(Self)
    }

    /// Whether it leads through a link in `/proc`, such as `/proc/1/root`, which is
    /// another spelling of any path.
    pub(in crate::policy) fn is_link_of_a_process(&self) -> bool {
        let mut parts = self.0.split('/').skip(1);
        let is_link = |part: &str| matches!(part, "root" | "cwd" | "exe" | "fd" | "map_files");
        parts.next() == Some("proc") && parts.skip(1).any(is_link)
    }

    pub(in crate::policy) fn is_below(&self, root: &Self) -> bool {
        match self.0.strip_prefix(&root.0) {
            Some("") => true,
            Some(rest) => rest.starts_with('/') || root.0.ends_with('/'),
            None => false,
        }
    }
}

/// Whether a part of the path is `.` or `..`.
pub(super) fn has_dots(path: &str) -> bool {
    path.split(['/', '\\'])
        .any(|part| matches!(part, "." | ".."))
}

/// A path of Windows: `C:\x`, `c:/x`, `\\.\pipe\x`.
pub(super) fn is_windows(path: &str) -> bool {
    let bytes = path.as_bytes();
    let has_drive = bytes.len() > 2
        && bytes[0].is_ascii_alphabetic()
        && bytes[1] == b':'
        && matches!(bytes[2], b'/' | b'\\');
    has_drive || path.starts_with('\\')
}

/// The path without `.`, `..` and empty parts, with slashes only; Windows'
/// in lower case. `None` if it is not absolute.
fn clean(path: &str) -> Option<String> {
    if path.contains('\0') {
        return None;
    }
    let lower;
    let (prefix, rest) = if is_windows(path) {
        lower = path.to_ascii_lowercase().replace('\\', "/");
        let drive = if lower.starts_with('/') { 0 } else { 2 };
        // Two slashes start a share or a pipe; one belongs to no drive, and is not Linux' root.
        let prefix = match drive {
            0 if lower.starts_with("//") => "/",
            0 => "\\",
            _ => &lower[..drive],
        };
        (prefix, &lower[drive..])
    } else {
        ("", path.strip_prefix('/').map(|_| path)?)
    };
    let mut parts = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(format!("{prefix}/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_paths_below_a_grant_are_covered() {
        for (path, root, expected) in [
            ("/srv/data", "/srv/data", true),
            ("/srv/data/", "/srv/data", true),
            ("/srv/data/a/./b", "/srv/data/", true),
            ("//srv//data/a", "/srv/data", true),
            ("/srv/data/../data/a", "/srv/data", true),
            ("/srv/database", "/srv/data", false),
            ("/srv/data/../../etc", "/srv/data", false),
            ("/srv", "/srv/data", false),
            ("/../srv/data", "/srv/data", true),
            ("/", "/srv", false),
            ("/etc", "/", true),
            ("srv/data", "/srv/data", false),
            ("", "/", false),
            ("/srv/data\0", "/srv/data", false),
            ("C:\\Data\\x", "c:/data", true),
            ("C:\\Data\\..\\Windows", "c:\\data", false),
            ("\\\\.\\pipe\\docker_engine", "//./pipe", false),
            ("\\\\host\\share\\a", "\\\\host\\share", true),
            ("\\etc", "/etc", false),
        ] {
            assert_eq!(is_below(path, root), expected, "{path} {root}");
        }
    }

    #[test]
    fn a_grant_is_an_absolute_plain_path() {
        for (text, expected) in [
            ("/srv/data", true),
            ("/srv/data/", true),
            ("/srv/data:ro", true),
            ("C:\\data", true),
            ("/", true),
            ("srv", false),
            ("/srv/../etc", false),
            ("/srv/./x", false),
            ("", false),
        ] {
            assert_eq!(is_grant(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_clean_path_stays_as_it_is(path in "[/a.]{0,12}") {
            if let Some(once) = clean(&path) {
                prop_assert_eq!(clean(&once), Some(once.clone()));
                prop_assert!(is_below(&path, "/"));
            }
        }
    }
}
