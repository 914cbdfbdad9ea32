//! What one stream of a capture was: its ends, its size and what was spoken.

use std::net::SocketAddr;

use jiff::Timestamp;
use plainsight_core::{protocol::conversation::Assessment, record::Close};

use super::{
    assess,
    ip::protocol,
    tcp::{self, Connection},
    udp::Talk,
};

/// One stream, without any of its bytes.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What carried it.
    pub carrier: Carrier,
    /// Who opened it; 0 is the port of a carrier that has none.
    pub client: SocketAddr,
    /// The other end.
    pub server: SocketAddr,
    /// Whether its start was seen.
    pub is_whole: bool,
    /// Whether the ends were told apart by their ports.
    pub is_guessed: bool,
    /// When its first packet was captured.
    pub first: Timestamp,
    /// When its last one was.
    pub last: Timestamp,
    /// Payload bytes from client to server.
    pub bytes_sent: u64,
    /// Payload bytes from server to client.
    pub bytes_received: u64,
    /// Datagrams from client to server; none over TCP.
    pub datagrams_sent: u64,
    /// Datagrams from server to client; none over TCP.
    pub datagrams_received: u64,
    /// How it ended, where that was seen.
    pub close: Option<Close>,
    /// What was spoken; nothing of a carrier that seals all.
    pub assessment: Option<Assessment>,
}

/// What carries a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Carrier {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
    /// IPsec's encapsulating security payload (RFC 4303).
    Esp,
    /// IPsec's authentication header (RFC 4302): what it protects stays readable.
    Ah,
}

// === impl Stream ===

impl Stream {
    pub(super) fn tcp(connection: Connection) -> Self {
        let (first, last) = (connection.first, connection.last);
        let tcp = connection.finish();
        let assessment = assess::conversation(&tcp.conversation());
        let tcp::Oriented { client, server, sent, received, is_whole, is_guessed, close, .. } = tcp;
        Self {
            carrier: Carrier::Tcp,
            client,
            server,
            is_whole,
            is_guessed,
            first,
            last,
            bytes_sent: sent,
            bytes_received: received,
            datagrams_sent: 0,
            datagrams_received: 0,
            close,
            assessment: Some(assessment),
        }
    }

    pub(super) fn udp(talk: Talk) -> Self {
        Self::talk(talk, Carrier::Udp)
    }

    pub(super) fn sealed(talk: Talk, number: u8) -> Self {
        Self::talk(talk, if number == protocol::AH { Carrier::Ah } else { Carrier::Esp })
    }

    fn talk(talk: Talk, carrier: Carrier) -> Self {
        let (first, last) = (talk.first, talk.last);
        let udp = talk.finish();
        let assessment = (carrier == Carrier::Udp).then(|| udp.exchange(assess::exchange));
        Self {
            carrier,
            client: udp.client,
            server: udp.server,
            is_whole: true,
            is_guessed: false,
            first,
            last,
            bytes_sent: udp.sent,
            bytes_received: udp.received,
            datagrams_sent: udp.datagrams_sent,
            datagrams_received: udp.datagrams_received,
            close: None,
            assessment,
        }
    }
}

// === impl Carrier ===

impl Carrier {
    /// As in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Esp => "esp",
            Self::Ah => "ah",
        }
    }
}
