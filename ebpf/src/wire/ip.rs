//! IP headers, as far as a TCP or UDP header behind them must be found.

/// IP protocol number of TCP (RFC 9293).
pub const TCP: u8 = 6;

/// IP protocol number of UDP (RFC 768).
pub const UDP: u8 = 17;

/// Length of an IPv6 header without extensions (RFC 8200, section 3).
pub const V6_LEN: u32 = 40;

/// Shortest IPv4 header (RFC 791, section 3.1).
pub const V4_MIN_LEN: u32 = 20;

/// Where an IPv4 header names what it carries.
pub const V4_PROTOCOL_AT: usize = 9;

/// First byte of an IPv4 header without options, which is nearly every one.
pub const V4_WITHOUT_OPTIONS: u8 = 0x45;

/// Length of the IPv4 header whose first byte is given, or `None` if it is not one.
#[inline(always)]
pub const fn v4_len(first: u8) -> Option<u32> {
    let words = (first & 0x0f) as u32;
    if first >> 4 == 4 && words >= 5 { Some(words * 4) } else { None }
}

/// Whether the first byte of a packet says IPv6.
#[inline(always)]
pub const fn is_v6(first: u8) -> bool {
    first >> 4 == 6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lengths() {
        assert_eq!(v4_len(0x45), Some(20));
        assert_eq!(v4_len(0x4f), Some(60));
        assert_eq!(v4_len(0x44), None, "shorter than the shortest header");
        assert_eq!(v4_len(0x60), None);
        assert!(is_v6(0x60) && !is_v6(0x45));
    }
}
