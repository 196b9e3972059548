//! Parses and prints durations: `500ms`, `30s`, `5m`, `24h`, `7d`, `1m30s`.
//!
//! Not `humantime`: it also reads `3 s`, months and years, and `1M` beside `1m`.

use std::time::Duration;

/// The units with their milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time is a number with a unit: 500ms, 30s, 5m, 24h, 7d")]
pub struct BadDuration;

/// Reads one or more whole numbers, each with its unit; they are added up.
///
/// # Errors
/// The text is something else, or longer than the type can hold.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    loop {
        let (number, tail) = split_at_first(rest, |c| !c.is_ascii_digit());
        let (unit, tail) = split_at_first(tail, |c| !c.is_ascii_alphabetic());
        let (_, milliseconds) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or(BadDuration)?;
        let number: u64 = number.parse().map_err(|_| BadDuration)?;
        let part = number.checked_mul(milliseconds).ok_or(BadDuration)?;
        total = total
            .checked_add(Duration::from_millis(part))
            .ok_or(BadDuration)?;
        if tail.is_empty() {
            return Ok(total);
        }
        rest = tail;
    }
}

/// Writes a duration in the largest unit that it is a multiple of. Fractions of
/// a millisecond are left out.
pub fn format_duration(duration: Duration) -> String {
    let total = duration.as_millis();
    let exact = |(_, unit): &(&str, u64)| total.is_multiple_of(u128::from(*unit));
    match UNITS.into_iter().find(exact) {
        Some((name, unit)) if total > 0 => format!("{}{name}", total / u128::from(unit)),
        _ => "0s".to_owned(),
    }
}

fn split_at_first(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_with_units_are_added_up() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("90m", 5_400_000),
            ("1h30m", 5_400_000),
            ("1m30s", 90_000),
            ("7d", 604_800_000),
            ("1s1s", 2000),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_number_alone_an_unknown_unit_or_a_space_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            " 5s",
            "5s ",
            "1.5s",
            "-5s",
            "+5s",
            "5S",
            "5M",
            "5min",
            "1m30",
            "1w",
            "5x",
            "5s3",
            "5µs",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(parse_duration(text), Err(BadDuration), "{text}");
        }
    }

    #[test]
    fn the_largest_exact_unit_is_written() {
        for (milliseconds, text) in [
            (0, "0s"),
            (1, "1ms"),
            (1500, "1500ms"),
            (60_000, "1m"),
            (90_000, "90s"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(milliseconds)), text);
        }
    }

    proptest! {
        #[test]
        fn a_duration_reads_back_as_it_was_written(milliseconds: u64) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9mshd .+é-]{0,24}") {
            let _ = parse_duration(&text);
        }
    }
}
