//! What is left to read of a message, taken from its front.

/// Bytes that are yet to be read. Everything that is taken was there: a number or a vector that
/// the bytes do not hold in full is not taken at all.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Bytes<'a>(pub(in crate::protocol) &'a [u8]);

// === impl Bytes ===

impl<'a> Bytes<'a> {
    pub(in crate::protocol) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::protocol) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    /// As many as there are, up to `count`: for a message that may have been cut.
    pub(in crate::protocol) fn take_up_to(&mut self, count: usize) -> Self {
        Self(self.take(count.min(self.0.len())).unwrap_or_default())
    }

    pub(in crate::protocol) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(in crate::protocol) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(in crate::protocol) fn u24(&mut self) -> Option<usize> {
        let (high, low) = (self.u8()?, self.u16()?);
        Some(usize::from(high) << 16 | usize::from(low))
    }

    pub(in crate::protocol) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A vector with its length in one byte (RFC 8446, section 3.4).
    pub(in crate::protocol) fn vector8(&mut self) -> Option<Self> {
        let length = self.u8()?;
        self.take(length.into()).map(Self)
    }

    /// A vector with its length in two bytes.
    pub(in crate::protocol) fn vector16(&mut self) -> Option<Self> {
        let length = self.u16()?;
        self.take(length.into()).map(Self)
    }

    /// A vector with its length in three bytes.
    pub(in crate::protocol) fn vector24(&mut self) -> Option<Self> {
        let length = self.u24()?;
        self.take(length).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian() {
        let mut bytes = Bytes(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(bytes.u8(), Some(1));
        assert_eq!(bytes.u16(), Some(0x0203));
        assert_eq!(bytes.u24(), Some(0x04_0506));
        assert_eq!(bytes.u32(), Some(0x0708_090a));
        assert_eq!(bytes.u16(), None, "one byte is no number of two");
        assert_eq!(bytes.u8(), Some(11));
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_vector_is_there_in_full_or_not_at_all() {
        assert_eq!(Bytes(&[2, 7, 8, 9]).vector8().map(|v| v.0), Some(&[7, 8][..]));
        assert_eq!(Bytes(&[0, 1, 7]).vector16().map(|v| v.0), Some(&[7][..]));
        assert_eq!(Bytes(&[0, 0, 0]).vector24().map(|v| v.0), Some(&[][..]));
        assert!(Bytes(&[3, 7, 8]).vector8().is_none());
        assert!(Bytes(&[0, 4, 7]).vector16().is_none());
        assert_eq!(Bytes(&[1, 2]).take_up_to(9).0, [1, 2]);
    }
}
