//! Packets inside packets.

use super::{
    ip::protocol,
    link::{self, Inside},
};

/// What a packet of this IP protocol carries, where that is another packet.
pub(super) fn of_protocol(number: u8, payload: &[u8]) -> Option<Inside<'_>> {
    match number {
        // RFC 2003 and RFC 4213.
        protocol::IPV4 | protocol::IPV6 => Some(Inside::Ip(payload)),
        protocol::GRE => Some(gre(payload)),
        // RFC 3378: two bytes of version, and a frame.
        protocol::ETHERIP => Some(payload.get(2..).map_or(Inside::Short, link::ethernet)),
        _ => None,
    }
}

/// What a datagram between these ports carries, where that is another packet. The ports only say
/// where to look; the datagram must have the tunnel's form.
pub(super) fn of_ports(ports: (u16, u16), payload: &[u8]) -> Option<Inside<'_>> {
    const TEREDO: u16 = 3544;
    const VXLAN: u16 = 4789;
    const GENEVE: u16 = 6081;
    const GTP_U: u16 = 2152;
    const TZSP: u16 = 37_008;
    let is = |port| ports.0 == port || ports.1 == port;
    match payload {
        // RFC 7348, section 5: flags with a valid VNI, and no reserved bit.
        [8, 0, 0, 0, _, _, _, 0, frame @ ..] if is(VXLAN) => Some(link::ethernet(frame)),
        _ if is(GENEVE) => geneve(payload),
        _ if is(GTP_U) => gtp(payload),
        _ if is(TZSP) => tzsp(payload),
        _ if is(TEREDO) => teredo(payload),
        _ => None,
    }
}

/// GRE (RFC 2784, RFC 2890), and PPTP's (RFC 2637, section 4.1).
fn gre(payload: &[u8]) -> Inside<'_> {
    const CHECKSUM: u8 = 0x80;
    const ROUTING: u8 = 0x40;
    const KEY: u8 = 0x20;
    const SEQUENCE: u8 = 0x10;
    const ACKNOWLEDGMENT: u8 = 0x80;
    let [flags, version, high, low, ..] = *payload else { return Inside::Short };
    let optional = |is_there: bool| if is_there { 4 } else { 0 };
    let length = 4
        + optional(flags & (CHECKSUM | ROUTING) != 0)
        + optional(flags & KEY != 0)
        + optional(flags & SEQUENCE != 0)
        + optional(version & 7 == 1 && version & ACKNOWLEDGMENT != 0);
    payload
        .get(length..)
        .map_or(Inside::Short, |rest| link::payload(u16::from_be_bytes([high, low]), rest))
}

/// RFC 8926, section 3.4.
fn geneve(payload: &[u8]) -> Option<Inside<'_>> {
    let [first, _, high, low, ..] = *payload else { return None };
    let rest = payload.get(8 + usize::from(first & 0x3f) * 4..)?;
    (first >> 6 == 0).then(|| link::payload(u16::from_be_bytes([high, low]), rest))
}

/// A G-PDU of GTP version 1 (3GPP TS 29.281, section 5.1), without looking at what its extension
/// headers say.
fn gtp(payload: &[u8]) -> Option<Inside<'_>> {
    const G_PDU: u8 = 0xff;
    let [flags, G_PDU, _, _, _, _, _, _, rest @ ..] = payload else { return None };
    if flags & 0xf0 != 0x30 {
        return None;
    }
    if flags & 7 == 0 {
        return Some(Inside::Ip(rest));
    }
    let (mut next, mut rest) = (*rest.get(3)?, rest.get(4..)?);
    while flags & 4 != 0 && next != 0 {
        let length = usize::from(*rest.first()?).max(1) * 4;
        next = *rest.get(length - 1)?;
        rest = rest.get(length..)?;
    }
    Some(Inside::Ip(rest))
}

/// TZSP of version 1 with a frame of Ethernet: tags up to the one that ends them.
fn tzsp(payload: &[u8]) -> Option<Inside<'_>> {
    const PADDING: u8 = 0;
    const END: u8 = 1;
    let mut rest = payload.strip_prefix(&[1, 0, 0, 1])?;
    loop {
        rest = match rest {
            [END, frame @ ..] => return Some(link::ethernet(frame)),
            [PADDING, rest @ ..] => rest,
            [_, length, rest @ ..] => rest.get(usize::from(*length)..)?,
            _ => return None,
        };
    }
}

/// RFC 4380, section 5.1.1: an authentication and an origin may stand before the packet.
fn teredo(mut payload: &[u8]) -> Option<Inside<'_>> {
    if let [0, 1, id, secret, rest @ ..] = payload {
        payload = rest.get(usize::from(*id) + usize::from(*secret) + 9..)?;
    }
    if let [0, 0, _, _, _, _, _, _, rest @ ..] = payload {
        payload = rest;
    }
    (payload.first()? >> 4 == 6).then_some(Inside::Ip(payload))
}
