//! Checks whether an object is in scope, by its inspect.

use super::{Kind, Scope, ScopeError};
use crate::json::{Json, in_map};

impl Scope {
    /// Whether the object is in scope. An exec is in scope if its container is:
    /// inspect that one, see [`container_of_exec`](Self::container_of_exec).
    ///
    /// # Errors
    /// If the answer cannot be read with certainty; treat the object as out of
    /// scope.
    pub fn holds(&self, kind: Kind, inspect: &[u8]) -> Result<bool, ScopeError> {
        let object = read(inspect)?;
        let path: &[&str] = match kind {
            Kind::Container => &["Config", "Labels"],
            Kind::Volume | Kind::Network => &["Labels"],
            Kind::Service | Kind::Secret | Kind::Config => &["Spec", "Labels"],
            Kind::Task => &["Spec", "ContainerSpec", "Labels"],
            Kind::Exec => return Err(ScopeError::Unreadable("an exec has no labels")),
        };
        let labels = path
            .iter()
            .try_fold(&object, |json, name| member(json, name));
        let Some(Json::Object(labels)) = labels else {
            return Ok(false);
        };
        let mut own = self.labels().iter();
        Ok(own.all(|(name, value)| in_map(labels.members(), name) == Some(value)))
    }

    /// The id of the container of an exec, from the inspect of the exec.
    ///
    /// # Errors
    /// If the answer cannot be read with certainty.
    pub fn container_of_exec(inspect: &[u8]) -> Result<String, ScopeError> {
        match member(&read(inspect)?, "ContainerID") {
            Some(Json::Text(id)) if !id.is_empty() => Ok(id.clone().into_owned()),
            _ => Err(ScopeError::Unreadable("the exec names no container")),
        }
    }
}

fn read(inspect: &[u8]) -> Result<Json<'_>, ScopeError> {
    Json::parse(inspect)
        .map_err(|_| ScopeError::Unreadable("the inspect of the object is not readable"))
}

/// Engines write names as they are declared, so compare them exactly.
fn member<'j>(json: &'j Json<'j>, name: &str) -> Option<&'j Json<'j>> {
    let Json::Object(object) = json else {
        return None;
    };
    let mut members = object.members().iter();
    members.find(|(own, _)| own == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_in_scope_if_it_has_all_the_labels() {
        let scope = Scope::new([("a".into(), "1".into()), ("b".into(), "2".into())].into());
        let scope = scope.unwrap();
        for (kind, inspect, expected) in [
            (
                Kind::Container,
                r#"{"Config":{"Labels":{"a":"1","b":"2","c":"3"}}}"#,
                true,
            ),
            (Kind::Container, r#"{"Config":{"Labels":{"a":"1"}}}"#, false),
            (
                Kind::Container,
                r#"{"Config":{"Labels":{"a":"1","b":"3"}}}"#,
                false,
            ),
            (Kind::Container, r#"{"Config":{"Labels":null}}"#, false),
            (Kind::Container, r#"{"Labels":{"a":"1","b":"2"}}"#, false),
            (
                Kind::Container,
                r#"{"Config":{"Labels":{"A":"1","b":"2"}}}"#,
                false,
            ),
            (Kind::Volume, r#"{"Labels":{"a":"1","b":"2"}}"#, true),
            (
                Kind::Service,
                r#"{"Spec":{"Labels":{"a":"1","b":"2"}}}"#,
                true,
            ),
            (
                Kind::Task,
                r#"{"Spec":{"ContainerSpec":{"Labels":{"a":"1","b":"2"}}}}"#,
                true,
            ),
            (Kind::Network, "null", false),
        ] {
            assert_eq!(
                scope.holds(kind, inspect.as_bytes()),
                Ok(expected),
                "{inspect}"
            );
        }
        assert!(scope.holds(Kind::Volume, b"{").is_err());
        assert!(scope.holds(Kind::Exec, b"{}").is_err());
    }

    #[test]
    fn an_exec_names_its_container() {
        let of = |inspect: &str| Scope::container_of_exec(inspect.as_bytes());
        assert_eq!(of(r#"{"ID":"e","ContainerID":"c"}"#), Ok("c".into()));
        assert!(of(r#"{"ContainerID":""}"#).is_err());
        assert!(of("{}").is_err());
    }
}
