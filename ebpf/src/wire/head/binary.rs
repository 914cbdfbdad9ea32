//! Messages that start with numbers: lengths, magic numbers, versions.

use super::super::protocol::Protocol;
use super::super::window::Window;
use super::{Before, Head, Tell, tls};

/// Longest message that a length is believed of.
const LONGEST: u32 = 1 << 26;

/// What begins a header of version 2 of the PROXY protocol (section 2.2).
const PROXY: u64 = 0x0d0a_0d0a_000d_0a51;

/// Magic cookie of STUN (RFC 8489, section 5).
const STUN_COOKIE: u32 = 0x2112_a442;

/// A message that starts with a byte that is no printable character.
#[inline(never)]
pub(super) const fn head(window: &Window, before: &Before) -> Head {
    match window.byte(0) {
        0x00 => zero(window, before),
        0x01 => one(window, before),
        0x03 => three(window, before),
        0x04 => tds_answer(window, before),
        0x05 => five(window, before),
        0x06 | 0x07 => Head::UNKNOWN,
        0x0b => Head::sure(Protocol::Hl7).only_if(window.has(5) && window.word(1) == tag(b"MSH|")),
        0x0d => Head::of(Protocol::Unknown, Tell::Proxy).only_if(is_proxy(window)),
        0x10 => connect_or_login(window),
        0x12 => twelve(window, before),
        0x13 => Head::sure(Protocol::Bittorrent)
            .only_if(window.has(8) && window.word(1) == tag(b"BitT")),
        0x80..=0x8f => high(window, before),
        0xca => {
            Head::sure(Protocol::Cassandra).only_if(window.has(4) && window.word(0) == 0xca55_2dfa)
        }
        0xda => Head::sure(Protocol::Dubbo).only_if(window.has(4) && window.half(0) == 0xdabb),
        0xff => ff(window),
        _ => Head::UNKNOWN,
    }
}

/// A length comes first, in two, three or four bytes.
#[inline(never)]
pub(super) const fn by_length(window: &Window, before: &Before) -> Head {
    let found = sized_strongly(window, before);
    if found.is_recognised() { found } else { sized_weakly(window, before) }
}

/// With so much behind the length that nothing else looks so.
#[inline(always)]
const fn sized_strongly(window: &Window, before: &Before) -> Head {
    let (first, second) = (window.word(0), window.word(4));
    if !before.is_client() && window.has(7) && is_mysql_greeting(window) {
        return Head::sure(Protocol::Mysql);
    }
    let is_sized = first <= LONGEST && window.has(16);
    // MongoDB counts lowest byte first and has its operation in the fourth word.
    let is_mongo = window.has(16)
        && matches!(window.word_le(12), 1 | 2001..=2007 | 2010..=2013)
        && first.swap_bytes() >= 16
        && first.swap_bytes() <= LONGEST;
    if is_mongo {
        Head::sure(Protocol::Mongodb)
    } else if is_dns(window) {
        Head::sure(Protocol::Dns)
    } else if !is_sized {
        Head::UNKNOWN
    } else if first == second.wrapping_add(4) && window.byte(8) == 0x08 && window.byte(9) < 0x60 {
        Head::sure(Protocol::Pulsar)
    } else if second < first && second > 2 && window.half(8) == half(b"{\"") {
        // The upper byte of the second length says how the header is written: 0 is JSON.
        Head::sure(Protocol::Rocketmq)
    } else if window.byte(4) == 1 && window.long(5) == u64::from_be_bytes(*b"ActiveMQ") {
        Head::sure(Protocol::Openwire)
    } else if second == 0x1001_2c3c {
        Head::sure(Protocol::Tars)
    } else if is_smpp(window) {
        Head::sure(Protocol::Smpp)
    } else {
        Head::UNKNOWN
    }
}

#[inline(always)]
const fn sized_weakly(window: &Window, before: &Before) -> Head {
    if is_tns(window) {
        return Head::of(
            Protocol::OracleTns,
            if window.byte(4) == 1 { Tell::Sure } else { Tell::Weak },
        );
    }
    if is_drda(window) {
        return Head::sure(Protocol::Drda);
    }
    let found = kafka(window, before);
    if found.is_recognised() {
        return found;
    }
    if is_openvpn(window) {
        return openvpn(window, before);
    }
    if is_modbus(window) {
        return Head::weak(Protocol::Modbus);
    }
    mysql_unseen(window, before)
}

#[inline(always)]
const fn tag(text: &[u8; 4]) -> u32 {
    u32::from_be_bytes(*text)
}

#[inline(always)]
const fn half(text: &[u8; 2]) -> u16 {
    u16::from_be_bytes(*text)
}

/// Whether a header of version 2 of the PROXY protocol starts here.
#[inline(always)]
pub(super) const fn is_proxy(window: &Window) -> bool {
    window.has(13)
        && window.first() == PROXY
        && window.word(8) == 0x5549_540a
        && window.byte(12) >> 4 == 2
}

/// A length of which the first byte is 0, and other zeros.
#[inline(always)]
const fn zero(window: &Window, before: &Before) -> Head {
    let (first, second) = (window.word(0), window.word(4));
    if !window.has(8) {
        return Head::UNKNOWN;
    }
    if first == 8 && (second == 80_877_103 || second == 80_877_104) {
        // SSLRequest, GSSENCRequest (PostgreSQL's protocol, "Message Formats").
        return Head::of(Protocol::Postgresql, Tell::Ask);
    }
    if first == 16 && second == 80_877_102 {
        return Head::of(Protocol::Postgresql, Tell::Commit);
    }
    // A start-up of version 3, from which on nothing changes any more.
    if first >= 13 && first <= 10_000 && second >> 4 == 0x3000 {
        // A number of Kafka's is where the name of the first parameter is.
        if !window.has(12) {
            return Head::UNKNOWN;
        }
        if is_graphic(window.byte(8)) && is_graphic(window.byte(9)) && is_graphic(window.byte(10)) {
            return Head::of(Protocol::Postgresql, Tell::Commit);
        }
    }
    if second & 0xff_ffff == 0x53_4d42 && window.byte(4) >= 0xfc {
        return smb(window.byte(4));
    }
    if first == 0x0052_4551 || first == 0x0052_4553 {
        // `\0REQ` and `\0RES`.
        return Head::sure(Protocol::Gearman);
    }
    if is_kerberos(window) {
        return Head::sure(Protocol::Kerberos);
    }
    if is_settings(window) {
        return Head::sure(Protocol::Http2);
    }
    if is_stun(window) || is_framed_stun(window) {
        return Head::sure(Protocol::Stun);
    }
    if is_thrift(second) && window.has(12) && window.word(8) < 256 {
        return Head::sure(Protocol::Thrift);
    }
    let is_zookeeper = matches!(first, 0x24 | 0x25 | 0x2c | 0x2d) && second == 0 && window.has(20);
    if is_zookeeper && before.heard == Protocol::Zookeeper as u8 {
        return Head::sure(Protocol::Zookeeper);
    }
    // Protocol version 0, a last transaction, a time-out in milliseconds.
    if is_zookeeper && first >= 0x2c && window.word(16) <= 3_600_000 && window.word(16) != 0 {
        return Head::sure(Protocol::Zookeeper);
    }
    Head::UNKNOWN
}

/// SMB behind a NetBIOS session header (MS-SMB2, section 2.1): versions 1, 2, and the two that
/// wrap it: compressed, and encrypted (section 2.2.41).
#[inline(always)]
const fn smb(kind: u8) -> Head {
    Head::of(Protocol::Smb, if kind == 0xfd { Tell::Sealed } else { Tell::Sure })
}

/// A length in four bytes (RFC 4120, section 7.2.2), then a message of which the own length agrees.
#[inline(always)]
const fn is_kerberos(window: &Window) -> bool {
    let inner = window.skip(4);
    let is_message = matches!(inner.byte(0), 0x6a..=0x6f | 0x74 | 0x75 | 0x7e);
    let length = match inner.byte(1) {
        length @ 0..=0x7f => length as u32 + 2,
        0x81 => inner.byte(2) as u32 + 3,
        0x82 => inner.half(2) as u32 + 4,
        0x83 => (inner.word(2) >> 8) + 5,
        _ => return false,
    };
    is_message && length > 8 && length == window.word(0)
}

/// A frame header: 24-bit length in multiples of 6, type 4, no flags, stream 0 (RFC 9113, section
/// 6.5).
#[inline(always)]
const fn is_settings(window: &Window) -> bool {
    let length = window.word(0) >> 8;
    window.has(9)
        && length <= 0xff
        && length.is_multiple_of(6)
        && window.first() & 0xff_ffff_ffff == 0x04_0000_0000
        && window.byte(8) == 0
}

/// Message type, a length in multiples of 4, the cookie.
#[inline(always)]
const fn is_stun(window: &Window) -> bool {
    window.has(8) && window.byte(0) < 2 && window.half(2) & 3 == 0 && window.word(4) == STUN_COOKIE
}

/// The same behind a length of the frame (RFC 4571, section 2).
#[inline(always)]
const fn is_framed_stun(window: &Window) -> bool {
    window.has(10)
        && window.word(6) == STUN_COOKIE
        && window.half(0).wrapping_sub(20) == window.half(4)
}

/// Version 1 of the binary protocol and a message type.
#[inline(always)]
const fn is_thrift(word: u32) -> bool {
    matches!(word, 0x8001_0001..=0x8001_0004)
}

#[inline(always)]
const fn one(window: &Window, before: &Before) -> Head {
    if is_stun(window) {
        return Head::sure(Protocol::Stun);
    }
    // Version 1, a record to begin a request, of one id and eight bytes.
    if window.has(8) && window.byte(1) == 1 && window.half(4) == 8 && window.byte(6) == 0 {
        return Head::sure(Protocol::Fastcgi);
    }
    if window.has(8)
        && matches!(window.byte(1), 3 | 6 | 7)
        && before.heard == Protocol::Fastcgi as u8
    {
        return Head::sure(Protocol::Fastcgi);
    }
    // A method frame on channel 0: Connection.Start (AMQP 0-9-1, section 2.3.5).
    if window.has(11) && window.word(0) >> 8 == 0x01_0000 && window.word(7) == 0x000a_000a {
        return Head::sure(Protocol::Amqp);
    }
    if window.has(11) && window.byte(1) == 0 && window.half(7) == 10 && window.half(9) < 60 {
        return Head::weak(Protocol::Amqp);
    }
    if is_diameter(window) {
        return Head::sure(Protocol::Diameter);
    }
    tds(window, before)
}

/// Version 1, lengths in multiples of four, no reserved flag, a known command (RFC 6733, section
/// 3).
#[inline(always)]
const fn is_diameter(window: &Window) -> bool {
    let (length, command) = (window.word(0) & 0xff_ffff, window.word(4) & 0xff_ffff);
    window.has(12)
        && length >= 20
        && length < 1 << 18
        && length & 3 == 0
        && window.byte(4) & 0x0f == 0
        && (command >= 257 && command < 400 || command >= 8_388_000 && command < 8_389_000)
}

/// TPKT (RFC 1006): a connection request of X.224, or S7's data.
#[inline(always)]
const fn three(window: &Window, before: &Before) -> Head {
    let length = window.half(2);
    if window.byte(1) != 0 || !window.has(8) || length < 7 {
        return tds(window, before);
    }
    match window.byte(5) {
        0xe0 if length == 11 => Head::of(Protocol::Rdp, Tell::Commit),
        0xe0 if !window.has(15) => Head::UNKNOWN,
        // A routing token or a name, and then the protocols that the client has (MS-RDPBCGR,
        // section 2.2.1.1); or those at once.
        0xe0 if window.word(11) == tag(b"Cook") => Head::of(Protocol::Rdp, Tell::Ask),
        0xe0 if window.byte(11) == 1 && window.half(13) == 0x0800 => {
            if !window.has(19) {
                return Head::UNKNOWN;
            }
            Head::of(Protocol::Rdp, if window.word(15) == 0 { Tell::Commit } else { Tell::Ask })
        }
        0xe0 | 0xd0 if matches!(window.byte(11), 0xc0..=0xc2) => Head::weak(Protocol::S7comm),
        0xd0 if length == 11 || length == 19 => Head::weak(Protocol::Rdp),
        0xf0 if window.byte(7) == 0x32 => Head::sure(Protocol::S7comm),
        _ => Head::UNKNOWN,
    }
}

/// Cassandra, a server of TDS, SOCKS 4.
#[inline(always)]
const fn tds_answer(window: &Window, before: &Before) -> Head {
    let found = cassandra(window);
    if found.is_recognised() {
        return found;
    }
    if is_tds(window) {
        let packed = packed(&window.skip(8), before);
        return if packed.is_recognised() { packed } else { Head::weak(Protocol::Tds) };
    }
    let is_socks = before.is_client()
        && window.has(9)
        && matches!(window.byte(1), 1 | 2)
        && window.half(2) != 0;
    Head::weak(Protocol::Socks).only_if(is_socks)
}

/// SOCKS 5, DCE RPC, DNP3, Cassandra.
#[inline(always)]
const fn five(window: &Window, before: &Before) -> Head {
    if window.has(3) && window.byte(1) == 0x64 && window.byte(2) >= 5 {
        return Head::sure(Protocol::Dnp3);
    }
    if window.byte(1) == 0 && window.has(10) && is_dcerpc(window) {
        return Head::sure(Protocol::Dcerpc);
    }
    let found = cassandra(window);
    if found.is_recognised() {
        return found;
    }
    let (methods, method) = (window.byte(1), window.byte(2));
    let is_socks = before.is_client()
        && methods >= 1
        && methods <= 16
        && window.has(2 + methods as u32)
        && (method <= 9 || method >= 0x80);
    Head::weak(Protocol::Socks).only_if(is_socks)
}

/// Version 5.0, a type, a representation, a length (MS-RPCE, section 2.2.2; C706, chapter 12).
#[inline(always)]
const fn is_dcerpc(window: &Window) -> bool {
    let length = window.half(8).swap_bytes();
    window.byte(2) <= 19
        && matches!(window.byte(4), 0x00 | 0x10)
        && window.byte(5) <= 3
        && window.half(6) == 0
        && length >= 16
}

/// A request of versions 3 to 5: flags, stream, operation, length (CQL binary protocol, section 2).
#[inline(never)]
const fn cassandra(window: &Window) -> Head {
    let (operation, length) = (window.byte(4), window.word(5));
    if !window.has(9) || window.byte(1) > 0x1f || length > LONGEST {
        return Head::UNKNOWN;
    }
    match (window.byte(0), operation) {
        (3..=6, 5) if length == 0 => Head::sure(Protocol::Cassandra),
        (3..=6, 1) if length >= 4 && length < 1024 && window.byte(9) == 0 => {
            Head::sure(Protocol::Cassandra)
        }
        (3..=6, 7 | 9 | 10 | 11 | 13 | 15) if length >= 4 && length < 1 << 20 => {
            Head::weak(Protocol::Cassandra)
        }
        (0x83..=0x86, 0 | 2 | 3 | 6 | 8 | 12 | 14 | 16) => Head::weak(Protocol::Cassandra),
        _ => Head::UNKNOWN,
    }
}

/// MQTT's CONNECT, or TDS' login.
#[inline(always)]
const fn connect_or_login(window: &Window) -> Head {
    let body = match (window.byte(1), window.byte(2)) {
        (0..=0x7f, _) => window.skip(2),
        (_, 0..=0x7f) => window.skip(3),
        _ => window.skip(4),
    };
    // The name, its version, flags: the second of them says that there is a password (MQTT 3.1.1,
    // section 3.1.2).
    let flags = match (body.word(0), body.half(4)) {
        (0x0004_4d51, 0x5454) if body.has(8) => body.byte(7),
        (0x0006_4d51, 0x4973) if body.has(10) => body.byte(9),
        _ => {
            let is_login = is_tds(window) && window.has(16) && window.byte(15) == 0x74;
            return Head::of(Protocol::Tds, Tell::Sure).only_if(is_login);
        }
    };
    let secret = if flags & 0x40 != 0 { super::Secret::MqttPassword } else { super::Secret::None };
    Head::sure(Protocol::Mqtt).with(secret)
}

/// TDS' pre-login, in which TLS is negotiated and packed (MS-TDS, section 2.2.6.5); AJP.
#[inline(always)]
const fn twelve(window: &Window, before: &Before) -> Head {
    if window.has(5) && window.byte(1) == 0x34 && matches!(window.byte(4), 2 | 7 | 8 | 10) {
        return Head::sure(Protocol::Ajp);
    }
    if !is_tds(window) {
        return Head::UNKNOWN;
    }
    let inner = window.skip(8);
    // The first option is the version: its place, and that it has six bytes.
    if inner.byte(0) == 0 && inner.has(5) {
        let is_version = inner.half(1) >= 6 && inner.half(1) < 256 && inner.half(3) == 6;
        return Head::sure(Protocol::Tds).only_if(is_version);
    }
    packed(&inner, before)
}

/// A record of TLS inside a packet of TDS.
#[inline(always)]
const fn packed(inner: &Window, before: &Before) -> Head {
    if !tls::is_record(*inner) {
        return Head::UNKNOWN;
    }
    Head::of(Protocol::Tds, tls::record(inner, before).tell)
}

/// Type, status, length, session, a counter, and 0 (MS-TDS, section 2.2.3.1).
#[inline(never)]
const fn is_tds(window: &Window) -> bool {
    let length = window.half(2);
    window.has(9) && window.byte(1) <= 0x09 && length > 8 && length <= 32_767 && window.byte(7) == 0
}

/// Batches and remote calls: many things look so, so that the answer has to fit, too.
#[inline(always)]
const fn tds(window: &Window, before: &Before) -> Head {
    let is_counted = window.byte(6) <= 2;
    if !is_tds(window) || !is_counted || window.half(4) != 0 {
        return Head::UNKNOWN;
    }
    let after_login = before.own == Protocol::Tds as u8;
    Head::of(Protocol::Tds, if after_login { Tell::Commit } else { Tell::Weak })
}

/// The first bit is set: SSL 2, Sun RPC, Thrift, memcached, NetBIOS, Cassandra's answers.
#[inline(always)]
const fn high(window: &Window, before: &Before) -> Head {
    let old = if before.is_client() { tls::old_hello(*window) } else { tls::old_answer(*window) };
    let is_old_answer = !before.is_client() && before.heard == Protocol::Tls as u8;
    if old.is_recognised() && (before.is_client() || is_old_answer) {
        return old;
    }
    if window.has(9) && is_thrift(window.word(0)) && window.word(4) < 256 {
        return Head::sure(Protocol::Thrift);
    }
    let rpc = sunrpc(window, before);
    if rpc.is_recognised() {
        return rpc;
    }
    if window.byte(0) == 0x81
        && window.has(8)
        && window.word(0) >> 8 == 0x81_0000
        && window.byte(4) == 0x20
    {
        // A session request with an encoded name (RFC 1002, section 4.3.2).
        return Head::sure(Protocol::Smb);
    }
    if window.byte(0) == 0x82
        && window.word(0) == 0x8200_0000
        && before.heard == Protocol::Smb as u8
    {
        return Head::sure(Protocol::Smb).only_if(window.has(4));
    }
    let found = cassandra(window);
    if found.is_recognised() { found } else { memcached(window) }
}

/// The last fragment of a call of RPC version 2, or of its reply (RFC 5531, sections 9 and 11).
#[inline(always)]
const fn sunrpc(window: &Window, before: &Before) -> Head {
    let length = window.word(0) & 0x7fff_ffff;
    if !window.has(16) || length < 16 || length > LONGEST {
        return Head::UNKNOWN;
    }
    let program = window.word(16);
    match (window.word(8), window.word(12)) {
        (0, 2) if !window.has(20) => Head::UNKNOWN,
        (0, 2) if program == 100_003 => Head::sure(Protocol::Nfs),
        (0, 2) if program >= 100_000 && program < 1_100_000_000 => Head::sure(Protocol::Sunrpc),
        (1, 0 | 1) => match before.heard == Protocol::Nfs as u8 {
            true => Head::sure(Protocol::Nfs),
            false => Head::weak(Protocol::Sunrpc),
        },
        _ => Head::UNKNOWN,
    }
}

/// The binary protocol: an operation, lengths that fit into the whole, data type 0.
#[inline(always)]
const fn memcached(window: &Window) -> Head {
    let (key, extras, total) = (window.half(2), window.byte(4), window.word(8));
    let is_it = window.has(12)
        && window.byte(0) <= 0x81
        && window.byte(1) <= 0x26
        && window.byte(5) == 0
        && key <= 250
        && extras <= 20
        && total >= key as u32 + extras as u32
        && total < LONGEST;
    Head::weak(Protocol::Memcached).only_if(is_it)
}

/// ZMTP, BGP, Telnet.
#[inline(always)]
const fn ff(window: &Window) -> Head {
    match window.byte(1) {
        // A signature: a length of old, and 0x7f (ZMTP 3.1, section 3.1).
        0 => Head::sure(Protocol::Zmtp)
            .only_if(window.has(10) && window.word(1) == 0 && window.byte(9) == 0x7f),
        // Commands of options: will, won't, do, don't, or a subnegotiation (RFC 854).
        0xfa..=0xfe if window.has(3) && window.byte(2) < 50 => Head::sure(Protocol::Telnet),
        // A marker, a length and a type (RFC 4271, section 4.1).
        0xff => {
            let is_bgp = window.has(19)
                && window.first() == u64::MAX
                && window.long(8) == u64::MAX
                && window.half(16) >= 19
                && window.half(16) <= 4096
                && window.byte(18) >= 1
                && window.byte(18) <= 5;
            Head::sure(Protocol::Bgp).only_if(is_bgp)
        }
        _ => Head::UNKNOWN,
    }
}

/// AJP's answers: `AB`, a length, and what a container sends.
#[inline(always)]
pub(super) const fn ajp_reply(window: &Window) -> Head {
    let is_kind = matches!(window.byte(4), 3..=6 | 9);
    Head::weak(Protocol::Ajp).only_if(window.has(5) && window.half(2) <= 8192 && is_kind)
}

/// A frame of IEC 60870-5-104: its length, and its kind in the two lowest bits.
#[inline(always)]
pub(super) const fn iec104(window: &Window, before: &Before) -> Head {
    let (length, control) = (window.byte(1), window.byte(2));
    if !window.has(6) || length < 4 || length > 253 {
        return Head::UNKNOWN;
    }
    let rest = window.word(2) & 0xff_ffff;
    match control & 3 {
        3 if length == 4 && rest == 0 && (control >> 2).is_power_of_two() => {
            Head::sure(Protocol::Iec104)
        }
        1 if length == 4 && control == 1 && window.byte(4) & 1 == 0 => Head::weak(Protocol::Iec104),
        0 | 2 if length >= 10 && window.byte(4) & 1 == 0 && window.has(8) => {
            let is_agreed = before.speaks(Protocol::Iec104);
            Head::of(Protocol::Iec104, if is_agreed { Tell::Sure } else { Tell::Weak })
                .only_if(window.byte(6) < 128 && window.byte(6) != 0)
        }
        _ => Head::UNKNOWN,
    }
}

/// A command and a length, lowest byte first, a session, and zeros for status and options
/// (EtherNet/IP, volume 2, section 2-3).
#[inline(always)]
pub(super) const fn enip(window: &Window) -> Head {
    let command = window.half(0).swap_bytes();
    let is_it = window.has(24)
        && matches!(command, 0x63..=0x66 | 0x6f | 0x70)
        && window.half(2).swap_bytes() < 4096
        && window.word(8) == 0
        && window.word(20) == 0;
    Head::sure(Protocol::Enip).only_if(is_it)
}

/// A typed message of PostgreSQL in the middle of a conversation: weak, as is its answer.
#[inline(always)]
pub(super) const fn postgresql_message(window: &Window, before: &Before) -> Head {
    let length = window.word(1);
    let is_kind = if before.is_client() {
        matches!(
            window.byte(0),
            b'Q' | b'P' | b'B' | b'E' | b'D' | b'S' | b'X' | b'C' | b'H' | b'p'
        )
    } else {
        matches!(
            window.byte(0),
            b'R' | b'T' | b'C' | b'D' | b'E' | b'Z' | b'1' | b'2' | b'N' | b't' | b'n'
        )
    };
    let fits = window.has(5) && length >= 4 && length < 1 << 20;
    Head::weak(Protocol::Postgresql).only_if(is_kind && fits)
}

/// A greeting, version 10: a length, number 0, and a version in text (MySQL's protocol,
/// "Protocol::HandshakeV10"); or an error in its place.
#[inline(always)]
const fn is_mysql_greeting(window: &Window) -> bool {
    let length = window.word_le(0);
    if length < 16 || length >= 1024 {
        return false;
    }
    match window.byte(4) {
        10 => {
            window.byte(5).is_ascii_digit()
                && (window.byte(6) == b'.' || window.byte(6).is_ascii_digit())
        }
        0xff => {
            matches!(window.half(5).swap_bytes(), 1000..=1999)
                && window.has(9)
                && window.byte(7) >= 0x20
        }
        _ => false,
    }
}

/// A client's answer to a greeting. It asks for TLS in 32 bytes, and TLS follows them at once.
#[inline(always)]
pub(super) const fn mysql_login(window: Window, length: u32) -> Head {
    const SSL: u16 = 0x0800;
    let asks = window.half(4).swap_bytes() & SSL != 0 && length == 32;
    Head::of(Protocol::Mysql, if asks { Tell::Ask } else { Tell::Commit })
}

/// The same where the greeting was not seen: it has 23 bytes of 0, of which MariaDB uses four.
#[inline(always)]
const fn mysql_unseen(window: &Window, before: &Before) -> Head {
    let length = window.word_le(0) & 0xff_ffff;
    let is_login = before.is_client()
        && window.has(32)
        && window.byte(3) == 1
        && length >= 32
        && length < 4096
        && window.long(13) == 0
        && window.long(20) == 0;
    if is_login { mysql_login(*window, length) } else { Head::UNKNOWN }
}

/// A length, then a query or its answer (RFC 1035, section 4.2.2): one question, which begins with
/// a label.
#[inline(always)]
const fn is_dns(window: &Window) -> bool {
    let (length, flags) = (window.half(0), window.half(4));
    let (questions, answers) = (window.half(6), window.half(8));
    let (authorities, additional) = (window.half(10), window.half(12));
    let is_standard = window.has(16)
        && length >= 17
        && flags & 0x7840 == 0
        && questions == 1
        && window.byte(14) <= 63
        && (window.byte(14) == 0 || window.byte(15) > 0x20);
    let is_bare = answers == 0 && authorities == 0 && additional <= 2 && flags & 0xf == 0;
    let is_answer = answers < 256 && authorities < 256 && additional < 256;
    let is_it = if flags & 0x8000 == 0 { is_bare } else { is_answer };
    is_standard && is_it
}

/// Length, command, status, number (SMPP 3.4, section 3.2): a request to bind, or an answer.
#[inline(always)]
const fn is_smpp(window: &Window) -> bool {
    let command = window.word(4);
    window.word(0) >= 16
        && matches!(command & 0x7fff_ffff, 1..=9 | 0x15 | 0x103)
        && window.word(8) < 0x1000
        && (command >> 31 == 1 || window.word(8) == 0)
        && window.word(12) != 0
        && window.word(12) < 1 << 16
        && window.byte(0) == 0
}

/// Length, no checksum, a type, and 0 (Oracle Net); a connect has a version.
#[inline(always)]
const fn is_tns(window: &Window) -> bool {
    let length = window.half(0);
    if !window.has(8) || length < 8 || window.half(2) != 0 || window.half(6) != 0 {
        return false;
    }
    match window.byte(4) {
        1 => window.has(12) && length >= 34 && window.byte(8) == 1 && window.byte(10) == 1,
        2 => window.has(10) && length >= 24 && window.byte(8) == 1,
        11 => length == 8,
        _ => false,
    }
}

/// Length, 0xd0, a format, a number, and the code of what is asked (DRDA volume 3, DDM data
/// streams).
#[inline(always)]
const fn is_drda(window: &Window) -> bool {
    window.has(10)
        && window.byte(2) == 0xd0
        && window.half(0) >= 10
        && window.half(6).wrapping_add(6) == window.half(0)
        && matches!(window.half(8), 0x1041 | 0x1443)
}

/// A request: length, kind, version, number, and the client's name (Kafka's protocol, "Request
/// Header v1"); without a name it is weak.
#[inline(always)]
const fn kafka(window: &Window, before: &Before) -> Head {
    let (length, kind, version) = (window.word(0), window.half(4), window.half(6));
    let name = window.half(12);
    if !window.has(16) || !before.is_client() || length < 10 || length > LONGEST {
        return Head::UNKNOWN;
    }
    if kind >= 93 || version >= 20 {
        return Head::UNKNOWN;
    }
    let is_text = is_graphic(window.byte(14)) && (name == 1 || is_graphic(window.byte(15)));
    match name {
        1..=255 if is_text && name as u32 + 10 <= length => Head::sure(Protocol::Kafka),
        0 | 0xffff => Head::weak(Protocol::Kafka),
        _ => Head::UNKNOWN,
    }
}

#[inline(always)]
const fn is_graphic(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x7f
}

/// A length, then an operation that resets a session, from the client or the server (OpenVPN's
/// `ssl_pkt.h`).
#[inline(always)]
const fn is_openvpn(window: &Window) -> bool {
    let length = window.half(0);
    window.has(16)
        && length >= 14
        && length < 2048
        && matches!(window.byte(2), 0x38 | 0x40 | 0x48 | 0x30 | 0x50 | 0x20 | 0x28)
}

#[inline(always)]
const fn openvpn(window: &Window, before: &Before) -> Head {
    let tell = match (window.byte(2), before.is_client()) {
        (0x38 | 0x50, true) | (0x40, false) => Tell::Hello,
        (0x30 | 0x48, _) if before.own == Protocol::Openvpn as u8 => Tell::Sealed,
        _ => return Head::UNKNOWN,
    };
    // A session has a random number, never 0.
    Head::of(Protocol::Openvpn, tell).only_if(window.long(3) != 0)
}

/// A number, protocol 0, a length, a unit and a function (MODBUS over TCP, section 3.1.3).
#[inline(always)]
const fn is_modbus(window: &Window) -> bool {
    let (length, function) = (window.half(4), window.byte(7) & 0x7f);
    window.has(8)
        && window.half(2) == 0
        && length >= 2
        && length <= 260
        && function >= 1
        && function <= 43
}
