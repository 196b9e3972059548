//! Generates texts that are almost what a client sends.

/// A generator of numbers (SplitMix64): the same seed gives the same cases.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `n` times.
    pub(super) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// A few of these, separated.
    pub(super) fn list(&mut self, from: &[&str], most: usize, separator: &str) -> String {
        let number = self.below(most + 1);
        let words: Vec<_> = (0..number).map(|_| self.pick(from)).collect();
        words.join(separator)
    }
}

/// What readers disagree about: spaces, controls, delimiters, characters that fold
/// to ASCII letters, and bytes that are no text.
pub(super) const ODD: [&[u8]; 46] = [
    b" ",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\x00",
    b"\x01",
    b"\x1f",
    b"\x7f",
    b"\xc2\xa0",
    b"\xa0",
    b"\xc2\x85",
    b"\x85",
    b"\xe2\x80\xa8",
    b"\xe3\x80\x80",
    b"\xef\xbb\xbf",
    b"\xc5\xbf",
    b"\xe2\x84\xaa",
    b"\xc4\xb1",
    b"\xc4\xb0",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b";",
    b"&",
    b"=",
    b"+",
    b"%",
    b"%%",
    b"%2",
    b"%zz",
    b"%00",
    b"%2f",
    b"%2F",
    b"%25",
    b"%26",
    b"%3D",
    b"%3b",
    b"%20",
    b"%2e",
    b"%c5%bf",
    b"%ff",
    b"/",
    b".",
    b"\\",
    b"#",
    b"?",
];

/// Changes a text in up to three places.
pub(super) fn bend(dice: &mut Dice, text: &mut Vec<u8>, escapes: bool) {
    if dice.once_in(3) {
        return;
    }
    for _ in 0..=dice.below(3) {
        let at = dice.below(text.len() + 1);
        match dice.below(8) {
            0 => {
                let odd = dice.pick(&ODD);
                text.splice(at..at, odd.iter().copied());
            }
            1 if at < text.len() => {
                let odd = dice.pick(&ODD);
                text.splice(at..=at, odd.iter().copied());
            }
            2 if at < text.len() => text[at] ^= 0x20,
            3 if at < text.len() => drop(text.remove(at)),
            4 if at < text.len() => {
                let byte = text[at];
                text.insert(at, byte);
            }
            5 if at < text.len() && escapes => {
                let escape = format!("%{:02x}", text[at]);
                text.splice(at..=at, escape.bytes());
            }
            6 if at < text.len() && escapes => {
                let escape = format!("%{:02X}", text[at]);
                text.splice(at..=at, escape.bytes());
            }
            _ if at < text.len() => {
                let end = (at + 1 + dice.below(12)).min(text.len());
                let part = text[at..end].to_vec();
                let to = dice.below(text.len() + 1);
                text.splice(to..to, part);
            }
            _ => {}
        }
    }
}

/// A byte for each of these, for the messages.
pub(super) fn shown(text: &[u8]) -> String {
    text.escape_ascii().to_string()
}
