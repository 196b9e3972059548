//! Fuzzes the edits of bodies and answers: removing secrets and adding labels must
//! leave the rest as it is.
//!
//! The bytes are a body, an answer or a query.

use serde_json::Value;

use super::is_json;
use crate::endpoint::filters::Filters;
use crate::endpoint::query;
use crate::placement::Placement;
use crate::policy::BodyOf;
use crate::policy::redact::{REDACTED, Redact, redact};
use crate::policy::scope::{Kind, Scope};

const KINDS: [Kind; 8] = [
    Kind::Container,
    Kind::Exec,
    Kind::Volume,
    Kind::Network,
    Kind::Service,
    Kind::Task,
    Kind::Secret,
    Kind::Config,
];

/// Redacts, stamps, narrows, and reads the names.
///
/// # Panics
/// If a result is not JSON, or more or less is changed than should be.
pub fn run(data: &[u8]) {
    redacted(data);
    let Some(scope) = Scope::new([("owner".to_owned(), "me".to_owned())].into()) else {
        return;
    };
    for kind in KINDS {
        stamped(&scope, kind, data);
        let _ = scope.holds(kind, data);
        let _ = Scope::references(kind, &BodyOf::json(data));
    }
    let _ = Scope::container_of_exec(data);
    let _ = Placement::of_create(data);
    if let Ok(text) = std::str::from_utf8(data) {
        narrowed(&scope, text);
    }
}

fn redacted(data: &[u8]) {
    let both: &[Redact] = &[Redact::Env, Redact::Secrets];
    for what in [both, &[Redact::Env], &[Redact::Secrets]] {
        let Ok(changed) = redact(data, what) else {
            assert!(!is_json(data) || is_deep(data), "JSON was refused");
            continue;
        };
        let out = changed.as_ref().map_or(data, |text| text.as_bytes());
        assert!(is_json(out), "redacted, and no longer JSON");
        let again = redact(out, what).ok().flatten();
        assert!(again.is_none_or(|again| again.as_bytes() == out));

        let values = (serde_json::from_slice(data), serde_json::from_slice(out));
        if let (Ok(before), Ok(after)) = values {
            assert!(
                is_only_redacted(&before, &after),
                "more than secrets was changed"
            );
            if what.contains(&Redact::Env) {
                assert!(!has_environment(&after), "the environment is still there");
            }
        }
    }
}

fn is_deep(data: &[u8]) -> bool {
    data.iter().filter(|b| matches!(b, b'{' | b'[')).count() > 100
}

fn is_only_redacted(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::String(own), Value::String(out)) => is_cut_from(own, out),
        (Value::Array(own), Value::Array(out)) => {
            own.len() == out.len() && own.iter().zip(out).all(|(a, b)| is_only_redacted(a, b))
        }
        (Value::Object(own), Value::Object(out)) => {
            let mut pairs = own.iter().zip(out);
            own.len() == out.len() && pairs.all(|(a, b)| a.0 == b.0 && is_only_redacted(a.1, b.1))
        }
        (own, out) => own == out,
    }
}

/// Whether `out` is `own` with parts of it replaced.
fn is_cut_from(own: &str, out: &str) -> bool {
    let mut kept = out.split(REDACTED);
    let first = kept.next().unwrap_or_default();
    let Some(mut rest) = own.strip_prefix(first) else {
        return false;
    };
    let kept: Vec<_> = kept.collect();
    let Some((last, middle)) = kept.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether a list named `Env` has a value in it. In a map of labels or options,
/// `Env` is a key of the map, and such a map has no lists.
fn has_environment(json: &Value) -> bool {
    match json {
        Value::Array(list) => list.iter().any(has_environment),
        Value::Object(members) => members.iter().any(|(name, value)| match value {
            Value::Array(list) if name == "Env" => {
                let mut entries = list.iter().filter_map(Value::as_str);
                entries.any(|entry| entry.contains('=') && !entry.ends_with(REDACTED))
                    || has_environment(value)
            }
            Value::Object(_) if is_map(name) => false,
            value => has_environment(value),
        }),
        _ => false,
    }
}

fn is_map(name: &str) -> bool {
    ["Labels", "DriverOpts", "Options", "Config", "JoinTokens"].contains(&name)
}

fn stamped(scope: &Scope, kind: Kind, data: &[u8]) {
    let Ok(once) = scope.stamp(kind, &BodyOf::json(data)) else {
        return;
    };
    assert!(is_json(once.as_bytes()), "stamped, and no longer JSON");
    let again = scope.stamp(kind, &BodyOf::json(once.as_bytes()));
    assert_eq!(
        again.as_deref(),
        Ok(once.as_str()),
        "stamping again changed it"
    );
    let Ok(value) = serde_json::from_str::<Value>(&once) else {
        return;
    };
    let labels = |value: &Value| {
        let members = value.as_object().into_iter().flatten();
        let mut labels = members.filter(|(name, _)| name.eq_ignore_ascii_case("Labels"));
        labels.any(|(_, labels)| labels.get("owner").and_then(Value::as_str) == Some("me"))
    };
    // The long s may stand for a letter of `Labels`.
    assert!(labels(&value) || once.contains('\u{17f}') || once.contains("\\u017"));
}

fn narrowed(scope: &Scope, text: &str) {
    let Ok(narrow) = scope.narrow(text) else {
        return;
    };
    assert_eq!(query::all(&narrow, "filters").count(), 1);
    let filters = Filters::from_query(&narrow);
    let has = filters.is_ok_and(|f| f.values("label").any(|value| value == "owner=me"));
    assert!(has, "the label is missing: {narrow:?}");
}
