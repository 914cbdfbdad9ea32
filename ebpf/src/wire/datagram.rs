//! What a conversation over UDP is, from the start of its datagrams: the same rules for kernel and
//! agent.
//!
//! A rule rests on what the specification fixes: magic numbers, lengths that agree with the
//! datagram's, fields with few legal values. Ports break ties only, where that leaves two answers.

use core::hint::black_box;

use super::protocol::Protocol;
use super::stage::Stage;
use super::window::{HEAD_LEN, Window};

/// How many first bytes of a datagram are looked at.
pub const WINDOW: usize = HEAD_LEN;

/// What a conversation was found to be.
type Reading = (Protocol, Stage);

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

/// The first rule that knows what a datagram is. Each reads it anew.
macro_rules! first_of {
    ($start:ident; $($rule:ident($($argument:ident),*)),*) => {{
        let window = $start;
        $(
            let $start = window.anew();
            let reading = $rule($($argument),*);
            if is_known(reading) {
                return reading;
            }
        )*
        UNKNOWN
    }};
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
    let start = Window::new(bytes, len);
    let ports = (client_port, server_port);
    first_of!(start;
        dtls(start), quic(start), wireguard(start), ike(start, ports), openvpn(start, ports),
        names(start, ports), stun(start), ntp(start, ports), text(start), sip(start),
        syslog(start), memcached(start), encoded(start), kerberos(start), sun_rpc(start),
        measured(start), collectd(start, ports), dhcp(start, ports), dce_rpc(start),
        tftp(start, ports), esp(start, ports), coap(start, ports), utp(start), rtp(start)
    )
}

/// The same, once the other end has answered with a datagram of `len` bytes. Of a reading that is
/// unknown it makes nothing: then [`first`] may judge the answer.
#[inline(always)]
pub const fn answer(first: (Protocol, Stage), bytes: &[u8; WINDOW], len: u32) -> (Protocol, Stage) {
    follow(first, Window::new(bytes, len), true)
}

/// The same, once a further datagram of `len` bytes went in either direction. The protocol changes
/// where one opens a path for another, as STUN does for DTLS.
#[inline(always)]
pub const fn later(
    reading: (Protocol, Stage),
    bytes: &[u8; WINDOW],
    len: u32,
) -> (Protocol, Stage) {
    follow(reading, Window::new(bytes, len), false)
}

/// Whether no further datagram can change this reading.
#[inline(always)]
pub const fn is_settled(reading: (Protocol, Stage)) -> bool {
    matches!(reading.1, Stage::Plaintext | Stage::Encrypted | Stage::Partial)
}

/// Bytes 2 and 3, where many protocols have a length.
#[inline(always)]
const fn length_field(start: Window) -> u32 {
    start.half(2) as u32
}

#[inline(always)]
const fn is_known(reading: Reading) -> bool {
    !matches!(reading.0, Protocol::Unknown)
}

#[inline(always)]
const fn has_port(ports: (u16, u16), port: u16) -> bool {
    // The verifier learns nothing about a port from what is made of it.
    black_box(ports.0 ^ port) == 0 || black_box(ports.1 ^ port) == 0
}

/// A plaintext protocol, if its rule holds.
#[inline(always)]
const fn plain(holds: bool, protocol: Protocol) -> Reading {
    if holds { (protocol, Stage::Plaintext) } else { UNKNOWN }
}

#[inline(always)]
const fn follow(reading: Reading, start: Window, is_answer: bool) -> Reading {
    if is_settled(reading) {
        return reading;
    }
    let (protocol, stage) = reading;
    match protocol {
        Protocol::Quic => (protocol, stepped(stage, quic_step(start, stage, is_answer))),
        Protocol::Dtls | Protocol::Stun | Protocol::Rtp => shared(reading, start),
        Protocol::Wireguard => (protocol, stepped(stage, wireguard_step(start, is_answer))),
        Protocol::Ike | Protocol::EspInUdp => {
            let is_nat = matches!(protocol, Protocol::EspInUdp);
            let is_marked = is_nat && start.word(0) == 0;
            let ike = ike_step(if is_marked { start.skip(4) } else { start });
            let step = if is_nat && !is_marked { esp_step(start) } else { ike };
            (protocol, stepped(stage, step))
        }
        Protocol::Openvpn => openvpn_follow(stage, start, is_answer),
        Protocol::Snmp if is_private_snmp(start) => (protocol, Stage::Partial),
        _ => reading,
    }
}

/// What shares a path with DTLS (RFC 7983). That STUN opened the path is certain, while a header of
/// RTP is not much.
#[inline(always)]
const fn shared(reading: Reading, start: Window) -> Reading {
    let dtls = dtls(start);
    match reading.0 {
        Protocol::Dtls => (Protocol::Dtls, stepped(reading.1, dtls_step(start))),
        _ if is_known(dtls) => dtls,
        Protocol::Rtp if is_stun(start) => (Protocol::Stun, Stage::MayUpgrade),
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

/// DTLS 1.0 to 1.3 (RFC 6347, section 4.1; RFC 9147, section 4), and the one before the standard.
/// CAPWAP puts four bytes in front of it (RFC 5415, section 4.2).
#[inline(always)]
const fn dtls(start: Window) -> Reading {
    let is_capwap = start.word(0) == 0x0100_0000;
    let record = if is_capwap { start.skip(4) } else { start };
    if !is_dtls_record(record) {
        return UNKNOWN;
    }
    let stage = match (dtls_step(record), record.byte(0)) {
        (Step::Offer, _) => Stage::Offered,
        (Step::Protected, APPLICATION_DATA | HANDSHAKE) if is_one_record(record) => {
            Stage::Encrypted
        }
        _ => Stage::Handshake,
    };
    (Protocol::Dtls, stage)
}

#[inline(always)]
const fn is_dtls_record(start: Window) -> bool {
    let (kind, version) = (start.byte(0), (start.first() >> 40) as u16);
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
const fn dtls_length(start: Window) -> u32 {
    (start.long(8) >> 24) as u16 as u32
}

#[inline(always)]
const fn is_one_record(start: Window) -> bool {
    dtls_length(start) + DTLS_HEADER == start.len
}

#[inline(always)]
const fn dtls_step(start: Window) -> Step {
    let record = if start.word(0) == 0x0100_0000 { start.skip(4) } else { start };
    if !is_dtls_record(record) {
        // The header of a protected record of 1.3: 001, and the low bits of its epoch.
        let is_unified = start.byte(0) & 0xe0 == 0x20 && start.len >= 19;
        return if is_unified { Step::Protected } else { Step::None };
    }
    let (kind, epoch) = (record.byte(0), (record.first() >> 24) as u16);
    match (kind, (record.long(8) >> 16) as u8) {
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
const fn quic(start: Window) -> Reading {
    let version = quic_version(start);
    let is_long = start.byte(0) & 0xc0 == 0xc0;
    if is_long && version >> 8 == 0x51_3034 {
        // Q043 to Q046 protect what follows the hellos, which are in the clear.
        return (Protocol::Gquic, Stage::Partial);
    }
    // Its older header: flags with a version and a connection id of eight bytes, then both.
    let is_old = start.byte(0) & 0xc9 == 0x09 && (start.long(8) >> 40) as u16 == 0x5130;
    if is_old && is_digit((start.long(8) >> 32) as u8) && is_digit(start.byte(12)) {
        return (Protocol::Gquic, Stage::Partial);
    }
    // Only a client that wants to be told other versions sends such a one (RFC 9000, section 15).
    let is_reserved = version & 0x0f0f_0f0f == 0x0a0a_0a0a && start.len >= QUIC_MIN_LEN;
    let is_known = is_quic_version(version) && start.len >= 128;
    let id_length = (start.first() >> 16) as u8;
    if !is_long || !(is_known || is_reserved) || id_length > QUIC_ID_MAX {
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
const fn quic_version(start: Window) -> u32 {
    (start.first() >> 24) as u32
}

/// Versions 1 and 2, the drafts of both, Facebook's, and Google's last with the same headers.
#[inline(always)]
const fn is_quic_version(version: u32) -> bool {
    matches!(version, 1 | QUIC_V2 | 0x709a_50c4 | 0x5130_3530 | 0x5430_3530 | 0x5430_3531)
        || matches!(version >> 8, 0xff_0000 | 0xff_0200 | 0xfa_ceb0)
}

/// The type of a packet with a long header, numbered as in version 1. Version 2 has others (RFC
/// 9369, section 3.2).
#[inline(always)]
const fn quic_kind(start: Window) -> u8 {
    let kind = start.byte(0) >> 4 & 3;
    let is_second = matches!(quic_version(start), QUIC_V2 | 0x709a_50c4);
    if is_second { kind.wrapping_sub(1) & 3 } else { kind }
}

#[inline(always)]
const fn quic_step(start: Window, stage: Stage, is_answer: bool) -> Step {
    let is_answered = is_answer || !matches!(stage, Stage::Offered);
    if start.byte(0) & 0x80 == 0 {
        let is_short = start.byte(0) & 0x40 != 0 && start.len >= QUIC_SHORT_MIN;
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

#[inline(always)]
const fn wireguard(start: Window) -> Reading {
    match wireguard_step(start, false) {
        Step::Offer => (Protocol::Wireguard, Stage::Offered),
        Step::Answer => (Protocol::Wireguard, Stage::Handshake),
        // One datagram proves nothing.
        Step::Protected => (Protocol::Wireguard, Stage::Unknown),
        Step::None => UNKNOWN,
    }
}

/// WireGuard's messages have types, zeros and fixed lengths.
#[inline(always)]
const fn wireguard_step(start: Window, is_answer: bool) -> Step {
    // Tailscale's search for a path, on the same port: `TS` and a speech balloon.
    if start.first() >> 16 == 0x5453_f09f_92ac && start.len >= 62 {
        return if is_answer { Step::Answer } else { Step::Offer };
    }
    match (start.word(0), start.len) {
        (0x0100_0000, 148) | (0x0300_0000, 64) => Step::Offer,
        (0x0200_0000, 92) => Step::Answer,
        // Receiver and counter are little-endian, and no counter comes near 2^48.
        (0x0400_0000, 32..) if start.len & 15 == 0 => {
            let has_receiver = start.first() as u32 != 0;
            if has_receiver && start.long(8) as u16 == 0 { Step::Protected } else { Step::None }
        }
        _ => Step::None,
    }
}

/// Four zeros in front of IKE tell it from ESP, and mDNS starts with four zeros, too (RFC 3948,
/// section 2).
#[inline(always)]
const fn ike(start: Window, ports: (u16, u16)) -> Reading {
    let is_marked = start.word(0) == 0 && has_port(ports, 4500);
    let protocol = if is_marked { Protocol::EspInUdp } else { Protocol::Ike };
    match ike_step(if is_marked { start.skip(4) } else { start }) {
        Step::Offer => (protocol, Stage::Offered),
        Step::Answer => (protocol, Stage::Handshake),
        Step::Protected => (protocol, Stage::Encrypted),
        Step::None => UNKNOWN,
    }
}

/// IKE's header: two SPIs, next payload, version, exchange, flags, message id and the length (RFC
/// 2408, section 3.1; RFC 7296, section 3.1).
#[inline(always)]
const fn ike_step(start: Window) -> Step {
    let (payload, version) = ((start.long(16) >> 56) as u8, (start.long(16) >> 48) as u8);
    let (exchange, flags) = ((start.long(16) >> 40) as u8, (start.long(16) >> 32) as u8);
    let length = (start.long(24) >> 32) as u32;
    if start.first() == 0 || length != start.len || length < 28 {
        return Step::None;
    }
    let is_sealed = match (version, exchange) {
        (0x10, 1..=6 | 32..=34) => flags & 1 != 0,
        // What is behind the first exchange is in an encrypted payload (RFC 7296, section 3.14).
        (0x20, 34..=44) => matches!(payload, 46 | 53),
        _ => return Step::None,
    };
    match start.long(8) {
        _ if is_sealed => Step::Protected,
        0 => Step::Offer,
        _ => Step::Answer,
    }
}

/// ESP has an SPI of 256 or more, a sequence number and ciphertext in words (RFC 4303, section 2).
#[inline(always)]
const fn esp_step(start: Window) -> Step {
    let (spi, sequence) = (start.word(0), start.first() as u32);
    let is_esp = spi >= 256 && sequence != 0 && start.len >= 28 && start.len & 3 == 0;
    if is_esp { Step::Protected } else { Step::None }
}

/// A client's reset: 14 bytes of it, and what its authentication adds. Behind the session's id is
/// an empty list of what it acknowledges, and the id of the packet, 0; or, if that is protected, a
/// digest in front of it or the packet's id, 1, and the time.
#[inline(always)]
const fn openvpn(start: Window, ports: (u16, u16)) -> Reading {
    let is_counted = start.long(11) >> 48 == 1 && is_recent((start.long(13) >> 32) as u32);
    let is_reset = match (start.byte(0), start.len) {
        (0x38, 14) => start.long(8) & 0x00ff_ffff_ffff_0000 == 0,
        // tls-auth with SHA-1: what follows the digest is packet 1.
        (0x38, 42) => start.long(24) & 0x00ff_ffff == 0,
        // tls-crypt; or tls-auth with SHA-256, whose digest hides the rest.
        (0x38, 54) => is_counted || has_port(ports, 1194),
        // tls-auth with SHA-512.
        (0x38, 86) => has_port(ports, 1194),
        // tls-crypt-v2 has the client's wrapped key behind it, and flags in front of the 1.
        (0x50, 344..) => is_counted,
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
const fn openvpn_follow(stage: Stage, start: Window, is_answer: bool) -> Reading {
    let step = match start.byte(0) & 0xf8 {
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
const fn names(start: Window, ports: (u16, u16)) -> Reading {
    if start.len < DNS_MIN_LEN || is_stun(start) {
        return UNKNOWN;
    }
    // A NetBIOS name is 32 letters from A to P, each for four bits (RFC 1001, section 14.1).
    let length = start.byte(12);
    if length == 32 && is_netbios(start.long(16)) && is_netbios(start.long(24)) {
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
    let questions = (start.first() >> 16) as u16;
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
const fn is_dns_like(start: Window) -> bool {
    let (questions, answers) = ((start.first() >> 16) as u16, start.first() as u16);
    let (authorities, additional) = ((start.long(8) >> 48) as u16, (start.long(8) >> 32) as u16);
    (questions != 0 || answers != 0)
        && questions < 64
        && answers < 512
        && authorities < 256
        && additional < 256
}

/// Queries have the id 0 (RFC 6762, section 18.1), and only opcode 0 is used (section 18.3).
#[inline(always)]
const fn is_mdns(start: Window) -> bool {
    let flags = (start.first() >> 32) as u16;
    flags & 0x7800 == 0
}

/// A query with one question, or the response to one, with no reserved bit set (RFC 1035, section
/// 4.1.1; RFC 1996 and RFC 2136 for NOTIFY and UPDATE).
#[inline(always)]
const fn is_dns(start: Window) -> bool {
    let (flags, answers) = ((start.first() >> 32) as u16, start.first() as u16);
    let (authorities, additional) = ((start.long(8) >> 48) as u16, (start.long(8) >> 32) as u16);
    let is_query = flags & 0x8000 == 0;
    let is_bare = answers == 0 && authorities == 0 && additional <= 2 && flags & 0xf == 0;
    let is_known = match flags >> 11 & 0xf {
        0 => !is_query || is_bare,
        4 => answers <= 1 && authorities == 0,
        5 => true,
        _ => false,
    };
    (start.first() >> 16) as u16 == 1 && flags & 0x40 == 0 && is_known
}

// ---- in the clear ----

#[inline(always)]
const fn stun(start: Window) -> Reading {
    let holds = is_stun(start) || is_classic_stun(start);
    if holds { (Protocol::Stun, Stage::MayUpgrade) } else { UNKNOWN }
}

/// A request or a response with the magic cookie, and its length in words (RFC 8489, section 5).
#[inline(always)]
const fn is_stun(start: Window) -> bool {
    start.first() as u32 == STUN_COOKIE && start.byte(0) & 0xc0 == 0 && is_stun_length(start)
}

#[inline(always)]
const fn is_stun_length(start: Window) -> bool {
    length_field(start) & 3 == 0 && length_field(start) + 20 == start.len
}

/// The one before it has no cookie (RFC 3489, section 11.1).
#[inline(always)]
const fn is_classic_stun(start: Window) -> bool {
    let is_message =
        matches!(start.first() >> 48, 0x0001 | 0x0101 | 0x0111 | 0x0002 | 0x0102 | 0x0112);
    is_message && is_stun_length(start)
}

/// Version, mode, stratum, poll interval and precision are small, and the delays to the root are
/// under 256 seconds (RFC 5905, section 7.3). Control messages are told by their port alone.
#[inline(always)]
const fn ntp(start: Window, ports: (u16, u16)) -> Reading {
    let (mode, version) = (start.byte(0) & 7, start.byte(0) >> 3 & 7);
    let (stratum, poll, precision) =
        (start.byte(1), (start.first() >> 40) as u8, length_field(start) as u8);
    let has_head = mode != 0 && version >= 1 && version <= 4;
    if has_port(ports, 123) && has_head && start.len >= 12 {
        return (Protocol::Ntp, Stage::Plaintext);
    }
    let is_long_enough = start.len >= 48 && start.len & 3 == 0 && start.len <= 1024;
    let is_clock = stratum <= 16 && poll <= 24 && (precision == 0 || precision >= 0xe0);
    let is_near = matches!((start.first() >> 24) as u8, 0 | 0xff) && start.long(8) >> 56 == 0;
    let is_ntp = has_head && mode <= 5 && is_long_enough && is_clock && is_near;
    plain(is_ntp, Protocol::Ntp)
}

/// Protocols that begin with words.
#[inline(always)]
const fn text(start: Window) -> Reading {
    let rest = start.first() as u32;
    match &start.tag() {
        b"M-SE" if rest == four(b"ARCH") => return (Protocol::Ssdp, Stage::Plaintext),
        b"HTTP" if rest == four(b"/1.1") => return (Protocol::Ssdp, Stage::Plaintext),
        b"NOTI" if rest == four(b"FY *") => return (Protocol::Ssdp, Stage::Plaintext),
        // Dictionaries in the order of their keys (BEP 5).
        b"d1:a" | b"d1:r" | b"d1:e" | b"d1:q" | b"d2:i" => {
            return (Protocol::BittorrentDht, Stage::Plaintext);
        }
        b"{\"ho" if rest == four(b"st_i") => return (Protocol::DbLspDisc, Stage::Plaintext),
        _ => (),
    }
    UNKNOWN
}

/// Text behind a frame: a request's id, and this is datagram 0 of 1.
#[inline(always)]
const fn memcached(start: Window) -> Reading {
    let is_frame = start.first() & 0xffff_ffff_ffff == 0x0000_0001_0000 && start.len > 12;
    let command = start.word(8).to_be_bytes();
    let is_command = matches!(&command, b"get " | b"gets" | b"stat" | b"VALU" | b"STAT" | b"END\r");
    plain(is_frame && is_command, Protocol::Memcached)
}

#[inline(always)]
const fn four(text: &[u8; 4]) -> u32 {
    u32::from_be_bytes(*text)
}

#[inline(always)]
const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

#[inline(always)]
const fn is_printable(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x7f
}

/// A status line, or a method before a SIP or TEL URI (RFC 3261, sections 7.1 and 7.2), as far as
/// eight bytes show it.
#[inline(always)]
const fn sip(start: Window) -> Reading {
    let rest = (start.first() as u32).to_be_bytes();
    let is_sip = match &start.tag() {
        b"SIP/" => matches!(&rest, b"2.0 "),
        b"ACK " | b"BYE " => matches!(&rest, b"sip:" | b"sips" | b"tel:"),
        b"INVI" | b"UPDA" => matches!(&rest, b"TE s" | b"TE t"),
        b"CANC" => matches!(&rest, b"EL s" | b"EL t"),
        b"NOTI" => matches!(&rest, b"FY s" | b"FY t"),
        b"OPTI" => matches!(&rest, b"ONS ") && start.long(8) >> 56 != b'*' as u64,
        b"REGI" => matches!(&rest, b"STER"),
        b"SUBS" => matches!(&rest, b"CRIB"),
        b"PUBL" => matches!(&rest, b"ISH "),
        b"MESS" => matches!(&rest, b"AGE "),
        b"INFO" => matches!(&rest, b" sip" | b" tel"),
        b"REFE" => matches!(&rest, b"R si" | b"R te"),
        b"PRAC" => matches!(&rest, b"K si" | b"K te"),
        _ => false,
    };
    plain(is_sip, Protocol::Sip)
}

#[inline(always)]
const fn syslog(start: Window) -> Reading {
    plain(is_syslog(start), Protocol::Syslog)
}

/// A priority of up to 191 between angle brackets (RFC 5424, section 6.2.1; RFC 3164, section 4.1).
#[inline(always)]
const fn is_syslog(start: Window) -> bool {
    let [open, one, two, three, four, five, ..] = start.first().to_be_bytes();
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

/// SNMP and LDAP: a sequence in BER, of a length that agrees with the datagram's.
#[inline(always)]
const fn encoded(start: Window) -> Reading {
    let head = ber(start.first(), start.len);
    if head == 0 {
        return UNKNOWN;
    }
    if start.byte(0) != 0x30 {
        return UNKNOWN;
    }
    let snmp = snmp(start, head);
    if is_known(snmp) { snmp } else { plain(is_cldap(start.long(head)), Protocol::Ldap) }
}

/// How long tag and length are, if the value is as long as what `len` leaves for it; else 0.
#[inline(always)]
const fn ber(word: u64, len: u32) -> u32 {
    let (head, short) = (ber_head(word), (word >> 48) as u8 as u32);
    let length = match head {
        2 => short,
        3 => (word >> 40) as u8 as u32,
        4 => (word >> 32) as u16 as u32,
        _ => (word >> 16) as u32,
    };
    let is_length = short < 0x80 || matches!(short, 0x81 | 0x82 | 0x84);
    if is_length && length.saturating_add(head) == len { head } else { 0 }
}

/// How long tag and length are.
#[inline(always)]
const fn ber_head(word: u64) -> u32 {
    let short = (word >> 48) as u8 as u32;
    if short < 0x80 { 2 } else { 2 + (short & 7) }
}

/// A version and a community (RFC 3416), or the header of version 3, whose flags say whether the
/// rest is encrypted (RFC 3412, section 6).
#[inline(always)]
const fn snmp(start: Window, head: u32) -> Reading {
    match start.long(head) >> 32 {
        0x0201_0004 | 0x0201_0104 => (Protocol::Snmp, Stage::Plaintext),
        0x0201_0330 if is_private_snmp(start) => (Protocol::Snmp, Stage::Partial),
        0x0201_0330 => (Protocol::Snmp, Stage::MayUpgrade),
        _ => UNKNOWN,
    }
}

/// Whether a message of version 3 is encrypted. `msgFlags` is behind `msgID` and `msgMaxSize`, two
/// integers of up to five bytes.
#[inline(always)]
const fn is_private_snmp(start: Window) -> bool {
    let id_at = ber_head(start.first()) + 5;
    let size_at = id_at + 2 + ((start.long(id_at) >> 48) as u32 & 7);
    let size = start.long(size_at);
    // The size has up to four bytes, so that the flags are in the same word or one byte behind it.
    let flags_at = size_at + 2 + ((size >> 48) as u32 & 7);
    let flags = start.long(if flags_at > 24 { 24 } else { flags_at });
    flags >> 48 == 0x0401 && flags & 0x0200_0000_0000 != 0
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

/// A sequence in the application tag, that begins with version 5 (RFC 4120, section 5).
#[inline(always)]
const fn kerberos(start: Window) -> Reading {
    let head = ber(start.first(), start.len);
    if head == 0 || !matches!(start.byte(0), 0x6a..=0x6f | 0x74..=0x76 | 0x7e) {
        return UNKNOWN;
    }
    let inner = start.long(head);
    let field = (inner << ((ber_head(inner) & 7) * 8)) >> 32;
    let is_version = field & 0xfeff_ffff == 0xa003_0201;
    let is_error = start.byte(0) == 0x7e && field >> 29 == 5;
    let is_message = inner >> 56 == 0x30 && (is_version || is_error);
    if is_message { (Protocol::Kerberos, Stage::Partial) } else { UNKNOWN }
}

/// A call of RPC version 2, or an accepted or denied reply (RFC 5531, section 9). GSS may seal its
/// arguments (RFC 2203).
#[inline(always)]
const fn sun_rpc(start: Window) -> Reading {
    let (kind, next, third) =
        (start.first() as u32, (start.long(8) >> 32) as u32, start.long(8) as u32);
    if start.len & 3 != 0 {
        return UNKNOWN;
    }
    if kind == 0 && next == 2 && start.len >= 40 {
        let flavor = (start.long(24) >> 32) as u32;
        let stage = if flavor == 6 { Stage::Partial } else { Stage::Plaintext };
        return (if third == 100_003 { Protocol::Nfs } else { Protocol::Sunrpc }, stage);
    }
    let length = (start.long(16) >> 32) as u32;
    let has_status = length == 0 && start.long(16) as u32 <= 5;
    let is_accepted = next == 0 && third <= 6 && (length != 0 && length <= 400 || has_status);
    let is_denied = next == 1 && third <= 1 && start.len <= 32;
    plain(
        kind == 1 && start.len >= 20 && (is_accepted && start.len >= 24 || is_denied),
        Protocol::Sunrpc,
    )
}

/// Protocols whose header has the datagram's length.
#[inline(always)]
const fn measured(start: Window) -> Reading {
    let (first, second) = (start.byte(0), start.byte(1));
    let length = length_field(start);
    let b = start.long(8);
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
        0 if second == 10 && length == start.len && is_recent(start.first() as u32) => {
            (Protocol::Netflow, Stage::Plaintext)
        }
        // sFlow 5, with an agent's address of version 4 or 6.
        0 if start.word(0) == 5 && matches!(start.first() as u32, 1 | 2) && start.len >= 28 => {
            (Protocol::Sflow, Stage::Plaintext)
        }
        // PFCP and GTP version 2 count what follows the length; version 1 what follows eight bytes.
        0x20..=0x23 if second != 0 && length + 4 == start.len => (Protocol::Pfcp, Stage::Plaintext),
        0x40 | 0x48 | 0x50 | 0x58 if second != 0 && length >= 4 && length + 4 == start.len => {
            (Protocol::Gtp, Stage::Plaintext)
        }
        0x30..=0x37 if second != 0 && length + 8 == start.len => (Protocol::Gtp, Stage::Plaintext),
        // EtherNet/IP: a command and what follows 24 bytes, both little-endian.
        4 | 0x63..=0x66 | 0x6f | 0x70
            if second == 0 && (length as u16).swap_bytes() as u32 + 24 == start.len =>
        {
            (Protocol::Enip, Stage::Plaintext)
        }
        1..=5 | 11..=13 | 40..=45 if length == start.len && is_radius(start) => {
            (Protocol::Radius, Stage::Plaintext)
        }
        _ => UNKNOWN,
    }
}

/// Behind the authenticator, a first attribute that fits (RFC 2865, sections 3 and 5).
#[inline(always)]
const fn is_radius(start: Window) -> bool {
    let (kind, length) = ((start.long(16) >> 24) as u8, (start.long(16) >> 16) as u8 as u32);
    let has_attribute = kind != 0 && length >= 2 && length + 20 <= start.len;
    start.len == 20 || start.len > 20 && has_attribute
}

/// The part with the host's name, which ends with a zero, and the time behind it; or a sealed part
/// around all.
#[inline(always)]
const fn collectd(start: Window, ports: (u16, u16)) -> Reading {
    let length = length_field(start);
    match start.half(0) {
        0 if length >= 6 && length <= 24 => {
            let next = start.word(length);
            plain(next == 0x0001_000c || next == 0x0008_000c, Protocol::Collectd)
        }
        // A longer name hides what is behind it.
        0 if length > 24 && length < start.len && has_port(ports, 25826) => {
            plain(is_printable(start.byte(4)), Protocol::Collectd)
        }
        0x0210 if length == start.len => (Protocol::Collectd, Stage::Partial),
        _ => UNKNOWN,
    }
}

/// BOOTP over Ethernet: few hops, and only the flag for broadcast (RFC 2131, section 2).
#[inline(always)]
const fn dhcp(start: Window, ports: (u16, u16)) -> Reading {
    let is_ethernet = matches!(start.word(0) >> 8, 0x01_0106 | 0x02_0106) && start.byte(3) <= 16;
    if is_ethernet && start.half(10) & 0x7fff == 0 && start.len >= 240 {
        return (Protocol::Dhcp, Stage::Plaintext);
    }
    let is_port = has_port(ports, 546) || has_port(ports, 547);
    plain(is_port && is_dhcp6(start), Protocol::Dhcp)
}

/// DCE RPC without a connection: version 4, a type, flags, and characters in ASCII.
#[inline(always)]
const fn dce_rpc(start: Window) -> Reading {
    let has_type = start.byte(0) == 4 && start.byte(1) <= 10 && length_field(start) != 0;
    let is_data = start.byte(4) & 0xee == 0 && start.byte(5) <= 3 && start.byte(6) == 0;
    plain(has_type && is_data && start.len >= 80, Protocol::Dcerpc)
}

/// Messages of the six kinds; of a request the mode that proves it is too far behind (RFC 1350,
/// section 5; RFC 2347).
#[inline(always)]
const fn tftp(start: Window, ports: (u16, u16)) -> Reading {
    let number = length_field(start);
    let holds = match start.first() >> 48 {
        1 | 2 => is_printable(start.byte(2)) && start.len >= 8 && has_port(ports, 69),
        3 => number == 1 && start.len == 516,
        4 => number <= 1 && start.len == 4,
        5 => number <= 8 && start.len > 5 && is_printable((start.first() >> 24) as u8),
        6 => is_option(start.first() << 16),
        _ => false,
    };
    plain(holds, Protocol::Tftp)
}

/// The start of an option's name (RFC 2348, RFC 2349, RFC 7440).
#[inline(always)]
const fn is_option(word: u64) -> bool {
    let lower = word | 0x2020_2020_2020_0000;
    matches!(lower >> 16, 0x626c_6b73_697a | 0x7469_6d65_6f75 | 0x7769_6e64_6f77)
        || lower >> 24 == 0x74_7369_7a65
}

// ---- doubtful ----

/// Nothing in ESP is fixed: only on its port, and until a second one comes no more than a guess.
#[inline(always)]
const fn esp(start: Window, ports: (u16, u16)) -> Reading {
    let is_keepalive = start.len == 1 && start.byte(0) == 0xff;
    let is_esp = is_keepalive || matches!(esp_step(start), Step::Protected);
    let holds = has_port(ports, 4500) && is_esp;
    if holds { (Protocol::EspInUdp, Stage::Unknown) } else { UNKNOWN }
}

/// A SYN of uTP: type 4, version 1, no difference of times yet (BEP 29).
#[inline(always)]
const fn utp(start: Window) -> Reading {
    let is_syn = start.byte(0) == 0x41 && start.byte(1) <= 2 && start.word(8) == 0;
    let has_window = start.word(12) != 0 && start.word(4) != 0;
    let holds = is_syn && has_window && start.len >= 20 && start.len <= 32;
    if holds { (Protocol::Bittorrent, Stage::Unknown) } else { UNKNOWN }
}

/// A message type, and a first option that fits (RFC 8415, sections 7.3 and 8).
#[inline(always)]
const fn is_dhcp6(start: Window) -> bool {
    let (option, length) = ((start.first() >> 16) as u16, start.first() as u16 as u32);
    let is_relayed = matches!(start.byte(0), 12 | 13) && start.len >= 34;
    let has_option = option != 0 && option <= 255 && length + 8 <= start.len;
    is_relayed || start.byte(0) >= 1 && start.byte(0) <= 11 && has_option
}

/// Version 1, a token of up to 8 bytes, and a request with an option that requests begin with (RFC
/// 7252, section 3). Off its port, only one with a path.
#[inline(always)]
const fn coap(start: Window, ports: (u16, u16)) -> Reading {
    let (first, code) = (start.byte(0), start.byte(1));
    let token = (first & 0xf) as u32;
    if first >> 6 != 1 || token > 8 {
        return UNKNOWN;
    }
    let options = start.long(4 + token);
    let (option, next) = ((options >> 56) as u8, (options >> 48) as u8);
    let is_port = has_port(ports, 5683);
    let is_request = code >= 1 && code <= 7 && first & 0x20 == 0;
    let has_option = matches!(option >> 4, 1 | 3..=8 | 11..=13) && option & 0xf != 0xf;
    let has_path = option >> 4 == 0xb && option & 0xf != 0 && is_printable(next);
    let is_ping = code == 0 && token == 0 && start.len == 4;
    let is_response = matches!(code >> 5, 2 | 4 | 5);
    // Drafts had the options' count for the token's length, and no token.
    let is_draft = token != 0 && matches!((start.first() >> 24) as u8 >> 4, 1..=9);
    let is_usual = is_port && (is_request && (has_option || is_draft) || is_ping || is_response);
    let is_path = is_request && has_path && start.len > 5 + token;
    plain(is_usual || is_path, Protocol::Coap)
}

/// Version 2 and a payload type of those in use (RFC 3550, section 5.1; RFC 3551, section 6), or a
/// report of RTCP (section 6.4). Whether it is SRTP the header does not tell.
#[inline(always)]
const fn rtp(start: Window) -> Reading {
    let (first, second) = (start.byte(0), start.byte(1));
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
        let fits = length_field(start) >= rtcp_words && (length_field(start) + 1) * 4 <= start.len;
        return if fits { (Protocol::Rtp, Stage::Unknown) } else { UNKNOWN };
    }
    let is_in_use = matches!(second & 0x7f, 0 | 3..=18 | 25..=34 | 96..=127);
    let source = start.long(8) >> 32;
    // Neither padding nor contributors nor an extension begins a call.
    if first == 0x80 && is_in_use && source > 0xff && start.len >= 20 {
        return (Protocol::Rtp, Stage::Unknown);
    }
    UNKNOWN
}

#[cfg(test)]
mod tests;
