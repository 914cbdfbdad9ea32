//! What a conversation over UDP is, from the start of its datagrams: the same rules for kernel and
//! agent.
//!
//! A rule rests on what the specification fixes: magic numbers, lengths that agree with the
//! datagram's, fields with few legal values. Ports break ties only, where that leaves two answers.

use super::protocol::Protocol;
use super::stage::Stage;

/// How many first bytes of a datagram are looked at.
pub const WINDOW: usize = 32;

/// What a conversation was found to be.
type Reading = (Protocol, Stage);

/// The start of a datagram as big-endian words, and its whole length in bytes.
#[derive(Clone, Copy)]
struct Start {
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    len: u32,
}

const UNKNOWN: Reading = (Protocol::Unknown, Stage::Unknown);

/// A client's first QUIC datagram is at least so long (RFC 9000, section 14.1).
const QUIC_MIN_LEN: u32 = 1200;

/// The longest connection id of QUIC (RFC 9000, section 17.2).
const QUIC_ID_MAX: u8 = 20;

/// A QUIC packet with a short header is at least so long (RFC 9000, section 10.3).
const QUIC_SHORT_MIN: u32 = 21;

/// The magic cookie of STUN (RFC 8489, section 5).
const STUN_COOKIE: u32 = 0x2112_a442;

/// A DNS header and the shortest question (RFC 1035, sections 4.1.1 and 4.1.2).
const DNS_MIN_LEN: u32 = 17;

const DTLS_HEADER: u32 = 13;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const TLS12_CID: u8 = 25;

/// What `answer` and `later` may learn from a datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing.
    None,
    /// One end's offer, or a refusal to take one.
    Offer,
    /// An answer to an offer, or what only follows one.
    Answer,
    /// Protected payload.
    Protected,
}

// === impl Start ===

impl Start {
    #[inline(always)]
    const fn new(bytes: &[u8; WINDOW], len: u32) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, rest @ ..] = *bytes;
        let [q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd, ee, ff] = rest;
        Self {
            a: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            b: u64::from_be_bytes([i, j, k, l, m, n, o, p]),
            c: u64::from_be_bytes([q, r, s, t, u, v, w, x]),
            d: u64::from_be_bytes([y, z, aa, bb, cc, dd, ee, ff]),
            len,
        }
    }

    /// The first byte.
    #[inline(always)]
    const fn first(self) -> u8 {
        (self.a >> 56) as u8
    }

    /// Bytes 0 to 3.
    #[inline(always)]
    const fn top(self) -> u32 {
        (self.a >> 32) as u32
    }

    /// Bytes 2 and 3, where many protocols have a length.
    #[inline(always)]
    const fn second(self) -> u32 {
        (self.a >> 32) as u16 as u32
    }

    /// The eight bytes at `at`, which is at most 24. Shifts, because a variable index into the
    /// stack is more than the verifier of 5.10 follows.
    #[inline(always)]
    const fn word(self, at: u32) -> u64 {
        let (high, low) = match at >> 3 {
            0 => (self.a, self.b),
            1 => (self.b, self.c),
            2 => (self.c, self.d),
            _ => (self.d, 0),
        };
        let bits = (at & 7) * 8;
        (high << bits) | ((low >> 1) >> (63 - bits))
    }

    /// What follows the first four bytes.
    #[inline(always)]
    const fn behind_marker(self) -> Self {
        Self {
            a: self.a << 32 | self.b >> 32,
            b: self.b << 32 | self.c >> 32,
            c: self.c << 32 | self.d >> 32,
            d: self.d << 32,
            len: self.len.saturating_sub(4),
        }
    }
}

/// What a conversation is by its first datagram of `len` bytes. `bytes` has the start of it, filled
/// up with zeros.
#[inline(always)]
pub const fn first(
    bytes: &[u8; WINDOW],
    len: u32,
    client_port: u16,
    server_port: u16,
) -> (Protocol, Stage) {
    let start = Start::new(bytes, len);
    let ports = (client_port, server_port);
    let sealed = sealed(start, ports);
    if is_known(sealed) {
        return sealed;
    }
    let named = names(start, ports);
    if is_known(named) {
        return named;
    }
    let clear = clear(start, ports);
    if is_known(clear) {
        return clear;
    }
    doubtful(start, ports)
}

/// The same, once the other end has answered with a datagram of `len` bytes. Of a reading that is
/// unknown it makes nothing: then [`first`] may judge the answer.
#[inline(always)]
pub const fn answer(first: (Protocol, Stage), bytes: &[u8; WINDOW], len: u32) -> (Protocol, Stage) {
    follow(first, Start::new(bytes, len), true)
}

/// The same, once a further datagram of `len` bytes went in either direction. The protocol changes
/// where one opens a path for another, as STUN does for DTLS.
#[inline(always)]
pub const fn later(
    reading: (Protocol, Stage),
    bytes: &[u8; WINDOW],
    len: u32,
) -> (Protocol, Stage) {
    follow(reading, Start::new(bytes, len), false)
}

#[inline(always)]
const fn is_known(reading: Reading) -> bool {
    !matches!(reading.0, Protocol::Unknown)
}

#[inline(always)]
const fn has_port(ports: (u16, u16), port: u16) -> bool {
    ports.0 == port || ports.1 == port
}

/// A plaintext protocol, if its rule holds.
#[inline(always)]
const fn plain(holds: bool, protocol: Protocol) -> Reading {
    if holds { (protocol, Stage::Plaintext) } else { UNKNOWN }
}

#[inline(always)]
const fn follow(reading: Reading, start: Start, is_answer: bool) -> Reading {
    let (protocol, stage) = reading;
    match protocol {
        Protocol::Quic => (protocol, stepped(stage, quic_step(start, stage, is_answer))),
        Protocol::Dtls => (protocol, stepped(stage, dtls_step(start))),
        Protocol::Wireguard => (protocol, stepped(stage, wireguard_step(start, is_answer))),
        Protocol::Ike => (protocol, stepped(stage, ike_step(start))),
        Protocol::EspInUdp => (protocol, stepped(stage, nat_step(start))),
        Protocol::Openvpn => openvpn_follow(stage, start, is_answer),
        // They share a path with DTLS (RFC 7983); that STUN opened one is certain, while a header
        // of RTP is not much.
        Protocol::Stun | Protocol::Rtp => {
            let dtls = dtls(start);
            let is_stun = matches!(protocol, Protocol::Rtp) && is_stun(start);
            match dtls.0 {
                Protocol::Dtls => dtls,
                _ if is_stun => (Protocol::Stun, Stage::MayUpgrade),
                _ => reading,
            }
        }
        Protocol::Snmp if is_known(snmp(start)) => match (stage, snmp(start).1) {
            (_, Stage::Partial) => (protocol, Stage::Partial),
            _ => reading,
        },
        Protocol::Sunrpc | Protocol::Nfs => match sun_rpc(start).1 {
            Stage::Partial => (protocol, Stage::Partial),
            _ => reading,
        },
        _ => reading,
    }
}

/// A stage only ever goes forward. Two protected datagrams in a row are enough where the handshake
/// was not seen.
#[inline(always)]
const fn stepped(stage: Stage, step: Step) -> Stage {
    match (stage, step) {
        (Stage::Encrypted, _) | (_, Step::Protected) => Stage::Encrypted,
        (Stage::Offered | Stage::Unknown, Step::Answer) => Stage::Handshake,
        (Stage::Unknown, Step::Offer) => Stage::Offered,
        _ => stage,
    }
}

// ---- protected ----

/// Protocols that protect what they carry.
#[inline(always)]
const fn sealed(start: Start, ports: (u16, u16)) -> Reading {
    let dtls = dtls(start);
    if is_known(dtls) {
        return dtls;
    }
    let quic = quic(start);
    if is_known(quic) {
        return quic;
    }
    match wireguard_step(start, false) {
        Step::Offer => return (Protocol::Wireguard, Stage::Offered),
        Step::Answer => return (Protocol::Wireguard, Stage::Handshake),
        Step::Protected => return (Protocol::Wireguard, Stage::Unknown),
        Step::None => (),
    }
    match ike_step(start) {
        Step::Offer => return (Protocol::Ike, Stage::Offered),
        Step::Answer => return (Protocol::Ike, Stage::Handshake),
        Step::Protected => return (Protocol::Ike, Stage::Encrypted),
        Step::None => (),
    }
    // Four zeros in front of IKE tell it from ESP, and mDNS starts with four zeros, too (RFC 3948,
    // section 2).
    if has_port(ports, 4500) && start.top() == 0 {
        return match ike_step(start.behind_marker()) {
            Step::Offer => (Protocol::EspInUdp, Stage::Offered),
            Step::Answer => (Protocol::EspInUdp, Stage::Handshake),
            Step::Protected => (Protocol::EspInUdp, Stage::Encrypted),
            Step::None => UNKNOWN,
        };
    }
    openvpn(start, ports)
}

/// DTLS 1.0 to 1.3 (RFC 6347, section 4.1; RFC 9147, section 4), and the one before the standard.
/// CAPWAP puts four bytes in front of it (RFC 5415, section 4.2).
#[inline(always)]
const fn dtls(start: Start) -> Reading {
    let is_capwap = start.top() == 0x0100_0000;
    let record = if is_capwap { start.behind_marker() } else { start };
    if !is_dtls_record(record) {
        return UNKNOWN;
    }
    let stage = match (dtls_step(record), record.first()) {
        (Step::Offer, _) => Stage::Offered,
        (Step::Protected, APPLICATION_DATA | HANDSHAKE) if is_one_record(record) => {
            Stage::Encrypted
        }
        _ => Stage::Handshake,
    };
    (Protocol::Dtls, stage)
}

#[inline(always)]
const fn is_dtls_record(start: Start) -> bool {
    let (kind, version) = (start.first(), (start.a >> 40) as u16);
    let is_long_enough = dtls_length(start) != 0 && start.len >= DTLS_HEADER;
    let fits = dtls_length(start) + DTLS_HEADER <= start.len;
    kind >= CHANGE_CIPHER_SPEC
        && kind <= TLS12_CID
        && matches!(version, 0xfeff | 0xfefd | 0x0100)
        && is_long_enough
        // A record with a connection id has its length behind that.
        && (fits || kind == TLS12_CID)
}

/// The length of a record's payload.
#[inline(always)]
const fn dtls_length(start: Start) -> u32 {
    (start.b >> 24) as u16 as u32
}

#[inline(always)]
const fn is_one_record(start: Start) -> bool {
    dtls_length(start) + DTLS_HEADER == start.len
}

#[inline(always)]
const fn dtls_step(start: Start) -> Step {
    let record = if start.top() == 0x0100_0000 { start.behind_marker() } else { start };
    if !is_dtls_record(record) {
        // The header of a protected record of 1.3: 001, and the low bits of its epoch.
        let is_unified = start.first() & 0xe0 == 0x20 && start.len >= 19;
        return if is_unified { Step::Protected } else { Step::None };
    }
    let (kind, epoch) = (record.first(), (record.a >> 24) as u16);
    match (kind, (record.b >> 16) as u8) {
        (ALERT, _) => Step::None,
        _ if epoch != 0 => Step::Protected,
        // A client's hello, and the server's demand for another (RFC 6347, section 4.2.1).
        (HANDSHAKE, 1 | 3) => Step::Offer,
        (HANDSHAKE, _) => Step::Answer,
        _ => Step::None,
    }
}

/// A long header of a known version (RFC 9000, section 17.2), or Google's QUIC before it.
#[inline(always)]
const fn quic(start: Start) -> Reading {
    let version = quic_version(start);
    let is_long = start.first() & 0xc0 == 0xc0;
    if is_long && version >> 8 == 0x51_3034 {
        // Q043 to Q046 protect what follows the hellos, which are in the clear.
        return (Protocol::Gquic, Stage::Partial);
    }
    // Its older header: flags with a version and a connection id of eight bytes, then both.
    let is_old = start.first() & 0xc9 == 0x09 && (start.b >> 40) as u16 == 0x5130;
    if is_old && is_digit((start.b >> 32) as u8) && is_digit((start.b >> 24) as u8) {
        return (Protocol::Gquic, Stage::Partial);
    }
    // Only a client that wants to be told other versions sends such a one (RFC 9000, section 15).
    let is_reserved = version & 0x0f0f_0f0f == 0x0a0a_0a0a && start.len >= QUIC_MIN_LEN;
    let is_known = is_quic_version(version) && start.len >= 128;
    if !is_long || !(is_known || is_reserved) || !has_quic_ids(start) {
        return UNKNOWN;
    }
    match quic_kind(start) {
        QUIC_HANDSHAKE => (Protocol::Quic, Stage::Handshake),
        _ => (Protocol::Quic, Stage::Offered),
    }
}

const QUIC_INITIAL: u8 = 0;
const QUIC_ZERO_RTT: u8 = 1;
const QUIC_HANDSHAKE: u8 = 2;
const QUIC_RETRY: u8 = 3;

const QUIC_V2: u32 = 0x6b33_43cf;

#[inline(always)]
const fn quic_version(start: Start) -> u32 {
    (start.a >> 24) as u32
}

/// Versions 1 and 2, the drafts of both, Facebook's, and Google's last with the same headers.
#[inline(always)]
const fn is_quic_version(version: u32) -> bool {
    matches!(version, 1 | QUIC_V2 | 0x709a_50c4 | 0x5130_3530 | 0x5430_3530 | 0x5430_3531)
        || matches!(version >> 8, 0xff_0000 | 0xfa_ceb0)
}

/// Whether both connection ids are no longer than they may be.
#[inline(always)]
const fn has_quic_ids(start: Start) -> bool {
    let to = (start.a >> 16) as u8;
    if to > QUIC_ID_MAX {
        return false;
    }
    let from = (start.word(to as u32 + 6) >> 56) as u8;
    to > 18 || from <= QUIC_ID_MAX
}

/// The type of a packet with a long header, numbered as in version 1. Version 2 has others (RFC
/// 9369, section 3.2).
#[inline(always)]
const fn quic_kind(start: Start) -> u8 {
    let kind = start.first() >> 4 & 3;
    let is_second = matches!(quic_version(start), QUIC_V2 | 0x709a_50c4);
    if is_second { kind.wrapping_sub(1) & 3 } else { kind }
}

#[inline(always)]
const fn quic_step(start: Start, stage: Stage, is_answer: bool) -> Step {
    let is_answered = is_answer || !matches!(stage, Stage::Offered);
    if start.first() & 0x80 == 0 {
        let is_short = start.first() & 0x40 != 0 && start.len >= QUIC_SHORT_MIN;
        return if is_short && is_answered { Step::Protected } else { Step::None };
    }
    if !is_quic_version(quic_version(start)) {
        return Step::None;
    }
    match quic_kind(start) {
        QUIC_HANDSHAKE => Step::Protected,
        QUIC_ZERO_RTT if is_answered => Step::Protected,
        QUIC_INITIAL if is_answer => Step::Answer,
        QUIC_RETRY => Step::Offer,
        _ => Step::None,
    }
}

/// WireGuard's messages have types, zeros and fixed lengths.
#[inline(always)]
const fn wireguard_step(start: Start, is_answer: bool) -> Step {
    // Tailscale's search for a path, on the same port: `TS` and a speech balloon.
    if start.a >> 16 == 0x5453_f09f_92ac && start.len >= 62 {
        return if is_answer { Step::Answer } else { Step::Offer };
    }
    match (start.top(), start.len) {
        (0x0100_0000, 148) | (0x0300_0000, 64) => Step::Offer,
        (0x0200_0000, 92) => Step::Answer,
        // Receiver and counter are little-endian, and no counter comes near 2^48.
        (0x0400_0000, 32..) if start.len & 15 == 0 => {
            let has_receiver = start.a as u32 != 0;
            if has_receiver && start.b as u16 == 0 { Step::Protected } else { Step::None }
        }
        _ => Step::None,
    }
}

/// IKE's header: two SPIs, next payload, version, exchange, flags, message id and the length (RFC
/// 2408, section 3.1; RFC 7296, section 3.1).
#[inline(always)]
const fn ike_step(start: Start) -> Step {
    let (payload, version) = ((start.c >> 56) as u8, (start.c >> 48) as u8);
    let (exchange, flags) = ((start.c >> 40) as u8, (start.c >> 32) as u8);
    let length = (start.d >> 32) as u32;
    if start.a == 0 || length != start.len || length < 28 {
        return Step::None;
    }
    let is_sealed = match (version, exchange) {
        (0x10, 1..=6 | 32..=34) => flags & 1 != 0,
        // What is behind the first exchange is in an encrypted payload (RFC 7296, section 3.14).
        (0x20, 34..=44) => matches!(payload, 46 | 53),
        _ => return Step::None,
    };
    match start.b {
        _ if is_sealed => Step::Protected,
        0 => Step::Offer,
        _ => Step::Answer,
    }
}

/// IKE behind four zeros, or ESP.
#[inline(always)]
const fn nat_step(start: Start) -> Step {
    if start.top() == 0 { ike_step(start.behind_marker()) } else { esp_step(start) }
}

/// ESP has an SPI of 256 or more, a sequence number and ciphertext in words (RFC 4303, section 2).
#[inline(always)]
const fn esp_step(start: Start) -> Step {
    let (spi, sequence) = (start.top(), start.a as u32);
    let is_esp = spi >= 256 && sequence != 0 && start.len >= 28 && start.len & 3 == 0;
    if is_esp { Step::Protected } else { Step::None }
}

/// A client's reset: 14 bytes of it, and what its authentication adds. Behind the session's id is
/// an empty list of what it acknowledges, and the id of the packet, 0; or, if that is protected, a
/// digest in front of it or a packet's id and the time.
#[inline(always)]
const fn openvpn(start: Start, ports: (u16, u16)) -> Reading {
    let is_timed = is_recent((start.word(13) >> 32) as u32);
    let is_reset = match (start.first(), start.len) {
        (0x38, 14) => start.b & 0x00ff_ffff_ffff_0000 == 0,
        // tls-auth with SHA-1: what follows the digest is packet 1.
        (0x38, 42) => start.d & 0x00ff_ffff == 0,
        // tls-crypt; or tls-auth with SHA-256 or SHA-512, whose digest hides the rest.
        (0x38, 54 | 86) => is_timed || has_port(ports, 1194),
        // tls-crypt-v2 has the client's wrapped key behind it.
        (0x50, 344..) => is_timed,
        _ => false,
    };
    if is_reset { (Protocol::Openvpn, Stage::Offered) } else { UNKNOWN }
}

/// Whether these seconds since 1970 are of 2004 to 2038.
#[inline(always)]
const fn is_recent(seconds: u32) -> bool {
    seconds >> 30 == 1
}

#[inline(always)]
const fn openvpn_follow(stage: Stage, start: Start, is_answer: bool) -> Reading {
    let step = match start.first() & 0xf8 {
        0x40 => Step::Answer,
        0x30 | 0x48 => Step::Protected,
        0x20 | 0x28 | 0x38 | 0x50 => Step::None,
        // It was no client's reset, then.
        _ if is_answer => return UNKNOWN,
        _ => Step::None,
    };
    match (stage, step) {
        (Stage::Offered, Step::Protected) => (Protocol::Openvpn, stage),
        _ => (Protocol::Openvpn, stepped(stage, step)),
    }
}

// ---- names ----

/// DNS and those that share its format.
#[inline(always)]
const fn names(start: Start, ports: (u16, u16)) -> Reading {
    if start.len < DNS_MIN_LEN || is_stun(start) {
        return UNKNOWN;
    }
    // A NetBIOS name is 32 letters from A to P, each for four bits (RFC 1001, section 14.1).
    let length = (start.b >> 24) as u8;
    if length == 32 && is_netbios(start.c) && is_netbios(start.d) {
        return plain(is_dns_like(start), Protocol::NetbiosNs);
    }
    // The first name begins with a label of at most 63 bytes, or ends at once (RFC 1035, section
    // 2.3.4).
    if length > 63 || !is_dns_like(start) {
        return UNKNOWN;
    }
    if has_port(ports, 5353) {
        return plain(is_mdns(start), Protocol::Mdns);
    }
    let questions = (start.a >> 16) as u16;
    if has_port(ports, 5355) {
        return plain(questions == 1, Protocol::Llmnr);
    }
    plain(is_dns(start) || has_port(ports, 53) && questions == 1, Protocol::Dns)
}

#[inline(always)]
const fn is_netbios(word: u64) -> bool {
    word.wrapping_sub(0x4141_4141_4141_4141) & 0xf0f0_f0f0_f0f0_f0f0 == 0
}

/// Whether the counts are no larger than a datagram has room for.
#[inline(always)]
const fn is_dns_like(start: Start) -> bool {
    let (questions, answers) = ((start.a >> 16) as u16, start.a as u16);
    let (authorities, additional) = ((start.b >> 48) as u16, (start.b >> 32) as u16);
    (questions != 0 || answers != 0)
        && questions < 64
        && answers < 512
        && authorities < 256
        && additional < 256
}

/// Queries have the id 0 (RFC 6762, section 18.1), and only opcode 0 is used (section 18.3).
#[inline(always)]
const fn is_mdns(start: Start) -> bool {
    let flags = (start.a >> 32) as u16;
    flags & 0x7800 == 0
}

/// A query with one question, or the response to one, with no reserved bit set (RFC 1035, section
/// 4.1.1; RFC 1996 and RFC 2136 for NOTIFY and UPDATE).
#[inline(always)]
const fn is_dns(start: Start) -> bool {
    let (flags, answers) = ((start.a >> 32) as u16, start.a as u16);
    let (authorities, additional) = ((start.b >> 48) as u16, (start.b >> 32) as u16);
    let is_query = flags & 0x8000 == 0;
    let is_bare = answers == 0 && authorities == 0 && additional <= 2 && flags & 0xf == 0;
    let is_known = match flags >> 11 & 0xf {
        0 => !is_query || is_bare,
        4 => answers <= 1 && authorities == 0,
        5 => true,
        _ => false,
    };
    (start.a >> 16) as u16 == 1 && flags & 0x40 == 0 && is_known
}

// ---- in the clear ----

/// Protocols in the clear with a magic number, or with a length or several fields that agree.
#[inline(always)]
const fn clear(start: Start, ports: (u16, u16)) -> Reading {
    if is_stun(start) || is_classic_stun(start, ports) {
        return (Protocol::Stun, Stage::MayUpgrade);
    }
    if is_ntp(start, ports) {
        return (Protocol::Ntp, Stage::Plaintext);
    }
    let text = text(start);
    if is_known(text) {
        return text;
    }
    let encoded = encoded(start);
    if is_known(encoded) {
        return encoded;
    }
    let rpc = sun_rpc(start);
    if is_known(rpc) {
        return rpc;
    }
    measured(start)
}

/// A request or a response with the magic cookie, and its length in words (RFC 8489, section 5).
#[inline(always)]
const fn is_stun(start: Start) -> bool {
    start.a as u32 == STUN_COOKIE && start.first() & 0xc0 == 0 && is_stun_length(start)
}

#[inline(always)]
const fn is_stun_length(start: Start) -> bool {
    start.second() & 3 == 0 && start.second() + 20 == start.len
}

/// The one before it has no cookie (RFC 3489, section 11.1).
#[inline(always)]
const fn is_classic_stun(start: Start, ports: (u16, u16)) -> bool {
    let is_message = matches!(start.a >> 48, 0x0001 | 0x0101 | 0x0111 | 0x0002 | 0x0102 | 0x0112);
    let (kind, length) = ((start.c >> 16) as u16, start.c as u16 as u32);
    let fits = length & 3 == 0 && length + 4 <= start.second();
    let has_attribute = kind != 0 && (kind <= 0x20 || kind >> 8 == 0x80) && fits;
    is_message && is_stun_length(start) && (has_attribute || has_port(ports, 3478))
}

/// Version, mode, stratum, poll interval and precision are small, and the delays to the root are
/// under 256 seconds (RFC 5905, section 7.3). Control messages are told by their port alone.
#[inline(always)]
const fn is_ntp(start: Start, ports: (u16, u16)) -> bool {
    let (mode, version) = (start.first() & 7, start.first() >> 3 & 7);
    let (stratum, poll, precision) =
        ((start.a >> 48) as u8, (start.a >> 40) as u8, start.second() as u8);
    let has_head = mode != 0 && version >= 1 && version <= 4;
    if has_port(ports, 123) && has_head && start.len >= 12 {
        return true;
    }
    let is_long_enough = start.len >= 48 && start.len & 3 == 0 && start.len <= 1024;
    let is_clock = stratum <= 16 && poll <= 24 && (precision == 0 || precision >= 0xe0);
    let is_near = matches!((start.a >> 24) as u8, 0 | 0xff) && start.b >> 56 == 0;
    has_head && mode <= 5 && is_long_enough && is_clock && is_near
}

/// Protocols that begin with words.
#[inline(always)]
const fn text(start: Start) -> Reading {
    let a = start.a;
    let is_ssdp = is(a, b"M-SEARCH") || is(a, b"NOTIFY *") || is(a, b"HTTP/1.1");
    if is_ssdp {
        return (Protocol::Ssdp, Stage::Plaintext);
    }
    let word = a >> 32;
    let is_dht = (is(a & !0xff_ffff, b"d1:ad\0\0\0") || is(a & !0xff_ffff, b"d1:rd\0\0\0"))
        || is(a & !0xffff, b"d1:eli\0\0")
        || is(a & !0xffff, b"d2:ip6\0\0")
        || is(a & !0xffff, b"d2:ip1\0\0")
        || word == 0x6431_3a71;
    if is_dht {
        return (Protocol::BittorrentDht, Stage::Plaintext);
    }
    if is_sip(start) {
        return (Protocol::Sip, Stage::Plaintext);
    }
    if is_syslog(start) {
        return (Protocol::Syslog, Stage::Plaintext);
    }
    if is(a, b"{\"host_i") || is(a, b"{\"versio") && is(start.b & !0xffff_ffff, b"n\": [\0\0\0") {
        return (Protocol::DbLspDisc, Stage::Plaintext);
    }
    // Text behind memcached's frame: a request's id, and this is datagram 0 of 1.
    let is_frame = a & 0xffff_ffff_ffff == 0x0000_0001_0000 && start.len > 12;
    let command = start.b >> 32;
    let is_command = command == 0x6765_7420
        || command == 0x6765_7473
        || command == 0x7365_7420
        || command == 0x7374_6174
        || command == 0x5641_4c55
        || command == 0x5354_4154
        || command == 0x454e_440d;
    plain(is_frame && is_command, Protocol::Memcached)
}

#[inline(always)]
const fn is(word: u64, text: &[u8; 8]) -> bool {
    word == u64::from_be_bytes(*text)
}

#[inline(always)]
const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

#[inline(always)]
const fn is_printable(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x7f
}

/// A status line, or a method before a SIP or TEL URI (RFC 3261, sections 7.1 and 7.2).
#[inline(always)]
const fn is_sip(start: Start) -> bool {
    let a = start.a;
    if is(a, b"SIP/2.0 ") {
        return true;
    }
    // How long the method is with its space.
    let at = if is(a & !0xffff_ffff, b"ACK \0\0\0\0") || is(a & !0xffff_ffff, b"BYE \0\0\0\0") {
        4
    } else if is(a & !0xff_ffff, b"INFO \0\0\0") {
        5
    } else if is(a & !0xffff, b"REFER \0\0") || is(a & !0xffff, b"PRACK \0\0") {
        6
    } else if is(a & !0xff, b"INVITE \0")
        || is(a & !0xff, b"CANCEL \0")
        || is(a & !0xff, b"UPDATE \0")
        || is(a & !0xff, b"NOTIFY \0")
    {
        7
    } else if is(a, b"OPTIONS ") || is(a, b"PUBLISH ") || is(a, b"MESSAGE ") {
        8
    } else if is(a, b"REGISTER") {
        9
    } else if is(a, b"SUBSCRIB") {
        10
    } else {
        return false;
    };
    let uri = start.word(at);
    let (four, five) = (uri >> 32, uri >> 24);
    four == 0x7369_703a || five == 0x73_6970_733a || four == 0x7465_6c3a
}

/// A priority of up to 191 between angle brackets (RFC 5424, section 6.2.1; RFC 3164, section 4.1).
#[inline(always)]
const fn is_syslog(start: Start) -> bool {
    let [open, one, two, three, four, five, ..] = start.a.to_be_bytes();
    if open != b'<' || !is_digit(one) {
        return false;
    }
    if two == b'>' {
        return is_printable(three);
    }
    if !is_digit(two) || one == b'0' {
        return false;
    }
    if three == b'>' {
        return is_printable(four);
    }
    let is_in_range = one == b'1' && (two < b'9' || two == b'9' && three <= b'1');
    is_digit(three) && four == b'>' && is_printable(five) && is_in_range
}

/// Protocols in BER: a sequence or an application tag, of a length that agrees with the datagram's.
#[inline(always)]
const fn encoded(start: Start) -> Reading {
    let head = ber(start.a, start.len);
    if head == 0 {
        return UNKNOWN;
    }
    match start.first() {
        0x30 => {
            let snmp = snmp(start);
            if is_known(snmp) { snmp } else { plain(is_cldap(start.word(head)), Protocol::Ldap) }
        }
        0x6a..=0x6f | 0x74..=0x76 | 0x7e => kerberos(start, head),
        _ => UNKNOWN,
    }
}

/// How long tag and length are, if the value is as long as what `len` leaves for it; else 0.
#[inline(always)]
const fn ber(word: u64, len: u32) -> u32 {
    let short = (word >> 48) as u8 as u32;
    let (head, length) = match short {
        0..=0x7f => (2, short),
        0x81 => (3, (word >> 40) as u8 as u32),
        0x82 => (4, (word >> 32) as u16 as u32),
        0x83 => (5, (word >> 24) as u32 & 0xff_ffff),
        0x84 => (6, (word >> 16) as u32),
        _ => return 0,
    };
    if len >= head && length == len - head { head } else { 0 }
}

/// A version and a community (RFC 3416), or the header of version 3, whose flags say whether the
/// rest is encrypted (RFC 3412, section 6).
#[inline(always)]
const fn snmp(start: Start) -> Reading {
    let head = ber(start.a, start.len);
    if start.first() != 0x30 || head == 0 {
        return UNKNOWN;
    }
    match start.word(head) >> 32 {
        0x0201_0004 | 0x0201_0104 => (Protocol::Snmp, Stage::Plaintext),
        0x0201_0330 => {
            let is_private = snmp_flags(start, head) & 2 != 0;
            (Protocol::Snmp, if is_private { Stage::Partial } else { Stage::MayUpgrade })
        }
        _ => UNKNOWN,
    }
}

/// `msgFlags` is behind two integers of up to five bytes, `msgID` and `msgMaxSize`.
#[inline(always)]
const fn snmp_flags(start: Start, head: u32) -> u8 {
    let id_at = head + 5;
    let size_at = id_at + 2 + ((start.word(id_at) >> 48) as u32 & 7);
    let flags_at = size_at + 2 + ((start.word(size_at) >> 48) as u32 & 7);
    if flags_at > 29 {
        return 0;
    }
    let flags = start.word(flags_at);
    if flags >> 48 == 0x0401 { (flags >> 40) as u8 } else { 0 }
}

/// A message id, and an operation that LDAP has without a connection: search and what answers it
/// (MS-ADTS, section 6.3.3).
#[inline(always)]
const fn is_cldap(message: u64) -> bool {
    let operation = match message >> 48 {
        0x0201 => message >> 32,
        0x0202 => message >> 24,
        0x0203 => message >> 16,
        0x0204 => message >> 8,
        _ => 0,
    };
    matches!(operation as u8, 0x63 | 0x64 | 0x65 | 0x50)
}

/// A sequence as long as the application tag around it, that begins with version 5 (RFC 4120,
/// section 5).
#[inline(always)]
const fn kerberos(start: Start, head: u32) -> Reading {
    let inner = start.word(head);
    let inner_head = ber(inner, start.len - head);
    if inner >> 56 != 0x30 || inner_head == 0 {
        return UNKNOWN;
    }
    let field = start.word(head + inner_head);
    let is_version = matches!(field >> 24, 0xa0_0302_0105 | 0xa1_0302_0105);
    let is_error = start.first() == 0x7e && field >> 61 == 5;
    if is_version || is_error { (Protocol::Kerberos, Stage::Partial) } else { UNKNOWN }
}

/// A call of RPC version 2, or an accepted or denied reply (RFC 5531, section 9). GSS may seal its
/// arguments (RFC 2203).
#[inline(always)]
const fn sun_rpc(start: Start) -> Reading {
    let (kind, next, third) = (start.a as u32, (start.b >> 32) as u32, start.b as u32);
    if start.len & 3 != 0 {
        return UNKNOWN;
    }
    if kind == 0 && next == 2 && start.len >= 40 {
        let flavor = (start.d >> 32) as u32;
        let stage = if flavor == 6 { Stage::Partial } else { Stage::Plaintext };
        return (if third == 100_003 { Protocol::Nfs } else { Protocol::Sunrpc }, stage);
    }
    let length = (start.c >> 32) as u32;
    let has_status = length == 0 && start.c as u32 <= 5;
    let is_accepted = next == 0 && third <= 6 && (length != 0 && length <= 400 || has_status);
    let is_denied = next == 1 && third <= 1 && start.len <= 32;
    plain(
        kind == 1 && start.len >= 20 && (is_accepted && start.len >= 24 || is_denied),
        Protocol::Sunrpc,
    )
}

/// Protocols whose header has the datagram's length.
#[inline(always)]
const fn measured(start: Start) -> Reading {
    let (first, second) = (start.first(), (start.a >> 48) as u8);
    let length = start.second();
    let b = start.b;
    match first {
        // BACnet/IP: a function and an NPDU of version 1 (ASHRAE 135, annex J).
        0x81 if second <= 12 && length == start.len => (Protocol::Bacnet, Stage::Plaintext),
        // DNP3's start bytes.
        0x05 if second == 0x64 && length >> 8 >= 5 && start.len >= 10 => {
            (Protocol::Dnp3, Stage::Plaintext)
        }
        // A NetBIOS datagram with its own port and length (RFC 1002, section 4.4).
        0x10..=0x16 if second <= 0x0f && (b >> 48) as u16 == 138 => {
            (Protocol::NetbiosDgm, Stage::Plaintext)
        }
        // NetFlow 5 has records of fixed length; 9 counts them; IPFIX has a length.
        0 if second == 5 && length != 0 && start.len == 24 + 48 * length => {
            (Protocol::Netflow, Stage::Plaintext)
        }
        0 if second == 9 && length >= 1 && length <= 64 && is_recent((b >> 32) as u32) => {
            plain(start.len >= 24, Protocol::Netflow)
        }
        0 if second == 10 && length == start.len && is_recent(start.a as u32) => {
            (Protocol::Netflow, Stage::Plaintext)
        }
        // sFlow 5, with an agent's address of version 4 or 6.
        0 if start.top() == 5 && matches!(start.a as u32, 1 | 2) && start.len >= 28 => {
            (Protocol::Sflow, Stage::Plaintext)
        }
        // PFCP and GTP version 2 count what follows the length; version 1 what follows eight bytes.
        0x20..=0x23 if second != 0 && length + 4 == start.len => (Protocol::Pfcp, Stage::Plaintext),
        0x40 | 0x48 | 0x50 | 0x58 if second != 0 && length >= 4 && length + 4 == start.len => {
            (Protocol::Gtp, Stage::Plaintext)
        }
        0x30..=0x37 if second != 0 && length + 8 == start.len => (Protocol::Gtp, Stage::Plaintext),
        1..=5 | 11..=13 | 40..=45 if length == start.len && is_radius(start) => {
            (Protocol::Radius, Stage::Plaintext)
        }
        _ => parts(start),
    }
}

/// Behind the authenticator, a first attribute that fits (RFC 2865, sections 3 and 5).
#[inline(always)]
const fn is_radius(start: Start) -> bool {
    let (kind, length) = ((start.c >> 24) as u8, (start.c >> 16) as u8 as u32);
    let has_attribute = kind != 0 && length >= 2 && length + 20 <= start.len;
    start.len == 20 || start.len > 20 && has_attribute
}

/// Protocols with several fields of few values.
#[inline(always)]
const fn parts(start: Start) -> Reading {
    let (first, second) = (start.first(), (start.a >> 48) as u8);
    // collectd: the part with the host's name, which ends with a zero, and the time behind it; or
    // a sealed part around all.
    let length = start.second();
    if start.a >> 48 == 0 && length >= 6 && length <= 24 {
        let next = start.word(length) >> 32;
        return plain(next == 0x0001_000c || next == 0x0008_000c, Protocol::Collectd);
    }
    if start.a >> 48 == 0x0210 && length == start.len {
        return (Protocol::Collectd, Stage::Partial);
    }
    // BOOTP over Ethernet: few hops, and only the flag for broadcast (RFC 2131, section 2).
    let flags = (start.b >> 32) as u16 & 0x7fff;
    let is_ethernet = matches!(start.top() >> 8, 0x01_0106 | 0x02_0106);
    if is_ethernet && length as u8 <= 16 && flags == 0 && start.len >= 240 {
        return (Protocol::Dhcp, Stage::Plaintext);
    }
    // DCE RPC without a connection: version 4, a type, flags, and characters in ASCII or EBCDIC.
    let types = (start.a >> 8) as u32 & 0xffff;
    let is_dce = first == 4 && second <= 10 && length != 0 && start.len >= 80;
    if is_dce && (start.a >> 24) as u8 & 0xee == 0 && types <= 0x0300 && types as u8 == 0 {
        return (Protocol::Dcerpc, Stage::Plaintext);
    }
    tftp(start)
}

/// Opcodes 1 to 6 and what is behind them (RFC 1350, section 5; RFC 2347).
#[inline(always)]
const fn tftp(start: Start) -> Reading {
    let (number, third) = (start.second(), (start.a >> 40) as u8);
    let holds = match start.a >> 48 {
        // A file's name and, as far as it is looked at, the mode.
        1 | 2 => start.len >= 9 && (is_printable(third) || third == 0) && has_mode(start),
        3 => number == 1 && start.len == 516,
        4 => number <= 1 && start.len == 4,
        5 => number <= 8 && start.len > 5 && is_printable((start.a >> 24) as u8),
        6 => is_option(start.a << 16),
        _ => false,
    };
    plain(holds, Protocol::Tftp)
}

/// `octet` or `netascii` anywhere in the window, of which one letter after a zero stands for it.
#[inline(always)]
const fn has_mode(start: Start) -> bool {
    let (a, b, c, d) = (start.a, start.b, start.c, start.d);
    has_mode_in(a, b) || has_mode_in(b, c) || has_mode_in(c, d) || has_mode_in(d, 0)
}

/// Whether a zero and the start of a mode begin within `high`, with what follows in `low`.
#[inline(always)]
const fn has_mode_in(high: u64, low: u64) -> bool {
    is_mode(high)
        || is_mode(high << 8 | low >> 56)
        || is_mode(high << 16 | low >> 48)
        || is_mode(high << 24 | low >> 40)
        || is_mode(high << 32 | low >> 32)
        || is_mode(high << 40 | low >> 24)
        || is_mode(high << 48 | low >> 16)
        || is_mode(high << 56 | low >> 8)
}

#[inline(always)]
const fn is_mode(word: u64) -> bool {
    let lower = word >> 32 | 0x0020_2020;
    lower == 0x006f_6374 || lower == 0x006e_6574
}

/// The start of an option's name (RFC 2348, RFC 2349, RFC 7440).
#[inline(always)]
const fn is_option(word: u64) -> bool {
    let lower = word | 0x2020_2020_2020_0000;
    matches!(lower >> 16, 0x626c_6b73_697a | 0x7469_6d65_6f75 | 0x7769_6e64_6f77)
        || lower >> 24 == 0x74_7369_7a65
}

// ---- doubtful ----

/// Protocols with few fixed bits: a port or a value that is usual has to speak for them.
#[inline(always)]
const fn doubtful(start: Start, ports: (u16, u16)) -> Reading {
    if has_port(ports, 4500) {
        let is_keepalive = start.len == 1 && start.first() == 0xff;
        let is_esp = matches!(esp_step(start), Step::Protected);
        if is_keepalive || is_esp {
            return (Protocol::EspInUdp, Stage::Unknown);
        }
    }
    let is_file = has_port(ports, 69) && matches!(start.a >> 48, 1 | 2);
    if is_file && is_printable((start.a >> 40) as u8) && start.len >= 8 {
        return (Protocol::Tftp, Stage::Plaintext);
    }
    if (has_port(ports, 546) || has_port(ports, 547)) && is_dhcp6(start) {
        return (Protocol::Dhcp, Stage::Plaintext);
    }
    let collectd = has_port(ports, 25826) && start.a >> 48 == 0 && start.second() >= 6;
    if collectd && start.second() < start.len && is_printable((start.a >> 24) as u8) {
        return (Protocol::Collectd, Stage::Plaintext);
    }
    let coap = coap(start, ports);
    if is_known(coap) {
        return coap;
    }
    // A SYN of uTP: type 4, version 1, no difference of times yet (BEP 29).
    if start.first() == 0x41 && (start.a >> 48) as u8 <= 2 && start.b >> 32 == 0 {
        let has_window = start.b as u32 != 0 && start.a as u32 != 0;
        let is_syn = has_window && start.len >= 20 && start.len <= 32;
        return if is_syn { (Protocol::Bittorrent, Stage::Unknown) } else { UNKNOWN };
    }
    rtp(start)
}

/// A message type, and a first option that fits (RFC 8415, sections 7.3 and 8).
#[inline(always)]
const fn is_dhcp6(start: Start) -> bool {
    let (option, length) = ((start.a >> 16) as u16, start.a as u16 as u32);
    let is_relayed = matches!(start.first(), 12 | 13) && start.len >= 34;
    let has_option = option != 0 && option <= 255 && length + 8 <= start.len;
    is_relayed || start.first() >= 1 && start.first() <= 11 && has_option
}

/// Version 1, a token of up to 8 bytes, and a request with an option that requests begin with (RFC
/// 7252, section 3). Off its port, only one with a path.
#[inline(always)]
const fn coap(start: Start, ports: (u16, u16)) -> Reading {
    let (first, code) = (start.first(), (start.a >> 48) as u8);
    let token = (first & 0xf) as u32;
    if first >> 6 != 1 || token > 8 {
        return UNKNOWN;
    }
    let options = start.word(4 + token);
    let (option, next) = ((options >> 56) as u8, (options >> 48) as u8);
    let is_port = has_port(ports, 5683);
    let is_request = code >= 1 && code <= 7 && first & 0x20 == 0;
    let has_option = matches!(option >> 4, 1 | 3..=8 | 11..=13) && option & 0xf != 0xf;
    let has_path = option >> 4 == 0xb && option & 0xf != 0 && is_printable(next);
    let is_ping = code == 0 && token == 0 && start.len == 4;
    let is_response = matches!(code >> 5, 2 | 4 | 5);
    let is_usual = is_port && (is_request && has_option || is_ping || is_response);
    let is_path = is_request && has_path && start.len > 5 + token;
    plain(is_usual || is_path, Protocol::Coap)
}

/// Version 2 and a payload type of those in use (RFC 3550, section 5.1; RFC 3551, section 6), or a
/// report of RTCP (section 6.4). Whether it is SRTP the header does not tell.
#[inline(always)]
const fn rtp(start: Start) -> Reading {
    let (first, second) = (start.first(), (start.a >> 48) as u8);
    if first >> 6 != 2 || start.len < 8 {
        return UNKNOWN;
    }
    // Sender and receiver reports come first, and count what they have in words.
    let reports = (first & 0x1f) as u32;
    let rtcp_words = match second {
        200 => 6 + 6 * reports,
        201 => 1 + 6 * reports,
        _ => 0,
    };
    if rtcp_words != 0 {
        let fits = start.second() >= rtcp_words && (start.second() + 1) * 4 <= start.len;
        return if fits { (Protocol::Rtp, Stage::Unknown) } else { UNKNOWN };
    }
    let is_in_use = matches!(second & 0x7f, 0 | 3..=18 | 25..=34 | 96..=127);
    let source = start.b >> 32;
    // Neither padding nor contributors nor an extension begins a call.
    if first == 0x80 && is_in_use && source > 0xff && start.len >= 20 {
        return (Protocol::Rtp, Stage::Unknown);
    }
    UNKNOWN
}

#[cfg(test)]
mod tests;
