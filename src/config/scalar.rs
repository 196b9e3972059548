//! Reads single values: times, sizes, names and choices. For addresses, see
//! `address.rs`.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use skep_filters::scalar::{BadSize, Size, format_duration, parse_duration};

use super::error::ValueError;
use super::suggest;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// `true` or `false`.
pub(super) fn flag(text: &str) -> Result<bool, ValueError> {
    choice(text, "true or false", &[("true", true), ("false", false)])
}

/// One of a few words.
pub(super) fn choice<T: Copy>(
    text: &str,
    what: &str,
    choices: &[(&'static str, T)],
) -> Result<T, ValueError> {
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
    Err(
        ValueError::new(format!("`{text}` is not {what}")).help(suggest::help(
            text,
            "it can be",
            &words,
        )),
    )
}

/// A time such as `30s` or `1h30m`, within `range`.
pub(super) fn duration(
    text: &str,
    range: RangeInclusive<Duration>,
) -> Result<Duration, ValueError> {
    let value = parse_duration(text)
        .map_err(|bad| ValueError::new(format!("`{text}` is not a time")).help(bad.to_string()))?;
    within(text, value, range, format_duration)
}

/// A size such as `64MiB`, in bytes, within `range`.
pub(super) fn size(text: &str, range: RangeInclusive<usize>) -> Result<usize, ValueError> {
    let Size(bytes) = text.parse().map_err(|bad: BadSize| {
        ValueError::new(format!("`{text}` is not a size")).help(bad.to_string())
    })?;
    // More than this machine can address is out of any range.
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    within(text, bytes, range, |bytes| Size(bytes as u64).to_string())
}

fn within<T: Copy + PartialOrd>(
    text: &str,
    value: T,
    range: RangeInclusive<T>,
    write: impl Fn(T) -> String,
) -> Result<T, ValueError> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (write(*range.start()), write(*range.end()));
    Err(ValueError::new(format!("`{text}` is out of range"))
        .help(format!("it can be from {low} to {high}")))
}

/// A whole number within `range`.
pub(super) fn whole(text: &str, range: RangeInclusive<usize>) -> Result<usize, ValueError> {
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            ValueError::new(format!("`{text}` is not a number from {low} to {high}"))
        })
}

/// A path, whether a file is there or not.
pub(super) fn path(text: &str) -> Result<PathBuf, ValueError> {
    if text.is_empty() || text.contains('\0') {
        return Err(ValueError::new("this is not a path").help("a path has at least one character"));
    }
    Ok(PathBuf::from(text))
}

/// The id of a key. It needs no escaping in headers and log lines.
pub(super) fn key_id(text: &str) -> Result<String, ValueError> {
    plain(text, "a key id", "ci")
}

/// The name of a caller without a key, under the rules for the id of one.
pub(super) fn name(text: &str) -> Result<String, ValueError> {
    plain(text, "a name", "alice")
}

/// Whom to ask, in a few words of one line.
pub(super) fn contact(text: &str) -> Result<String, ValueError> {
    let text = text.trim();
    if (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(ValueError::new("this is not a contact").help(
        "1 to 200 characters on one line, for example ops@example.com or #platform in the chat",
    ))
}

fn plain(text: &str, what: &str, example: &str) -> Result<String, ValueError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && text.len() <= 64 && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    let help = "1 to 64 letters, digits, `.`, `_`, `@` and `-`, the first a letter or digit";
    Err(ValueError::new(format!("`{text}` is not {what}"))
        .help(format!("{help}, for example `{example}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: RangeInclusive<Duration> = Duration::ZERO..=Duration::MAX;

    #[test]
    fn a_time_out_of_range_is_refused_with_the_range() {
        let range = Duration::from_secs(1)..=Duration::from_secs(300);
        assert!(duration("1s", range.clone()).is_ok());
        assert!(duration("300s", range.clone()).is_ok());
        let error = duration("301s", range).unwrap_err();
        assert_eq!(error.help.as_deref(), Some("it can be from 1s to 5m"));
    }

    #[test]
    fn a_size_out_of_range_is_refused_with_the_range() {
        let range = 1024..=1 << 30;
        assert_eq!(size("1KiB", range.clone()), Ok(1024));
        assert_eq!(size("1g", range.clone()), Ok(1 << 30));
        for text in ["1023", "1073741825", "2GiB"] {
            let error = size(text, range.clone()).unwrap_err();
            assert_eq!(error.help.as_deref(), Some("it can be from 1KiB to 1GiB"));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in ".{0,40}") {
            let _ = duration(&text, ALL);
            let _ = size(&text, 0..=usize::MAX);
            let _ = key_id(&text);
        }
    }
}
