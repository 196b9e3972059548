//! Prints the lines in which two texts differ.

/// The most pairs of lines that are compared; longer texts are printed whole.
const MOST: usize = 4_000_000;

/// The lines that go (`-`) and come (`+`); empty if the texts are the same.
pub(super) fn difference(before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let mut out = String::new();
    let mut put = |mark: char, line: &str| out.push_str(&format!("{mark} {line}\n"));
    if old.len().saturating_mul(new.len()) > MOST {
        old.iter().for_each(|line| put('-', line));
        new.iter().for_each(|line| put('+', line));
        return out;
    }
    // The longest common part of what follows each pair of places.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            common[i][j] = match a == b {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            put('-', old[i]);
            i += 1;
        } else {
            put('+', new[j]);
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_differ_are_printed() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), "");
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\nd\n"), "- b\n+ x\n+ d\n");
        assert_eq!(difference("", "a\n"), "+ a\n");
        assert_eq!(difference("a\n", ""), "- a\n");
        let long = "x\n".repeat(3000);
        assert_eq!(difference(&long, "").lines().count(), 3000);
    }
}
