//! A conversation as far as it was seen, and what it was found to be.

use alloc::borrow::Cow;

use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::secret::Secret;
use plainsight_ebpf::wire::stage::Stage;
pub use plainsight_ebpf::wire::talk::Side;

use super::tls::Tls;

/// What both ends of a TCP connection sent.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// What the client sent, from the first byte seen, without gaps. A few KiB are enough.
    pub client: &'a [u8],
    /// What the server sent, likewise.
    pub server: &'a [u8],
    /// In which order they were sent: one for each segment with payload, and together no longer
    /// than `client` and `server`.
    pub turns: &'a [Turn],
    /// Whether the first byte of each direction is the stream's first. Where it is not, only what
    /// two messages in a row agree on is known.
    pub is_whole: bool,
    /// The server's port: it may break a tie, never decide.
    pub port: u16,
}

/// One segment with payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who sent it.
    pub side: Side,
    /// Bytes of new payload.
    pub length: usize,
}

impl Turn {
    /// The same from the other side.
    pub const fn reversed(self) -> Self {
        let side = match self.side {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        Self { side, ..self }
    }
}

/// What both ends of a UDP conversation sent.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The first datagrams, in the order in which they went.
    pub datagrams: &'a [Datagram<'a>],
    /// The client's port: it may break a tie, never decide.
    pub client_port: u16,
    /// The server's port, likewise.
    pub server_port: u16,
}

/// One datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub side: Side,
    /// Its payload, as far as it was captured.
    pub payload: &'a [u8],
    /// Length of its payload on the wire.
    pub length: usize,
}

/// What a conversation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// What is spoken. Of an upgraded conversation, what it began as.
    pub protocol: Protocol,
    /// Its version, where it is known: `1.1` of HTTP.
    pub version: Option<Cow<'static, str>>,
    /// How far it is protected.
    pub stage: Stage,
    /// The client's byte at which protection began, of an upgraded conversation.
    pub upgraded_at: Option<u64>,
    /// What its TLS, DTLS or QUIC handshake said.
    pub tls: Option<Tls>,
    /// The worst authentication that was seen in the clear.
    pub secret: Secret,
    /// What all this rests on, in words for people. Never bytes of the conversation.
    pub evidence: Cow<'static, str>,
    /// Whether both directions agree; one alone, or a doubtful rule, is no more than a guess.
    pub is_certain: bool,
}
