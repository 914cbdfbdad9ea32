//! Google's QUIC before version 50, whose hello is in the clear: a message of tags.

use alloc::string::String;

use crate::protocol::tls::bytes::Bytes;

/// The version of a datagram of Google's QUIC whose packets are other than the standard's: up to
/// Q043 behind the connection's number, in Q044 and Q046 at the start.
pub(super) fn version(datagram: &[u8]) -> Option<u32> {
    const HAS_VERSION: u8 = 0x01;
    const HAS_ID: u8 = 0x08;
    const LONG: u8 = 0xc0;
    let mut left = Bytes(datagram);
    let flags = left.u8()?;
    if flags & LONG != LONG {
        (flags & (HAS_VERSION | HAS_ID | LONG) == HAS_VERSION | HAS_ID).then_some(())?;
        left.take(8)?;
    }
    left.u32().filter(|version| is_version(*version))
}

/// Whether it is one of these versions, in ASCII.
pub(super) fn is_version(version: u32) -> bool {
    matches!(version.to_be_bytes(), [b'Q', b'0', b'0'..=b'4', b'0'..=b'9'])
}

/// The server name in a client hello, wherever that begins.
pub(super) fn server_name(bytes: &[u8]) -> Option<String> {
    const CHLO: &[u8] = b"CHLO";
    const START_MAX: usize = 128;
    let mut starts = bytes.windows(CHLO.len()).take(START_MAX);
    let start = starts.position(|window| window == CHLO)? + CHLO.len();
    tag(bytes.get(start..)?, b"SNI\0")
}

/// The value of a tag: behind the count stand all tags with where their values end, and behind
/// those the values. Numbers are little-endian.
fn tag(message: &[u8], wanted: &[u8]) -> Option<String> {
    let mut left = Bytes(message);
    let count = usize::from(left.u16()?.swap_bytes());
    left.u16()?;
    let mut tags = Bytes(left.take(count.checked_mul(8)?)?);
    let mut start = 0;
    while let (Some(tag), Some(end)) = (tags.take(4), tags.u32()) {
        let end = usize::try_from(end.swap_bytes()).ok()?;
        if tag == wanted {
            let value = left.0.get(start..end)?;
            return Some(String::from_utf8_lossy(value).into_owned());
        }
        start = end;
    }
    None
}
