//! Fuzzes the spellings of a request: all must get the same verdict.
//!
//! The bytes are those of `request`.

use super::request::Line;
use crate::endpoint::RequestPath;

/// Judges the request in each of its spellings.
///
/// # Panics
/// If two of them are judged differently, or only one is refused.
pub fn run(data: &[u8]) {
    let Some(line) = Line::parse(data) else {
        return;
    };
    let expected = line.verdicts();
    for spell in SPELLINGS {
        let path = respelled(line.path, spell);
        // A query may become longer, but a path has a bound.
        let path = if path.len() > 8 << 10 {
            line.path
        } else {
            &path
        };
        let query = respelled(line.query, spell);
        let spelled = Line {
            path,
            query: &query,
            ..line
        };
        assert_eq!(spelled.verdicts(), expected, "{path:?} {query:?}");
    }
    let Ok(path) = RequestPath::parse(line.path) else {
        return;
    };
    if path.version().is_none() {
        let path = format!("/v1.41{}", line.path);
        let versioned = Line {
            path: &path,
            ..line
        };
        let verdicts = versioned.verdicts();
        assert!(verdicts.is_none() || verdicts == expected, "{path:?}");
    }
    // A method in lower case is another one, which engines do not route.
    let method = line.method.to_ascii_lowercase();
    let lower = Line {
        method: &method,
        ..line
    };
    if let (Some(expected), Some(lower)) = (expected, lower.verdicts()) {
        let mut pairs = expected.iter().zip(lower);
        let widened = pairs.any(|(expected, lower)| lower.1 && !expected.1);
        assert!(!widened, "{method} is allowed, {} is not", line.method);
    }
}

/// Writes the nth byte as it is, or escaped with digits in either case.
type Spelling = fn(usize, u8) -> Option<String>;

const SPELLINGS: [Spelling; 4] = [
    |_, byte| Some(format!("%{byte:02X}")),
    |_, byte| Some(format!("%{byte:02x}")),
    |nth, byte| (nth % 2 == 0).then(|| format!("%{byte:02X}")),
    |nth, byte| (nth % 3 != 0).then(|| format!("%{byte:02x}")),
];

/// Another spelling of a path or a query. Separators, existing escapes and the
/// first slash of a path stay.
fn respelled(text: &str, spell: Spelling) -> String {
    let mut out = String::with_capacity(3 * text.len());
    let mut rest = text;
    let mut nth = 0;
    while let Some(char) = rest.chars().next() {
        let (this, after) = rest.split_at(char.len_utf8());
        rest = after;
        nth += 1;
        if nth == 1 && char == '/' || "%?#&=+;".contains(char) {
            out.push(char);
            // The digits of an escape are part of it.
            if char == '%'
                && let Some((digits, after)) = rest.split_at_checked(2)
            {
                out.push_str(digits);
                rest = after;
            }
            continue;
        }
        match spell(nth, 0) {
            None => out.push_str(this),
            Some(_) => out.extend(this.bytes().filter_map(|byte| spell(nth, byte))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spelling_has_the_same_meaning() {
        let [all, lower, some, _] = SPELLINGS;
        assert_eq!(respelled("/a%2fo", all), "/%61%2f%6F");
        assert_eq!(respelled("/a%2fo", lower), "/%61%2f%6f");
        assert_eq!(respelled("aé=b&c", some), "a%C3%A9=%62&%63");
    }
}
