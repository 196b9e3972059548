//! Adds the labels of the scope to the body of a new object and leaves every other byte.

use std::borrow::Cow;

use super::{Kind, Scope, ScopeError};
use crate::json::{Edit, Members, json_string, spliced};
use crate::policy::request::BodyOf;

const UNREADABLE: ScopeError = ScopeError::Unreadable("the body is not readable");

impl Scope {
    /// The body of a create, or of an update that replaces the labels, with the
    /// scope's labels in it. The containers of a service get them as well.
    ///
    /// # Errors
    /// If the body cannot be read with certainty, or gives such a label another value.
    pub fn stamp(&self, kind: Kind, body: &BodyOf<'_>) -> Result<String, ScopeError> {
        let text = readable(body)?;
        let mut edits = vec![self.labels_edit(text)?];
        if kind == Kind::Service
            && let Some(task) = member(text, "TaskTemplate")?.filter(|t| *t != "null")
            && let Some(container) = member(task, "ContainerSpec")?.filter(|c| *c != "null")
        {
            let stamped = spliced(container, vec![self.labels_edit(container)?]);
            edits.extend(Edit::replace(text, container, stamped));
        }
        Ok(spliced(text, edits))
    }

    /// The body of `/networks/{id}/connect` and `/disconnect` with a container's
    /// full id in place of its name.
    ///
    /// # Errors
    /// If the body cannot be read with certainty.
    pub fn with_container(body: &BodyOf<'_>, id: &str) -> Result<String, ScopeError> {
        let text = readable(body)?;
        let named = member(text, "Container")?.ok_or(UNREADABLE)?;
        let edit = Edit::replace(text, named, json_string(id)).ok_or(UNREADABLE)?;
        Ok(spliced(text, vec![edit]))
    }

    /// The edit that adds the labels of the scope to the `Labels` of an object.
    fn labels_edit<'t>(&self, object: &'t str) -> Result<Edit<'t>, ScopeError> {
        let Some(labels) = member(object, "Labels")? else {
            let member = format!(",\"Labels\":{}", self.with_scope("{}")?);
            let Edit { range, with } = Edit::append(object, &member);
            let with = Cow::Owned(with.into_owned());
            return Ok(Edit { range, with });
        };
        // Go reads `null` as an empty map.
        let with = self.with_scope(if labels == "null" { "{}" } else { labels })?;
        Edit::replace(object, labels, with).ok_or(UNREADABLE)
    }

    /// A map of labels with those of the scope.
    fn with_scope(&self, labels: &str) -> Result<String, ScopeError> {
        let own = Members::of(labels.as_bytes()).ok_or(UNREADABLE)?;
        let mut added = String::new();
        for (name, value) in self.labels() {
            match own.iter().find(|(key, _)| key == name) {
                None => {
                    added.push_str(&format!(",{}:{}", json_string(name), json_string(value)));
                }
                Some((_, raw)) => {
                    let same = serde_json::from_str::<String>(raw.get());
                    if same.as_deref().ok() != Some(value) {
                        return Err(ScopeError::Conflict(name.clone()));
                    }
                }
            }
        }
        Ok(spliced(labels, vec![Edit::append(labels, &added)]))
    }
}

/// The text of a body that has one reading, the one that was judged: none with a
/// repeated name, for instance.
fn readable<'b>(body: &'b BodyOf<'_>) -> Result<&'b str, ScopeError> {
    body.read().map_err(|_| UNREADABLE)?;
    let text = std::str::from_utf8(body.bytes()).map_err(|_| UNREADABLE)?;
    Ok(text.trim_ascii())
}

/// The bytes of a field, `null` included.
fn member<'t>(object: &'t str, name: &str) -> Result<Option<&'t str>, ScopeError> {
    let members = Members::of(object.as_bytes()).ok_or(UNREADABLE)?;
    members.only(name).map_err(|_| UNREADABLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope() -> Scope {
        Scope::new([("owner".into(), "me".into())].into()).unwrap()
    }

    fn stamped(kind: Kind, body: &str) -> Result<String, ScopeError> {
        scope().stamp(kind, &BodyOf::json(body.as_bytes()))
    }

    #[test]
    fn the_labels_are_added_and_every_other_byte_stays() {
        for (kind, body, expected) in [
            (Kind::Volume, "{}", r#"{"Labels":{"owner":"me"}}"#),
            (
                Kind::Volume,
                r#" {"Name" : "v"} "#,
                r#"{"Name" : "v","Labels":{"owner":"me"}}"#,
            ),
            (
                Kind::Container,
                r#"{"Image":"a","Labels":null,"N":1.0}"#,
                r#"{"Image":"a","Labels":{"owner":"me"},"N":1.0}"#,
            ),
            (
                Kind::Container,
                r#"{"labels":{"a":"\u0031"},"Memory":12345678901234567890}"#,
                r#"{"labels":{"a":"\u0031","owner":"me"},"Memory":12345678901234567890}"#,
            ),
            (
                Kind::Network,
                r#"{"Labels":{ "owner" : "me" }}"#,
                r#"{"Labels":{ "owner" : "me" }}"#,
            ),
            (
                Kind::Service,
                r#"{"Name":"s","TaskTemplate":{"ContainerSpec":{"Image":"a"}}}"#,
                r#"{"Name":"s","TaskTemplate":{"ContainerSpec":{"Image":"a","Labels":{"owner":"me"}}},"Labels":{"owner":"me"}}"#,
            ),
            (
                Kind::Service,
                r#"{"Labels":{},"TaskTemplate":null}"#,
                r#"{"Labels":{"owner":"me"},"TaskTemplate":null}"#,
            ),
        ] {
            assert_eq!(stamped(kind, body).as_deref(), Ok(expected), "{body}");
        }
    }

    #[test]
    fn a_container_is_referred_to_by_its_id() {
        for (body, expected) in [
            (
                r#"{"Container":"web","X":1.0}"#,
                Some(r#"{"Container":"4f","X":1.0}"#),
            ),
            (
                r#" {"container" : "w\u0065b"} "#,
                Some(r#"{"container" : "4f"}"#),
            ),
            ("{}", None),
            (r#"{"Container":"a","container":"b"}"#, None),
        ] {
            let named = Scope::with_container(&BodyOf::json(body.as_bytes()), "4f").ok();
            assert_eq!(named.as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn no_object_is_created_outside_the_scope() {
        for body in [
            r#"{"Labels":{"owner":"you"}}"#,
            r#"{"LABELS":{"own\u0065r":"you"}}"#,
            r#"{"Labels":{"owner":null}}"#,
        ] {
            let conflict = Err(ScopeError::Conflict("owner".into()));
            assert_eq!(stamped(Kind::Container, body), conflict, "{body}");
        }
        for body in [
            "",
            "[]",
            "null",
            r#"{"Labels":[]}"#,
            r#"{"Labels":{},"Labels":{"owner":"you"}}"#,
            r#"{"Labels":{},"labels":{"owner":"you"}}"#,
            r#"{"Labels":{"owner":"me","owner":"you"}}"#,
        ] {
            assert_eq!(stamped(Kind::Container, body), Err(UNREADABLE), "{body}");
        }
    }

    proptest! {
        #[test]
        fn a_stamped_body_has_the_labels_and_stamping_again_changes_nothing(
            names in proptest::collection::btree_map("[a-z]{1,4}", "\\PC{0,4}", 0..4),
        ) {
            let body = serde_json::json!({"Image": "a", "Labels": names}).to_string();
            let once = stamped(Kind::Container, &body)?;
            let read: serde_json::Value = serde_json::from_str(&once)?;
            prop_assert_eq!(&read["Labels"]["owner"], "me");
            prop_assert_eq!(stamped(Kind::Container, &once)?, once);
        }
    }
}
