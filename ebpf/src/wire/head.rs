//! What a message of a TCP conversation is, from its first bytes: one function for kernel and agent.
//!
//! It reads a fixed window, what was said before, and no ports. A window too short for a rule fits
//! none, so that more bytes never take back what fewer said.

mod answer;
mod ber;
mod binary;
mod text;
mod tls;

use super::coded::coded;
use super::protocol::Protocol;
use super::secret::Secret;
use super::talk::Side;
use super::window::Window;

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

coded! {
    /// What a message does in its conversation.
    #[derive(Default)]
    Tell {
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
    if !found.is_recognised() && message.len >= 4 && message.window().byte(0) == b'0' {
        found = ber::head(&message);
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

#[cfg(test)]
mod tests;
