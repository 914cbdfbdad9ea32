//! IP headers, as far as a TCP or UDP header behind them must be found.

use crate::abi::{Address, mapped};

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

/// Where an IPv6 header names what it carries.
pub const V6_NEXT_AT: usize = 6;

/// Length of a UDP header (RFC 768).
pub const UDP_LEN: u32 = 8;

/// Length of the two ports that TCP's header and UDP's begin with.
pub const PORTS_LEN: usize = 4;

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

/// The source of an IPv4 header, in network order (RFC 791, section 3.1).
#[inline(always)]
pub const fn v4_from<const N: usize>(header: &[u8; N]) -> u32 {
    word(header, 12)
}

/// The destination of an IPv4 header, in network order.
#[inline(always)]
pub const fn v4_to<const N: usize>(header: &[u8; N]) -> u32 {
    word(header, 16)
}

/// The source of an IPv4 header, v4-mapped.
#[inline(always)]
pub const fn v4_source<const N: usize>(header: &[u8; N]) -> Address {
    mapped(v4_from(header))
}

/// The destination of an IPv4 header, v4-mapped.
#[inline(always)]
pub const fn v4_destination<const N: usize>(header: &[u8; N]) -> Address {
    mapped(v4_to(header))
}

/// The source of an IPv6 header (RFC 8200, section 3).
#[inline(always)]
pub const fn v6_source<const N: usize>(header: &[u8; N]) -> Address {
    [word(header, 8), word(header, 12), word(header, 16), word(header, 20)]
}

/// The destination of an IPv6 header.
#[inline(always)]
pub const fn v6_destination<const N: usize>(header: &[u8; N]) -> Address {
    [word(header, 24), word(header, 28), word(header, 32), word(header, 36)]
}

/// The second of the two ports that a transport header begins with.
#[inline(always)]
pub const fn destination_port(ports: &[u8; PORTS_LEN]) -> u16 {
    u16::from_be_bytes([ports[2], ports[3]])
}

#[inline(always)]
const fn word<const N: usize>(header: &[u8; N], at: usize) -> u32 {
    u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
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

    #[test]
    fn addresses_and_ports() {
        let v4: [u8; 24] = core::array::from_fn(|i| i as u8);
        let ip4 = |a, b, c, d| mapped(u32::from_ne_bytes([a, b, c, d]));
        assert_eq!(v4_source(&v4), ip4(12, 13, 14, 15));
        assert_eq!(v4_destination(&v4), ip4(16, 17, 18, 19));
        let v6: [u8; 44] = core::array::from_fn(|i| i as u8);
        let from = |first: u8| -> Address {
            core::array::from_fn(|i| {
                let at = first + 4 * i as u8;
                u32::from_ne_bytes([at, at + 1, at + 2, at + 3])
            })
        };
        assert_eq!((v6_source(&v6), v6_destination(&v6)), (from(8), from(24)));
        assert_eq!(destination_port(&[0, 1, 2, 3]), 0x0203);
    }
}
