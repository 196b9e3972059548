//! Splits output into frames: text frames for UTF-8, with no character cut at
//! the end of a read, and binary frames for other bytes. Joined again, the frames
//! are the engine's output, byte for byte.
//!
//! Portainer's pages support only text frames. For a binary one they show
//! nothing, or in newer versions `[object Blob]` (2.43 encodes `e.data` as text).
//! They get replacement characters for bytes that are not UTF-8.

use bytes::{Bytes, BytesMut};

/// A read is noise, such as a binary file printed by mistake, if its text falls
/// into more than `FEW` pieces and more than one byte in `CONTROL` is a control
/// character that text never has; random bytes have one in eleven. A frame for
/// each piece would take a server on the way hundreds of times as long as the
/// bytes alone.
const FEW: usize = 32;
const CONTROL: usize = 50;

/// The shortest piece of noise that is still sent as text, in bytes.
const READABLE: usize = 16;

/// The payload of one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Binary(Bytes),
}

/// Splits output. Holds the beginning of a character whose end has not come yet:
/// three bytes at most.
#[derive(Debug, Default)]
pub(super) struct Text {
    begun: BytesMut,
    /// Never emit binary pieces.
    text_only: bool,
}

impl Text {
    /// For a page that supports only text frames.
    pub(super) fn text_only() -> Self {
        Self {
            text_only: true,
            ..Self::default()
        }
    }

    /// The pieces that can be sent after this read.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        self.begun = all.split_off(all.len() - begun(&all));
        self.pieces(all.freeze())
    }

    /// The rest, when no more output comes.
    pub(super) fn end(mut self) -> Vec<Piece> {
        let rest = std::mem::take(&mut self.begun);
        self.pieces(rest.freeze())
    }

    fn pieces(&self, bytes: Bytes) -> Vec<Piece> {
        if !self.text_only {
            pieces(bytes)
        } else if bytes.is_empty() {
            Vec::new()
        } else {
            vec![Piece::Text(String::from_utf8_lossy(&bytes).into_owned())]
        }
    }
}

/// The number of bytes at the end that may begin a character.
fn begun(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last();
    let open = last.map_or(&b""[..], |chunk| chunk.invalid());
    // An incomplete character is at the end and has no error length.
    match str::from_utf8(open) {
        Err(e) if e.error_len().is_none() => open.len(),
        _ => 0,
    }
}

fn pieces(bytes: Bytes) -> Vec<Piece> {
    let least = if is_noise(&bytes) { READABLE } else { 1 };
    let mut pieces = Vec::new();
    // The bytes before `from` are in a piece already.
    let (mut from, mut at) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        let (begin, end) = (at, at + chunk.valid().len());
        at = end + chunk.invalid().len();
        // Before noise there may be the end of a text, and after it a prompt.
        let outside = begin == 0 || end == bytes.len();
        if begin == end || end - begin < least && !outside {
            continue;
        }
        if from < begin {
            pieces.push(Piece::Binary(bytes.slice(from..begin)));
        }
        pieces.push(Piece::Text(chunk.valid().to_owned()));
        from = end;
    }
    if from < bytes.len() {
        pieces.push(Piece::Binary(bytes.slice(from..)));
    }
    pieces
}

fn is_noise(bytes: &[u8]) -> bool {
    // Not those from BEL to SI, and not ESC.
    let control = |b: &&u8| matches!(b, 0..=6 | 16..=26 | 28..=31 | 127);
    let chunks = bytes.utf8_chunks();
    chunks.filter(|chunk| !chunk.valid().is_empty()).count() > FEW
        && bytes.iter().filter(control).count() > bytes.len() / CONTROL
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
    fn bytes_that_are_not_utf8_are_binary_and_the_text_around_them_is_text() {
        let mut stream = Text::default();
        let binary = |b: &'static [u8]| Piece::Binary(Bytes::from_static(b));
        let read = stream.read(b"a\xffb\xc3(");
        let expected = [
            text("a"),
            binary(b"\xff"),
            text("b"),
            binary(b"\xc3"),
            text("("),
        ];
        assert_eq!(read, expected);
        assert_eq!(stream.read(b"$ \xe2\x82"), [text("$ ")]);
        assert_eq!(stream.end(), [binary(b"\xe2\x82")]);
    }

    /// The text that a page without support for binary frames shows.
    fn shown(pieces: &[Piece]) -> String {
        let texts = pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Binary(_) => None,
        });
        texts.collect()
    }

    #[test]
    fn a_page_that_supports_only_text_gets_no_binary_frame() {
        let mut stream = Text::text_only();
        assert_eq!(
            stream.read(b"a\xffb latin\xe4 \xe2\x82"),
            [text("a\u{fffd}b latin\u{fffd} ")]
        );
        assert_eq!(stream.read(b"\xac\xf0\x9f"), [text("€")]);
        assert_eq!(stream.read(b""), []);
        assert_eq!(stream.end(), [text("\u{fffd}")]);
        let noise = Text::text_only().read(&b"\0\xffa\xff".repeat(2500));
        assert_eq!(noise, [text(&"\0\u{fffd}a\u{fffd}".repeat(2500))]);
        assert_eq!(Text::text_only().end(), []);
    }

    #[test]
    fn text_stays_text_between_other_bytes() {
        for (line, legible) in [
            // Latin-1, Latin-2, KOI8-R, and names in colours.
            (
                &b"d\xe9j\xe0 vu, no\xebl \xe0 l'\xeele\r\n"[..],
                "dj vu, nol  l'le\r\n",
            ),
            (
                b"P\xf8\xedli\xb9 \xbelu\xbbou\xe8k\xfd k\xf9\xf2\r\n",
                "Pli luouk k\r\n",
            ),
            (
                b"\xf0\xd2\xc9\xd7\xc5\xd4, \xcd\xc9\xd2! 2024\r\n",
                ", ! 2024\r\n",
            ),
            (
                b"\x1b[01;34m\xc4pfel\x1b[0m  \x1b[01;34m\xd6l\x1b[0m\r\n",
                "\x1b[01;34mpfel\x1b[0m  \x1b[01;34ml\x1b[0m\r\n",
            ),
        ] {
            let read = Text::default().read(&line.repeat(500));
            assert_eq!(shown(&read), legible.repeat(500));
        }
    }

    #[test]
    fn a_prompt_after_noise_and_the_readable_parts_of_noise_are_text() {
        let noise = b"\0\xffa\xff".repeat(2500);
        let parts = [
            &b"$ cat x\r\n"[..],
            &noise,
            b"GCC: (Debian 14.2.0)",
            &noise,
            b"^C\r\n$ ",
        ];
        let read = Text::default().read(&parts.concat());
        let legible = "$ cat x\r\n\0GCC: (Debian 14.2.0)\0^C\r\n$ ";
        assert_eq!(shown(&read), legible);
        assert_eq!(read.len(), 5);
    }

    #[test]
    fn noise_becomes_few_frames() {
        let mut word = 1u32;
        let mut random = || {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            word.to_be_bytes()[0]
        };
        let noise: Vec<u8> = std::iter::from_fn(|| Some(random()))
            .take(16 << 10)
            .collect();
        let read = Text::default().read(&noise);
        assert!(read.len() < 10, "{}", read.len());
    }

    proptest! {
        #[test]
        fn no_byte_of_the_output_is_lost(
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
        fn no_byte_of_noise_is_lost(
            parts in proptest::collection::vec((0usize..40, 1usize..4), 0..400)
        ) {
            let read: Vec<u8> = parts
                .iter()
                .flat_map(|(text, other)| [vec![0; *text], vec![0xff; *other]].concat())
                .collect();
            let pieces = Text::default().read(&read);
            let out: Vec<u8> = pieces.iter().flat_map(|piece| match piece {
                Piece::Text(text) => text.as_bytes().to_vec(),
                Piece::Binary(bytes) => bytes.to_vec(),
            }).collect();
            prop_assert_eq!(out, read);
        }

        #[test]
        fn text_stays_text_for_any_cut(whole in "\\PC{0,40}", cuts in proptest::collection::vec(1usize..5, 1..40)) {
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
