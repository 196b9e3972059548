//! Edits JSON and leaves all other bytes as they are.

use std::borrow::Cow;
use std::ops::Range;

/// The replacement of a part of a text; an empty range inserts.
pub(crate) struct Edit<'a> {
    pub(crate) range: Range<usize>,
    pub(crate) with: Cow<'a, str>,
}

impl<'a> Edit<'a> {
    /// Replaces `part`, which must be borrowed from `text`; `None` if it is not.
    pub(crate) fn replace(text: &str, part: &str, with: impl Into<Cow<'a, str>>) -> Option<Self> {
        let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        let range = start..start.checked_add(part.len())?;
        text.get(range.clone())?;
        let with = with.into();
        Some(Self { range, with })
    }

    /// Adds `members`, each of which starts with a comma, to a JSON object, which must be
    /// borrowed from `text`; `None` if it is not.
    pub(crate) fn add(text: &str, object: &str, members: &str) -> Option<Edit<'static>> {
        let appended = Edit::append(object, members);
        let start = object.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        let at = start.checked_add(appended.range.start)?;
        text.get(at..at)?;
        Some(Edit {
            range: at..at,
            with: Cow::Owned(appended.with.into_owned()),
        })
    }

    /// Appends `member`, which starts with a comma, to the JSON object `text`.
    pub(crate) fn append(text: &str, member: &'a str) -> Self {
        let inner = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let is_empty = inner.is_none_or(|inner| inner.trim_ascii().is_empty());
        let with = match member.strip_prefix(',') {
            Some(alone) if is_empty => alone,
            _ => member,
        };
        let end = text.len().saturating_sub(1);
        Self {
            range: end..end,
            with: Cow::Borrowed(with),
        }
    }
}

/// Appends the edited `text` to `out`. Edits must not overlap.
pub(crate) fn splice(out: &mut Vec<u8>, text: &str, edits: Vec<Edit<'_>>) {
    each_piece(text, edits, |piece| out.extend_from_slice(piece.as_bytes()));
}

/// The edited `text`. Edits must not overlap.
pub(crate) fn spliced(text: &str, edits: Vec<Edit<'_>>) -> String {
    let mut out = String::with_capacity(text.len());
    each_piece(text, edits, |piece| out.push_str(piece));
    out
}

fn each_piece(text: &str, mut edits: Vec<Edit<'_>>, mut put: impl FnMut(&str)) {
    edits.sort_by_key(|edit| edit.range.start);
    let mut done = 0;
    for edit in edits {
        put(text.get(done..edit.range.start).unwrap_or(""));
        put(&edit.with);
        done = edit.range.end;
    }
    put(text.get(done..).unwrap_or(""));
}

/// A text as a JSON string.
pub(crate) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The JSON string `raw` with `prefix` before its text, whose escapes stay as
/// they are; `None` if `raw` is not a string.
pub(crate) fn prefixed(raw: &str, prefix: &str) -> Option<String> {
    let rest = raw.strip_prefix('"')?;
    let mut out = json_string(prefix);
    out.pop();
    out.push_str(rest);
    Some(out)
}

/// JSON values as a JSON array.
pub(crate) fn json_array<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> String {
    let mut out = String::from("[");
    for (i, value) in values.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(value.as_ref());
    }
    out.push(']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_may_be_in_any_order_and_leave_the_rest() {
        let text = String::from("abcdef");
        let edits = vec![
            Edit::replace(&text, &text[4..5], "E").unwrap(),
            Edit::replace(&text, &text[1..1], "-").unwrap(),
            Edit::replace(&text, &text[1..3], "").unwrap(),
        ];
        let mut out = Vec::new();
        splice(&mut out, &text, edits);
        assert_eq!(out, b"a-dEf");
    }

    #[test]
    fn members_are_added_to_an_object_within_a_text() {
        for (text, expected) in [
            (r#"{"a":{"b":1}}"#, r#"{"a":{"b":1,"c":2}}"#),
            (r#"{"a":{ }}"#, r#"{"a":{ "c":2}}"#),
        ] {
            let inner = &text[5..text.len() - 1];
            let edit = Edit::add(text, inner, r#","c":2"#).unwrap();
            assert_eq!(spliced(text, vec![edit]), expected);
        }
        assert!(Edit::add("{}", &String::from("{}"), ",").is_none());
    }

    #[test]
    fn a_prefix_keeps_the_escapes_of_a_string() {
        assert_eq!(
            prefixed(r#""a\u003c""#, "x\": ").as_deref(),
            Some(r#""x\": a\u003c""#)
        );
        assert_eq!(prefixed("5", "x"), None);
    }

    #[test]
    fn a_part_of_another_text_is_refused() {
        let (text, other) = (String::from("abc"), String::from("abc"));
        assert!(Edit::replace(&text, &other, "x").is_none());
    }
}
