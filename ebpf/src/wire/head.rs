//! Protocol from the first bytes of a direction: one function for kernel and agent.
//!
//! It reads a fixed window and no ports. Its place is set; its rules grow with the protocols that
//! Plainsight learns to tell.

use super::protocol::Protocol;
use super::stage::Stage;

/// How many first bytes are looked at.
pub const HEAD_LEN: usize = 16;

/// What the first payload of one direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Head {
    /// No payload yet.
    None = 0,
    /// Nothing that a rule recognises.
    Unknown = 1,
    /// There was payload before, where no one looked: with the segment that completed the
    /// handshake, or with the SYN.
    Missed = 9,
    /// A request line of HTTP/1 (RFC 9112, section 3).
    Http1Request = 2,
    /// A status line of HTTP/1 (RFC 9112, section 4).
    Http1Response = 3,
    /// The client's connection preface of HTTP/2 (RFC 9113, section 3.4).
    Http2Preface = 4,
    /// A first SETTINGS frame of HTTP/2 on stream 0 (RFC 9113, section 6.5).
    Http2Settings = 5,
    /// A TLS record with a client hello (RFC 8446, sections 4.1.2 and 5.1).
    TlsClientHello = 6,
    /// A TLS record with a server hello (RFC 8446, section 4.1.3).
    TlsServerHello = 7,
    /// An SSH identification string (RFC 4253, section 4.2).
    Ssh = 8,
}

/// Longest TLS record payload that a peer may send (RFC 8446, section 5.2).
const TLS_RECORD_MAX: u16 = 16_384 + 256;

/// A client's first QUIC datagram is at least so long (RFC 9000, section 14.1).
const QUIC_MIN_LEN: u32 = 1200;

/// A DNS header and the shortest question (RFC 1035, sections 4.1.1 and 4.1.2).
const DNS_MIN_LEN: u32 = 17;

const TLS_HANDSHAKE: u8 = 22;
const TLS_CLIENT_HELLO: u8 = 1;
const TLS_SERVER_HELLO: u8 = 2;

/// Method tokens of HTTP/1 with their space, as the first eight bytes and a mask over them.
const METHODS: [(u64, u64); 9] = [
    method(b"GET "),
    method(b"PUT "),
    method(b"HEAD "),
    method(b"POST "),
    method(b"PATCH "),
    method(b"TRACE "),
    method(b"DELETE "),
    method(b"OPTIONS "),
    method(b"CONNECT "),
];

/// Judges the first `len` bytes of a direction; what is behind them in `bytes` is ignored.
#[inline(always)]
pub const fn head(bytes: &[u8; HEAD_LEN], len: usize) -> Head {
    let [a, b, c, d, e, f, g, h, i, ..] = *bytes;
    if len >= 6 && a == TLS_HANDSHAKE && b == 3 && c <= 4 {
        return tls(u16::from_be_bytes([d, e]), f);
    }
    let start = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    if len >= 4 && start >> 32 == 0x5353_482d {
        return Head::Ssh;
    }
    if len >= 8 && start >> 8 == 0x0048_5454_502f_312e {
        return Head::Http1Response;
    }
    if len >= 8 && start == u64::from_be_bytes(*b"PRI * HT") {
        return Head::Http2Preface;
    }
    if len >= 9 && is_settings(start, i) {
        return Head::Http2Settings;
    }
    if is_request(start, len) { Head::Http1Request } else { Head::Unknown }
}

/// What a conversation over UDP is, from the start of its first datagram, of `len` bytes.
#[inline(always)]
pub const fn datagram(bytes: &[u8; HEAD_LEN], len: u32) -> (Protocol, Stage) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *bytes;
    let start = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let rest = u32::from_be_bytes([i, j, k, l]);
    if len >= QUIC_MIN_LEN && is_quic_initial(start) {
        (Protocol::Quic, Stage::Offered)
    } else if len >= DNS_MIN_LEN && is_dns(start, rest) {
        (Protocol::Dns, Stage::Plaintext)
    } else {
        (Protocol::Unknown, Stage::Unknown)
    }
}

const fn tls(length: u16, message: u8) -> Head {
    match message {
        _ if length < 4 || length > TLS_RECORD_MAX => Head::Unknown,
        TLS_CLIENT_HELLO => Head::TlsClientHello,
        TLS_SERVER_HELLO => Head::TlsServerHello,
        _ => Head::Unknown,
    }
}

/// A frame header: 24-bit length in multiples of 6, type 4, no flags, stream 0.
const fn is_settings(start: u64, ninth: u8) -> bool {
    let length = start >> 40;
    length <= 0xff
        && length.is_multiple_of(6)
        && start & 0xff_ffff_ffff == 0x04_0000_0000
        && ninth == 0
}

/// A long header with the fixed bit, of type Initial in its version (RFC 9000, section 17.2.2; RFC
/// 9369, section 3.2), and a connection id no longer than it may be.
#[inline(always)]
const fn is_quic_initial(start: u64) -> bool {
    let (first, version, id_len) = ((start >> 56) as u8, (start >> 24) as u32, (start >> 16) as u8);
    let is_initial = match version {
        1 => first & 0xf0 == 0xc0,
        0x6b33_43cf => first & 0xf0 == 0xd0,
        _ => false,
    };
    is_initial && id_len <= 20
}

/// A standard query with one question, or the response to one, with no reserved bit set.
#[inline(always)]
const fn is_dns(start: u64, rest: u32) -> bool {
    let (flags, questions, answers) = ((start >> 32) as u16, (start >> 16) as u16, start as u16);
    let (authorities, additional) = ((rest >> 16) as u16, rest as u16);
    let is_standard = flags & 0x7840 == 0 && questions == 1;
    let is_query = flags & 0x8000 == 0;
    let is_bare = answers == 0 && authorities == 0 && additional <= 2;
    is_standard && (!is_query || is_bare && flags & 0xf == 0)
}

#[inline(always)]
const fn is_request(start: u64, len: usize) -> bool {
    let known = if len >= 8 { u64::MAX } else { !(u64::MAX >> (len * 8)) };
    let mut at = 0;
    while at < METHODS.len() {
        let (word, mask) = METHODS[at];
        if known & mask == mask && start & mask == word {
            return true;
        }
        at += 1;
    }
    false
}

const fn method(token: &[u8]) -> (u64, u64) {
    let (mut word, mut mask, mut at) = (0, 0, 0);
    while at < token.len() {
        word |= (token[at] as u64) << (56 - at * 8);
        mask |= 0xff << (56 - at * 8);
        at += 1;
    }
    (word, mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: Head) {
        let mut window = [0xee; HEAD_LEN];
        let len = bytes.len().min(HEAD_LEN);
        window[..len].copy_from_slice(&bytes[..len]);
        assert_eq!(head(&window, len), expect, "{bytes:02x?}");
    }

    #[test]
    fn http1() {
        for request in
            ["GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "POST /x HTTP/1.0\r\n", "PUT /"]
        {
            check(request.as_bytes(), Head::Http1Request);
        }
        check(b"HTTP/1.1 200 OK\r\n", Head::Http1Response);
        check(b"HTTP/1.0 400 Bad", Head::Http1Response);
        check(b"GETX / HTTP/1.1", Head::Unknown);
        check(b"GET", Head::Unknown);
        check(b"HTTP/2 200 OK", Head::Unknown);
    }

    #[test]
    fn http2() {
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Head::Http2Preface);
        check(&[0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3], Head::Http2Settings);
        check(&[0, 0, 18, 4, 0, 0, 0, 0, 1, 0, 3], Head::Unknown);
        check(&[0, 0, 17, 4, 0, 0, 0, 0, 0, 0, 3], Head::Unknown);
    }

    #[test]
    fn tls_hellos() {
        check(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc], Head::TlsClientHello);
        check(&[22, 3, 3, 0, 122, 2, 0, 0, 118], Head::TlsServerHello);
        check(&[22, 3, 3, 0, 122, 11, 0, 0, 118], Head::Unknown);
        check(&[22, 3, 1, 0xff, 0xff, 1], Head::Unknown);
        check(&[22, 3, 1, 2, 0], Head::Unknown);
        check(&[23, 3, 3, 0, 64, 1], Head::Unknown);
    }

    #[test]
    fn ssh() {
        check(b"SSH-2.0-OpenSSH_9.2p1\r\n", Head::Ssh);
        check(b"SSH", Head::Unknown);
    }

    #[test]
    fn bytes_behind_the_length_are_no_evidence() {
        let window = *b"SSH-2.0-OpenSSH_";
        assert_eq!(head(&window, 3), Head::Unknown);
    }

    #[test]
    fn datagrams() {
        let check = |bytes: &[u8], len: u32, expect: Protocol| {
            let mut window = [0; HEAD_LEN];
            window[..bytes.len()].copy_from_slice(bytes);
            assert_eq!(datagram(&window, len).0, expect, "{bytes:02x?}");
        };
        let query = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        check(&query, 40, Protocol::Dns);
        check(&query, 16, Protocol::Unknown);
        check(&[0x12, 0x34, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 1], 90, Protocol::Dns);
        check(&[0x12, 0x34, 1, 0, 0, 1, 0, 3, 0, 0, 0, 0], 40, Protocol::Unknown);
        check(&[0x12, 0x34, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0], 40, Protocol::Unknown);
        check(&[0xc3, 0, 0, 0, 1, 8, 1, 2], 1200, Protocol::Quic);
        check(&[0xc3, 0, 0, 0, 1, 8, 1, 2], 1199, Protocol::Unknown);
        check(&[0xd3, 0x6b, 0x33, 0x43, 0xcf, 20], 1252, Protocol::Quic);
        check(&[0xc3, 0, 0, 0, 1, 21], 1200, Protocol::Unknown);
        check(&[0x43, 0, 0, 0, 1, 8], 1200, Protocol::Unknown);
    }
}
