//! IP packets: their ends, what they carry, and whether that is a part of something larger.

use std::net::IpAddr;

use etherparse::LaxIpSlice;

/// IP protocol numbers (IANA).
pub(super) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IGMP: u8 = 2;
    pub(crate) const IPV4: u8 = 4;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const IPV6: u8 = 41;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const GRE: u8 = 47;
    pub(crate) const ESP: u8 = 50;
    pub(crate) const AH: u8 = 51;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const NONE: u8 = 59;
    pub(crate) const ETHERIP: u8 = 97;
}

/// An IP packet without its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// Who sent it.
    pub(super) source: IpAddr,
    /// To whom.
    pub(super) destination: IpAddr,
    /// What it carries: an IP protocol number.
    pub(super) protocol: u8,
    /// Whether an authentication header stands before that (RFC 4302).
    pub(super) is_authenticated: bool,
    /// Which part of a larger packet it is.
    pub(super) fragment: Option<Fragment>,
    /// What it carries, as far as it was captured, and without the link's padding.
    pub(super) payload: &'a [u8],
    /// How long that was on the wire.
    pub(super) length: usize,
}

/// A part of a packet (RFC 791, section 3.2; RFC 8200, section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    /// Of which packet between the same ends.
    pub(super) id: u32,
    /// Where it belongs, in bytes.
    pub(super) offset: usize,
    /// Whether it is not the last.
    pub(super) more: bool,
}

/// Reads the headers of a packet. A total length of nothing, as segmentation offload leaves it, is
/// taken for all that was captured.
pub(super) fn packet(bytes: &[u8]) -> Option<Packet<'_>> {
    let (slice, _) = LaxIpSlice::from_slice(bytes).ok()?;
    let content = slice.payload();
    let headers = content.payload.as_ptr().addr().checked_sub(bytes.as_ptr().addr())?;
    let (fragment, is_authenticated) = match &slice {
        LaxIpSlice::Ipv4(ip) => (fragment4(ip), ip.extensions().auth.is_some()),
        LaxIpSlice::Ipv6(ip) => extensions6(ip),
    };
    Some(Packet {
        source: slice.source_addr(),
        destination: slice.destination_addr(),
        protocol: content.ip_number.0,
        is_authenticated,
        fragment,
        payload: content.payload,
        length: total(&slice).map_or(content.payload.len(), |total| {
            total.saturating_sub(headers).max(content.payload.len())
        }),
    })
}

/// Length of headers and content as the packet states it.
fn total(slice: &LaxIpSlice<'_>) -> Option<usize> {
    match slice {
        LaxIpSlice::Ipv4(ip) => Some(usize::from(ip.header().total_len())),
        LaxIpSlice::Ipv6(ip) => Some(usize::from(ip.header().payload_length()) + 40),
    }
    .filter(|_| slice.payload().incomplete)
}

fn fragment4(ip: &etherparse::LaxIpv4Slice<'_>) -> Option<Fragment> {
    let header = ip.header();
    ip.is_payload_fragmented().then(|| Fragment {
        id: u32::from(header.identification()),
        offset: usize::from(header.fragments_offset().value()) * 8,
        more: header.more_fragments(),
    })
}

/// Walks the extension headers (RFC 8200, section 4; RFC 4302, section 2) that were captured whole.
fn extensions6(ip: &etherparse::LaxIpv6Slice<'_>) -> (Option<Fragment>, bool) {
    let mut found = (None, false);
    let (mut kind, mut rest) = (ip.header().next_header().0, ip.extensions().slice());
    while let [next, length, more @ ..] = rest {
        let length = match kind {
            protocol::FRAGMENT => 8,
            protocol::AH => (usize::from(*length) + 2) * 4,
            _ => (usize::from(*length) + 1) * 8,
        };
        let Some(behind) = rest.get(length..) else { break };
        match (kind, more) {
            (protocol::FRAGMENT, [high, low, a, b, c, d, ..]) => {
                let field = u16::from_be_bytes([*high, *low]);
                let (offset, more) = (usize::from(field & !7), field & 1 != 0);
                let id = u32::from_be_bytes([*a, *b, *c, *d]);
                found.0 = (offset != 0 || more).then_some(Fragment { id, offset, more });
            }
            (protocol::AH, _) => found.1 = true,
            _ => {}
        }
        (kind, rest) = (*next, behind);
    }
    found
}
