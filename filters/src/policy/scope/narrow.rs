//! Narrows lists: adds the labels of the scope to their filters.

use super::{Scope, ScopeError};
use crate::endpoint::filters::Filters;

const UNREADABLE: ScopeError = ScopeError::Unreadable("the filters are not readable");

impl Scope {
    /// A list's query with the labels added to its filters.
    ///
    /// # Errors
    /// If the filters cannot be read, or ask for another value of such a label.
    /// Managers read `label` into a map, where one of two values of a label
    /// replaces the other.
    pub fn narrow(&self, query: &str) -> Result<String, ScopeError> {
        let mut filters = Filters::from_query(query).map_err(|_| UNREADABLE)?;
        let own = filters.remove("label").unwrap_or_default();
        for filter in &own {
            let (name, value) = match filter.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (filter.as_str(), None),
            };
            match (self.labels().get(name), value) {
                (None, _) => filters.insert("label", filter),
                (Some(label), Some(value)) if label != value => {
                    return Err(ScopeError::Conflict(name.to_owned()));
                }
                // The filter added below implies it.
                (Some(_), _) => {}
            }
        }
        for (name, value) in self.labels() {
            filters.insert("label", &format!("{name}={value}"));
        }
        Ok(filters.set_in(query))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::query;

    fn narrowed(query: &str) -> Result<String, ScopeError> {
        let scope = Scope::new([("owner".into(), "me".into())].into()).unwrap();
        let query = scope.narrow(query)?;
        Ok(query::get(&query, "filters").unwrap().into_owned())
    }

    #[test]
    fn the_labels_join_any_other_filters() {
        for (query, expected) in [
            ("", r#"{"label":{"owner=me":true}}"#),
            ("all=1", r#"{"label":{"owner=me":true}}"#),
            (
                r#"filters={"label":["app"]}"#,
                r#"{"label":{"app":true,"owner=me":true}}"#,
            ),
            (
                r#"filters={"label":{"owner":true}}"#,
                r#"{"label":{"owner=me":true}}"#,
            ),
            (
                r#"filters={"label":{"owner=me":false}}"#,
                r#"{"label":{"owner=me":true}}"#,
            ),
            (
                r#"filters={"status":["exited"]}"#,
                r#"{"label":{"owner=me":true},"status":{"exited":true}}"#,
            ),
        ] {
            assert_eq!(narrowed(query).unwrap(), expected, "{query}");
        }
    }

    #[test]
    fn other_values_of_the_label_are_refused() {
        let conflict = Err(ScopeError::Conflict("owner".into()));
        assert_eq!(narrowed(r#"filters={"label":["owner=you"]}"#), conflict);
        assert_eq!(narrowed(r#"filters={"label":["owner="]}"#), conflict);
    }

    #[test]
    fn filters_that_cannot_be_read_are_refused() {
        for query in ["filters={", r#"filters={"label":["a"],"label":["b"]}"#] {
            assert_eq!(narrowed(query), Err(UNREADABLE), "{query}");
        }
    }

    #[test]
    fn a_second_filters_parameter_does_not_survive() {
        let scope = Scope::new([("owner".into(), "me".into())].into()).unwrap();
        let query = scope.narrow("filters={}&filters={}&all=1").unwrap();
        assert_eq!(query::all(&query, "filters").count(), 1);
    }
}
