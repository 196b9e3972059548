//! Splits a stream of JSON messages into lines, in bounded memory.
//!
//! Every encoder of the engine that writes a stream of messages ends each with a
//! line feed and writes none within a message: Go's `json.Encoder`, the progress
//! formatter with CR LF, and the JSON text sequence, which also puts a record
//! separator first. So lines are messages, and no JSON is read here. A last line
//! without a line feed is an unfinished message.

/// Longest line, in bytes.
///
/// An event or a progress message has a few hundred. The attributes of an event
/// include the labels of a container, which are rarely longer than this.
pub const MAX_LINE: usize = 1 << 20;

/// A line is longer than [`MAX_LINE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream has a line of more than {MAX_LINE} bytes")]
pub struct LineTooLong;

/// Takes the pieces of a stream and returns its lines.
#[derive(Debug, Default)]
pub struct LineSplitter {
    /// The beginning of a line, at most [`MAX_LINE`] bytes.
    begun: Vec<u8>,
    is_broken: bool,
}

impl LineSplitter {
    /// Starts at the beginning of a line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a piece of the stream and returns the lines that it completes,
    /// without CR and LF and without empty lines.
    ///
    /// # Errors
    /// [`LineTooLong`], now and for every further piece. Lines before the long one
    /// are returned first.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Vec<Vec<u8>>, LineTooLong> {
        let mut lines = Vec::new();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            if self.is_broken || self.begun.len() + piece.len() > MAX_LINE {
                self.is_broken = true;
                self.begun = Vec::new();
                break;
            }
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let mut line = std::mem::take(&mut self.begun);
                line.truncate(line.trim_ascii_end().len());
                if !line.is_empty() {
                    lines.push(line);
                }
            }
        }
        if self.is_broken && lines.is_empty() {
            return Err(LineTooLong);
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_returned_when_it_is_complete() {
        let mut splitter = LineSplitter::new();
        for (chunk, lines) in [
            ("{\"a\"", vec![]),
            (":1}\n{\"b\":", vec!["{\"a\":1}"]),
            ("2}\r\n\n\u{1e}{}\n", vec!["{\"b\":2}", "\u{1e}{}"]),
            ("", vec![]),
            ("unfinished", vec![]),
        ] {
            let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
            assert_eq!(splitter.feed(chunk.as_bytes()), Ok(lines), "{chunk}");
        }
    }

    #[test]
    fn a_line_may_be_exactly_as_long_as_the_bound() {
        let longest = [vec![b'x'; MAX_LINE - 1], vec![b'\n']].concat();
        let mut splitter = LineSplitter::new();
        assert_eq!(splitter.feed(&longest).map(|lines| lines.len()), Ok(1));
        assert_eq!(splitter.feed(&longest[..MAX_LINE - 1]), Ok(vec![]));
        assert_eq!(splitter.feed(b"x\n"), Err(LineTooLong));
        assert_eq!(splitter.feed(b"{}\n"), Err(LineTooLong));
    }

    #[test]
    fn lines_before_one_too_long_are_not_lost() {
        let chunk = [b"{}\n".to_vec(), vec![b'x'; MAX_LINE + 1]].concat();
        let mut splitter = LineSplitter::new();
        assert_eq!(splitter.feed(&chunk), Ok(vec![b"{}".to_vec()]));
        assert_eq!(splitter.feed(b"\n"), Err(LineTooLong));
    }

    proptest! {
        #[test]
        fn the_size_of_the_pieces_does_not_matter(
            chunks in prop::collection::vec("[a\\n\\r ]{0,5}", 0..8),
        ) {
            let whole = LineSplitter::new().feed(chunks.concat().as_bytes());
            let mut splitter = LineSplitter::new();
            let cut: Result<Vec<_>, _> = chunks.iter().map(|c| splitter.feed(c.as_bytes())).collect();
            prop_assert_eq!(cut.map(|lines| lines.concat()), whole);
        }
    }
}
