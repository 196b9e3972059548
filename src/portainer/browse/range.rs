//! Evaluates the conditions and the range of a request for a file: RFC 9110 §13
//! and §14, as far as they apply to a file with a modification time but without
//! an entity tag. A request for several ranges gets the whole file (§14.2).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};

/// The part of a file to answer with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// `length` bytes from `start`.
    Some {
        start: u64,
        length: u64,
    },
    /// None: the client's copy is current.
    NotModified,
    /// None: the range lies outside the file.
    Unsatisfiable,
}

/// Rounds a file's time for a header: whole seconds, between 1970 and 9999.
pub(super) fn as_http_date(modified: Option<SystemTime>) -> Option<SystemTime> {
    const YEAR_10000: u64 = 253_402_300_800;
    let seconds = modified?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    (seconds < YEAR_10000).then(|| UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The part that answers a request for a file of this length and time.
pub(super) fn part(headers: &HeaderMap, length: u64, modified: Option<SystemTime>) -> Part {
    let time = |name: &HeaderName| httpdate::parse_http_date(text(headers, name)?).ok();
    if let (Some(since), Some(modified)) = (time(&IF_MODIFIED_SINCE), modified)
        && !headers.contains_key(IF_NONE_MATCH)
        && modified <= since
    {
        return Part::NotModified;
    }
    // No entity tag matches, for we send none; an older time is another file's.
    if headers.contains_key(IF_RANGE) && (modified.is_none() || time(&IF_RANGE) != modified) {
        return Part::Whole;
    }
    text(headers, &RANGE).map_or(Part::Whole, |range| of_range(range, length))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A range that cannot be parsed is ignored (§14.2).
fn of_range(range: &str, length: u64) -> Part {
    let Some((unit, range)) = range.split_once('=') else {
        return Part::Whole;
    };
    let Some((first, last)) = range.trim().split_once('-') else {
        return Part::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || range.contains(',') {
        return Part::Whole;
    }
    let (start, end) = match (number(first), number(last)) {
        // `-n`: the last n bytes.
        (None, Some(count)) if first.is_empty() => (length.saturating_sub(count), length),
        (Some(start), None) if last.is_empty() => (start, length),
        (Some(start), Some(last)) if start <= last => (start, length.min(last.saturating_add(1))),
        _ => return Part::Whole,
    };
    if start >= end {
        return Part::Unsatisfiable;
    }
    Part::Some {
        start,
        length: end - start,
    }
}

/// Digits only; a number too large for `u64` means "beyond the end".
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some(start: u64, length: u64) -> Part {
        Part::Some { start, length }
    }

    #[test]
    fn ranges_are_parsed_as_in_the_rfc() {
        for (range, part) in [
            ("bytes=0-4", some(0, 5)),
            ("bytes=5-", some(5, 5)),
            ("bytes=-3", some(7, 3)),
            ("bytes=-30", some(0, 10)),
            ("bytes=9-99999999999999999999999", some(9, 1)),
            ("Bytes=0-0", some(0, 1)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=4-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("lines=0-4", Part::Whole),
            ("0-4", Part::Whole),
        ] {
            assert_eq!(of_range(range, 10), part, "{range}");
        }
        assert_eq!(of_range("bytes=0-", 0), Part::Unsatisfiable);
    }

    #[test]
    fn conditions_come_before_ranges() {
        let modified = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let same = httpdate::fmt_http_date(modified);
        let older = httpdate::fmt_http_date(modified - Duration::from_secs(1));
        let ask = |headers: &[(HeaderName, &str)]| {
            let pairs = headers.iter().map(|(n, v)| (n.clone(), v.parse().unwrap()));
            let headers: HeaderMap = pairs.collect();
            part(&headers, 10, Some(modified))
        };
        let range = (RANGE, "bytes=0-4");
        assert_eq!(ask(&[(IF_MODIFIED_SINCE, &same)]), Part::NotModified);
        assert_eq!(ask(&[(IF_MODIFIED_SINCE, &older)]), Part::Whole);
        assert_eq!(ask(&[(IF_MODIFIED_SINCE, "yesterday")]), Part::Whole);
        let tagged = ask(&[(IF_MODIFIED_SINCE, &same), (IF_NONE_MATCH, "\"x\"")]);
        assert_eq!(tagged, Part::Whole);
        assert_eq!(ask(&[range.clone(), (IF_RANGE, &same)]), some(0, 5));
        assert_eq!(ask(&[range.clone(), (IF_RANGE, &older)]), Part::Whole);
        assert_eq!(ask(&[range, (IF_RANGE, "\"x\"")]), Part::Whole);
    }

    #[test]
    fn a_time_outside_the_range_of_headers_is_omitted() {
        assert_eq!(
            as_http_date(Some(UNIX_EPOCH - Duration::from_secs(1))),
            None
        );
        assert_eq!(
            as_http_date(Some(UNIX_EPOCH + Duration::from_secs(1 << 40))),
            None
        );
        let fraction = UNIX_EPOCH + Duration::from_millis(1500);
        assert_eq!(
            as_http_date(Some(fraction)),
            Some(UNIX_EPOCH + Duration::from_secs(1))
        );
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(range in "(bytes=)?[0-9]{0,3}-[0-9]{0,3}", length in 0u64..200) {
            if let Part::Some { start, length: n } = of_range(&range, length) {
                prop_assert!(n > 0 && start + n <= length);
            }
        }
    }
}
