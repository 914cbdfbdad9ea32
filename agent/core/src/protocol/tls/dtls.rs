//! DTLS: the same handshake in datagrams that may be lost, repeated or out of order (RFC 6347,
//! RFC 9147).

use alloc::collections::BTreeMap;

use super::bytes::Bytes;
use super::flight::{Flight, Sealed};
use super::handshake::{self, Client, Server};
use super::pieces::Pieces;
use super::record::{DIRECTION_MAX, Kind};
use super::{Side, Tls};
use crate::protocol::conversation::Exchange;

/// One direction of a handshake, while its messages are put together.
#[derive(Debug, Default)]
struct Direction {
    /// Messages by their numbers. A server that asks for a cookie may number its hello as it did
    /// that, so the kind is a part of the key.
    messages: BTreeMap<(u16, u8), (usize, Pieces)>,
    flight: Flight,
    read: usize,
}

/// What a record says before its payload.
struct Header {
    kind: u8,
    epoch: u16,
    length: usize,
}

/// Most messages of one direction.
const MESSAGES_MAX: usize = 32;

/// Kind of records with a connection identifier (RFC 9146, section 4).
const WITH_CID: u8 = 25;

/// What CAPWAP puts before each of its datagrams that are protected (RFC 5415, section 4.2).
const CAPWAP: &[u8] = &[1, 0, 0, 0];

/// Reads a DTLS handshake from the datagrams of a conversation. Those that are not DTLS are left
/// out, since STUN and RTP share its port (RFC 7983).
pub fn read(exchange: &Exchange<'_>) -> Option<Tls> {
    let (mut client, mut server) = (Direction::default(), Direction::default());
    for datagram in exchange.datagrams {
        match datagram.side {
            Side::Client => client.hear(datagram.payload),
            Side::Server => server.hear(datagram.payload),
        }
    }
    let (client, server) = (client.flight(), server.flight());
    handshake::join(Client::read(&client), Server::read(&server), (&client, &server))
}

// === impl Direction ===

impl Direction {
    fn hear(&mut self, payload: &[u8]) {
        self.read = self.read.saturating_add(payload.len());
        if self.read > DIRECTION_MAX {
            return;
        }
        let mut left = Bytes(payload.strip_prefix(CAPWAP).unwrap_or(payload));
        while let Some(first) = left.0.first() {
            // The header of DTLS 1.3 does not say in the clear where its record ends.
            if matches!(first, 0x20..=0x3f) {
                self.seal(Kind::ApplicationData, left.0.len());
                return;
            }
            let Some(header) = header(&mut left) else { return };
            let payload = left.take_up_to(header.length);
            self.record(&header, payload);
        }
    }

    fn record(&mut self, header: &Header, payload: Bytes<'_>) {
        match Kind::from_code(header.kind) {
            _ if header.kind == WITH_CID => self.seal(Kind::ApplicationData, header.length),
            Some(Kind::ChangeCipherSpec) => self.flight.changed = true,
            Some(Kind::Handshake) if header.epoch == 0 => self.fragments(payload),
            Some(kind @ (Kind::Handshake | Kind::ApplicationData)) if header.epoch > 0 => {
                self.seal(kind, header.length);
            }
            _ => {}
        }
    }

    fn seal(&mut self, kind: Kind, length: usize) {
        self.flight.sealed.push(Sealed { kind, length, is_complete: true });
    }

    /// Takes in the fragments of messages in a record (RFC 6347, section 4.2.2).
    fn fragments(&mut self, mut left: Bytes<'_>) {
        while let Some(()) = self.fragment(&mut left) {}
    }

    fn fragment(&mut self, left: &mut Bytes<'_>) -> Option<()> {
        let (kind, length, number) = (left.u8()?, left.u24()?, left.u16()?);
        let (offset, fragment) = (left.u24()?, left.u24()?);
        let fragment = left.take_up_to(fragment);
        if self.messages.len() < MESSAGES_MAX || self.messages.contains_key(&(number, kind)) {
            let (_, pieces) =
                self.messages.entry((number, kind)).or_insert((length, Pieces::default()));
            pieces.put(offset, fragment.0);
        }
        Some(())
    }

    /// Its messages as TLS has them, as far as they are there without a gap.
    fn flight(mut self) -> Flight {
        for ((_, kind), (length, pieces)) in &self.messages {
            let body = pieces.joined();
            let [_, length @ ..] = (*length as u32).to_be_bytes();
            self.flight.clear.push(*kind);
            self.flight.clear.extend(length);
            self.flight.clear.extend_from_slice(&body);
        }
        self.flight
    }
}

/// The header of a record up to DTLS 1.2, and of those of DTLS 1.3 that are in the clear (RFC 6347,
/// section 4.1).
fn header(bytes: &mut Bytes<'_>) -> Option<Header> {
    let kind = bytes.u8()?;
    let version = bytes.u16()?;
    let epoch = bytes.u16()?;
    bytes.take(6)?;
    if !matches!(kind, 20..=26) || !matches!(version, 0xfefd..=0xfeff | 0x0100) {
        return None;
    }
    // What is left of a datagram with a connection identifier is one record: its length stands
    // behind the identifier, of which the length is not known.
    let length = if kind == WITH_CID { bytes.0.len() } else { bytes.u16()?.into() };
    Some(Header { kind, epoch, length })
}

#[cfg(test)]
mod tests;
