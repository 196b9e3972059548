//! Unites one field of an image over the nodes that have the image.
//!
//! Each function takes the field of the base row and the same field of the other
//! rows. It returns the new JSON, or `None` if the field of the base stays as it
//! is. A field that cannot be read is ignored.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{json_array, json_string};

type Field<'a> = Option<&'a RawValue>;

/// `RepoTags` or `RepoDigests`: those of the base, then new ones of the others.
///
/// API versions before 1.43 write `<none>:<none>` and `<none>@<none>` for no name.
/// They are removed if there is a name.
pub(super) fn names<'a>(
    base: Field<'a>,
    others: impl Iterator<Item = Field<'a>>,
) -> Option<String> {
    let own = name_list(base)?;
    let mut seen: HashSet<String> = own.iter().cloned().collect();
    let mut united = own.clone();
    for name in others.filter_map(name_list).flatten() {
        if seen.insert(name.clone()) {
            united.push(name);
        }
    }
    if united.iter().any(|name| !is_placeholder(name)) {
        united.retain(|name| !is_placeholder(name));
    }
    (united != own).then(|| json_array(united.iter().map(|name| json_string(name))))
}

fn name_list(field: Field<'_>) -> Option<Vec<String>> {
    let list: Option<Vec<String>> = serde_json::from_str(field?.get()).ok()?;
    Some(list.unwrap_or_default())
}

fn is_placeholder(name: &str) -> bool {
    matches!(name, "<none>:<none>" | "<none>@<none>")
}

/// `Containers`: the sum, or -1 ("not counted") if a node did not count them.
pub(super) fn counts<'a>(
    base: Field<'a>,
    others: impl Iterator<Item = Field<'a>>,
) -> Option<String> {
    let count = |field: Field<'_>| serde_json::from_str::<i64>(field?.get()).ok();
    let own = count(base)?;
    let sum = others.map(count).fold(own, |sum, next| match next {
        Some(next) if next >= 0 && sum >= 0 => sum.saturating_add(next),
        _ => -1,
    });
    (sum != own).then(|| sum.to_string())
}

#[derive(Deserialize)]
struct Manifest<'a> {
    #[serde(rename = "Descriptor", borrow)]
    descriptor: Descriptor<'a>,
    #[serde(rename = "Available", default)]
    available: bool,
}

#[derive(Deserialize)]
struct Descriptor<'a> {
    #[serde(borrow)]
    digest: Cow<'a, str>,
}

/// `Manifests`: one per digest, from a node that has the content if there is one.
pub(super) fn manifests<'a>(
    base: Field<'a>,
    others: impl Iterator<Item = Field<'a>>,
) -> Option<String> {
    let mut united = manifest_list(base)?;
    let mut at: HashMap<String, usize> = HashMap::new();
    for (i, (manifest, _)) in united.iter().enumerate() {
        at.entry(manifest.descriptor.digest.to_string())
            .or_insert(i);
    }
    let mut changed = false;
    for (manifest, text) in others.filter_map(manifest_list).flatten() {
        let next = united.len();
        let i = *at
            .entry(manifest.descriptor.digest.to_string())
            .or_insert(next);
        match united.get_mut(i) {
            Some(known) if manifest.available && !known.0.available => *known = (manifest, text),
            Some(_) => continue,
            None => united.push((manifest, text)),
        }
        changed = true;
    }
    changed.then(|| json_array(united.iter().map(|(_, text)| *text)))
}

fn manifest_list(field: Field<'_>) -> Option<Vec<(Manifest<'_>, &str)>> {
    let list: Option<Vec<&RawValue>> = serde_json::from_str(field?.get()).ok()?;
    list.unwrap_or_default()
        .into_iter()
        .map(|raw| Some((serde_json::from_str(raw.get()).ok()?, raw.get())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Unite = fn(Field<'_>, std::vec::IntoIter<Field<'_>>) -> Option<String>;

    fn unite(rule: Unite, fields: &[&str]) -> Option<String> {
        let raw: Vec<Box<RawValue>> = fields
            .iter()
            .map(|field| serde_json::from_str(field).unwrap())
            .collect();
        let mut fields: Vec<Field<'_>> = raw.iter().map(|raw| Some(raw.as_ref())).collect();
        let others = fields.split_off(1);
        rule(fields[0], others.into_iter())
    }

    #[test]
    fn names_of_the_base_come_before_new_ones() {
        let table: [(&[&str], Option<&str>); 8] = [
            (&[r#"["a"]"#, r#"["a"]"#], None),
            (&[r#"["b","a"]"#, r#"["a"]"#], None),
            (
                &[r#"["a"]"#, r#"["b","a"]"#, r#"["c","b"]"#],
                Some(r#"["a","b","c"]"#),
            ),
            (&["null", "[]"], None),
            (&["null", r#"["a"]"#], Some(r#"["a"]"#)),
            (&[r#"["<none>:<none>"]"#, r#"["a"]"#], Some(r#"["a"]"#)),
            (&[r#"["a"]"#, r#"["<none>:<none>"]"#], None),
            (&[r#"["a"]"#, "5", r#"["b"]"#], Some(r#"["a","b"]"#)),
        ];
        for (fields, expected) in table {
            assert_eq!(
                unite(|b, o| names(b, o), fields).as_deref(),
                expected,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn containers_are_summed_only_if_all_nodes_counted() {
        let table: [(&[&str], Option<&str>); 6] = [
            (&["2", "3", "4"], Some("9")),
            (&["2", "0"], None),
            (&["-1", "-1"], None),
            (&["-1", "3"], None),
            (&["2", "-1", "3"], Some("-1")),
            (&["9223372036854775807", "1"], None),
        ];
        for (fields, expected) in table {
            assert_eq!(
                unite(|b, o| counts(b, o), fields).as_deref(),
                expected,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn a_manifest_comes_from_a_node_that_has_its_content() {
        let m = |digest: &str, available: bool| {
            format!(r#"{{"Descriptor":{{"digest":"{digest}"}},"Available":{available}}}"#)
        };
        let base = format!("[{},{}]", m("amd64", true), m("arm64", false));
        let same = format!("[{},{}]", m("amd64", false), m("arm64", false));
        let other = format!("[{},{}]", m("arm64", true), m("s390x", false));
        let expected = format!(
            "[{},{},{}]",
            m("amd64", true),
            m("arm64", true),
            m("s390x", false)
        );
        assert_eq!(unite(|b, o| manifests(b, o), &[&base, &same]), None);
        assert_eq!(
            unite(|b, o| manifests(b, o), &[&base, &other]),
            Some(expected)
        );
    }
}
