//! Splits a list that arrives in pieces into its elements.
//!
//! Only the ends of the elements are found here: whoever reads an element finds out
//! whether it is JSON. Of the list at most one unfinished element is held.

use super::error::MergeError;
use crate::json::{MAX_DEPTH, MAX_ELEMENTS};

/// What the endpoint answers with.
const EXPECTED: &str = "a JSON array";

/// The elements of an array of objects; `null` is an empty array, as Go writes it.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// What has arrived and is not read, behind what is.
    buffer: Vec<u8>,
    read: usize,
    place: Place,
    element: Element,
    /// The elements so far.
    count: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Array,
    /// An element, or the end of the array.
    First,
    Element,
    /// The rest of an element.
    Inside,
    /// A comma, or the end of the array.
    Comma,
    End,
}

/// The part of an element that was searched for its end.
#[derive(Debug, Default)]
struct Element {
    searched: usize,
    depth: usize,
    in_string: bool,
}

impl Pieces {
    /// Adds the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// The bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.buffer.len() - self.read
    }

    /// The place and the text of the next element; `None` until more arrives, or at the
    /// end.
    ///
    /// # Errors
    /// If the list is not an array of objects.
    pub(super) fn next(&mut self) -> Result<Option<(usize, &str)>, MergeError> {
        while self.place != Place::Inside {
            if !self.step()? {
                return Ok(None);
            }
        }
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let index = self.count;
        let Some(length) = self.element.end(rest, index)? else {
            return Ok(None);
        };
        if index == MAX_ELEMENTS {
            return Err(MergeError::TooManyElements);
        }
        self.count += 1;
        self.read += length;
        self.place = Place::Comma;
        let text = rest.get(..length).unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|e| MergeError::of_element(index, e))?;
        Ok(Some((index, text)))
    }

    /// The end of the answer.
    ///
    /// # Errors
    /// If it is not that of the list.
    pub(super) fn finish(&self) -> Result<(), MergeError> {
        match self.place {
            Place::End => Ok(()),
            _ => Err(MergeError::Truncated),
        }
    }

    /// Reads up to the next element; false if more must arrive first.
    fn step(&mut self) -> Result<bool, MergeError> {
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let space = rest.iter().take_while(|b| is_space(**b)).count();
        self.read += space;
        let rest = rest.get(space..).unwrap_or_default();
        let Some(next) = rest.first() else {
            return Ok(false);
        };
        let (place, read) = match (self.place, next) {
            (Place::Array, b'[') => (Place::First, 1),
            (Place::Array, b'n') if rest.starts_with(b"null") => (Place::End, 4),
            (Place::Array, b'n') if b"null".starts_with(rest) => return Ok(false),
            (Place::Array, b'{' | b'"' | b't' | b'f' | b'-' | b'0'..=b'9') => {
                return Err(MergeError::Shape { expected: EXPECTED });
            }
            (Place::First, b']') | (Place::Comma, b']') => (Place::End, 1),
            (Place::Comma, b',') => (Place::Element, 1),
            (Place::First | Place::Element, b'{') => {
                self.element = Element::default();
                (Place::Inside, 0)
            }
            (Place::First | Place::Element, _) => {
                return Err(MergeError::of_element(self.count, "not an object"));
            }
            (Place::Array | Place::Comma | Place::Inside | Place::End, _) => {
                return Err(MergeError::NotJson {
                    line: 1,
                    column: self.read + 1,
                });
            }
        };
        self.place = place;
        self.read += read;
        Ok(true)
    }
}

impl Element {
    /// The length of the element that begins here, if all of it is here.
    fn end(&mut self, text: &[u8], index: usize) -> Result<Option<usize>, MergeError> {
        let mut at = self.searched;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            if self.in_string {
                let Some(stop) = rest.iter().position(|b| matches!(b, b'"' | b'\\')) else {
                    at = text.len();
                    break;
                };
                let escapes = rest.get(stop) == Some(&b'\\');
                if escapes && rest.len() == stop + 1 {
                    // What it escapes has not arrived.
                    at += stop;
                    break;
                }
                at += stop + 1 + usize::from(escapes);
                self.in_string = escapes;
                continue;
            }
            let is_mark = |b: &u8| matches!(b, b'"' | b'{' | b'[' | b'}' | b']');
            let Some(stop) = rest.iter().position(is_mark) else {
                at = text.len();
                break;
            };
            at += stop + 1;
            match rest.get(stop) {
                Some(b'"') => self.in_string = true,
                Some(b'{' | b'[') => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(MergeError::TooDeep { index });
                    }
                }
                _ => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Ok(Some(at));
                    }
                }
            }
        }
        self.searched = at;
        Ok(None)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The elements of a list that arrives in pieces of this length.
    fn split(list: &str, length: usize) -> Result<Vec<String>, MergeError> {
        let mut pieces = Pieces::default();
        let mut elements = Vec::new();
        for piece in list.as_bytes().chunks(length) {
            pieces.push(piece);
            while let Some((index, text)) = pieces.next()? {
                assert_eq!(index, elements.len());
                elements.push(text.to_owned());
            }
        }
        pieces.finish().map(|()| elements)
    }

    #[test]
    fn elements_do_not_depend_on_the_pieces() {
        let list = " [ {\"a\":\"}\\\"]\"} ,{\"b\":[{},[\"\\\\\"]]}\n, {}\t]\r\n";
        let expected = [r#"{"a":"}\"]"}"#, r#"{"b":[{},["\\"]]}"#, "{}"];
        for length in 1..=list.len() {
            assert_eq!(split(list, length).unwrap(), expected, "{length}");
        }
        for empty in ["[]", "null", " null\n", "[ ]"] {
            for length in 1..=empty.len() {
                assert!(split(empty, length).unwrap().is_empty(), "{empty}");
            }
        }
    }

    #[test]
    fn other_answers_are_errors_in_pieces_of_every_length() {
        let deep = format!("[{}", "{\"a\":".repeat(MAX_DEPTH + 1));
        for (list, expected) in [
            ("", "the answer ends in the middle of its JSON"),
            ("[", "the answer ends in the middle of its JSON"),
            ("[{}", "the answer ends in the middle of its JSON"),
            ("[{},", "the answer ends in the middle of its JSON"),
            ("[{\"a\":\"\\", "the answer ends in the middle of its JSON"),
            ("nul", "the answer ends in the middle of its JSON"),
            ("{\"message\":\"no\"}", "the answer is not a JSON array"),
            ("\"[]\"", "the answer is not a JSON array"),
            ("page not found", "the answer is not JSON (line 1, column "),
            ("nothing", "the answer is not JSON (line 1, column "),
            ("[]]", "the answer is not JSON (line 1, column "),
            ("[{}]{", "the answer is not JSON (line 1, column "),
            ("[{}{}]", "the answer is not JSON (line 1, column "),
            (
                "[{},]",
                "element 1 of the answer is not what this endpoint lists",
            ),
            (
                "[1]",
                "element 0 of the answer is not what this endpoint lists",
            ),
            (&deep, "element 0 of the answer is nested deeper than"),
        ] {
            for length in 1..=list.len().max(1) {
                let error = split(list, length).unwrap_err().to_string();
                assert!(error.starts_with(expected), "{list}: {error}");
            }
        }
    }

    #[test]
    fn only_an_unfinished_element_is_held() {
        let mut pieces = Pieces::default();
        for _ in 0..100 {
            pieces.push(
                b"[{\"a\":1},{\"b\""
                    .get(usize::from(pieces.count > 0)..)
                    .unwrap(),
            );
            while pieces.next().unwrap().is_some() {}
            assert!(pieces.held() <= 10, "{pieces:?}");
            pieces.push(b":2},");
            while pieces.next().unwrap().is_some() {}
        }
        assert_eq!(pieces.count, 200);
    }
}
