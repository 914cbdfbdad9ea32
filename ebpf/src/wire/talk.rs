//! What the heads of a conversation's messages add up to: one state machine for kernel and agent.
//!
//! A message begins where the direction changes, and at the stream's start. Its head is judged by
//! [`head::head`](super::head::head) until it is recognised or long enough.

use super::head::Head;
use super::protocol::Protocol;
use super::secret::Secret;
use super::stage::Stage;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Side {
    /// The end that opened the connection.
    Client = 0,
    /// The end that accepted it.
    Server = 1,
}

/// What is known of a conversation over TCP. Four bytes, so that it fits into a socket's state.
///
/// Fields are codes of [`Head`]. Each direction is written by its own hook only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Talk {
    /// The client's first message.
    pub client: u8,
    /// The server's first message.
    pub server: u8,
    /// The client's latest message, where it says more than the first did.
    pub client_last: u8,
    /// The server's latest message, likewise.
    pub server_last: u8,
}

impl Talk {
    /// Takes in the head of a message: of the first one of this side, or of a later one.
    #[inline(always)]
    pub const fn hear(&mut self, side: Side, head: Head) {
        match side {
            Side::Client if self.client == Head::None as u8 => self.client = head as u8,
            Side::Server if self.server == Head::None as u8 => self.server = head as u8,
            Side::Client => self.client_last = head as u8,
            Side::Server => self.server_last = head as u8,
        }
    }

    /// What it is, as far as it went.
    #[inline(always)]
    pub const fn reading(&self) -> (Protocol, Stage) {
        const NONE: u8 = Head::None as u8;
        const SSH: u8 = Head::Ssh as u8;
        const CLIENT_HELLO: u8 = Head::TlsClientHello as u8;
        const SERVER_HELLO: u8 = Head::TlsServerHello as u8;
        const MISSED: u8 = Head::Missed as u8;
        const RESPONSE: u8 = Head::Http1Response as u8;
        const SETTINGS: u8 = Head::Http2Settings as u8;
        let (client, server) = (self.client, self.server);
        if client == NONE && server == NONE {
            (Protocol::Unknown, Stage::Pending)
        } else if client == SSH || server == SSH {
            (Protocol::Ssh, Stage::Handshake)
        } else if client == CLIENT_HELLO {
            match server {
                SERVER_HELLO => (Protocol::Tls, Stage::Handshake),
                // A hello that is answered in the clear was never TLS.
                RESPONSE => (Protocol::Http, Stage::Plaintext),
                _ => (Protocol::Tls, Stage::Offered),
            }
        } else if client == MISSED && server == SERVER_HELLO {
            // It answers nothing but a client's hello.
            (Protocol::Tls, Stage::Handshake)
        } else if client == Head::Http2Preface as u8 || client == MISSED && server == SETTINGS {
            (Protocol::Http2, Stage::Plaintext)
        } else if client == Head::Http1Request as u8 || server == RESPONSE {
            (Protocol::Http, Stage::Plaintext)
        } else {
            (Protocol::Unknown, Stage::Unknown)
        }
    }

    /// The worst authentication that was heard in the clear.
    #[inline(always)]
    pub const fn secret(&self) -> Secret {
        Secret::None
    }

    /// Whether no message that is still to come can change the reading.
    #[inline(always)]
    pub const fn is_settled(&self) -> bool {
        let both = self.client != Head::None as u8 && self.server != Head::None as u8;
        let (_, stage) = self.reading();
        both || matches!(stage, Stage::Plaintext)
    }
}
