//! What one stream of a capture was: its ends, its size and what was spoken.

use std::net::SocketAddr;

use jiff::Timestamp;
use plainsight_core::{
    protocol::{assess, conversation::Assessment, exchange},
    record::Close,
};
use plainsight_ebpf::wire::stage::Stage;

use super::{
    ftp::Announced,
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
    pub(super) fn tcp(connection: Connection, announced: &mut Announced) -> Self {
        let (first, last) = (connection.first, connection.last);
        let tcp = connection.finish();
        let (tcp, assessment) = judged(tcp);
        let stream = Self {
            carrier: Carrier::Tcp,
            client: tcp.client,
            server: tcp.server,
            is_whole: tcp.is_whole,
            is_guessed: tcp.is_guessed,
            first,
            last,
            bytes_sent: tcp.sent,
            bytes_received: tcp.received,
            datagrams_sent: 0,
            datagrams_received: 0,
            close: tcp.close,
            assessment: Some(assessment),
        };
        announced.take(&stream, &tcp.client_bytes, &tcp.server_bytes);
        stream
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
        let assessment = (carrier == Carrier::Udp).then(|| udp.exchange(exchange::assess));
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

/// What was spoken. Where that is not known, what was taken for granted is doubted: that nothing
/// stands before what was captured of one direction, and that the ports tell who is the client.
fn judged(mut tcp: tcp::Oriented) -> (tcp::Oriented, Assessment) {
    let found = assess::assess(&tcp.conversation());
    if found.stage != Stage::Unknown {
        return (tcp, found);
    }
    if tcp.is_whole && tcp.is_one_sided {
        tcp.is_whole = false;
        let late = assess::assess(&tcp.conversation());
        return (tcp, late);
    }
    if tcp.is_guessed {
        let mirrored = tcp.mirrored();
        let other = assess::assess(&mirrored.conversation());
        return match other.stage {
            Stage::Unknown => (mirrored.mirrored(), found),
            _ => (mirrored, other),
        };
    }
    (tcp, found)
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
