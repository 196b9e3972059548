//! Writes the list of the cluster, element by element.

use super::NodeAnswer;
use crate::json::{Edit, splice};

/// Writes a JSON array.
pub(super) struct ListWriter {
    out: Vec<u8>,
    first: bool,
}

impl ListWriter {
    /// Starts an array after `prefix`, with room for the bodies it is made of.
    pub(super) fn new(prefix: &str, answers: &[NodeAnswer]) -> Self {
        let input: usize = answers.iter().map(|answer| answer.body.len()).sum();
        // Decorations add some 5 % to a container's row; growing once is harmless.
        let mut out = Vec::with_capacity(input + input / 16 + 64);
        out.extend_from_slice(prefix.as_bytes());
        out.push(b'[');
        Self { out, first: true }
    }

    /// Appends one element.
    pub(super) fn push(&mut self, text: &str, edits: Vec<Edit<'_>>) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        splice(&mut self.out, text, edits);
    }

    /// Ends the array and the body, with the line feed that the engine's encoder writes.
    pub(super) fn finish(mut self, suffix: &str) -> Vec<u8> {
        self.out.push(b']');
        self.out.extend_from_slice(suffix.as_bytes());
        self.out.push(b'\n');
        self.out
    }
}
