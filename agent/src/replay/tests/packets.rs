//! Captures for tests, written byte by byte.

use std::net::IpAddr;

pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;
pub(crate) const FIN: u8 = 1;
pub(crate) const RST: u8 = 4;

/// An IPv4 packet between two addresses that end in these bytes.
pub(crate) fn ipv4(from: u8, to: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    fragment4(from, to, protocol, 0, 0, payload)
}

/// The same as a fragment: `place` is the field with the flag for more and the offset.
pub(crate) fn fragment4(
    from: u8,
    to: u8,
    protocol: u8,
    id: u16,
    place: u16,
    payload: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1]];
    packet.extend(id.to_be_bytes());
    packet.extend(place.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 192, 0, 2, from, 192, 0, 2, to]);
    packet.extend(payload);
    packet
}

/// An IPv6 packet whose first header after the fixed one is `next`.
pub(crate) fn ipv6(from: &str, to: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    for address in [from, to] {
        let Ok(IpAddr::V6(address)) = address.parse() else { panic!("{address}") };
        packet.extend(address.octets());
    }
    packet.extend(payload);
    packet
}

/// A segment.
pub(crate) fn tcp(
    ports: (u16, u16),
    sequence: u32,
    acknowledgment: u32,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    segment.extend(sequence.to_be_bytes());
    segment.extend(acknowledgment.to_be_bytes());
    segment.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

/// A datagram.
pub(crate) fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let mut datagram = [ports.0, ports.1, length, 0].map(u16::to_be_bytes).concat();
    datagram.extend(payload);
    datagram
}

/// An Ethernet frame with this type.
pub(crate) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &kind.to_be_bytes(), payload].concat()
}

/// How a file writes numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Little,
    Big,
}

// === impl Order ===

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

/// A pcap file with a frame for each second, and 7 units of its resolution.
pub(crate) fn pcap(order: Order, magic: u32, link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = order.u32(magic).to_vec();
    file.extend([order.u16(2), order.u16(4)].concat());
    file.extend([0, 0, 0x40000, link].map(|value| order.u32(value)).concat());
    for (second, frame) in (1..).zip(frames) {
        let length = u32::try_from(frame.len()).unwrap();
        file.extend([second, 7, length, length].map(|value| order.u32(value)).concat());
        file.extend(frame);
    }
    file
}

/// The usual pcap file.
pub(crate) fn usual(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    pcap(Order::Little, 0xa1b2_c3d4, link, frames)
}

/// One block of a pcapng file.
pub(crate) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = body.len().next_multiple_of(4) - body.len();
    let length = order.u32(u32::try_from(12 + body.len() + padding).unwrap());
    [&order.u32(kind)[..], &length, body, &[0; 3][..padding], &length].concat()
}

/// The block that begins a section.
pub(crate) fn section(order: Order) -> Vec<u8> {
    let body = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &[0xff; 8]].concat();
    block(order, 0x0a0d_0d0a, &body)
}

/// The block of an interface, with a resolution of its time stamps.
pub(crate) fn interface(order: Order, link: u16, resolution: Option<u8>) -> Vec<u8> {
    let mut body = [&order.u16(link)[..], &order.u16(0), &order.u32(0)].concat();
    if let Some(resolution) = resolution {
        body.extend([&order.u16(9)[..], &order.u16(1), &[resolution, 0, 0, 0], &[0; 4]].concat());
    }
    block(order, 1, &body)
}

/// The block of a frame, captured at so many units of its interface.
pub(crate) fn enhanced(order: Order, interface: u32, units: u64, frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    let (high, low) = ((units >> 32) as u32, units as u32);
    let mut body = [interface, high, low, length, length].map(|value| order.u32(value)).concat();
    body.extend(frame);
    block(order, 6, &body)
}
