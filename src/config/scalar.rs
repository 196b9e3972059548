//! Reads single values: times, sizes, names and choices. Addresses have a file of their own.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{error::Refusal, suggest};

const DURATION_HELP: &str = "a time is a number with a unit: 500ms, 30s, 5m, 24h, 7d";
const SIZE_HELP: &str = "a size is a whole number with a unit: 512KiB, 64MiB, 1GiB";

/// One of a few words.
pub(super) fn choice<T: Copy>(
    text: &str,
    what: &str,
    choices: &[(&'static str, T)],
) -> Result<T, Refusal> {
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
    Err(
        Refusal::new(format!("`{text}` is not {what}")).help(suggest::help(
            text,
            "it can be",
            &words,
        )),
    )
}

/// A time such as `30s` or `1h30m`, within `range`.
pub(super) fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, Refusal> {
    let value = sum_of_units(text)
        .ok_or_else(|| Refusal::new(format!("`{text}` is not a time")).help(DURATION_HELP))?;
    if range.contains(&value) {
        return Ok(value);
    }
    let bound = format!("from {} to {}", human(*range.start()), human(*range.end()));
    Err(Refusal::new(format!("`{text}` is out of range")).help(format!("it can be {bound}")))
}

fn sum_of_units(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(milliseconds)?;
        total = total.checked_add(Duration::from_millis(part))?;
        if tail.is_empty() {
            return Some(total);
        }
        rest = tail;
    }
}

/// The shortest way to write a time.
fn human(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms == 0 {
        return "0s".to_owned();
    }
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ];
    match units.iter().find(|(size, _)| ms.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", ms / size),
        None => format!("{ms}ms"),
    }
}

/// A size such as `64MiB`, in bytes, within `range`.
pub(super) fn size(text: &str, range: RangeInclusive<usize>) -> Result<usize, Refusal> {
    let value = bytes(text)
        .ok_or_else(|| Refusal::new(format!("`{text}` is not a size")).help(SIZE_HELP))?;
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (range.start() / 1024, range.end() / 1024);
    Err(Refusal::new(format!("`{text}` is out of range"))
        .help(format!("it can be from {low}KiB to {high}KiB")))
}

fn bytes(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor)
}

/// A whole number within `range`.
pub(super) fn whole(text: &str, range: RangeInclusive<usize>) -> Result<usize, Refusal> {
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            Refusal::new(format!("`{text}` is not a number from {low} to {high}"))
        })
}

/// A path; whether there is a file is not looked at.
pub(super) fn path(text: &str) -> Result<PathBuf, Refusal> {
    if text.is_empty() || text.contains('\0') {
        return Err(Refusal::new("this is not a path").help("a path has at least one character"));
    }
    Ok(PathBuf::from(text))
}

/// The id of a key: it stands in headers and log lines, so it is kept plain.
pub(super) fn key_id(text: &str) -> Result<String, Refusal> {
    plain(text, "a key id", "ci")
}

/// The name of somebody who calls without a key; as plain as the id of one.
pub(super) fn name(text: &str) -> Result<String, Refusal> {
    plain(text, "a name", "alice")
}

fn plain(text: &str, what: &str, example: &str) -> Result<String, Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && text.len() <= 64 && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    let help = "1 to 64 letters, digits, `.`, `_`, `@` and `-`, the first a letter or digit";
    Err(Refusal::new(format!("`{text}` is not {what}"))
        .help(format!("{help}, for example `{example}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: RangeInclusive<Duration> = Duration::ZERO..=Duration::MAX;

    #[test]
    fn times_have_units_and_may_be_sums() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(duration(text, ALL), Ok(expected), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "5x",
            "1.5s",
            "-5s",
            "5s3",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(duration(text, ALL).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_out_of_range_is_refused_with_the_range() {
        let range = Duration::from_secs(1)..=Duration::from_secs(300);
        assert!(duration("1s", range.clone()).is_ok());
        assert!(duration("300s", range.clone()).is_ok());
        let refusal = duration("301s", range).unwrap_err();
        assert_eq!(refusal.help.as_deref(), Some("it can be from 1s to 5m"));
    }

    #[test]
    fn sizes_have_units_and_never_overflow() {
        for (text, bytes) in [("1B", 1), ("2kB", 2000), ("64MiB", 64 << 20)] {
            assert_eq!(size(text, 0..=usize::MAX), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "64",
            "MiB",
            "64mib",
            "64 MiB",
            "99999999999999999999GiB",
        ] {
            assert!(size(text, 0..=usize::MAX).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in ".{0,40}") {
            let _ = duration(&text, ALL);
            let _ = size(&text, 0..=usize::MAX);
            let _ = key_id(&text);
        }

        #[test]
        fn what_is_written_for_a_time_is_read_back(ms in 0u64..10_000_000_000) {
            let time = Duration::from_millis(ms);
            proptest::prop_assert_eq!(duration(&human(time), ALL), Ok(time));
        }
    }
}
