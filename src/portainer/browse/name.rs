//! Translates between callers' paths and the names on disk.
//!
//! Names on disk are bytes. A name that is not UTF-8 is shown with each
//! offending byte as `%XX` (and its `%` as `%25`). Callers may use that form,
//! unless a file has literally that name.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use cap_std::fs::Dir;

use super::Problem;
use crate::platform;

/// Parses a caller's path, which is beneath the root; empty for the root itself.
///
/// # Errors
/// If it has a `..` in it, or a part that cannot be a name.
pub(super) fn relative(requested: &str) -> Result<PathBuf, Problem> {
    let mut path = PathBuf::new();
    for part in requested
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
    {
        if !is_name(OsStr::new(part)) {
            let why = format!("the path {requested:?} is not within the volume");
            return Err(Problem::request(why));
        }
        path.push(part);
    }
    Ok(path)
}

/// Whether this is a single name: no `..`, no separator, no drive, no NUL.
pub(super) fn is_name(part: &OsStr) -> bool {
    let mut components = Path::new(part).components();
    let one = matches!(components.next(), Some(Component::Normal(name)) if name == part);
    one && components.next().is_none() && !part.as_encoded_bytes().contains(&0)
}

/// The text for a name.
pub(super) fn shown(name: &OsStr) -> String {
    let bytes = name.as_encoded_bytes();
    if let Ok(text) = str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            shown.push_str(&format!("%{byte:02X}"));
        }
    }
    shown
}

/// The path as it is written if that exists, else as decoded from the form of
/// [`shown`].
pub(super) fn existing(dir: &Dir, path: &Path) -> PathBuf {
    match dir.symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        _ => return path.to_owned(),
    }
    let read = as_shown(path).filter(|read| dir.symlink_metadata(read).is_ok());
    read.unwrap_or_else(|| path.to_owned())
}

/// Decodes every part of a path that is in the form of [`shown`].
fn as_shown(path: &Path) -> Option<PathBuf> {
    let read = |part: &OsStr| read(part).unwrap_or_else(|| part.to_owned());
    let whole: PathBuf = path.iter().map(read).collect();
    (whole != path).then_some(whole)
}

/// Decodes the form of [`shown`]; `None` if the result would be UTF-8.
fn read(shown: &OsStr) -> Option<OsString> {
    let mut rest = shown.to_str()?.bytes();
    let mut bytes = Vec::new();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |d: u8| char::from(d).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    if str::from_utf8(&bytes).is_ok() {
        return None;
    }
    platform::os_string_from_bytes(bytes).filter(|name| is_name(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_stays_beneath_the_root() {
        for (requested, path) in [
            ("/", ""),
            ("", ""),
            ("a", "a"),
            ("/a//b/", "a/b"),
            ("./a/./b", "a/b"),
            ("/a/..b/...", "a/..b/..."),
            ("/a b/%2e%2e", "a b/%2e%2e"),
        ] {
            assert_eq!(
                relative(requested).unwrap(),
                Path::new(path),
                "{requested:?}"
            );
        }
        for requested in ["..", "/..", "a/../b", "/a/b/..", "a\0b", "../../etc/passwd"] {
            let refused = relative(requested).unwrap_err();
            assert_eq!(refused.status(), 400, "{requested:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_in_percent_form_cannot_leave_the_root() {
        for shown in [
            "%2e%2e",
            "%FF%2F..%2F..",
            "%FF%00",
            "%2",
            "%zz",
            "plain",
            "%C3%BC",
        ] {
            assert_eq!(read(OsStr::new(shown)), None, "{shown}");
        }
    }

    #[cfg(unix)]
    proptest! {
        #[test]
        fn a_name_that_is_not_utf8_is_found_in_its_shown_form(bytes in proptest::collection::vec(1u8.., 1..20)) {
            let name = platform::os_string_from_bytes(bytes).unwrap();
            prop_assume!(is_name(&name) && name.to_str().is_none());
            let shown = shown(&name);
            prop_assert_eq!(read(OsStr::new(&shown)), Some(name));
        }
    }
}
