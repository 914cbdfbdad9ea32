//! Records of TLS and hellos of SSL 2.

use super::super::protocol::Protocol;
use super::super::window::Window;
use super::{Before, Head, Tell};

/// Longest payload of a record that a peer may send (RFC 8446, section 5.2; RFC 5246, section
/// 6.2.3, allows more for compression that nobody uses).
const RECORD_MAX: u16 = 16_384 + 2_048;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// A header of a record, so long and a byte of its payload.
const HEADER: u32 = 6;

/// Whether a record starts here: type, version 3.x and a length (RFC 8446, section 5.1).
#[inline(always)]
pub(super) const fn is_record(window: Window) -> bool {
    let length = window.half(3);
    window.has(HEADER)
        && matches!(window.byte(0), CHANGE_CIPHER_SPEC..=APPLICATION_DATA)
        && window.byte(1) == 3
        && window.byte(2) <= 4
        && length != 0
        && length <= RECORD_MAX
}

/// A message that starts with a record.
#[inline(never)]
pub(super) const fn record(window: &Window, before: &Before) -> Head {
    match window.byte(0) {
        HANDSHAKE => handshake(window, before),
        APPLICATION_DATA => Head::of(Protocol::Tls, Tell::Sealed),
        // Only a sealed one is longer than its two bytes.
        ALERT if window.half(3) > 2 => Head::of(Protocol::Tls, Tell::Sealed),
        ALERT => Head::of(Protocol::Unknown, Tell::More),
        _ => change(window.skip(HEADER), window.half(3)),
    }
}

/// A hello, by its type, its length, and the version inside it.
#[inline(always)]
const fn handshake(window: &Window, before: &Before) -> Head {
    let hello = if before.is_client() { CLIENT_HELLO } else { SERVER_HELLO };
    let is_hello = window.byte(5) == hello
        && window.byte(6) == 0
        && window.byte(9) == 3
        && window.byte(10) <= 4
        // A hello fits into its record, or fills it and goes on in the next.
        && window.half(7) >= 38;
    if !window.has(11) {
        Head::UNKNOWN
    } else if is_hello {
        Head::of(Protocol::Tls, Tell::Hello)
    } else {
        Head::of(Protocol::Unknown, Tell::More).only_if(before.speaks(Protocol::Tls))
    }
}

/// What follows a change of cipher spec is protected, but for a second client hello (RFC 8446,
/// section 5).
#[inline(always)]
const fn change(next: Window, length: u16) -> Head {
    if length != 1 || !is_record(next) || !next.has(9) {
        return Head::UNKNOWN;
    }
    let is_hello = next.byte(0) == HANDSHAKE
        && next.word(5) == (CLIENT_HELLO as u32) << 24 | (next.half(3) as u32).wrapping_sub(4);
    Head::of(Protocol::Tls, if is_hello { Tell::More } else { Tell::Sealed })
}

/// A client hello in the form of SSL 2, as clients of SSL 3 and TLS 1.0 sent it, too (RFC 5246,
/// appendix E.2): the lengths of its parts add up.
#[inline(always)]
pub(super) const fn old_hello(window: Window) -> Head {
    let length = window.half(0) & 0x7fff;
    let (version, suites) = (window.half(3), window.half(5));
    let (session, challenge) = (window.half(7), window.half(9));
    let is_hello = window.has(11)
        && window.byte(0) & 0x80 != 0
        && window.byte(2) == CLIENT_HELLO
        && (version == 2 || version >= 0x0300 && version <= 0x0304)
        && suites != 0
        && (session == 0 || session == 16)
        && challenge >= 16
        && challenge <= 32
        && length as u32 == 9 + suites as u32 + session as u32 + challenge as u32;
    Head::of(Protocol::Tls, Tell::Hello).only_if(is_hello)
}

/// A server hello of SSL 2: kind, whether the session is known, certificate type, version.
#[inline(always)]
pub(super) const fn old_answer(window: Window) -> Head {
    let is_hello = window.has(7)
        && window.byte(0) & 0x80 != 0
        && window.byte(2) == 4
        && window.byte(3) <= 1
        && window.byte(4) <= 1
        && window.half(5) == 2;
    Head::of(Protocol::Tls, Tell::Hello).only_if(is_hello)
}
