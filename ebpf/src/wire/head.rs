//! What a message of a TCP conversation is, from its first bytes: one function for kernel and agent.
//!
//! It reads a fixed window, what was said before, and no ports. A window too short for a rule fits
//! none, so that more bytes never take back what fewer said.

mod answer;
mod ber;
mod binary;
mod text;
mod tls;

use super::protocol::Protocol;
use super::secret::Secret;
use super::talk::Side;
use super::window::Window;

use crate::abi::edge::Class;

pub use super::window::{HEAD_LEN, Start};

/// What the start of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Head {
    /// Whose message it is; unknown where it says nothing of that.
    pub protocol: Protocol,
    /// What it does in its conversation.
    pub tell: Tell,
    /// The authentication it carries or asks for.
    pub secret: Secret,
    /// Explicit padding: it is copied as one word.
    pub reserved: u8,
}

/// What a message does in its conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Tell {
    /// Nothing that a rule recognises, so far.
    #[default]
    None = 0,
    /// There was payload before, where no one looked: with the segment that completed the
    /// handshake, or with the SYN.
    Missed = 1,
    /// It fits its protocol, and might be another: the other side has to agree.
    Weak = 2,
    /// It is its protocol's.
    Sure = 3,
    /// It is nothing new.
    More = 4,
    /// The greeting `220` of SMTP and of FTP.
    Greeting = 5,
    /// The client asks for encryption, or for a tunnel.
    Ask = 6,
    /// The server agrees.
    GoAhead = 7,
    /// The server refuses.
    Refusal = 8,
    /// The client goes on in the clear, past the point at which it could ask.
    Commit = 9,
    /// The client does the authentication that the server asked for.
    Answer = 10,
    /// It begins a handshake: a hello of TLS, an identification of SSH.
    Hello = 11,
    /// It is protected, if hellos of both sides went before it.
    Sealed = 12,
    /// A header of the PROXY protocol: what follows it is the message.
    Proxy = 13,
}

/// What was said before a message: see [`super::talk::Talk::before`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Before {
    /// Who sends the message.
    pub side: Side,
    /// Code of the protocol that this side spoke so far.
    pub own: u8,
    /// The same of the other side.
    pub heard: u8,
    /// [`Tell`] of the other side's latest message.
    pub heard_last: u8,
    /// Whether it is the first message of this side.
    pub is_first: bool,
    /// Whether it is the first of both.
    pub is_opening: bool,
    /// Explicit padding, as the verifier lets nothing unwritten be copied.
    pub reserved: u8,
}

/// How many first bytes of a datagram [`datagram`] looks at.
pub const DATAGRAM_LEN: usize = 16;

/// A client's first QUIC datagram is at least so long (RFC 9000, section 14.1).
const QUIC_MIN_LEN: u32 = 1200;

/// A DNS header and the shortest question (RFC 1035, sections 4.1.1 and 4.1.2).
const DNS_MIN_LEN: u32 = 17;

/// A message, and what was said before it.
///
/// It is handed on by reference and read anew in each function: what the verifier learns of a value
/// in one of them ends there, else every rule that does not fit would double what it has to walk.
#[repr(C)]
struct Message<'a> {
    start: &'a Start,
    before: Before,
    /// Bytes seen of it, or 255.
    len: u8,
}

/// Judges the first bytes of a message, of which `len` have been seen: more than there is room for,
/// or fewer, of which the rest is ignored.
#[inline(always)]
pub const fn head(start: &Start, len: u32, before: Before) -> Head {
    let len = if len > 255 { 255 } else { len as u8 };
    let message = Message { start, before, len };
    let mut found = tls::head(&message);
    if !found.is_recognised() {
        found = answer::head(&message);
    }
    if !found.is_recognised() {
        found = match message.window().byte(0) {
            0x20..0x7f => text::head(&message),
            _ => binary::head(&message),
        };
    }
    // A length may look like anything.
    if !found.is_recognised() {
        found = binary::by_length(&message);
    }
    found
}

/// How many bytes a binary header of the PROXY protocol is long: the message follows it (version 2,
/// section 2.2).
#[inline(always)]
pub const fn proxy_len(start: &Start, len: u32) -> Option<u32> {
    let window = Window::new(start, len as u64);
    if binary::is_proxy(&window) && window.has(16) {
        Some(16 + window.half(14) as u32)
    } else {
        None
    }
}

// === impl Message ===

impl Message<'_> {
    #[inline(always)]
    const fn window(&self) -> Window {
        Window::new(self.start, self.len as u64)
    }
}

// === impl Head ===

impl Head {
    /// No rule recognises it.
    pub const UNKNOWN: Self = Self::of(Protocol::Unknown, Tell::None);

    /// Its start was not seen.
    pub const MISSED: Self = Self::of(Protocol::Unknown, Tell::Missed);

    /// A message of this protocol, without authentication.
    #[inline(always)]
    pub const fn of(protocol: Protocol, tell: Tell) -> Self {
        Self { protocol, tell, secret: Secret::None, reserved: 0 }
    }

    /// Whether more bytes of the message would not change it.
    #[inline(always)]
    pub const fn is_recognised(self) -> bool {
        !matches!(self.tell, Tell::None)
    }

    #[inline(always)]
    const fn sure(protocol: Protocol) -> Self {
        Self::of(protocol, Tell::Sure)
    }

    #[inline(always)]
    const fn weak(protocol: Protocol) -> Self {
        Self::of(protocol, Tell::Weak)
    }

    /// The same where `is` holds, else nothing.
    #[inline(always)]
    const fn only_if(self, is: bool) -> Self {
        if is { self } else { Self::UNKNOWN }
    }

    #[inline(always)]
    const fn with(self, secret: Secret) -> Self {
        Self { secret, ..self }
    }
}

// === impl Before ===

impl Before {
    /// Before a side's first message, where the other said nothing.
    pub const fn nothing(side: Side) -> Self {
        Self {
            side,
            own: 0,
            heard: 0,
            heard_last: 0,
            is_first: true,
            is_opening: true,
            reserved: 0,
        }
    }

    /// Whether one side or the other spoke this protocol.
    #[inline(always)]
    const fn speaks(self, protocol: Protocol) -> bool {
        self.own == protocol as u8 || self.heard == protocol as u8
    }

    /// Whether the other side's latest message was this.
    #[inline(always)]
    const fn heard(self, tell: Tell) -> bool {
        self.heard_last == tell as u8
    }

    #[inline(always)]
    const fn is_client(self) -> bool {
        matches!(self.side, Side::Client)
    }
}

/// The class of a conversation over UDP from the start of its first datagram, of `len` bytes.
#[inline(always)]
pub const fn datagram(bytes: &[u8; DATAGRAM_LEN], len: u32) -> Class {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *bytes;
    let start = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let rest = u32::from_be_bytes([i, j, k, l]);
    if len >= QUIC_MIN_LEN && is_quic_initial(start) {
        Class::Quic
    } else if len >= DNS_MIN_LEN && is_dns(start, rest) {
        Class::Dns
    } else {
        Class::Unknown
    }
}

/// A long header with the fixed bit, of type Initial in its version (RFC 9000, section 17.2.2; RFC
/// 9369, section 3.2), and a connection id no longer than it may be.
#[inline(always)]
const fn is_quic_initial(start: u64) -> bool {
    let (first, version, id_len) = ((start >> 56) as u8, (start >> 24) as u32, (start >> 16) as u8);
    let is_initial = match version {
        1 => first & 0xf0 == 0xc0,
        0x6b33_43cf => first & 0xf0 == 0xd0,
        _ => false,
    };
    is_initial && id_len <= 20
}

/// A standard query with one question, or the response to one, with no reserved bit set.
#[inline(always)]
const fn is_dns(start: u64, rest: u32) -> bool {
    let (flags, questions, answers) = ((start >> 32) as u16, (start >> 16) as u16, start as u16);
    let (authorities, additional) = ((rest >> 16) as u16, rest as u16);
    let is_standard = flags & 0x7840 == 0 && questions == 1;
    let is_query = flags & 0x8000 == 0;
    let is_bare = answers == 0 && authorities == 0 && additional <= 2;
    is_standard && (!is_query || is_bare && flags & 0xf == 0)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod datagram_tests {
    use super::*;

    #[test]
    fn datagrams() {
        let check = |bytes: &[u8], len: u32, expect: Class| {
            let mut window = [0; DATAGRAM_LEN];
            window[..bytes.len()].copy_from_slice(bytes);
            assert_eq!(datagram(&window, len), expect, "{bytes:02x?}");
        };
        let query = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        check(&query, 40, Class::Dns);
        check(&query, 16, Class::Unknown);
        check(&[0x12, 0x34, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 1], 90, Class::Dns);
        check(&[0x12, 0x34, 1, 0, 0, 1, 0, 3, 0, 0, 0, 0], 40, Class::Unknown);
        check(&[0x12, 0x34, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0], 40, Class::Unknown);
        check(&[0xc3, 0, 0, 0, 1, 8, 1, 2], 1200, Class::Quic);
        check(&[0xc3, 0, 0, 0, 1, 8, 1, 2], 1199, Class::Unknown);
        check(&[0xd3, 0x6b, 0x33, 0x43, 0xcf, 20], 1252, Class::Quic);
        check(&[0xc3, 0, 0, 0, 1, 21], 1200, Class::Unknown);
        check(&[0x43, 0, 0, 0, 1, 8], 1200, Class::Unknown);
    }
}
