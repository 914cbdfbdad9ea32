//! Whether a whole payload is what its first bytes were taken for.

use plainsight_ebpf::wire::protocol::Protocol;

use super::super::conversation::Datagram;

/// Longest domain name (RFC 1035, section 2.3.4).
const NAME_MAX: usize = 255;

/// Elements of one payload that are walked, which bounds the time.
const MAX_ELEMENTS: usize = 512;

/// Whether a datagram fits the protocol. `None` where there is no rule for the whole of it, or where
/// it was not captured whole.
pub(super) fn fits(protocol: Protocol, datagram: &Datagram<'_>) -> Option<bool> {
    let payload = datagram.payload;
    if payload.len() < datagram.length {
        return None;
    }
    let fits = match protocol {
        Protocol::Dns | Protocol::Mdns | Protocol::Llmnr | Protocol::NetbiosNs => is_dns(payload),
        Protocol::Ntp => is_ntp(payload),
        Protocol::Snmp => is_snmp(payload),
        Protocol::Radius => is_radius(payload),
        Protocol::Dhcp => is_dhcp(payload),
        Protocol::Tftp => is_tftp(payload),
        Protocol::Coap => is_coap(payload) || is_draft_coap(payload),
        Protocol::Sip => is_sip(payload),
        Protocol::Ssdp => is_ssdp(payload),
        Protocol::Syslog => is_syslog(payload),
        Protocol::Stun => is_stun(payload),
        Protocol::Collectd => is_collectd(payload),
        Protocol::BittorrentDht => payload.ends_with(b"e"),
        Protocol::Sunrpc | Protocol::Nfs => payload.len() >= 24 && payload.len().is_multiple_of(4),
        _ => return None,
    };
    Some(fits)
}

/// The version that a datagram of the protocol says.
pub(super) fn version(protocol: Protocol, datagram: &Datagram<'_>) -> Option<&'static str> {
    let payload = datagram.payload;
    match protocol {
        Protocol::Quic if payload.first()? & 0xc0 == 0xc0 => match long(payload, 1)? {
            1 => Some("1"),
            0x6b33_43cf => Some("2"),
            _ => None,
        },
        Protocol::Snmp => match integer(contents(payload, 0x30)?.0)?.0 {
            [0] => Some("1"),
            [1] => Some("2c"),
            [3] => Some("3"),
            _ => None,
        },
        Protocol::Ike => match payload.get(17)? >> 4 {
            1 => Some("1"),
            2 => Some("2"),
            _ => None,
        },
        Protocol::Ntp => match payload.first()? >> 3 & 7 {
            2 => Some("2"),
            3 => Some("3"),
            4 => Some("4"),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a call of Sun RPC is sealed: its GSS service is privacy (RFC 2203, section 5.3.1).
pub(super) fn is_sealed_call(payload: &[u8]) -> bool {
    let is_gss = long(payload, 4) == Some(0) && long(payload, 24) == Some(6);
    is_gss && long(payload, 44) == Some(3)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

/// A header and, where there is a question, its name, type and class (RFC 1035, section 4.1).
fn is_dns(payload: &[u8]) -> bool {
    let counts = [short(payload, 4), short(payload, 6), short(payload, 8), short(payload, 10)];
    if counts.iter().all(|count| matches!(count, None | Some(0))) {
        return false;
    }
    let end = name_end(payload, 12);
    // Type and class follow, of a question and of a record.
    end.is_some_and(|end| payload.len() >= end + 4)
}

/// Where a name that begins at `at` ends: with the root, or with a pointer.
fn name_end(payload: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    while at - start <= NAME_MAX {
        match *payload.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
    None
}

/// A clock's packet of 48 bytes with what may follow it, or a control message (RFC 5905, section
/// 7.3; RFC 9327).
fn is_ntp(payload: &[u8]) -> bool {
    let Some(first) = payload.first() else { return false };
    let is_control = first & 7 >= 6 && payload.len() >= 8;
    let is_version = matches!(first >> 3 & 7, 1..=4);
    is_version && (is_control || payload.len() >= 48 && payload.len().is_multiple_of(4))
}

/// The contents of an element of BER with this tag, and what is behind it.
fn contents(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(length & 7))?;
            (octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    if *first == tag { rest.split_at_checked(length) } else { None }
}

fn integer(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    contents(bytes, 2)
}

/// A version, a community and one PDU, or the parts of a message of version 3 (RFC 3412, section
/// 6; RFC 3416, section 3).
fn is_snmp(payload: &[u8]) -> bool {
    let parts = || {
        let (message, behind) = contents(payload, 0x30)?;
        let (version, rest) = integer(message)?;
        if version == [3] {
            let (_, rest) = contents(rest, 0x30)?;
            let (_, rest) = contents(rest, 4)?;
            return Some(behind.is_empty() && matches!(rest.first(), Some(4 | 0x30)));
        }
        let (_, pdu) = contents(rest, 4)?;
        let tag = *pdu.first()?;
        let (_, rest) = contents(pdu, tag)?;
        Some(behind.is_empty() && rest.is_empty() && matches!(tag, 0xa0..=0xa8))
    };
    parts().unwrap_or(false)
}

/// Attributes up to the end of the packet, and nothing but padding behind that (RFC 2865, section
/// 3).
fn is_radius(payload: &[u8]) -> bool {
    let Some(length) = short(payload, 2).map(usize::from) else { return false };
    let Some(mut rest) = payload.get(20..length) else { return false };
    while let [kind, length, ..] = *rest {
        let Some(behind) = rest.get(usize::from(length)..) else { return false };
        if kind == 0 || length < 2 {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

/// The cookie in front of BOOTP's options (RFC 2131, section 3), or the options of version 6 (RFC
/// 8415, section 21.1).
fn is_dhcp(payload: &[u8]) -> bool {
    if payload.len() >= 240 && long(payload, 236) == Some(0x6382_5363) {
        return true;
    }
    let is_relayed = matches!(payload.first(), Some(12 | 13));
    let mut at = if is_relayed { 34 } else { 4 };
    let mut count = 0;
    while let (Some(length), true) = (short(payload, at + 2), count < MAX_ELEMENTS) {
        at += 4 + usize::from(length);
        count += 1;
    }
    count != 0 && at == payload.len()
}

/// A message of any of the six kinds (RFC 1350, section 5; RFC 2347).
pub(super) fn is_tftp(payload: &[u8]) -> bool {
    let Some(opcode) = short(payload, 0) else { return false };
    let rest = payload.get(2..).unwrap_or_default();
    match opcode {
        1 | 2 => {
            let modes: [&[u8]; 3] = [b"octet", b"netascii", b"mail"];
            let is_mode = |word: &[u8]| modes.iter().any(|mode| word.eq_ignore_ascii_case(mode));
            // Names are not looked at: even an empty one is asked for.
            rest.ends_with(&[0]) && rest.split(|byte| *byte == 0).any(is_mode)
        }
        3 => rest.len() >= 2,
        4 => rest.len() == 2,
        5 => rest.len() >= 3 && rest.ends_with(&[0]),
        6 => rest.len() >= 4 && rest.ends_with(&[0]),
        _ => false,
    }
}

/// A token, options in ascending order, and a marker before a payload (RFC 7252, section 3).
pub(super) fn is_coap(payload: &[u8]) -> bool {
    let [first, code, _, _, rest @ ..] = payload else { return false };
    let token = usize::from(first & 0xf);
    let is_code = matches!(code, 0..=7 | 64..=95 | 128..=191);
    let Some(options) = rest.get(token..) else { return false };
    first >> 6 == 1 && token <= 8 && is_code && are_coap_options(options)
}

/// Before it was a standard: as many options as the first byte says, and no token.
fn is_draft_coap(payload: &[u8]) -> bool {
    let [first @ 0x40..=0x7e, code, _, _, rest @ ..] = payload else { return false };
    let mut rest = Some(rest);
    for _ in 0..first & 0xf {
        rest = rest.and_then(|rest| {
            let (head, behind) = rest.split_first()?;
            match head & 0xf {
                15 => behind.get(1 + 15 + usize::from(*behind.first()?)..),
                length => behind.get(usize::from(length)..),
            }
        });
    }
    let is_request = matches!(code, 1..=4) && first & 0xf != 0;
    is_request && rest.is_some_and(<[u8]>::is_empty)
}

fn are_coap_options(mut rest: &[u8]) -> bool {
    for _ in 0..MAX_ELEMENTS {
        let Some((head, behind)) = rest.split_first() else { return true };
        if *head == 0xff {
            return !behind.is_empty();
        }
        let Some(behind) = coap_extended(head >> 4, behind) else { return false };
        let Some(behind) = coap_length(head & 0xf, behind) else { return false };
        rest = behind;
    }
    false
}

/// What is behind the bytes that extend an option's number.
fn coap_extended(nibble: u8, rest: &[u8]) -> Option<&[u8]> {
    match nibble {
        0..=12 => Some(rest),
        13 => rest.get(1..),
        14 => rest.get(2..),
        _ => None,
    }
}

/// What is behind an option's value.
fn coap_length(nibble: u8, rest: &[u8]) -> Option<&[u8]> {
    match nibble {
        0..=12 => rest.get(usize::from(nibble)..),
        13 => rest.get(1 + 13 + usize::from(*rest.first()?)..),
        14 => rest.get(2 + 269 + usize::from(short(rest, 0)?)..),
        _ => None,
    }
}

fn first_line(payload: &[u8]) -> &[u8] {
    payload.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default()
}

/// A request or status line (RFC 3261, section 7).
fn is_sip(payload: &[u8]) -> bool {
    let line = first_line(payload);
    line.starts_with(b"SIP/2.0 ") || line.ends_with(b" SIP/2.0")
}

/// A request or status line of HTTP over UDP (UPnP Device Architecture, section 1.1.2).
fn is_ssdp(payload: &[u8]) -> bool {
    let line = first_line(payload);
    line.starts_with(b"HTTP/1.1 ") || line.ends_with(b" HTTP/1.1")
}

/// No control characters but those that end lines.
fn is_syslog(payload: &[u8]) -> bool {
    payload.starts_with(b"<") && payload.iter().all(|byte| is_text(*byte) || *byte == 0)
}

/// Whether a byte is of text in ASCII or UTF-8.
pub(super) const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\r' | b'\n' | 0x20..=0x7e | 0x80..)
}

/// Attributes up to the end (RFC 8489, section 14).
fn is_stun(payload: &[u8]) -> bool {
    let mut at = 20;
    let mut count = 0;
    while let (Some(length), true) = (short(payload, at + 2), count < MAX_ELEMENTS) {
        at += 4 + usize::from(length).next_multiple_of(4);
        count += 1;
    }
    at == payload.len()
}

/// Parts with their lengths, one behind the other.
fn is_collectd(payload: &[u8]) -> bool {
    let mut at = 0;
    let mut count = 0;
    while let (Some(length @ 4..), true) = (short(payload, at + 2), count < MAX_ELEMENTS) {
        at += usize::from(length);
        count += 1;
    }
    count != 0 && at == payload.len()
}
