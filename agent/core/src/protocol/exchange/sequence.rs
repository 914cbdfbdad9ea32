//! What several datagrams in a row show that none of them does alone.

use plainsight_ebpf::wire::datagram;
use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::stage::Stage;

use super::super::conversation::{Datagram, Exchange, Side};
use super::{Finding, payload, spoken, window};

/// Bytes that are enough to tell ciphertext from anything else by their frequencies.
const SAMPLE_MIN: usize = 64;

/// What the bytes of ciphertext stay below, for certain: 256 values give 255 on average, with a
/// standard deviation of 23, and this is twelve of them away.
const CHI_SQUARE_MAX: u64 = 530;

/// Bytes that are counted at most.
const SAMPLE_MAX: usize = 16_384;

/// Steps of a sequence number that are still in a row: some datagrams are lost.
const STEP_MAX: u16 = 16;

/// How often each byte occurs.
struct Sample {
    counts: [u32; 256],
    length: usize,
}

// === impl Sample ===

impl Sample {
    /// Copies of the one before are left out: a capture may have seen a datagram twice.
    fn of<'p>(payloads: impl Iterator<Item = &'p [u8]>) -> Self {
        let mut sample = Self { counts: [0; 256], length: 0 };
        let mut last: &[u8] = &[];
        let distinct = payloads.filter(move |payload| {
            let is_copy = *payload == last;
            last = payload;
            !is_copy
        });
        for byte in distinct.flatten().take(SAMPLE_MAX) {
            if let Some(count) = sample.counts.get_mut(usize::from(*byte)) {
                *count += 1;
            }
            sample.length += 1;
        }
        sample
    }

    /// Whether bytes repeat more often than those of ciphertext, which are all as likely: Pearson's
    /// test.
    fn is_readable(&self) -> bool {
        let squares: u64 = self.counts.iter().map(|count| u64::from(*count).pow(2)).sum();
        let length = self.length as u64;
        self.length >= SAMPLE_MIN && 256 * squares > length * (length + CHI_SQUARE_MAX)
    }
}

/// Whether the payload behind headers of `skip` bytes is no ciphertext.
pub(super) fn is_readable(exchange: &Exchange<'_>, skip: usize) -> bool {
    let payloads =
        spoken(exchange).map(|datagram| datagram.payload.get(skip..).unwrap_or_default());
    Sample::of(payloads).is_readable()
}

/// Whether a message of a handshake was seen, which is not to be mistaken for anything else.
pub(super) fn has_handshake(protocol: Protocol, exchange: &Exchange<'_>) -> bool {
    spoken(exchange).any(|datagram| {
        let (window, length) = window(datagram);
        let ports = (exchange.client_port, exchange.server_port);
        let (found, stage) = datagram::first(&window, length, ports.0, ports.1);
        found == protocol && stage != Stage::Unknown
    })
}

/// Pairs of neighbours on one side for which `follows` holds.
fn pairs(exchange: &Exchange<'_>, side: Side, follows: impl Fn(&[u8], &[u8]) -> bool) -> usize {
    let datagrams = spoken(exchange).filter(move |datagram| datagram.side == side);
    let next = datagrams.clone().skip(1);
    datagrams.zip(next).filter(|(one, two)| follows(one.payload, two.payload)).count()
}

fn is_rtp_packet(payload: &[u8]) -> bool {
    matches!(payload, [first, second, ..] if first >> 6 == 2 && !is_rtcp_type(*second))
        && payload.len() >= 12
}

/// Types of RTCP, of which RTP keeps clear (RFC 5761, section 4).
const fn is_rtcp_type(second: u8) -> bool {
    matches!(second, 192..=223)
}

/// Whether one packet follows another of the same source (RFC 3550, section 5.1).
fn rtp_follows(one: &[u8], two: &[u8]) -> bool {
    let number = |payload: &[u8]| match payload {
        [_, _, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    let step = number(two).wrapping_sub(number(one));
    is_rtp_packet(one)
        && is_rtp_packet(two)
        && one.get(8..12) == two.get(8..12)
        && (1..=STEP_MAX).contains(&step)
}

/// Three packets in sequence on either side, or a report.
pub(super) fn is_rtp(exchange: &Exchange<'_>) -> bool {
    let in_sequence = [Side::Client, Side::Server].map(|side| pairs(exchange, side, rtp_follows));
    in_sequence.iter().any(|pairs| *pairs >= 2)
        || spoken(exchange).any(|datagram| is_rtcp(datagram.payload).is_some())
}

/// Whether reports fill a datagram to its end, as only those in the clear do: SRTCP adds an index
/// and a tag (RFC 3711, section 3.4). `None` if there is none.
fn is_rtcp(payload: &[u8]) -> Option<bool> {
    let mut rest = payload;
    let mut is_first = true;
    while let [first, second, high, low, ..] = rest {
        let is_report = first >> 6 == 2 && is_rtcp_type(*second);
        let words = usize::from(u16::from_be_bytes([*high, *low])) + 1;
        let behind = rest.get(words * 4..).filter(|_| is_report);
        let Some(behind) = behind else { break };
        rest = behind;
        is_first = false;
    }
    if is_first { None } else { Some(rest.is_empty()) }
}

/// What is behind the header of RTP, its contributors and its extension, none of which SRTP seals.
fn media(payload: &[u8]) -> Option<&[u8]> {
    let first = *payload.first().filter(|_| is_rtp_packet(payload))?;
    let rest = payload.get(12 + 4 * usize::from(first & 0xf)..)?;
    if first & 0x10 == 0 {
        return Some(rest);
    }
    let words = u16::from_be_bytes(*rest.get(2..)?.first_chunk()?);
    rest.get(4 + 4 * usize::from(words)..)
}

/// In the clear if reports are, or if media is no ciphertext; else not known, as compressed media
/// looks like it.
pub(super) fn rtp_stage(exchange: &Exchange<'_>) -> Stage {
    let mut reports = spoken(exchange).filter_map(|datagram| is_rtcp(datagram.payload));
    let media = spoken(exchange).filter_map(|datagram| media(datagram.payload));
    if reports.any(|is_whole| is_whole) || Sample::of(media).is_readable() {
        Stage::Plaintext
    } else {
        Stage::Unknown
    }
}

/// What a conversation may be that no first bytes tell.
pub(super) fn guess(exchange: &Exchange<'_>) -> Finding {
    let found = |protocol, stage| Finding { protocol, stage, is_certain: false };
    if is_rtp(exchange) {
        found(Protocol::Rtp, rtp_stage(exchange))
    } else if is_tftp(exchange) {
        found(Protocol::Tftp, Stage::Plaintext)
    } else if is_coap(exchange) {
        found(Protocol::Coap, Stage::Plaintext)
    } else if is_openvpn(exchange) {
        found(Protocol::Openvpn, Stage::Encrypted)
    } else if is_quic(exchange) {
        found(Protocol::Quic, Stage::Encrypted)
    } else if is_text(exchange) && exchange.server_port == 514 {
        // What has no priority is a message, too (RFC 3164, section 4.3.3).
        found(Protocol::Syslog, Stage::Plaintext)
    } else if is_text(exchange) {
        found(Protocol::Unknown, Stage::Plaintext)
    } else {
        Finding::UNKNOWN
    }
}

/// Whether one side's datagram is answered by the other's next, as `answers` says.
fn answered(exchange: &Exchange<'_>, answers: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let mut turns = spoken(exchange).zip(spoken(exchange).skip(1));
    turns.any(|(one, two)| one.side != two.side && answers(one.payload, two.payload))
}

/// A request with a mode, or a block of a file and its acknowledgement (RFC 1350, section 5).
fn is_tftp(exchange: &Exchange<'_>) -> bool {
    let is_request =
        |payload: &[u8]| matches!(payload, [0, 1 | 2, ..]) && payload::is_tftp(payload);
    spoken(exchange).any(|datagram| is_request(datagram.payload))
        || answered(exchange, |one, two| {
            let is_block = one.starts_with(&[0, 3]) && one.len() >= 4;
            is_block && two.starts_with(&[0, 4]) && two.len() == 4 && one.get(2..4) == two.get(2..4)
        })
}

/// A request and its acknowledgement, which have the same message id (RFC 7252, section 4.2).
fn is_coap(exchange: &Exchange<'_>) -> bool {
    answered(exchange, |one, two| {
        let is_request = matches!(one, [0x40..=0x48, 1..=7, ..]);
        let is_acknowledged = matches!(two, [0x60..=0x68, ..]) && one.get(2..4) == two.get(2..4);
        is_request && is_acknowledged && payload::is_coap(one) && payload::is_coap(two)
    })
}

/// Data packets of both ends, each with its peer id and a packet id that counts.
fn is_openvpn(exchange: &Exchange<'_>) -> bool {
    let follows = |one: &[u8], two: &[u8]| match (one.first_chunk::<8>(), two.first_chunk::<8>()) {
        (Some([opcode, ids @ .., a, b, c, d]), Some(next)) => {
            let [next_opcode, next_ids @ .., e, f, g, h] = next;
            let is_next = u32::from_be_bytes([*e, *f, *g, *h])
                .wrapping_sub(u32::from_be_bytes([*a, *b, *c, *d]));
            opcode & 0xf8 == 0x48
                && opcode == next_opcode
                && ids == next_ids
                && (1..=u32::from(STEP_MAX)).contains(&is_next)
        }
        _ => false,
    };
    let both = [Side::Client, Side::Server].map(|side| pairs(exchange, side, follows));
    both.iter().all(|pairs| *pairs >= 2) && !is_readable(exchange, 8)
}

/// Short headers of both ends on HTTP/3's port, with the same connection id from the client, and
/// ciphertext behind it.
fn is_quic(exchange: &Exchange<'_>) -> bool {
    let is_short = |datagram: &Datagram<'_>| {
        matches!(datagram.payload, [first, ..] if first >> 6 == 1) && datagram.length >= 21
    };
    let same_id =
        |one: &[u8], two: &[u8]| one.get(1..9).is_some() && one.get(1..9) == two.get(1..9);
    exchange.server_port == 443
        && spoken(exchange).all(is_short)
        && spoken(exchange).any(|datagram| datagram.side == Side::Server)
        && pairs(exchange, Side::Client, same_id) >= 2
        && !is_readable(exchange, 21)
}

/// Nothing but text on both sides, with something that no encoding of ciphertext has.
fn is_text(exchange: &Exchange<'_>) -> bool {
    let is_word =
        |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let is_sentence = |datagram: &Datagram<'_>| {
        let payload = datagram.payload;
        let is_plain = payload.iter().any(|byte| matches!(byte, b' ' | b':' | b'{' | b'|'));
        payload.len() >= 12 && is_plain && payload.iter().all(is_word)
    };
    spoken(exchange).next().is_some() && spoken(exchange).all(is_sentence)
}
