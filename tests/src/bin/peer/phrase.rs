//! First bytes of protocols.

/// A TLS record header with a handshake message of this type behind it, 256 bytes long.
fn hello(message: u8) -> Vec<u8> {
    let mut bytes = vec![22, 3, 1, 1, 0, message, 0, 0, 252, 3, 3];
    bytes.resize(5 + 256, 0x5c);
    bytes
}

/// A question for the address of `plainsight.test` (RFC 1035, section 4), with these flags and so
/// many answers, of 16 bytes each.
fn dns(flags: [u8; 2], answers: u8) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, flags[0], flags[1], 0, 1, 0, answers, 0, 0, 0, 0];
    bytes.extend(b"\x0aplainsight\x04test\x00\x00\x01\x00\x01");
    for _ in 0..answers {
        // The same name, an address, a minute to live, four bytes.
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    bytes
}

/// A client's first datagram of QUIC version 1 (RFC 9000, section 17.2.2), at its least length.
fn quic_initial() -> Vec<u8> {
    let mut bytes = vec![0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0x9e];
    bytes.resize(1200, 0x5c);
    bytes
}

/// The first bytes of this name.
pub(crate) fn phrase(name: &str) -> Option<Vec<u8>> {
    Some(match name {
        "http1-request" => b"GET /tests HTTP/1.1\r\nHost: tests\r\n\r\n".to_vec(),
        "http1-response" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "http2-preface" => {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
            bytes
        }
        "http2-settings" => vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100],
        "tls-client-hello" => hello(1),
        "tls-server-hello" => hello(2),
        "tls-change" => vec![20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 53],
        "tls-data" => {
            let mut bytes = vec![23, 3, 3, 0, 64];
            bytes.resize(5 + 64, 0x5c);
            bytes
        }
        "postgresql-ssl" => vec![0, 0, 0, 8, 4, 210, 22, 47],
        "postgresql-startup" => b"\0\0\0\x14\0\x03\0\0user\0tests\0\0".to_vec(),
        "postgresql-password" => b"R\0\0\0\x08\0\0\0\x03".to_vec(),
        "postgresql-secret" => b"p\0\0\0\x0asecre\0".to_vec(),
        "postgresql-ready" => b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I".to_vec(),
        "postgresql-query" => b"Q\0\0\0\x0dSELECT 1\0".to_vec(),
        "smtp-220" => b"220 tests ESMTP\r\n".to_vec(),
        "smtp-ehlo" => b"EHLO tests\r\n".to_vec(),
        "smtp-250" => b"250-tests\r\n250 STARTTLS\r\n".to_vec(),
        "smtp-starttls" => b"STARTTLS\r\n".to_vec(),
        "smtp-go" => b"220 go ahead\r\n".to_vec(),
        "smtp-no" => b"454 not now\r\n".to_vec(),
        "smtp-mail" => b"MAIL FROM:<a@tests>\r\n".to_vec(),
        "smtp-ok" => b"250 ok\r\n".to_vec(),
        "ssh" => b"SSH-2.0-tests\r\n".to_vec(),
        "dns-question" => dns([1, 0], 0),
        "dns-answer" => dns([0x81, 0x80], 1),
        "quic-initial" => quic_initial(),
        _ => return None,
    })
}
