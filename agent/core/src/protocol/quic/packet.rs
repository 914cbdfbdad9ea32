//! QUIC's packets in a datagram, and the frames of an Initial packet (RFC 9000, sections 17 and 19).

use alloc::format;
use alloc::string::String;

use super::{keys, varint};
use crate::protocol::tls::bytes::Bytes;

/// What kind of packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
    /// After the handshake: nothing of it is in the clear.
    Short,
}

/// One packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) kind: Kind,
    /// The version in its header; 0 where it has none.
    pub(super) version: u32,
    /// The connection identifier of the end that it goes to.
    pub(super) destination: &'a [u8],
    /// All of it, header included.
    pub(super) bytes: &'a [u8],
    /// Where its number begins.
    pub(super) number_at: usize,
}

const LONG: u8 = 0x80;
const FIXED: u8 = 0x40;

/// Longest connection identifier of any version that is known here (RFC 9000, section 17.2).
const ID_MAX: usize = 20;

/// Most packets in one datagram.
const PACKETS_MAX: usize = 16;

/// Most frames in one packet: padding is a frame of one byte, but is counted as one in a row.
const FRAMES_MAX: usize = 256;

/// The packets of a datagram. It ends at the first that is none of a version that is known here.
pub(super) fn packets(datagram: &[u8]) -> impl Iterator<Item = Packet<'_>> {
    let mut left = datagram;
    let next = move || {
        let packet = if left.first()? & LONG == 0 { short(left) } else { long(left) }?;
        left = left.get(packet.bytes.len()..).unwrap_or_default();
        Some(packet)
    };
    core::iter::from_fn(next).take(PACKETS_MAX)
}

/// It has no length: it is all that is left of the datagram.
fn short(bytes: &[u8]) -> Option<Packet<'_>> {
    let is_fixed = bytes.first()? & FIXED != 0;
    let packet = Packet { kind: Kind::Short, version: 0, destination: &[], bytes, number_at: 0 };
    is_fixed.then_some(packet)
}

fn long(bytes: &[u8]) -> Option<Packet<'_>> {
    let mut left = Bytes(bytes);
    let first = left.u8()?;
    let version = left.u32()?;
    let kind = kind(version, first)?;
    let destination = left.vector8()?.0;
    let source = left.vector8()?.0;
    if destination.len() > ID_MAX || source.len() > ID_MAX {
        return None;
    }
    if kind == Kind::Retry {
        return Some(Packet { kind, version, destination, bytes, number_at: 0 });
    }
    if kind == Kind::Initial {
        let token = varint(&mut left)?;
        left.take(token)?;
    }
    let length = varint(&mut left)?;
    let number_at = bytes.len().checked_sub(left.0.len())?;
    let bytes = bytes.get(..number_at.checked_add(length)?)?;
    Some(Packet { kind, version, destination, bytes, number_at })
}

/// Version 2 numbers the same kinds otherwise (RFC 9369, section 3.2).
fn kind(version: u32, first: u8) -> Option<Kind> {
    const KINDS: [Kind; 4] = [Kind::Initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry];
    let start = usize::from(keys::parameters(version)?.is_v2);
    let code = usize::from(first >> 4 & 3);
    KINDS.get((code + KINDS.len() - start) % KINDS.len()).copied()
}

/// The pieces of the handshake in an Initial packet's content, with their offsets.
pub(super) fn crypto(version: u32, content: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut left = Bytes(content);
    let frame = if keys::is_numbered_by_google(version) { google_frame } else { frame };
    let next = move || frame(&mut left);
    core::iter::from_fn(next).take(FRAMES_MAX).flatten()
}

/// The next frame, and what it holds of the handshake. Nothing at the first frame that an Initial
/// packet cannot have (RFC 9000, section 12.4).
fn frame<'a>(left: &mut Bytes<'a>) -> Option<Option<(usize, &'a [u8])>> {
    const PING: u8 = 1;
    const ACK: u8 = 2;
    const ACK_ECN: u8 = 3;
    const CRYPTO: u8 = 6;
    match kind_behind_padding(left)? {
        PING => Some(None),
        kind @ (ACK | ACK_ECN) => acknowledgement(left, kind == ACK_ECN).map(|()| None),
        CRYPTO => piece(left).map(Some),
        _ => None,
    }
}

/// The same, as Google numbered frames before the standard did. Its acknowledgements are not read:
/// they come before a server's hello, never before a client's.
fn google_frame<'a>(left: &mut Bytes<'a>) -> Option<Option<(usize, &'a [u8])>> {
    const PING: u8 = 7;
    const CRYPTO: u8 = 8;
    match kind_behind_padding(left)? {
        PING => Some(None),
        CRYPTO => piece(left).map(Some),
        _ => None,
    }
}

fn kind_behind_padding(left: &mut Bytes<'_>) -> Option<u8> {
    const PADDING: u8 = 0;
    let padding = left.0.iter().take_while(|byte| **byte == PADDING).count();
    left.take(padding)?;
    left.u8()
}

/// The rest of a CRYPTO frame (RFC 9000, section 19.6).
fn piece<'a>(left: &mut Bytes<'a>) -> Option<(usize, &'a [u8])> {
    let (offset, length) = (varint(left)?, varint(left)?);
    Some((offset, left.take(length)?))
}

/// Skips an ACK frame (RFC 9000, section 19.3).
fn acknowledgement(left: &mut Bytes<'_>, has_counts: bool) -> Option<()> {
    let (_largest, _delay) = (varint(left)?, varint(left)?);
    let ranges = varint(left)?;
    let counts = if has_counts { 3 } else { 0 };
    // Each number takes a byte at least, so that this ends with the packet.
    for _ in 0..ranges.checked_mul(2)?.checked_add(1 + counts)? {
        varint(left)?;
    }
    Some(())
}

/// A version as people write it.
pub(super) fn version_name(version: u32) -> String {
    match (version, version.to_be_bytes()) {
        (1, _) => "1".into(),
        (0x6b33_43cf | 0x709a_50c4, _) => "2".into(),
        (_, [0xff, 0, 0, draft]) => format!("draft-{draft}"),
        (_, name @ [b'Q' | b'T', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9']) => {
            name.iter().map(|byte| char::from(*byte)).collect()
        }
        _ => format!("0x{version:08x}"),
    }
}
