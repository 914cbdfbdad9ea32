//! The first bytes of a message as four words.
//!
//! They are read at offsets that other bytes give (behind a tag, behind a length) by shifting: the
//! verifier of kernel 5.10 refuses a variable index into the stack.

use core::hint::black_box;

/// How many bytes of a message are looked at.
pub const HEAD_LEN: usize = 32;

/// The first bytes of a message, big-endian, and how many there are.
#[derive(Clone, Copy)]
pub(super) struct Window {
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    /// Bytes of the message from here on, of which at most [`HEAD_LEN`] are in the words.
    pub(super) len: u32,
    /// Explicit padding: copies of a window take it along, and the verifier refuses to read what
    /// was never written.
    #[expect(dead_code, reason = "it is there to be written")]
    spare: u32,
}

/// Whether a [`Window`] starts with this text of at most eight bytes.
macro_rules! starts {
    ($window:expr, $text:literal) => {{
        const TEXT: (u64, u64) = $crate::wire::window::masked($text);
        $window.len >= $text.len() as u32 && $window.first() & TEXT.1 == TEXT.0
    }};
}
pub(super) use starts;

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

impl Window {
    /// What is behind `len` in `bytes` may be anything; rules ask for `len` first.
    #[inline(always)]
    pub(super) const fn new(bytes: &[u8; HEAD_LEN], len: u32) -> Self {
        #[rustfmt::skip]
        let [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7,
             c0, c1, c2, c3, c4, c5, c6, c7, d0, d1, d2, d3, d4, d5, d6, d7] = *bytes;
        Self {
            a: u64::from_be_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            b: u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
            c: u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
            d: u64::from_be_bytes([d0, d1, d2, d3, d4, d5, d6, d7]),
            len,
            spare: 0,
        }
    }

    /// The same window, of which nothing is known any more: the verifier follows every combination
    /// of what rules found out before, as long as it stays in registers.
    #[inline(always)]
    pub(super) const fn anew(self) -> Self {
        let Self { a, b, c, d, len, .. } = self;
        // It keeps the bounds of what is only moved. Those of a sum of bits it does not.
        let len = black_box(len ^ a as u32) ^ a as u32;
        Self { a: black_box(a), b: black_box(b), c: black_box(c), d: black_box(d), len, spare: 0 }
    }

    /// The window from `bytes` further on; at most 31.
    #[inline(always)]
    pub(super) const fn skip(self, bytes: u32) -> Self {
        let len = self.len.saturating_sub(bytes);
        let Self { mut a, mut b, mut c, mut d, .. } = self;
        if bytes & 16 != 0 {
            (a, b, c, d) = (c, d, 0, 0);
        }
        if bytes & 8 != 0 {
            (a, b, c, d) = (b, c, d, 0);
        }
        let bits = (bytes & 7) * 8;
        if bits != 0 {
            let rest = 64 - bits;
            (a, b, c) = (a << bits | b >> rest, b << bits | c >> rest, c << bits | d >> rest);
            d <<= bits;
        }
        Self { a, b, c, d, len, spare: 0 }
    }

    /// Whether there are so many bytes.
    #[inline(always)]
    pub(super) const fn has(self, bytes: u32) -> bool {
        self.len >= bytes
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
    /// sections 8.1.3 to 8.1.5). A length in more than four bytes is none.
    #[inline(never)]
    pub(super) const fn ber(self) -> Option<(u32, Self)> {
        Some(match self.byte(1) {
            length @ 0..=0x7f => (length as u32, self.skip(2)),
            0x81 => (self.byte(2) as u32, self.skip(3)),
            0x82 => (self.half(2) as u32, self.skip(4)),
            0x83 => (self.word(2) >> 8, self.skip(5)),
            0x84 => (self.word(2), self.skip(6)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_moves_the_window() {
        let bytes: [u8; HEAD_LEN] = core::array::from_fn(|i| i as u8);
        let window = Window::new(&bytes, 40);
        for at in 0..25 {
            let expect = u64::from_be_bytes(core::array::from_fn(|i| (i as u32 + at) as u8));
            assert_eq!((window.long(at), window.skip(at).len), (expect, 40 - at), "at {at}");
        }
        assert_eq!(window.byte(31), 31);
        assert_eq!(window.word_le(4), 0x0706_0504);
    }

    #[test]
    fn lengths_of_ber() {
        let check = |bytes: &[u8], expect: Option<(u32, u8)>| {
            let mut all = [0; HEAD_LEN];
            all[..bytes.len()].copy_from_slice(bytes);
            let found = Window::new(&all, bytes.len() as u32).ber();
            assert_eq!(found.map(|(length, rest)| (length, rest.byte(0))), expect, "{bytes:02x?}");
        };
        check(&[0x30, 5, 7], Some((5, 7)));
        check(&[0x30, 0x81, 0x90, 7], Some((0x90, 7)));
        check(&[0x30, 0x82, 1, 2, 7], Some((0x102, 7)));
        check(&[0x30, 0x84, 0, 0, 1, 2, 7], Some((0x102, 7)));
        check(&[0x30, 0x80, 7], None);
        check(&[0x30, 0x85, 0, 0, 0, 0, 1, 7], None);
    }
}
