//! Output as frames: text wherever it is UTF-8, with no character cut where a
//! read happens to end, and binary for what is no text. Put together again,
//! the frames are what the engine sent, byte for byte.

use bytes::{Bytes, BytesMut};

/// Interruptions of text in one read beyond which it is sent as one piece: it
/// is not for reading, and a frame for each byte would be.
const INTERRUPTIONS: usize = 16;

/// One frame's worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Readable.
    Text(String),
    /// Not.
    Binary(Bytes),
}

/// The beginning of a character whose end has not come yet: three bytes at most.
#[derive(Debug, Default)]
pub(super) struct Text {
    begun: BytesMut,
}

impl Text {
    /// What can be sent now that this was read.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        self.begun = all.split_off(all.len() - begun(&all));
        pieces(all.freeze())
    }

    /// What is left when nothing more comes.
    pub(super) fn end(self) -> Vec<Piece> {
        pieces(self.begun.freeze())
    }
}

/// How many bytes at the end are the beginning of a character.
fn begun(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last();
    let open = last.map_or(&b""[..], |chunk| chunk.invalid());
    // What can still become one ends without an error of its own.
    match str::from_utf8(open) {
        Err(e) if e.error_len().is_none() => open.len(),
        _ => 0,
    }
}

fn pieces(bytes: Bytes) -> Vec<Piece> {
    let interrupted = |chunk: &std::str::Utf8Chunk<'_>| !chunk.invalid().is_empty();
    if bytes.utf8_chunks().filter(interrupted).count() > INTERRUPTIONS {
        return vec![Piece::Binary(bytes)];
    }
    let mut pieces = Vec::new();
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        let (text, other) = (chunk.valid(), chunk.invalid());
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        at += text.len();
        if !other.is_empty() {
            pieces.push(Piece::Binary(bytes.slice(at..at + other.len())));
        }
        at += other.len();
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(t: &str) -> Piece {
        Piece::Text(t.to_owned())
    }

    #[test]
    fn a_character_is_never_cut() {
        for character in ["ü", "€", "🐝"] {
            for cut in 1..character.len() {
                let mut stream = Text::default();
                let (one, two) = character.as_bytes().split_at(cut);
                let one = [b"a", one].concat();
                assert_eq!(stream.read(&one), [text("a")], "{character} {cut}");
                assert_eq!(stream.read(two), [text(character)], "{character} {cut}");
                assert_eq!(stream.end(), []);
            }
        }
    }

    #[test]
    fn what_is_no_text_is_binary_and_the_text_around_it_is_text() {
        let mut stream = Text::default();
        let binary = |b: &'static [u8]| Piece::Binary(Bytes::from_static(b));
        let read = stream.read(b"a\xffb\xc3(");
        let told = [
            text("a"),
            binary(b"\xff"),
            text("b"),
            binary(b"\xc3"),
            text("("),
        ];
        assert_eq!(read, told);
        assert_eq!(stream.read(b"$ \xe2\x82"), [text("$ ")]);
        assert_eq!(stream.end(), [binary(b"\xe2\x82")]);
    }

    #[test]
    fn what_is_mostly_no_text_is_one_piece() {
        let noise = b"\xffa".repeat(INTERRUPTIONS + 1);
        let read = Text::default().read(&noise);
        assert_eq!(read, [Piece::Binary(noise.into())]);
    }

    proptest! {
        #[test]
        fn whatever_is_read_comes_out_whole(
            reads in proptest::collection::vec(proptest::collection::vec(prop_oneof![
                any::<u8>(), Just(0xe2), Just(0x82), Just(0xac), Just(b'a')
            ], 0..12), 0..12)
        ) {
            let mut stream = Text::default();
            let mut pieces: Vec<Piece> = Vec::new();
            for read in &reads {
                pieces.extend(stream.read(read));
                prop_assert!(stream.begun.len() < 4);
            }
            pieces.extend(stream.end());
            let out: Vec<u8> = pieces.iter().flat_map(|piece| match piece {
                Piece::Text(text) => text.as_bytes().to_vec(),
                Piece::Binary(bytes) => bytes.to_vec(),
            }).collect();
            prop_assert_eq!(out, reads.concat());
        }

        #[test]
        fn text_stays_text_however_it_is_cut(whole in "\\PC{0,40}", cuts in proptest::collection::vec(1usize..5, 1..40)) {
            let mut stream = Text::default();
            let mut rest = whole.as_bytes();
            let mut out = String::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                rest = later;
                for piece in stream.read(now) {
                    match piece {
                        Piece::Text(text) => out.push_str(&text),
                        Piece::Binary(bytes) => prop_assert!(false, "{bytes:?}"),
                    }
                }
            }
            prop_assert_eq!(out, whole);
            prop_assert_eq!(stream.end(), vec![]);
        }
    }
}
