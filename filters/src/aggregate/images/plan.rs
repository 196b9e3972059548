//! Plans the query for each node when a list of images has `before` or `since`.
//!
//! An engine that lacks the image that such a filter names fails the whole call
//! (moby `imageService.Images`). So only the nodes that have this image get the
//! filter. The others are asked without it, and the merge leaves out their rows
//! by the time at which the image was created.

use crate::aggregate::BoundError;
use crate::aggregate::containers::{reference_in, unix_seconds, without_references};

/// The query of `GET /images/json`, read for the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImagePlan {
    raw: String,
    /// The name or id in `filters.before`.
    pub before: Option<String>,
    /// The same of `filters.since`.
    pub since: Option<String>,
}

/// The images that the two filters name, once they have been inspected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageQuery {
    /// Rows have to be older than this image.
    pub before: Option<ImageBound>,
    /// Rows have to be newer than this image.
    pub since: Option<ImageBound>,
}

/// The time at which an image was created, and the nodes that have the image.
///
/// Rows have whole seconds. An engine leaves out the images of the same moment as
/// the named one, and so does the merge with those of the same second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageBound {
    seconds: i64,
    owners: Vec<String>,
}

impl ImageBound {
    /// From the `Created` of the image's inspect, and the ids of the nodes that have it.
    ///
    /// # Errors
    /// [`BoundError`] if `created` is not an RFC 3339 time.
    pub fn new(created: &str, owners: Vec<String>) -> Result<Self, BoundError> {
        let seconds = unix_seconds(created).ok_or(BoundError)?;
        Ok(Self { seconds, owners })
    }

    fn has(&self, node: &str) -> bool {
        self.owners.iter().any(|owner| owner == node)
    }
}

/// Reads a raw query, without its `?`. A query that cannot be read is left for the
/// engines to refuse. So is a filter with several values, of which an engine picks
/// one at random.
#[must_use]
pub fn image_plan(raw_query: &str) -> ImagePlan {
    ImagePlan {
        raw: raw_query.to_owned(),
        before: reference_in(raw_query, "before"),
        since: reference_in(raw_query, "since"),
    }
}

impl ImagePlan {
    /// Whether an image has to be found before any node is asked.
    #[must_use]
    pub fn has_reference(&self) -> bool {
        self.before.is_some() || self.since.is_some()
    }

    /// The query for this node; unchanged if the node has both images.
    #[must_use]
    pub fn query_for(&self, node: &str, query: &ImageQuery) -> String {
        let lacks = |bound: &Option<ImageBound>| bound.as_ref().is_some_and(|b| !b.has(node));
        match (lacks(&query.before), lacks(&query.since)) {
            (false, false) => self.raw.clone(),
            (before, since) => without_references(&self.raw, before, since),
        }
    }
}

impl ImageQuery {
    /// Whether a row of this node stays in the list: its engine decided that if it
    /// has the named image.
    pub(super) fn admits(&self, node: &str, created: i64) -> bool {
        let before = self.before.as_ref();
        let since = self.since.as_ref();
        before.is_none_or(|bound| bound.has(node) || created < bound.seconds)
            && since.is_none_or(|bound| bound.has(node) || created > bound.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::query;

    fn filters(json: &str) -> String {
        query::with("", "filters", json)
    }

    fn bound(seconds: i64, owners: &[&str]) -> ImageBound {
        let owners = owners.iter().map(|&owner| owner.to_owned()).collect();
        ImageBound { seconds, owners }
    }

    #[test]
    fn both_shapes_of_filters_name_the_image() {
        for (json, before, since) in [
            (r#"{"before":{"app:1":true}}"#, Some("app:1"), None),
            (r#"{"since":["reg:5000/a/b"]}"#, None, Some("reg:5000/a/b")),
            (r#"{"since":["a"],"before":["b"]}"#, Some("b"), Some("a")),
            (r#"{"before":["a","b"]}"#, None, None),
            (r#"{"before":[]}"#, None, None),
            (r#"{"reference":["app"]}"#, None, None),
            ("no JSON", None, None),
        ] {
            let plan = image_plan(&filters(json));
            assert_eq!(plan.before.as_deref(), before, "{json}");
            assert_eq!(plan.since.as_deref(), since, "{json}");
            let has_reference = before.is_some() || since.is_some();
            assert_eq!(plan.has_reference(), has_reference, "{json}");
        }
    }

    #[test]
    fn nodes_without_the_image_are_asked_without_the_filter() {
        let json = r#"{"before":{"a":true},"label":{"k":true},"since":{"b":true}}"#;
        let raw = format!("all=1&{}", filters(json));
        let plan = image_plan(&raw);
        let query = ImageQuery {
            before: Some(bound(5, &["n1", "n2"])),
            since: Some(bound(1, &["n1", "n3"])),
        };
        for (node, json) in [
            ("n1", json),
            ("n2", r#"{"before":{"a":true},"label":{"k":true}}"#),
            ("n3", r#"{"label":{"k":true},"since":{"b":true}}"#),
            ("n4", r#"{"label":{"k":true}}"#),
        ] {
            let expected = format!("all=1&{}", filters(json));
            assert_eq!(plan.query_for(node, &query), expected, "{node}");
        }
        // Nobody has it: the engines refuse the list in their own words.
        assert_eq!(plan.query_for("n1", &ImageQuery::default()), raw);
    }

    #[test]
    fn rows_of_nodes_without_the_image_are_compared_with_its_second() {
        let query = ImageQuery {
            before: Some(bound(5, &["n1"])),
            since: Some(bound(2, &["n1", "n2"])),
        };
        for (node, created, stays) in [
            ("n1", 9, true),
            ("n2", 5, false),
            ("n2", 4, true),
            ("n2", 1, true),
            ("n3", 5, false),
            ("n3", 3, true),
            ("n3", 2, false),
        ] {
            assert_eq!(query.admits(node, created), stays, "{node} {created}");
        }
    }
}
