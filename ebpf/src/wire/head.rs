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

pub use super::window::HEAD_LEN;

/// What the start of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose message it is; unknown where it says nothing of that.
    pub protocol: Protocol,
    /// What it does in its conversation.
    pub tell: Tell,
    /// The authentication it carries or asks for.
    pub secret: Secret,
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

impl Tell {
    /// The one with this code, if there is one.
    #[inline(always)]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::None,
            1 => Self::Missed,
            2 => Self::Weak,
            3 => Self::Sure,
            4 => Self::More,
            5 => Self::Greeting,
            6 => Self::Ask,
            7 => Self::GoAhead,
            8 => Self::Refusal,
            9 => Self::Commit,
            10 => Self::Answer,
            11 => Self::Hello,
            12 => Self::Sealed,
            13 => Self::Proxy,
            _ => return None,
        })
    }
}

/// What was said before a message: see [`super::talk::Talk::before`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// Judges the first bytes of a message, of which `len` have been seen: more than the window holds,
/// or fewer, of which the rest is ignored.
#[inline(always)]
pub const fn head(bytes: &[u8; HEAD_LEN], len: u32, before: Before) -> Head {
    let window = Window::new(bytes, len);
    if tls::is_record(window) {
        return tls::record(&window, &before);
    }
    let mut found = answer::head(&window, &before);
    if !found.is_recognised() {
        found = match window.byte(0) {
            0x20..0x7f => text::head(&window, &before),
            _ => binary::head(&window, &before),
        };
    }
    // A length may look like anything.
    if !found.is_recognised() {
        found = binary::by_length(&window, &before);
    }
    found
}

/// How many bytes a binary header of the PROXY protocol is long: the message follows it (version 2,
/// section 2.2).
#[inline(always)]
pub const fn proxy_len(bytes: &[u8; HEAD_LEN], len: u32) -> Option<u32> {
    let window = Window::new(bytes, len);
    if binary::is_proxy(&window) && window.has(16) {
        Some(16 + window.half(14) as u32)
    } else {
        None
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
        Self { protocol, tell, secret: Secret::None }
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
        Self { side, own: 0, heard: 0, heard_last: 0, is_first: true, is_opening: true }
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
