//! Names of fields, as Go's `encoding/json` compares them.

/// Whether Go takes `key` for the field `name`, which is ASCII: without regard
/// to case, where the two characters beyond ASCII that fold to a letter of it
/// count too (`ſ` and the Kelvin sign).
pub(crate) fn same_field(key: &str, name: &str) -> bool {
    // No spelling of a name is shorter than it, and none of its letters takes more than 3 bytes.
    if key.len() < name.len() {
        return false;
    }
    if key.is_ascii() {
        return key.eq_ignore_ascii_case(name);
    }
    key.chars().map(folded).eq(name.chars().map(folded))
}

pub(super) fn folded(char: char) -> char {
    match char {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_as_go_does() {
        for key in ["Sysctls", "sysctls", "SYSCTLS", "\u{17f}ysctl\u{17f}"] {
            assert!(same_field(key, "Sysctls"), "{key}");
        }
        assert!(same_field("Lin\u{212a}s", "Links"));
        for key in ["Sysctl", "Sysctls ", "Sys-ctls", "", "Sys\u{131}ctls"] {
            assert!(!same_field(key, "Sysctls"), "{key}");
        }
    }
}
