//! The place of a `before` or `since` container in the list of the cluster.

use std::cmp::Ordering;

/// Where a container stands in the merged list: its second, then its node.
///
/// The other nodes' rows tell whole seconds, so the reference's nanoseconds
/// cannot say which of two containers of one second is older. Such rows stand
/// as the merged list has them, by node id: then `before` and `since` part
/// that list in two, and a client that pages with `before=<last row>` neither
/// misses a row nor sees one twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    seconds: i64,
    owner: String,
}

/// A creation time that is not RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reference container's Created is not an RFC 3339 time")]
pub struct BoundError;

impl Bound {
    /// From the `Created` of the reference's inspect and the id of its node.
    ///
    /// # Errors
    /// [`BoundError`] if `created` is not an RFC 3339 time.
    pub fn new(created: &str, owner: impl Into<String>) -> Result<Self, BoundError> {
        Ok(Self {
            seconds: unix_seconds(created).ok_or(BoundError)?,
            owner: owner.into(),
        })
    }

    pub(super) fn is_owned_by(&self, node_id: &str) -> bool {
        self.owner == node_id
    }

    /// Whether this container is listed ahead of the given row, which is then older.
    pub(super) fn precedes(&self, created: i64, node_id: &str) -> bool {
        self.place(created, node_id) == Ordering::Less
    }

    /// Whether this container is listed after the given row, which is then newer.
    pub(super) fn follows(&self, created: i64, node_id: &str) -> bool {
        self.place(created, node_id) == Ordering::Greater
    }

    /// Newest first, then by node id.
    fn place(&self, created: i64, node_id: &str) -> Ordering {
        created
            .cmp(&self.seconds)
            .then_with(|| self.owner.as_str().cmp(node_id))
    }
}

/// The whole seconds since 1970 of an RFC 3339 time, rounded down.
fn unix_seconds(time: &str) -> Option<i64> {
    let (date, rest) = time.split_once(['T', 't'])?;
    let clock = rest.get(..8)?;
    let zone = skip_fraction(rest.get(8..)?)?;
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second - offset(zone)?)
}

/// What follows `.123`, if that is there.
fn skip_fraction(rest: &str) -> Option<&str> {
    let Some(fraction) = rest.strip_prefix('.') else {
        return Some(rest);
    };
    let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    (zone.len() < fraction.len()).then_some(zone)
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next()? {
        'Z' | 'z' => return (zone.len() == 1).then_some(0),
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let [hours, minutes] = fields(zone.get(1..)?, ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Exactly `N` decimal numbers of the given widths.
fn fields<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const DAYS_TO_1970: i64 = 719_162;
    if !(1..=31).contains(&day) {
        return None;
    }
    let before_month = BEFORE_MONTH.get(usize::try_from(month - 1).ok()?)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let leap_day = i64::from(is_leap && month > 2);
    let past = year - 1;
    // Euclidean, because `past` is -1 in the year 0.
    let leap_years = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    Some(past * 365 + leap_years + before_month + leap_day + day - 1 - DAYS_TO_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_times_become_unix_seconds() {
        let table = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59.999999999Z", Some(-1)),
            ("2024-02-29T12:34:56.123456789Z", Some(1_709_210_096)),
            ("2024-03-01T00:00:00Z", Some(1_709_251_200)),
            ("2000-12-31T23:59:59Z", Some(978_307_199)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
            ("2024-02-29T14:34:56.1+02:00", Some(1_709_210_096)),
            ("2024-02-29T07:04:56-05:30", Some(1_709_210_096)),
            ("0001-01-01T00:00:00Z", Some(-62_135_596_800)),
            ("2024-02-29T12:34:56", None),
            ("2024-02-29T12:34:56.Z", None),
            ("2024-02-29T12:34:56ZZ", None),
            ("2024-02-29 12:34:56Z", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-00-01T00:00:00Z", None),
            ("2024-01-00T00:00:00Z", None),
            ("2024-01-01T24:00:00Z", None),
            ("2024-01-01T0é:00:00Z", None),
            ("+024-01-01T00:00:00Z", None),
            ("2024-01-01T00:00:00é", None),
            ("", None),
        ];
        for (time, expected) in table {
            assert_eq!(unix_seconds(time), expected, "{time}");
        }
    }

    #[test]
    fn a_row_of_another_node_is_either_before_or_since() {
        let bound = Bound::new("1970-01-01T00:00:05.7Z", "n2").unwrap();
        for (created, node, is_before) in [
            (4, "n1", true),
            (6, "n3", false),
            (5, "n1", false),
            (5, "n3", true),
        ] {
            assert_eq!(bound.precedes(created, node), is_before);
            assert_eq!(bound.follows(created, node), !is_before);
        }
    }
}
