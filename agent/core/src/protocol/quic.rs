//! What a QUIC handshake says (RFC 9000, RFC 9001, RFC 9369), and what Google's said before it was
//! a standard.
//!
//! Initial packets are encrypted with keys that follow from what is in the clear, so anybody on the
//! path reads both hellos. All else is sealed.

mod google;
mod keys;
mod packet;

use alloc::string::String;
use alloc::vec::Vec;

use self::keys::Protection;
use self::packet::{Kind, Packet, packets};
use super::conversation::{Datagram, Exchange, Side};
use super::tls::bytes::Bytes;
use super::tls::pieces::Pieces;
use super::tls::{self, Tls};

/// What was read of a conversation so far.
#[derive(Debug, Default)]
struct Reader {
    /// The version of the last long header, the server's before the client's.
    version: Option<u32>,
    /// Connection identifiers that keys may follow from.
    ids: Vec<Vec<u8>>,
    client: Pieces,
    server: Pieces,
    /// The server name of a hello that is not TLS.
    google_sni: Option<String>,
    /// Packets that may still be decrypted.
    budget: usize,
    retried: bool,
    answered: bool,
    protected: bool,
}

/// Most datagrams of a conversation that are looked at.
const DATAGRAMS_MAX: usize = 256;

/// Most times that decryption is tried.
const DECRYPTIONS_MAX: usize = 128;

/// Most connection identifiers that keys are derived from.
const IDS_MAX: usize = 4;

/// Reads a QUIC handshake from the datagrams of a conversation. Nothing where none of them is QUIC
/// of a version that is known here.
///
/// Since every version of QUIC has TLS 1.3 inside, that is known even of a hello that cannot be
/// read, because its first packet is missing.
pub fn read(exchange: &Exchange<'_>) -> Option<Tls> {
    let mut reader = Reader { budget: DECRYPTIONS_MAX, ..Reader::default() };
    for datagram in exchange.datagrams.iter().take(DATAGRAMS_MAX) {
        reader.hear(datagram);
    }
    reader.tls()
}

// === impl Reader ===

impl Reader {
    fn hear(&mut self, datagram: &Datagram<'_>) {
        if let Some(version) = google::version(datagram.payload) {
            self.version = self.version.or(Some(version));
        }
        if self.version.is_some_and(google::is_version) {
            self.hear_google(datagram);
            return;
        }
        for packet in packets(datagram.payload) {
            match packet.kind {
                Kind::Initial => self.initial(datagram.side, &packet),
                Kind::Retry if is_server(datagram) => self.retry(),
                Kind::Retry => {}
                Kind::Handshake | Kind::Short | Kind::ZeroRtt => self.protected = true,
            }
            // The client too has keys for these only from the server's answer.
            self.answered |= matches!(packet.kind, Kind::Handshake | Kind::Short);
        }
    }

    /// The client begins anew, with keys that follow from the server's choice. It takes no second
    /// Retry (RFC 9000, section 17.2.5.2).
    fn retry(&mut self) {
        if !self.retried && !self.answered {
            self.retried = true;
            self.client.clear();
            self.ids.clear();
        }
    }

    fn initial(&mut self, side: Side, packet: &Packet<'_>) {
        if side == Side::Server || !self.answered {
            self.version = Some(packet.version);
        }
        self.answered |= side == Side::Server;
        let Some(content) = self.open(side, packet) else { return };
        if keys::is_google(packet.version) {
            self.google_sni = google::server_name(&content).or(self.google_sni.take());
        }
        let stream = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        for (offset, piece) in packet::crypto(packet.version, &content) {
            stream.put(offset, piece);
        }
    }

    /// Decrypts an Initial packet. The client's first says from what both ends' keys follow, and
    /// those that come later are addressed otherwise.
    fn open(&mut self, side: Side, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let own = (side == Side::Client).then_some(packet.destination);
        let known = self.ids.iter().map(Vec::as_slice);
        let ids: Vec<&[u8]> = known.chain(own).collect();
        for id in ids {
            self.budget = self.budget.checked_sub(1)?;
            let protection = Protection::new(packet.version, id, side)?;
            if let Some(content) = protection.open(packet) {
                let id = id.to_vec();
                if self.ids.len() < IDS_MAX && !self.ids.contains(&id) {
                    self.ids.push(id);
                }
                return Some(content);
            }
        }
        None
    }

    /// Google's packets before version 50: the server's have no version, and nothing tells which
    /// of them are encrypted.
    fn hear_google(&mut self, datagram: &Datagram<'_>) {
        self.answered |= is_server(datagram);
        if !is_server(datagram) && self.google_sni.is_none() {
            self.google_sni = google::server_name(datagram.payload);
        }
    }

    fn tls(self) -> Option<Tls> {
        let version = self.version?;
        let messages = tls::read_messages(self.client.joined(), self.server.joined());
        let mut tls = messages.unwrap_or_default();
        if !keys::is_google(version) && !google::is_version(version) {
            tls.version = Some("TLS1.3".into());
        }
        tls.sni = tls.sni.or(self.google_sni);
        tls.answered |= self.answered;
        tls.protected = self.answered && self.protected;
        tls.quic_version = Some(packet::version_name(version));
        Some(tls)
    }
}

fn is_server(datagram: &Datagram<'_>) -> bool {
    datagram.side == Side::Server
}

/// A number of one, two, four or eight bytes (RFC 9000, section 16).
fn varint(bytes: &mut Bytes<'_>) -> Option<usize> {
    let first = bytes.u8()?;
    let more = bytes.take((1 << (first >> 6)) - 1)?;
    let start = u64::from(first & 0x3f);
    let number = more.iter().fold(start, |number, byte| number << 8 | u64::from(*byte));
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests;
