//! Applies the `filters` of `GET /volumes` to cluster volumes, which an engine does
//! not filter (moby lists them with an empty `ListVolumesRequest`).

use std::collections::HashMap;

use super::Row;

/// The values of each filter, as the client gave them; empty is no filter.
///
/// As in the engine, names and drivers are alternatives, all labels must match,
/// and so must all filters. Two filters only approximate the engine's:
/// - To the engine, a name is a Go regular expression. Here it is plain text with
///   `^`, `$`, `.` and escaped characters. A richer expression is not evaluated:
///   the volume is listed rather than hidden.
/// - To the engine, `dangling` means that no container refers to the volume. A
///   row does not show that; here it means that the volume is published to no
///   node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeFilter {
    /// `name`: one of these is in the volume's name.
    pub names: Vec<String>,
    /// `driver`: one of these is the driver.
    pub drivers: Vec<String>,
    /// `label`: `key` or `key=value`.
    pub labels: Vec<String>,
    /// `dangling`.
    pub dangling: Option<bool>,
}

impl VolumeFilter {
    /// Whether a cluster volume is one the client asked for.
    pub(super) fn admits(&self, row: &Row<'_>) -> bool {
        self.admits_name(&row.name)
            && (self.drivers.is_empty() || self.drivers.iter().any(|driver| *driver == row.driver))
            && self.admits_labels(row)
            && self.admits_use(row)
    }

    fn admits_name(&self, name: &str) -> bool {
        self.names.is_empty()
            || self.names.iter().any(|pattern| {
                pattern == name || Pattern::parse(pattern).is_none_or(|p| p.matches(name))
            })
    }

    fn admits_labels(&self, row: &Row<'_>) -> bool {
        if self.labels.is_empty() {
            return true;
        }
        let labels: HashMap<String, String> = row
            .labels
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        self.labels.iter().all(|label| match label.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|own| own == value),
            None => labels.contains_key(label),
        })
    }

    fn admits_use(&self, row: &Row<'_>) -> bool {
        let published = row
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.publish_status.as_ref())
            .is_some_and(|nodes| !nodes.is_empty());
        self.dangling.is_none_or(|dangling| dangling != published)
    }
}

/// A regular expression that is simple enough to be matched here.
struct Pattern {
    at_start: bool,
    at_end: bool,
    /// `None` is any character.
    characters: Vec<Option<char>>,
}

impl Pattern {
    /// `None` if the expression is richer.
    fn parse(expression: &str) -> Option<Self> {
        let (at_start, rest) = match expression.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, expression),
        };
        let mut at_end = false;
        let mut characters = Vec::new();
        let mut rest = rest.chars();
        while let Some(c) = rest.next() {
            match c {
                '$' if rest.as_str().is_empty() => at_end = true,
                '.' => characters.push(None),
                '\\' => {
                    let escaped = rest.next().filter(char::is_ascii_punctuation)?;
                    characters.push(Some(escaped));
                }
                '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => {
                    return None;
                }
                _ => characters.push(Some(c)),
            }
        }
        Some(Self {
            at_start,
            at_end,
            characters,
        })
    }

    fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let Some(last) = name.len().checked_sub(self.characters.len()) else {
            return false;
        };
        let first = if self.at_end { last } else { 0 };
        let last = if self.at_start { 0 } else { last };
        (first..=last).any(|start| {
            let part = name.iter().skip(start);
            let mut pairs = self.characters.iter().zip(part);
            pairs.all(|(wanted, c)| wanted.is_none_or(|wanted| wanted == *c))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(filter: &VolumeFilter, row: &str) -> bool {
        filter.admits(&serde_json::from_str(row).unwrap())
    }

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    #[test]
    fn names_match_as_the_simple_regular_expressions_they_mostly_are() {
        let table = [
            ("data", "my-data-1", true),
            ("", "x", true),
            ("^data", "my-data", false),
            ("^data", "data-1", true),
            ("data$", "my-data", true),
            ("data$", "data-1", false),
            ("^data$", "data", true),
            ("^data$", "data1", false),
            ("^$", "x", false),
            ("d.ta", "dxta", true),
            ("d\\.ta", "dxta", false),
            ("d\\.ta", "d.ta", true),
            ("longer than the name", "x", false),
            // Richer ones are not guessed at: listed.
            ("^(a|b)$", "c", true),
            ("a\\d", "c", true),
            ("a+b", "a+b", true),
        ];
        for (pattern, name, expected) in table {
            let filter = VolumeFilter {
                names: strings(&[pattern]),
                ..VolumeFilter::default()
            };
            assert_eq!(filter.admits_name(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn drivers_are_alternatives_and_labels_are_not() {
        let row = r#"{"Name":"v","Driver":"csi","Labels":{"a":"1","b":""}}"#;
        let table = [
            (strings(&[]), strings(&[]), true),
            (strings(&["nfs", "csi"]), strings(&[]), true),
            (strings(&["nfs"]), strings(&[]), false),
            (strings(&[]), strings(&["a"]), true),
            (strings(&[]), strings(&["a=1", "b="]), true),
            (strings(&[]), strings(&["a=1", "c"]), false),
            (strings(&[]), strings(&["a=2"]), false),
            (strings(&["nfs"]), strings(&["a"]), false),
        ];
        for (drivers, labels, expected) in table {
            let filter = VolumeFilter {
                drivers,
                labels,
                ..VolumeFilter::default()
            };
            assert_eq!(admits(&filter, row), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_volume_without_labels_matches_no_label() {
        let filter = VolumeFilter {
            labels: strings(&["a"]),
            ..VolumeFilter::default()
        };
        assert!(!admits(&filter, r#"{"Name":"v","Labels":null}"#));
        assert!(!admits(&filter, r#"{"Name":"v"}"#));
    }

    #[test]
    fn a_volume_published_to_a_node_is_not_dangling() {
        let used = r#"{"Name":"v","ClusterVolume":{"ID":"x","PublishStatus":[{"NodeID":"n"}]}}"#;
        let unused = r#"{"Name":"v","ClusterVolume":{"ID":"x","PublishStatus":null}}"#;
        for (dangling, expected) in [
            (None, (true, true)),
            (Some(true), (false, true)),
            (Some(false), (true, false)),
        ] {
            let filter = VolumeFilter {
                dangling,
                ..VolumeFilter::default()
            };
            assert_eq!((admits(&filter, used), admits(&filter, unused)), expected);
        }
    }
}
