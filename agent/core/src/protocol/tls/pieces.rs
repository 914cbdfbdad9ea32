//! Pieces of a stream that come in any order, put together again: fragments of DTLS messages and
//! CRYPTO frames of QUIC.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Pieces by where they begin.
#[derive(Clone, Debug, Default)]
pub(in crate::protocol) struct Pieces {
    pieces: BTreeMap<usize, Vec<u8>>,
    length: usize,
}

/// Most pieces of one stream; what comes after them is left out.
const PIECES_MAX: usize = 256;

/// Most bytes of one stream, repeated ones counted again.
const LENGTH_MAX: usize = 64 * 1024;

// === impl Pieces ===

impl Pieces {
    /// Takes in a piece that begins at `offset`. Of two that begin there, the longer one stays.
    pub(in crate::protocol) fn put(&mut self, offset: usize, piece: &[u8]) {
        let is_longer = self.pieces.get(&offset).is_none_or(|known| known.len() < piece.len());
        let is_room = self.pieces.len() < PIECES_MAX && self.length + piece.len() <= LENGTH_MAX;
        if is_longer && is_room && offset < LENGTH_MAX {
            self.length += piece.len();
            self.pieces.insert(offset, piece.to_vec());
        }
    }

    /// The stream from its first byte up to the first that is missing.
    pub(in crate::protocol) fn joined(&self) -> Vec<u8> {
        let mut joined = Vec::new();
        for (offset, piece) in &self.pieces {
            let Some(known) = joined.len().checked_sub(*offset) else { break };
            joined.extend_from_slice(piece.get(known..).unwrap_or_default());
        }
        joined
    }

    pub(in crate::protocol) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pieces: &[(usize, &[u8])], expect: &[u8]) {
        let mut stream = Pieces::default();
        for (offset, piece) in pieces {
            stream.put(*offset, piece);
        }
        assert_eq!(stream.joined(), expect, "{pieces:?}");
    }

    #[test]
    fn pieces_are_put_where_they_belong() {
        check(&[], b"");
        check(&[(0, b"abc"), (3, b"def")], b"abcdef");
        check(&[(3, b"def"), (0, b"abc")], b"abcdef");
        check(&[(0, b"abcd"), (2, b"cdef"), (1, b"b")], b"abcdef");
        check(&[(0, b"a"), (0, b"abc"), (0, b"ab")], b"abc");
        check(&[(0, b"abc"), (4, b"ef")], b"abc");
        check(&[(1, b"bc")], b"");
    }

    #[test]
    fn a_stream_has_an_end() {
        let mut stream = Pieces::default();
        for i in 0..1000 {
            stream.put(i * 1000, &[7; 1000]);
        }
        assert_eq!(stream.joined().len(), 65_000);
        let mut stream = Pieces::default();
        for i in 0..1000 {
            stream.put(i, &[7]);
        }
        assert_eq!(stream.joined().len(), PIECES_MAX);
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same(
            text in prop::collection::vec(any::<u8>(), 1..200),
            cuts in prop::collection::vec((0..200usize, 1..50usize), 0..40),
        ) {
            let mut stream = Pieces::default();
            for (start, length) in cuts {
                let end = text.len().min(start + length);
                stream.put(start, text.get(start..end).unwrap_or_default());
            }
            let joined = stream.joined();
            prop_assert_eq!(&joined[..], &text[..joined.len()]);
            stream.put(0, &text);
            prop_assert_eq!(stream.joined(), text);
        }
    }
}
