//! What a UDP conversation is: the kernel's rules over its datagrams, and then what whole payloads
//! and both directions say about that.

mod payload;
mod sequence;

#[cfg(test)]
mod tests;

use alloc::borrow::Cow;

use plainsight_ebpf::wire::datagram::{self, WINDOW};
use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::secret::Secret;
use plainsight_ebpf::wire::stage::Stage;

use super::conversation::{Assessment, Datagram, Exchange, Side};
use super::quic;
use super::tls::{Tls, dtls};

/// Datagrams that are looked at, which bounds the time.
const MAX_DATAGRAMS: usize = 256;

/// What a conversation was found to be, before it is put into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Finding {
    protocol: Protocol,
    stage: Stage,
    is_certain: bool,
}

// === impl Finding ===

impl Finding {
    const UNKNOWN: Self =
        Self { protocol: Protocol::Unknown, stage: Stage::Unknown, is_certain: false };
}

/// Says what a UDP conversation is and how far it is protected.
pub fn assess(exchange: &Exchange<'_>) -> Assessment {
    let count = exchange.datagrams.len().min(MAX_DATAGRAMS);
    let exchange = Exchange { datagrams: &exchange.datagrams[..count], ..*exchange };
    let heard = heard(&exchange);
    let finding = if is_contradicted(heard, &exchange) {
        sequence::guess(&exchange)
    } else {
        confirmed(heard, &exchange)
    };
    let tls = handshake(finding.protocol, &exchange);
    let stage = tls.as_ref().map_or(finding.stage, |tls| advanced(finding.stage, tls));
    Assessment {
        protocol: finding.protocol,
        version: version(finding.protocol, &exchange),
        stage,
        upgraded_at: None,
        tls,
        secret: Secret::None,
        evidence: Cow::Borrowed(evidence(finding.protocol, stage)),
        is_certain: finding.is_certain,
    }
}

/// What the kernel makes of it: the first datagram that a rule knows, the first answer to that, and
/// the others.
fn heard(exchange: &Exchange<'_>) -> (Protocol, Stage) {
    let mut reading = (Protocol::Unknown, Stage::Pending);
    let (mut opener, mut is_answered) = (Side::Client, false);
    for datagram in spoken(exchange) {
        let (window, length) = window(datagram);
        if reading.0 == Protocol::Unknown {
            let (client, server) = (exchange.client_port, exchange.server_port);
            reading = datagram::first(&window, length, client, server);
            opener = datagram.side;
        } else if datagram.side != opener && !is_answered {
            reading = datagram::answer(reading, &window, length);
            is_answered = true;
        } else {
            reading = datagram::later(reading, &window, length);
        }
    }
    reading
}

/// The datagrams that carry anything.
fn spoken<'e>(exchange: &Exchange<'e>) -> impl Iterator<Item = &'e Datagram<'e>> + Clone {
    exchange.datagrams.iter().filter(|datagram| datagram.length != 0)
}

/// What the kernel sees of a datagram.
fn window(datagram: &Datagram<'_>) -> ([u8; WINDOW], u32) {
    let mut window = [0; WINDOW];
    for (to, from) in window.iter_mut().zip(datagram.payload) {
        *to = *from;
    }
    (window, u32::try_from(datagram.length).unwrap_or(u32::MAX))
}

/// Whether no datagram, read whole, is what the first bytes were taken for.
fn is_contradicted((protocol, stage): (Protocol, Stage), exchange: &Exchange<'_>) -> bool {
    match protocol {
        Protocol::Unknown => stage != Stage::Pending,
        Protocol::Rtp => !sequence::is_rtp(exchange),
        // A handshake proves itself; without one the payload must at least look sealed.
        Protocol::Wireguard | Protocol::EspInUdp => {
            !sequence::has_handshake(protocol, exchange) && sequence::is_readable(exchange, 16)
        }
        _ => {
            let [client, server] = votes(protocol, exchange);
            client.0 + server.0 == 0 && client.1 + server.1 != 0
        }
    }
}

/// For each side, how many datagrams fit the protocol and how many do not.
fn votes(protocol: Protocol, exchange: &Exchange<'_>) -> [(usize, usize); 2] {
    let mut votes = [(0, 0); 2];
    for datagram in spoken(exchange) {
        let [client, server] = &mut votes;
        let vote = if datagram.side == Side::Client { client } else { server };
        match payload::fits(protocol, datagram) {
            Some(true) => vote.0 += 1,
            Some(false) => vote.1 += 1,
            None => (),
        }
    }
    votes
}

fn confirmed((protocol, stage): (Protocol, Stage), exchange: &Exchange<'_>) -> Finding {
    let stage = match (protocol, stage) {
        (Protocol::Rtp, Stage::Unknown) => sequence::rtp_stage(exchange),
        // GSS that seals nothing, or that begins to later.
        (Protocol::Sunrpc | Protocol::Nfs, _) => {
            let is_sealed = spoken(exchange).any(|call| payload::is_sealed_call(call.payload));
            if is_sealed { Stage::Partial } else { Stage::Plaintext }
        }
        (_, stage) => stage,
    };
    let [client, server] = votes(protocol, exchange);
    let is_mutual = client.0 != 0 && server.0 != 0;
    let is_answered = matches!(stage, Stage::Handshake | Stage::Encrypted);
    Finding { protocol, stage, is_certain: is_mutual || is_answered }
}

/// What the handshake says, where there is one to read.
fn handshake(protocol: Protocol, exchange: &Exchange<'_>) -> Option<Tls> {
    match protocol {
        Protocol::Quic | Protocol::Gquic => quic::read(exchange),
        Protocol::Dtls => dtls::read(exchange),
        _ => None,
    }
}

/// The handshake's messages may show more than the first bytes of datagrams: several packets share
/// a datagram.
fn advanced(stage: Stage, tls: &Tls) -> Stage {
    match stage {
        Stage::Unknown | Stage::Offered | Stage::Handshake if tls.answered && tls.protected => {
            Stage::Encrypted
        }
        Stage::Unknown | Stage::Offered if tls.answered => Stage::Handshake,
        stage => stage,
    }
}

/// The protocol's version, where the datagrams say it.
fn version(protocol: Protocol, exchange: &Exchange<'_>) -> Option<Cow<'static, str>> {
    let version = spoken(exchange).find_map(|datagram| payload::version(protocol, datagram))?;
    Some(Cow::Borrowed(version))
}

/// What a finding rests on.
const fn evidence(protocol: Protocol, stage: Stage) -> &'static str {
    match (protocol, stage) {
        (_, Stage::Pending) => "no payload yet",
        (Protocol::Unknown, Stage::Plaintext) => "readable text of no known protocol",
        (Protocol::Unknown, _) => "no datagram fits a rule",
        (Protocol::Quic, Stage::Offered) => "a client's Initial packet, not answered (RFC 9000)",
        (Protocol::Quic, Stage::Handshake) => "Initial packets of both ends (RFC 9000)",
        (Protocol::Quic, _) => {
            "protected packets after the Initial packets of both ends (RFC 9000)"
        }
        (Protocol::Gquic, _) => "a QUIC version with hellos in the clear",
        (Protocol::Dtls, Stage::Offered) => "a client hello, not answered (RFC 9147)",
        (Protocol::Dtls, Stage::Handshake) => "handshake records of both ends (RFC 9147)",
        (Protocol::Dtls, _) => "records of a later epoch than the handshake's (RFC 9147)",
        (Protocol::Wireguard, Stage::Offered) => "a handshake message, not answered",
        (Protocol::Wireguard, Stage::Handshake) => "an answered handshake message",
        (Protocol::Wireguard, _) => "transport data messages of the right form",
        (Protocol::Ike, Stage::Offered) => "an initiator's message, not answered (RFC 7296)",
        (Protocol::Ike, Stage::Handshake) => "messages with the SPIs of both ends (RFC 7296)",
        (Protocol::Ike, _) => "encrypted exchanges (RFC 7296)",
        (Protocol::EspInUdp, Stage::Offered | Stage::Handshake) => {
            "IKE behind a non-ESP marker (RFC 3948)"
        }
        (Protocol::EspInUdp, _) => "ESP or encrypted IKE on the port for both (RFC 3948)",
        (Protocol::Openvpn, Stage::Offered) => "a client's reset, not answered",
        (Protocol::Openvpn, Stage::Handshake) => "resets of both ends",
        (Protocol::Openvpn, _) => "data packets",
        (Protocol::Kerberos, _) => "Kerberos messages, of which parts are sealed (RFC 4120)",
        (Protocol::Snmp, Stage::Partial) => "SNMP version 3 with privacy (RFC 3412)",
        (Protocol::Rtp, Stage::Plaintext) => "RTP in sequence, with media that is no ciphertext",
        (Protocol::Rtp, _) => "RTP in sequence; whether its media is sealed is not to be told",
        (_, Stage::Partial) => "its messages say that parts of them are sealed",
        _ => "datagrams of the form that its specification asks for",
    }
}
