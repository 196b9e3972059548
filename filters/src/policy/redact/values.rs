//! The secrets of one answer, and the search for them in its other texts.

use std::collections::BTreeMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{REDACTED, RedactError};

/// The shortest secret that is searched for, in bytes. A shorter one, such as `1` or
/// `true`, would take most of an answer away.
pub const MIN_VALUE: usize = 6;

/// The bytes of a secret that are searched for. Where a longer one seems to start, the
/// rest of the text goes too.
const LONGEST: usize = 32;

/// The most bytes of all secrets of an answer: the search needs some thirty times as
/// many.
const MOST: usize = 256 << 10;

/// The secrets of one answer.
#[derive(Default)]
pub(super) struct Values {
    /// The beginning of each, and whether that is not all of it.
    patterns: BTreeMap<String, bool>,
    bytes: usize,
    longest: Option<usize>,
}

/// Finds the secrets in a text.
pub(super) struct Search {
    automaton: AhoCorasick,
    is_cut: Vec<bool>,
}

impl Values {
    /// Adds a secret, if it is long enough.
    pub(super) fn add(&mut self, value: &str) {
        if value.len() < MIN_VALUE || value.contains(REDACTED) {
            return;
        }
        self.insert(value, false);
        if self.bytes > MOST && self.longest.is_none() {
            // Shorter beginnings of more secrets: more of the answer may go.
            self.longest = Some(MIN_VALUE);
            self.bytes = 0;
            for (pattern, is_cut) in std::mem::take(&mut self.patterns) {
                self.insert(&pattern, is_cut);
            }
        }
    }

    fn insert(&mut self, value: &str, is_cut: bool) {
        let longest = self.longest.unwrap_or(LONGEST).min(value.len());
        let end = (longest..=value.len()).find(|end| value.is_char_boundary(*end));
        let pattern = end.and_then(|end| value.get(..end)).unwrap_or(value);
        let is_cut = is_cut || pattern.len() < value.len();
        if let Some(known) = self.patterns.get_mut(pattern) {
            *known |= is_cut;
        } else if self.bytes <= MOST {
            self.bytes += pattern.len();
            self.patterns.insert(pattern.to_owned(), is_cut);
        }
    }

    /// The search for these; `None` if there is nothing to search for.
    ///
    /// # Errors
    /// [`RedactError::TooMany`]
    pub(super) fn search(self) -> Result<Option<Search>, RedactError> {
        if self.bytes > MOST {
            return Err(RedactError::TooMany);
        }
        if self.patterns.is_empty() {
            return Ok(None);
        }
        // Standard matches are all of them, also where two overlap.
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(self.patterns.keys())
            .map_err(|_| RedactError::TooMany)?;
        Ok(Some(Search {
            automaton,
            is_cut: self.patterns.into_values().collect(),
        }))
    }
}

impl Search {
    /// Adds the places of secrets in a text. There are at most [`LONGEST`] that end at
    /// one byte, so the time is linear.
    pub(super) fn places(&self, text: &str, found: &mut Vec<Range<usize>>) {
        let first = found.len();
        for place in self.automaton.find_overlapping_iter(text) {
            let is_whole = self.is_cut.get(place.pattern().as_usize()) == Some(&false);
            let mut range = place.range();
            if !is_whole {
                range.end = text.len();
            }
            // Places come in the order of their ends. Those that touch become one, so
            // that there are never more than bytes.
            while let Some(last) = found.get(first..).and_then(<[_]>::last) {
                if last.end < range.start {
                    break;
                }
                range.start = range.start.min(last.start);
                found.pop();
            }
            found.push(range);
            if !is_whole {
                return;
            }
        }
    }
}
