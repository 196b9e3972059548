//! Secrets inside a text: passwords in URLs, and values assigned to names that suggest
//! a secret.

use std::ops::Range;

use super::{REDACTED, sounds_secret};

/// Adds the places of passwords in the URLs of a text: the part between `:` and `@`.
pub(super) fn url_passwords(text: &str, found: &mut Vec<Range<usize>>) {
    if !text.contains("://") {
        return;
    }
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`');
    for (start, piece) in pieces(text, is_end) {
        let Some(last) = piece.rfind('@') else {
            continue;
        };
        let mut at = 0;
        while let Some(scheme) = piece.get(at..last).and_then(|rest| rest.find("://")) {
            at += scheme + "://".len();
            let rest = piece.get(at..).unwrap_or_default();
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            if let Some(end) = authority.rfind('@') {
                let userinfo = authority.get(..end).unwrap_or_default();
                if let Some(colon) = userinfo.find(':') {
                    push(text, start + at + colon + 1..start + at + end, found);
                }
                at += end + 1;
                continue;
            }
            // A password with a slash that is not escaped; a port has digits only.
            if let Some((name, port)) = authority.split_once(':')
                && (port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()))
            {
                push(text, start + at + name.len() + 1..start + last, found);
                break;
            }
        }
    }
}

/// Adds the places of values in `NAME=value` whose name suggests a secret, such as
/// `--token=x` in a command or `password=x` in mount options.
pub(super) fn assignments(text: &str, found: &mut Vec<Range<usize>>) {
    if !text.contains('=') {
        return;
    }
    let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | '"' | '\'' | '`');
    let mut opened = None;
    for (start, piece) in pieces(text, is_end) {
        // `NAME="value"`
        if let Some(after) = opened.take()
            && start == after
        {
            push(text, start..start + piece.len(), found);
            continue;
        }
        let Some((name, value)) = piece.split_once('=') else {
            continue;
        };
        if sounds_secret(name) {
            let from = start + name.len() + 1;
            push(text, from..start + piece.len(), found);
            opened = value.is_empty().then_some(from + 1);
        }
    }
}

/// The parts of a text between these characters, with their places.
fn pieces(text: &str, is_end: impl Fn(char) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let begin = text.as_ptr().addr();
    text.split(is_end)
        .map(move |piece| (piece.as_ptr().addr() - begin, piece))
}

fn push(text: &str, place: Range<usize>, found: &mut Vec<Range<usize>>) {
    let value = text.get(place.clone()).unwrap_or_default();
    if !value.is_empty() && !value.contains(REDACTED) {
        found.push(place);
    }
}

/// The text with each of these places replaced; places that touch become one.
pub(super) fn replaced(text: &str, mut places: Vec<Range<usize>>) -> String {
    places.sort_by_key(|place| place.start);
    let mut out = String::with_capacity(text.len());
    let (mut done, mut is_open) = (0, false);
    for place in places {
        if !is_open || place.start > done {
            out.push_str(text.get(done..place.start).unwrap_or_default());
            out.push_str(REDACTED);
            is_open = true;
        }
        done = done.max(place.end);
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}
