//! Measures the nesting of JSON without a stack.

/// Deepest nesting of an element.
///
/// An engine needs about ten; clients give up at 128 (serde), 1000 (Python)
/// or 10000 (Go), and then lose the rows of all other nodes as well.
pub const MAX_DEPTH: usize = 100;

/// Whether valid JSON is nested deeper than [`MAX_DEPTH`].
pub(crate) fn is_too_deep(json: &str) -> bool {
    // Counting compiles to a few vector instructions and is enough for nearly every element.
    let openers = json.bytes().filter(|b| matches!(b, b'{' | b'[')).count();
    openers > MAX_DEPTH && depth(json) > MAX_DEPTH
}

fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        let brackets = "[".repeat(MAX_DEPTH + 1);
        let table = [
            (
                format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)),
                false,
            ),
            (format!("{brackets}{}", "]".repeat(MAX_DEPTH + 1)), true),
            (
                format!(
                    "{}1{}",
                    "{\"a\":".repeat(MAX_DEPTH + 1),
                    "}".repeat(MAX_DEPTH + 1)
                ),
                true,
            ),
            (format!("{{\"a\":\"\\\"{brackets}\"}}"), false),
            (format!("{{\"{brackets}\\\\\":[]}}"), false),
            (format!("[{}{{}}]", "{},".repeat(MAX_DEPTH)), false),
        ];
        for (json, expected) in table {
            assert_eq!(is_too_deep(&json), expected, "{json}");
        }
    }
}
