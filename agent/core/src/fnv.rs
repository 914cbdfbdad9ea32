//! FNV-1a, 64 bits: short ids that stay the same over restarts, releases and machines.
//!
//! The standard library's hashers promise none of the three, and an id need not resist forgery.

/// A running hash.
#[derive(Clone, Copy)]
pub(crate) struct Fnv(u64);

// === impl Fnv ===

impl Fnv {
    /// The offset basis of the 64-bit variant.
    pub(crate) const START: Self = Self(0xcbf2_9ce4_8422_2325);

    /// The prime of the 64-bit variant.
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(Self::PRIME)))
    }

    /// Text and a byte that no UTF-8 text contains, so that ("ab", "c") is not ("a", "bc").
    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes()).bytes(&[0xff])
    }

    /// As [`Self::text`], with absence told apart from every text.
    pub(crate) fn optional(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => self.bytes(&[0xfe]),
        }
    }

    pub(crate) const fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_vectors() {
        let check =
            |text: &str, expect| assert_eq!(Fnv::START.bytes(text.as_bytes()).value(), expect);
        check("", 0xcbf2_9ce4_8422_2325);
        check("a", 0xaf63_dc4c_8601_ec8c);
        check("foobar", 0x8594_4171_f739_67e8);
    }

    #[test]
    fn where_a_text_ends_makes_a_difference() {
        let two = |a, b| Fnv::START.text(a).text(b).value();
        assert_ne!(two("ab", "c"), two("a", "bc"));
        assert_ne!(
            Fnv::START.optional(None).text("a").value(),
            Fnv::START.optional(Some("")).text("a").value()
        );
    }
}
