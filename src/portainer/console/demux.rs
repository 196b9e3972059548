//! Removes the headers from a multiplexed stream of output and errors (moby
//! `stdcopy`: stream, three zeros, length). A container without a terminal has
//! such a stream.

const HEADER: usize = 8;

/// The position in a multiplexed stream.
#[derive(Debug, Default)]
pub(super) struct Demux {
    header: Vec<u8>,
    left: u32,
}

impl Demux {
    /// The output in these bytes.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() {
            if self.left == 0 {
                let (now, later) = bytes.split_at(bytes.len().min(HEADER - self.header.len()));
                self.header.extend_from_slice(now);
                bytes = later;
                if let Ok([_, _, _, _, length @ ..]) = <[u8; HEADER]>::try_from(&*self.header) {
                    self.left = u32::from_be_bytes(length);
                    self.header.clear();
                }
                continue;
            }
            let length = usize::try_from(self.left).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(length));
            out.extend_from_slice(now);
            self.left -= u32::try_from(now.len()).unwrap_or(self.left);
            bytes = later;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_are_removed_wherever_a_read_ends(
            frames in proptest::collection::vec((1u8..3, proptest::collection::vec(any::<u8>(), 0..20)), 0..8),
            cut in 1usize..12,
        ) {
            let mut wire = Vec::new();
            for (stream, body) in &frames {
                wire.extend([*stream, 0, 0, 0]);
                wire.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
                wire.extend(body);
            }
            let mut demux = Demux::default();
            let out: Vec<u8> = wire.chunks(cut).flat_map(|bytes| demux.read(bytes)).collect();
            let whole: Vec<u8> = frames.into_iter().flat_map(|(_, body)| body).collect();
            prop_assert_eq!(out, whole);
        }
    }
}
