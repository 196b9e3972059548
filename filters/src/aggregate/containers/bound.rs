//! Compares rows with the `before` or `since` container of a list.

use std::cmp::Ordering;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The place of a container in the merged list: its second, then its node.
///
/// The rows of the other nodes have whole seconds, so the nanoseconds of the
/// reference do not say which of two containers of one second is older. The
/// merged list orders such rows by node id, and so does this: `before` and
/// `since` then divide that list in two, and a client that pages with
/// `before=<last row>` neither misses a row nor sees one twice.
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
pub(in crate::aggregate) fn unix_seconds(time: &str) -> Option<i64> {
    // The parser takes any separator of date and time.
    let separator = time.get(10..11)?;
    let time = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    separator
        .eq_ignore_ascii_case("T")
        .then(|| time.unix_timestamp())
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
