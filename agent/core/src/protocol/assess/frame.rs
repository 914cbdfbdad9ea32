//! Frames that follow each other at the right offsets.

use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::talk::Side;

/// How many frames of a message are walked.
const MOST: usize = 64;

/// A walk over a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// Whole frames in a row.
    pub(super) whole: usize,
    /// Whether the last frame is cut by the message's end, or the message ends with one.
    pub(super) fits: bool,
}

/// Walks frames from a message's start; none where its first does not fit.
pub(super) fn walk(protocol: Protocol, side: Side, message: &[u8]) -> Walk {
    let mut found = Walk::default();
    let mut rest = message;
    while found.whole < MOST {
        if rest.is_empty() {
            found.fits = found.whole > 0;
            break;
        }
        let Some(length) = length(protocol, side, rest) else {
            // A header that is cut says nothing against it.
            found.fits = found.whole > 0 && rest.len() < shortest(protocol);
            break;
        };
        let Some(next) = rest.get(length..) else {
            found.fits = true;
            break;
        };
        found.whole += 1;
        rest = next;
    }
    found
}

/// How long a header has to be for its length to be known.
const fn shortest(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Http2 | Protocol::Cassandra => 9,
        Protocol::Memcached => 24,
        Protocol::Diameter | Protocol::Mongodb | Protocol::Smpp => 16,
        _ => 8,
    }
}

/// Length of the frame that starts here with its header, if one can.
pub(super) fn length(protocol: Protocol, side: Side, bytes: &[u8]) -> Option<usize> {
    let is_client = side == Side::Client;
    match protocol {
        Protocol::Http2 => http2(bytes),
        Protocol::Websocket => websocket(bytes, is_client),
        Protocol::Mysql => mysql(bytes),
        Protocol::Postgresql => postgresql(bytes, is_client),
        Protocol::Amqp => amqp(bytes),
        Protocol::Ssh => ssh(bytes),
        Protocol::Dns => sized16(bytes, 0, 2, 14),
        Protocol::Modbus => modbus(bytes),
        Protocol::Tds => sized16(bytes, 2, 0, 8),
        Protocol::S7comm | Protocol::Rdp => sized16(bytes, 2, 0, 7),
        Protocol::OracleTns => sized16(bytes, 0, 0, 8),
        Protocol::Openvpn => sized16(bytes, 0, 2, 16),
        Protocol::Ajp => sized16(bytes, 2, 4, 5),
        Protocol::Kafka => sized32(bytes, 0, 4, 8),
        Protocol::Smpp => sized32(bytes, 0, 0, 16),
        Protocol::Smb => sized32(bytes, 0, 4, 8),
        Protocol::Cassandra => sized32(bytes, 5, 9, 9),
        Protocol::Memcached => sized32(bytes, 8, 24, 24),
        Protocol::Sunrpc | Protocol::Nfs => sunrpc(bytes),
        Protocol::Iec104 => iec104(bytes),
        Protocol::Mqtt => mqtt(bytes, is_client),
        Protocol::Mongodb => mongodb(bytes),
        _ => None,
    }
}

/// A length in two bytes at an offset, which counts what is behind `plus` bytes.
fn sized16(bytes: &[u8], at: usize, plus: usize, least: usize) -> Option<usize> {
    let length: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
    let length = usize::from(u16::from_be_bytes(length)) + plus;
    (length >= least).then_some(length)
}

/// The same in four.
fn sized32(bytes: &[u8], at: usize, plus: usize, least: usize) -> Option<usize> {
    let length: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    let length = length.checked_add(plus)?;
    (length >= least && length < 1 << 26).then_some(length)
}

/// A frame (RFC 9113, section 4.1) with flags that its type has, on a stream that it may be on.
fn http2(bytes: &[u8]) -> Option<usize> {
    let header: &[u8; 9] = bytes.first_chunk()?;
    let [a, b, c, kind, flags, stream @ ..] = *header;
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    let stream = u32::from_be_bytes([stream[0], stream[1], stream[2], stream[3]]);
    let (is_sized, allowed, on_stream) = match kind {
        0 => (true, 0x09, Some(true)),
        1 => (length > 0, 0x2d, Some(true)),
        2 => (length == 5, 0, Some(true)),
        3 => (length == 4, 0, Some(true)),
        4 => (length.is_multiple_of(6), 0x01, Some(false)),
        5 => (length > 4, 0x0c, Some(true)),
        6 => (length == 8, 0x01, Some(false)),
        7 => (length >= 8, 0, Some(false)),
        8 => (length == 4, 0, None),
        9 => (length > 0, 0x04, Some(true)),
        _ => return None,
    };
    let fits = is_sized
        && flags & !allowed == 0
        && stream >> 31 == 0
        && on_stream.is_none_or(|on_stream| on_stream == (stream != 0));
    fits.then_some(length + 9)
}

/// A frame (RFC 6455, section 5.2): no reserved bit, masked by the client only, its length in the
/// shortest way.
fn websocket(bytes: &[u8], is_client: bool) -> Option<usize> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let is_kind = matches!(first & 0x0f, 0..=2 | 8..=10);
    let is_masked = second & 0x80 != 0;
    let (length, header) = match second & 0x7f {
        126 => {
            let length: [u8; 2] = bytes.get(2..4)?.try_into().ok()?;
            (usize::from(u16::from_be_bytes(length)), 4)
        }
        127 => {
            let length: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
            (usize::try_from(u64::from_be_bytes(length)).ok()?, 10)
        }
        length => (usize::from(length), 2),
    };
    let is_short = match header {
        4 => length >= 126,
        10 => length > 0xffff && length < 1 << 26,
        _ => true,
    };
    let fits = first & 0x70 == 0 && is_kind && is_masked == is_client && is_short;
    // Only a length that fits is small enough to be added to.
    fits.then(|| length + header + if is_masked { 4 } else { 0 })
}

fn mysql(bytes: &[u8]) -> Option<usize> {
    let [a, b, c, _] = *bytes.first_chunk::<4>()?;
    let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
    // A compressed packet has three bytes more in its header, 0 if it was too short to compress.
    let inner = bytes.get(7..10).map(|inner| match *inner {
        [x, y, z] => usize::from(x) | usize::from(y) << 8 | usize::from(z) << 16,
        _ => 0,
    });
    if bytes.get(4..7) == Some(&[0, 0, 0])
        && inner.is_some_and(|inner| inner > 0 && inner + 4 <= length)
    {
        return Some(length + 7);
    }
    (length > 0 && length < 1 << 24).then_some(length + 4)
}

/// A type that this side has, and a length that counts itself.
fn postgresql(bytes: &[u8], is_client: bool) -> Option<usize> {
    let kind = *bytes.first()?;
    let is_kind = if is_client {
        b"QPBEDSXCHFfdcp".contains(&kind)
    } else {
        b"RSKTDCEZ123NntsAIGHWcdV".contains(&kind)
    };
    is_kind.then(|| sized32(bytes, 1, 1, 5)).flatten().filter(|length| *length < 1 << 24)
}

/// A frame (AMQP 0-9-1, section 2.3.5), which ends with 0xce.
fn amqp(bytes: &[u8]) -> Option<usize> {
    let length = sized32(bytes, 3, 8, 8)?;
    let is_end = bytes.get(length - 1).is_none_or(|end| *end == 0xce);
    (matches!(bytes.first(), Some(1..=4 | 8)) && is_end).then_some(length)
}

/// A packet in the clear (RFC 4253, section 6): of key exchange, with padding of 4 bytes and more.
fn ssh(bytes: &[u8]) -> Option<usize> {
    let length = sized32(bytes, 0, 4, 12)?;
    let (padding, kind) = (*bytes.get(4)?, *bytes.get(5)?);
    let fits = padding >= 4
        && usize::from(padding) + 6 <= length
        && length < 35_000
        && length.is_multiple_of(8)
        && matches!(kind, 1..=4 | 20 | 21 | 30..=41);
    fits.then_some(length)
}

fn modbus(bytes: &[u8]) -> Option<usize> {
    let length = sized16(bytes, 4, 6, 8)?;
    (bytes.get(2..4) == Some(&[0, 0]) && length <= 266).then_some(length)
}

/// The last fragment of a record.
fn sunrpc(bytes: &[u8]) -> Option<usize> {
    let header: [u8; 4] = *bytes.first_chunk()?;
    let header = u32::from_be_bytes(header);
    let length = usize::try_from(header & 0x7fff_ffff).ok()?;
    (header >> 31 == 1 && (16..1 << 26).contains(&length)).then_some(length + 4)
}

fn iec104(bytes: &[u8]) -> Option<usize> {
    let length = *bytes.get(1)?;
    (bytes.first() == Some(&0x68) && (4..=253).contains(&length)).then_some(usize::from(length) + 2)
}

/// A type that this side has, and a length of at most four bytes (MQTT 3.1.1, section 2.2).
fn mqtt(bytes: &[u8], is_client: bool) -> Option<usize> {
    let first = *bytes.first()?;
    let is_kind = match (first >> 4, first & 0x0f) {
        (3, flags) => flags & 0x06 != 0x06,
        (4 | 5 | 7 | 11 | 12 | 13 | 14, 0) => true,
        (6, 2) => true,
        (8 | 10, 2) => is_client,
        (1, 0) => is_client,
        (2 | 9, 0) => !is_client,
        _ => false,
    };
    let (mut length, mut header) = (0, 1);
    loop {
        let byte = *bytes.get(header)?;
        length |= usize::from(byte & 0x7f) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if header > 4 {
            return None;
        }
    }
    is_kind.then_some(length + header)
}

fn mongodb(bytes: &[u8]) -> Option<usize> {
    let header: &[u8; 16] = bytes.first_chunk()?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let length = usize::try_from(length).ok()?;
    (16..1 << 26).contains(&length).then_some(length)
}
