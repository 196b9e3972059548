//! Bulk data that both ends can generate and check without storing it: the noise
//! is a function of the position, and the checksum is incremental. Not for
//! cryptography.

/// The number of bytes that a [`Tally`] keeps.
const KEPT: usize = 64 * 1024;

/// An endless, reproducible sequence of incompressible bytes. The size of the
/// pieces does not change it.
#[derive(Debug, Clone, Default)]
pub struct Noise {
    position: u64,
}

impl Noise {
    /// The sequence from its first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills `out` with the next bytes.
    pub fn fill(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            let word = mix(self.position / 8).to_le_bytes();
            let skip = (self.position % 8) as usize;
            let n = out.len().min(8 - skip);
            let (now, rest) = out.split_at_mut(n);
            now.copy_from_slice(&word[skip..skip + n]);
            self.position += n as u64;
            out = rest;
        }
    }
}

/// The finaliser of SplitMix64.
fn mix(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The first `len` bytes of [`Noise`].
pub fn noise(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    Noise::new().fill(&mut out);
    out
}

/// A running 64-bit FNV-1a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum(u64);

impl Default for Sum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Sum {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The checksum so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// The checksum of `bytes`.
pub fn sum(bytes: &[u8]) -> u64 {
    let mut sum = Sum::default();
    sum.update(bytes);
    sum.value()
}

/// A summary of received bytes: their number, their checksum, and the first 64 KiB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of bytes.
    pub bytes: u64,
    /// The checksum of all of them; compare with [`sum`].
    pub sum: Sum,
    /// The first 64 KiB.
    pub start: Vec<u8>,
}

impl Tally {
    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.sum.update(bytes);
        let room = KEPT.saturating_sub(self.start.len());
        self.start
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_does_not_depend_on_the_size_of_its_pieces() {
        let whole = noise(1000);
        for cut in [1, 3, 7, 8, 9, 250] {
            let mut source = Noise::new();
            let mut pieces = vec![0; 1000];
            pieces.chunks_mut(cut).for_each(|piece| source.fill(piece));
            assert_eq!(pieces, whole, "cut into pieces of {cut}");
        }
    }

    #[test]
    fn noise_does_not_repeat_itself() {
        let bytes = noise(64 * 1024);
        let mut words: Vec<_> = bytes.chunks(8).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 8 * 1024);
    }

    #[test]
    fn the_checksum_is_fnv_1a() {
        assert_eq!(sum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(sum(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_tally_counts_everything_but_keeps_only_the_start() {
        let data = noise(KEPT + 10);
        let mut tally = Tally::default();
        data.chunks(1000).for_each(|piece| tally.add(piece));
        assert_eq!(tally.bytes, data.len() as u64);
        assert_eq!(tally.sum.value(), sum(&data));
        assert_eq!(tally.start, data[..KEPT]);
    }
}
