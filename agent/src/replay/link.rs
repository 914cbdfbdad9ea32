//! From a frame to the IP packet in it, whatever link carried it.

/// LINKTYPE values of tcpdump.org's list.
mod linktype {
    pub(super) const NULL: i32 = 0;
    pub(super) const ETHERNET: i32 = 1;
    pub(super) const PPP: i32 = 9;
    pub(super) const PPP_HDLC: i32 = 50;
    pub(super) const PPP_ETHER: i32 = 51;
    pub(super) const RAW: i32 = 101;
    /// DLT_RAW on most systems, and on OpenBSD, written to a file by mistake.
    pub(super) const DLT_RAW: [i32; 2] = [12, 14];
    pub(super) const LOOP: i32 = 108;
    pub(super) const LINUX_SLL: i32 = 113;
    pub(super) const IPV4: i32 = 228;
    pub(super) const IPV6: i32 = 229;
    pub(super) const LINUX_SLL2: i32 = 276;
}

/// EtherType values (IEEE 802, IANA's list).
mod ethertype {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const TRANSPARENT_BRIDGING: u16 = 0x6558;
    pub(super) const VLAN: u16 = 0x8100;
    pub(super) const IPV6: u16 = 0x86dd;
    pub(super) const MPLS: u16 = 0x8847;
    pub(super) const MPLS_MULTICAST: u16 = 0x8848;
    pub(super) const PPP: u16 = 0x880b;
    pub(super) const PPPOE_SESSION: u16 = 0x8864;
    pub(super) const PROVIDER_BRIDGING: u16 = 0x88a8;
    /// QinQ before it was a standard.
    pub(super) const QINQ: u16 = 0x9100;
}

/// What is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside<'a> {
    /// An IP packet, and perhaps padding behind it.
    Ip(&'a [u8]),
    /// Something else.
    Other,
    /// Less than its headers.
    Short,
    /// A link that is not read.
    UnknownLink,
}

/// How many tags, labels and shims of a frame are looked behind.
const MAX_SHIMS: usize = 8;

/// Looks for the IP packet in a frame of this link.
pub(super) fn inside(link: i32, frame: &[u8]) -> Inside<'_> {
    use linktype::*;
    match link {
        ETHERNET => ethernet(frame),
        NULL | LOOP => from(frame, 4, ip),
        RAW | IPV4 | IPV6 => ip(frame),
        _ if DLT_RAW.contains(&link) => ip(frame),
        PPP | PPP_HDLC => ppp(frame),
        PPP_ETHER => from(frame, 6, ppp),
        LINUX_SLL => typed(frame, 14, 16),
        LINUX_SLL2 => typed(frame, 0, 20),
        _ => Inside::UnknownLink,
    }
}

/// An Ethernet frame without its preamble.
pub(super) fn ethernet(frame: &[u8]) -> Inside<'_> {
    typed(frame, 12, 14)
}

/// What stands behind an EtherType (and GRE's protocol types, which are the same).
pub(super) fn payload(mut kind: u16, mut bytes: &[u8]) -> Inside<'_> {
    use ethertype::*;
    for _ in 0..MAX_SHIMS {
        match kind {
            IPV4 | IPV6 => return ip(bytes),
            TRANSPARENT_BRIDGING => return ethernet(bytes),
            PPP => return ppp(bytes),
            PPPOE_SESSION => return from(bytes, 6, ppp),
            MPLS | MPLS_MULTICAST => return mpls(bytes),
            VLAN | PROVIDER_BRIDGING | QINQ => {
                let (Some(next), Some(rest)) = (be16(bytes, 2), bytes.get(4..)) else {
                    return Inside::Short;
                };
                (kind, bytes) = (next, rest);
            }
            // A length, and then LLC with SNAP (IEEE 802.2, RFC 1042).
            ..=1500 => match bytes {
                [0xaa, 0xaa, 3, 0, 0, 0, high, low, rest @ ..] => {
                    (kind, bytes) = (u16::from_be_bytes([*high, *low]), rest);
                }
                _ => return Inside::Other,
            },
            _ => return Inside::Other,
        }
    }
    Inside::Other
}

/// A frame with its EtherType at `at` and its payload from `start`.
fn typed(frame: &[u8], at: usize, start: usize) -> Inside<'_> {
    match (be16(frame, at), frame.get(start..)) {
        (Some(kind), Some(rest)) => payload(kind, rest),
        _ => Inside::Short,
    }
}

/// PPP (RFC 1661, section 2), with or without HDLC's address and control (RFC 1662), and with a
/// protocol of one byte or two.
fn ppp(frame: &[u8]) -> Inside<'_> {
    let frame = frame.strip_prefix(&[0xff, 3]).unwrap_or(frame);
    let (protocol, rest) = match frame {
        // The last byte of a protocol is odd, all before it are even.
        [low, rest @ ..] if low & 1 == 1 => (u16::from(*low), rest),
        [high, low, rest @ ..] => (u16::from_be_bytes([*high, *low]), rest),
        _ => return Inside::Short,
    };
    match protocol {
        0x21 | 0x57 => ip(rest),
        0x281 | 0x283 => mpls(rest),
        _ => Inside::Other,
    }
}

/// Behind the label at the bottom of the stack (RFC 3032).
fn mpls(mut bytes: &[u8]) -> Inside<'_> {
    for _ in 0..MAX_SHIMS {
        let [_, _, third, _, rest @ ..] = bytes else { return Inside::Short };
        bytes = rest;
        if third & 1 == 1 {
            return ip(bytes);
        }
    }
    Inside::Other
}

fn from<'a>(bytes: &'a [u8], at: usize, then: fn(&'a [u8]) -> Inside<'a>) -> Inside<'a> {
    bytes.get(at..).map_or(Inside::Short, then)
}

/// Whether it is one is for its version to say: links name it in many ways.
fn ip(bytes: &[u8]) -> Inside<'_> {
    match bytes.first().map(|first| first >> 4) {
        Some(4 | 6) => Inside::Ip(bytes),
        Some(_) => Inside::Other,
        None => Inside::Short,
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let [high, low] = *bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes([high, low]))
}
