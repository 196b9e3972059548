//! The frames around the output of a container without a terminal: the stream's number,
//! three zeros, the length as four bytes, the output (moby `pkg/stdcopy`).

const HEADER: usize = 8;

/// The number of standard output.
pub const OUTPUT: u8 = 1;

/// The position in a stream of frames.
#[derive(Debug, Default)]
pub struct Frames {
    header: Vec<u8>,
    stream: u8,
    /// The bytes that are left of a frame's output.
    left: usize,
}

impl Frames {
    /// The next piece of output and the number of its stream; moves `bytes` behind it.
    /// `None` if no output is left in `bytes`.
    pub fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<(u8, &'b [u8])> {
        while self.left == 0 && !bytes.is_empty() {
            let header = take(bytes, HEADER - self.header.len());
            self.header.extend_from_slice(header);
            if let Ok([stream, _, _, _, length @ ..]) = <[u8; HEADER]>::try_from(&*self.header) {
                self.stream = stream;
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.header.clear();
            }
        }
        let piece = take(bytes, self.left);
        self.left -= piece.len();
        (!piece.is_empty()).then_some((self.stream, piece))
    }
}

fn take<'b>(bytes: &mut &'b [u8], limit: usize) -> &'b [u8] {
    let (now, later) = bytes.split_at(bytes.len().min(limit));
    *bytes = later;
    now
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_output_is_whole_wherever_a_read_ends(
            frames in proptest::collection::vec((1u8..3, proptest::collection::vec(any::<u8>(), 0..20)), 0..8),
            cut in 1usize..12,
        ) {
            let mut wire = Vec::new();
            for (stream, body) in &frames {
                wire.extend([*stream, 0, 0, 0]);
                wire.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
                wire.extend(body);
            }
            let mut reader = Frames::default();
            let mut read = Vec::new();
            for mut bytes in wire.chunks(cut) {
                while let Some((stream, piece)) = reader.next(&mut bytes) {
                    read.extend(piece.iter().map(|byte| (stream, *byte)));
                }
            }
            let whole = frames.iter().flat_map(|(stream, body)| body.iter().map(|byte| (*stream, *byte)));
            prop_assert_eq!(read, whole.collect::<Vec<_>>());
        }
    }
}
