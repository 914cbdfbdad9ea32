//! UDP conversations: the first datagrams between two ends.

use std::net::SocketAddr;

use jiff::Timestamp;
use plainsight_core::protocol::conversation::{Datagram, Exchange, Side};

use super::{budget::Budget, tcp::EPHEMERAL};

/// A conversation as far as it was seen.
pub(super) struct Talk {
    /// The one that was seen to send first, and the other.
    pub(super) ends: [SocketAddr; 2],
    datagrams: Vec<Kept>,
    bytes: [u64; 2],
    counts: [u64; 2],
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

struct Kept {
    from: usize,
    bytes: Vec<u8>,
    length: usize,
}

/// The same with client and server told apart.
pub(super) struct Oriented {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    datagrams: Vec<Kept>,
    from_client: usize,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) datagrams_sent: u64,
    pub(super) datagrams_received: u64,
}

/// Datagrams that are kept of a conversation.
const MAX_DATAGRAMS: usize = 64;

/// Bytes that are kept of each. A hello of QUIC is in datagrams of up to 1,500.
const MAX_BYTES: usize = 2048;

// === impl Talk ===

impl Talk {
    pub(super) const fn new(ends: [SocketAddr; 2], time: Timestamp) -> Self {
        Self { ends, datagrams: Vec::new(), bytes: [0; 2], counts: [0; 2], first: time, last: time }
    }

    /// Takes a datagram that one of the ends sent.
    pub(super) fn take(
        &mut self,
        from: usize,
        payload: &[u8],
        length: usize,
        time: Timestamp,
        budget: &mut Budget,
    ) {
        (self.first, self.last) = (self.first.min(time), self.last.max(time));
        self.bytes[from] += length as u64;
        self.counts[from] += 1;
        if self.datagrams.len() < MAX_DATAGRAMS {
            let room = budget.take(payload.len().min(MAX_BYTES));
            let bytes = payload.get(..room).unwrap_or_default().to_vec();
            self.datagrams.push(Kept { from, bytes, length });
        }
    }

    /// What it is made of, when no more will come. Who sends first is the client, unless its port
    /// says that this is a reply. Ports from 512 on are also those of clients that run as root,
    /// such as NFS'.
    pub(super) fn finish(self) -> Oriented {
        let [first, second] = self.ends.map(|end| end.port());
        let is_reply = first < 512 && second >= 1024 || first < 10_000 && second >= EPHEMERAL;
        let client = usize::from(is_reply);
        let server = 1 - client;
        Oriented {
            client: self.ends[client],
            server: self.ends[server],
            datagrams: self.datagrams,
            from_client: client,
            sent: self.bytes[client],
            received: self.bytes[server],
            datagrams_sent: self.counts[client],
            datagrams_received: self.counts[server],
        }
    }
}

// === impl Oriented ===

impl Oriented {
    /// What core judges, by `assess`.
    pub(super) fn exchange<T>(&self, assess: impl FnOnce(&Exchange<'_>) -> T) -> T {
        let side = |from| if from == self.from_client { Side::Client } else { Side::Server };
        let datagrams: Vec<Datagram<'_>> = self
            .datagrams
            .iter()
            .map(|Kept { from, bytes, length }| Datagram {
                side: side(*from),
                payload: bytes,
                length: *length,
            })
            .collect();
        assess(&Exchange {
            datagrams: &datagrams,
            client_port: self.client.port(),
            server_port: self.server.port(),
        })
    }
}
