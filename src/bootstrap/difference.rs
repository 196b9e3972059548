//! Compares a specification with the one that the Swarm has. Fields that engines fill
//! in by themselves are no difference.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What engines write where nothing was given; `None` is any value.
const FILLED_IN: &[(&str, Option<&str>)] = &[
    ("Isolation", Some("default")),
    ("Runtime", Some("container")),
    ("FailureAction", Some("pause")),
    // `docker service update --force` counts it up.
    ("ForceUpdate", None),
    // The CLI notes the platforms of an image that it has resolved.
    ("Platforms", None),
];

/// The differences in words, each with its place.
pub(super) fn differences(expected: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let (expected, actual) = (bare(expected), bare(actual));
    compare("", &expected, &actual, &mut found);
    found
}

/// Without what means the same as nothing.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter_map(|(key, value)| {
                let value = bare(value);
                let is_filled_in = FILLED_IN.iter().any(|(name, text)| {
                    name == key && text.is_none_or(|text| value.as_str() == Some(text))
                });
                (!is_nothing(&value) && !is_filled_in).then(|| (key.clone(), value))
            });
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(all) => Value::Array(all.iter().map(bare).collect()),
        other => other.clone(),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        // `Global: {}` is the whole of its meaning, and has one place only.
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}

fn compare(at: &str, expected: &Value, actual: &Value, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            let keys: BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
            for key in keys {
                let at = match at {
                    "" => key.clone(),
                    at => format!("{at}.{key}"),
                };
                let null = &Value::Null;
                let one = expected.get(key).unwrap_or(null);
                let other = actual.get(key).unwrap_or(null);
                compare(&at, one, other, found);
            }
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (n, (one, other)) in expected.iter().zip(actual).enumerate() {
                compare(&format!("{at}[{n}]"), one, other, found);
            }
        }
        (expected, actual) if expected == actual => {}
        (Value::Null, actual) => found.push(format!("{at} is {actual}, and should not be set")),
        (expected, Value::Null) => found.push(format!("{at} is not set, and should be {expected}")),
        (expected, actual) => found.push(format!("{at} is {actual}, and should be {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_engine_fills_in_is_no_difference() {
        let expected = json!({ "Name": "a", "Task": { "Image": "b", "Args": ["serve"] } });
        let actual = json!({
            "Name": "a",
            "Task": {
                "Image": "b", "Args": ["serve"], "Isolation": "default", "Roll": { "FailureAction": "pause" }, "Runtime": "container",
                "ForceUpdate": 3, "DNSConfig": {}, "Init": false, "Placement": { "Platforms": [1] },
                "Delay": 0, "Hosts": null,
            },
        });
        assert_eq!(differences(&expected, &actual), [""; 0]);
    }

    #[test]
    fn each_changed_added_and_removed_setting_is_named_with_its_place() {
        let expected = json!({ "A": { "ReadOnly": true, "Drop": ["ALL"] }, "B": [{ "C": 1 }] });
        let actual = json!({ "A": { "Add": ["NET_RAW"], "Drop": ["ALL"] }, "B": [{ "C": 2 }] });
        assert_eq!(
            differences(&expected, &actual),
            [
                "A.Add is [\"NET_RAW\"], and should not be set",
                "A.ReadOnly is not set, and should be true",
                "B[0].C is 2, and should be 1",
            ]
        );
        let longer = json!({ "A": expected["A"], "B": [{ "C": 1 }, { "C": 2 }] });
        assert_eq!(differences(&expected, &longer).len(), 1);
    }
}
