//! First bytes of protocols.

/// A TLS record header with a handshake message of this type behind it, 256 bytes long.
fn hello(message: u8) -> Vec<u8> {
    let mut bytes = vec![22, 3, 1, 1, 0, message, 0, 0, 252, 3, 3];
    bytes.resize(5 + 256, 0x5c);
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
        "ssh" => b"SSH-2.0-tests\r\n".to_vec(),
        _ => return None,
    })
}
