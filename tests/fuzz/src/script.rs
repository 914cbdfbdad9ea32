//! Arbitrary bytes as a conversation: who says what, part by part.

use plainsight_core::protocol::conversation::Side;

/// Reads parts off bytes: two that say who speaks (the highest bit) and how long, then what is
/// said. The last one may be shorter than it says.
pub struct Script<'a>(&'a [u8]);

/// A segment or a datagram.
pub struct Part<'a> {
    /// Who says it.
    pub side: Side,
    /// What is said.
    pub bytes: &'a [u8],
}

const SERVER: u16 = 0x8000;

// === impl Script ===

impl<'a> Script<'a> {
    /// The parts in these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Script<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let [high, low, rest @ ..] = self.0 else { return None };
        let word = u16::from_be_bytes([*high, *low]);
        let side = if word & SERVER == 0 { Side::Client } else { Side::Server };
        let (bytes, rest) = rest.split_at(usize::from(word & !SERVER).min(rest.len()));
        self.0 = rest;
        Some(Part { side, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_in_turn() {
        let bytes = [0, 2, 1, 2, 0x80, 1, 3, 0, 9, 4];
        let parts: Vec<_> = Script::new(&bytes).map(|part| (part.side, part.bytes)).collect();
        let expect: [(Side, &[u8]); 3] =
            [(Side::Client, &[1, 2]), (Side::Server, &[3]), (Side::Client, &[4])];
        assert_eq!(parts, expect);
    }
}
