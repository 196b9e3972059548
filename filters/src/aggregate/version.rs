//! Rewrites `GET /version`: the engine's answer, with the API versions of the
//! cluster.
//!
//! Clients negotiate the API version by it (docker-py and bollard; the Docker CLI
//! uses `/_ping`), so the versions must be those that every node serves. They are
//! in two places: at the top, and in the details of the component `Engine`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::MergeError;
use crate::endpoint::ApiVersion;
use crate::json::{Edit, json_string, splice};

#[derive(Deserialize)]
struct Version<'a> {
    #[serde(rename = "ApiVersion", borrow)]
    api: Option<&'a RawValue>,
    #[serde(rename = "MinAPIVersion", borrow)]
    min: Option<&'a RawValue>,
    #[serde(rename = "Components", borrow, default)]
    components: Option<Vec<Component<'a>>>,
}

#[derive(Deserialize)]
struct Component<'a> {
    #[serde(rename = "Name", borrow, default)]
    name: Cow<'a, str>,
    #[serde(rename = "Details", borrow)]
    details: Option<Details<'a>>,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(rename = "ApiVersion", borrow)]
    api: Option<&'a RawValue>,
    #[serde(rename = "MinAPIVersion", borrow)]
    min: Option<&'a RawValue>,
}

/// The body of `/version` with `min` and `max` as the range of API versions.
/// Versions that the body does not have are not added.
///
/// # Errors
/// If the body is not an answer of an engine.
pub fn announce(body: &[u8], min: ApiVersion, max: ApiVersion) -> Result<Vec<u8>, MergeError> {
    let text = std::str::from_utf8(body).map_err(|e| MergeError::of_element(0, e))?;
    let version: Version<'_> =
        serde_json::from_str(text).map_err(|e| MergeError::of_element(0, e))?;
    let components = version.components.unwrap_or_default();
    let engines = components
        .iter()
        .filter(|c| c.name == "Engine")
        .filter_map(|c| c.details.as_ref());
    let (newest, oldest) = (json_string(&max.to_string()), json_string(&min.to_string()));
    let edits = engines
        .map(|d| (d.api, d.min))
        .chain([(version.api, version.min)])
        .flat_map(|(api, min)| [(api, &newest), (min, &oldest)])
        .filter_map(|(said, now)| Edit::replace(text, said?.get(), now.as_str()));
    let mut out = Vec::with_capacity(body.len() + 16);
    splice(&mut out, text, edits.collect());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(body: &str) -> String {
        let (min, max) = (ApiVersion::new(1, 24), ApiVersion::new(1, 41));
        String::from_utf8(announce(body.as_bytes(), min, max).unwrap()).unwrap()
    }

    #[test]
    fn both_places_have_the_range_of_the_cluster_and_the_rest_stays() {
        let body = r#"{"Platform":{"Name":""},"Components":[{"Name":"Engine","Version":"28.5.2","Details":{"ApiVersion":"1.51","MinAPIVersion":"1.12"}},{"Name":"runc","Version":"1.1","Details":{"GitCommit":""}}],"Version":"28.5.2","ApiVersion":"1.51","MinAPIVersion":"1.12"}
"#;
        let expected = body.replace("1.51", "1.41").replace("1.12", "1.24");
        assert_eq!(announced(body), expected);
    }

    #[test]
    fn versions_that_an_old_engine_omits_are_not_added() {
        let body = r#"{"Version":"1.11","ApiVersion":"1.23"}"#;
        assert_eq!(announced(body), r#"{"Version":"1.11","ApiVersion":"1.41"}"#);
        assert_eq!(
            announced(r#"{"Components":null}"#),
            r#"{"Components":null}"#
        );
    }

    #[test]
    fn an_answer_that_is_not_a_version_is_refused() {
        let one = ApiVersion::new(1, 41);
        for body in ["", "[]x", "{", "\"1.41\""] {
            assert!(announce(body.as_bytes(), one, one).is_err(), "{body}");
        }
    }
}
