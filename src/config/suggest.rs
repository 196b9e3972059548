//! Suggests the intended word, for the help line of an error.

/// The candidate that is nearest to `typed`, if one is near enough.
pub(super) fn nearest<'a>(typed: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let typed = typed.trim().to_ascii_lowercase().replace('-', "_");
    // A third of the letters may be wrong; with more, short words would match
    // each other.
    let tolerance = (typed.chars().count() / 3).clamp(1, 3);
    candidates
        .iter()
        .map(|candidate| (strsim::osa_distance(&typed, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= tolerance && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The nearest candidate, if there is one, and the list of all.
pub(super) fn help(typed: &str, what: &str, candidates: &[&str]) -> String {
    match nearest(typed, candidates) {
        Some(guess) => format!("did you mean `{guess}`? {what}: {}", list(candidates)),
        None => format!("{what}: {}", list(candidates)),
    }
}

fn list(candidates: &[&str]) -> String {
    let quoted: Vec<_> = candidates.iter().map(|c| format!("`{c}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_recognised_and_other_words_are_not() {
        let keys = ["discover", "interval", "mode", "secret_file"];
        for (typed, guess) in [
            ("dicover", Some("discover")),
            ("discovery", Some("discover")),
            ("Mode", Some("mode")),
            ("secret-file", Some("secret_file")),
            ("intreval", Some("interval")),
            ("x", None),
            ("", None),
            ("certificates", None),
        ] {
            assert_eq!(nearest(typed, &keys), guess, "{typed}");
        }
    }
}
