//! The first bytes of a message as four words.
//!
//! They are read at offsets that other bytes give (behind a tag, behind a length) by shifting: the
//! verifier of kernel 5.10 refuses a variable index into the stack.

use core::hint::black_box;

/// How many bytes of a message are looked at.
pub const HEAD_LEN: usize = 32;

/// No element can be so long.
pub(super) const NO_LENGTH: u64 = u64::MAX;

/// The first bytes of a message as they lie in memory, aligned for words. What is behind the
/// message's end may be anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Start(pub [u64; HEAD_LEN / 8]);

/// The first bytes of a message from some offset on, and how many there are.
#[derive(Clone, Copy)]
pub(super) struct Window {
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    /// Bytes of the message from here on. A whole word, because copies leave no padding unwritten
    /// then, which the verifier would refuse.
    pub(super) len: u64,
}

/// Whether a [`Window`] starts with this text of at most eight bytes.
macro_rules! starts {
    ($window:expr, $text:literal) => {{
        const TEXT: (u64, u64) = $crate::wire::window::masked($text);
        $window.len >= $text.len() as u64 && $window.first() & TEXT.1 == TEXT.0
    }};
}
pub(super) use starts;

/// The same for a text of small letters, spaces, hyphens and colons, whatever the case of the letters.
macro_rules! starts_any_case {
    ($window:expr, $text:literal) => {{
        const TEXT: (u64, u64) = $crate::wire::window::masked($text);
        let window = $window;
        window.len >= $text.len() as u64
            && (window.first() | $crate::wire::window::CASES) & TEXT.1 == TEXT.0
    }};
}
pub(super) use starts_any_case;

/// The bits that tell eight letters from their upper case.
pub(super) const CASES: u64 = 0x2020_2020_2020_2020;

/// A text of at most eight bytes as the word it begins, and a mask over its bytes.
pub(super) const fn masked(text: &[u8]) -> (u64, u64) {
    let (mut word, mut mask, mut at) = (0, 0, 0);
    while at < text.len() {
        word |= (text[at] as u64) << (56 - at * 8);
        mask |= 0xff << (56 - at * 8);
        at += 1;
    }
    (word, mask)
}

impl Start {
    /// The first of these bytes, and zeros behind them.
    pub fn new(bytes: &[u8]) -> Self {
        let mut words = [0; HEAD_LEN / 8];
        for (word, part) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut eight = [0; 8];
            for (into, byte) in eight.iter_mut().zip(part) {
                *into = *byte;
            }
            *word = u64::from_ne_bytes(eight);
        }
        Self(words)
    }
}

impl Window {
    /// What is behind `len` may be anything; rules ask for `len` first.
    #[inline(always)]
    pub(super) const fn new(start: &Start, len: u64) -> Self {
        let [a, b, c, d] = start.0;
        Self { a: u64::from_be(a), b: u64::from_be(b), c: u64::from_be(c), d: u64::from_be(d), len }
    }

    /// The same window, of which nothing is known any more: the verifier follows every combination
    /// of what rules found out before, as long as it stays in registers.
    #[inline(always)]
    pub(super) const fn anew(self) -> Self {
        let Self { a, b, c, d, len } = self;
        // What is only moved keeps its bounds, and its copies share them. Sums of bits do not.
        let len = black_box(len ^ a) ^ a;
        let (a, b) = (black_box(a ^ d) ^ d, black_box(b ^ c) ^ c);
        Self { a, b, c: black_box(c), d: black_box(d), len }
    }

    /// The window from `bytes` further on; at most 31.
    #[inline(always)]
    pub(super) const fn skip(self, bytes: u32) -> Self {
        let len = self.len.saturating_sub(bytes as u64);
        let Self { mut a, mut b, mut c, mut d, .. } = self;
        if bytes & 16 != 0 {
            (a, b, c, d) = (c, d, 0, 0);
        }
        if bytes & 8 != 0 {
            (a, b, c, d) = (b, c, d, 0);
        }
        // In two steps, since a shift by all 64 bits is none.
        let bits = (bytes & 7) * 8;
        let rest = 63 - bits;
        a = a << bits | b >> 1 >> rest;
        b = b << bits | c >> 1 >> rest;
        c = c << bits | d >> 1 >> rest;
        d <<= bits;
        Self { a, b, c, d, len }
    }

    /// Offset of the first such byte among the 32; 32 without one.
    #[inline(always)]
    pub(super) const fn find(self, byte: u8) -> u64 {
        let (a, b) = (equal(self.a, byte), equal(self.b, byte));
        let (c, d) = (equal(self.c, byte), equal(self.d, byte));
        // Without a branch for each place: the verifier would walk what follows once for each.
        let (bits, from) = match (a, b, c) {
            (0, 0, 0) => (d, 24),
            (0, 0, _) => (c, 16),
            (0, _, _) => (b, 8),
            _ => (a, 0),
        };
        from + (bits.leading_zeros() / 8) as u64
    }

    /// Bytes of a datagram from here on.
    #[inline(always)]
    pub(super) const fn length(self) -> u32 {
        self.len as u32
    }

    /// Whether there are so many bytes.
    #[inline(always)]
    pub(super) const fn has(self, bytes: u32) -> bool {
        self.len >= bytes as u64
    }

    /// The first eight bytes.
    #[inline(always)]
    pub(super) const fn first(self) -> u64 {
        self.a
    }

    /// The first four bytes as text.
    #[inline(always)]
    pub(super) const fn tag(self) -> [u8; 4] {
        ((self.a >> 32) as u32).to_be_bytes()
    }

    /// The eight bytes at an offset.
    #[inline(always)]
    pub(super) const fn long(self, at: u32) -> u64 {
        self.skip(at).a
    }

    /// The four bytes at an offset.
    #[inline(always)]
    pub(super) const fn word(self, at: u32) -> u32 {
        (self.skip(at).a >> 32) as u32
    }

    /// The two bytes at an offset.
    #[inline(always)]
    pub(super) const fn half(self, at: u32) -> u16 {
        (self.skip(at).a >> 48) as u16
    }

    /// The byte at an offset.
    #[inline(always)]
    pub(super) const fn byte(self, at: u32) -> u8 {
        (self.skip(at).a >> 56) as u8
    }

    /// Four bytes at an offset as a number that is sent lowest byte first.
    #[inline(always)]
    pub(super) const fn word_le(self, at: u32) -> u32 {
        self.word(at).swap_bytes()
    }

    /// The value of a BER element that starts here, and the window from its contents on (X.690,
    /// sections 8.1.3 to 8.1.5). Without a length, or with one of more than four bytes, it is
    /// [`NO_LENGTH`]: half an `Option` would be read before it was written, which the verifier
    /// refuses.
    #[inline(never)]
    pub(super) const fn ber(self) -> (u64, Self) {
        let first = self.byte(1) as u64;
        if first < 0x80 {
            return (first, self.skip(2));
        }
        let bytes = (first & 0x7f) as u32;
        if bytes == 0 || bytes > 4 {
            return (NO_LENGTH, self);
        }
        ((self.word(2) >> (32 - bytes * 8)) as u64, self.skip(2 + bytes))
    }
}

/// A bit at the top of each byte that is this one.
#[inline(always)]
pub(super) const fn equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let differs = word ^ (byte as u64 * 0x0101_0101_0101_0101);
    !(((differs & LOW) + LOW) | differs | LOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_moves_the_window() {
        let bytes: [u8; HEAD_LEN] = core::array::from_fn(|i| i as u8);
        let window = Window::new(&Start::new(&bytes), 40);
        for at in 0..25 {
            let expect = u64::from_be_bytes(core::array::from_fn(|i| (i as u32 + at) as u8));
            assert_eq!(
                (window.long(at), window.skip(at).len),
                (expect, 40 - u64::from(at)),
                "at {at}"
            );
        }
        assert_eq!(window.byte(31), 31);
        assert_eq!(window.word_le(4), 0x0706_0504);
    }

    #[test]
    fn lengths_of_ber() {
        let check = |bytes: &[u8], expect: (u64, u8)| {
            let (length, rest) = Window::new(&Start::new(bytes), bytes.len() as u64).ber();
            assert_eq!((length, rest.byte(0)), expect, "{bytes:02x?}");
        };
        check(&[0x30, 5, 7], (5, 7));
        check(&[0x30, 0x81, 0x90, 7], (0x90, 7));
        check(&[0x30, 0x82, 1, 2, 7], (0x102, 7));
        check(&[0x30, 0x84, 0, 0, 1, 2, 7], (0x102, 7));
        check(&[0x30, 0x80, 7], (NO_LENGTH, 0x30));
        check(&[0x30, 0x85, 0, 0, 0, 0, 1, 7], (NO_LENGTH, 0x30));
    }
}
