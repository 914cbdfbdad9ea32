//! Hellos of TLS, written by hand: as long as a test needs them, and with the name it wants.

use std::fmt::Write as _;

/// What a server says of its version that chooses TLS 1.3, and one that chooses TLS 1.2 (RFC 8446,
/// section 4.2.1).
pub(crate) const TLS13: [u8; 6] = [0, 43, 0, 2, 3, 4];
pub(crate) const TLS12: [u8; 0] = [];

/// A hello for TLS 1.3 (RFC 8446, section 4.1.2) in a record of so many bytes. The name stands
/// behind the padding (RFC 7685).
pub(crate) fn client_hello(name: &str, length: usize) -> Vec<u8> {
    let mut extensions = vec![0, 43, 0, 3, 2, 3, 4];
    let name =
        [&[0, 0][..], &sized(&sized(&[&[0][..], &sized(name.as_bytes())].concat()))].concat();
    // Record, message, version, random, session, suites, compression, length of extensions.
    let before = 5 + 4 + 2 + 32 + 1 + 4 + 2 + 2 + extensions.len() + 4 + name.len();
    extensions.extend([&[0, 21][..], &sized(&vec![0; length - before])].concat());
    extensions.extend(name);
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &sized(&extensions)].concat();
    record(1, &body)
}

/// The answer to it (RFC 8446, section 4.1.3).
pub(crate) fn server_hello(extensions: &[u8]) -> Vec<u8> {
    let body = [&[3, 3][..], &[9; 32], &[0, 0x13, 1, 0], &sized(extensions)].concat();
    record(2, &body)
}

/// In hexadecimal digits, as peers take them.
pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("a string takes all");
        digits
    })
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let message = [&[kind, 0][..], &sized(body)].concat();
    [&[22, 3, 1][..], &sized(&message)].concat()
}

/// Behind its length in two bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a short text").to_be_bytes();
    [&length[..], bytes].concat()
}
