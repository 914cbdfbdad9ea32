//! SSLv2: the hello that later versions still understood (RFC 5246, appendix E.2), and servers that
//! answer it in kind.

use super::bytes::Bytes;
use super::{Tls, certificate};

const HEADER_LEN: usize = 2;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 4;
const VERSION: u16 = 0x0002;

/// The highest version that an SSLv2 hello offers, and how many bytes it has.
pub(super) fn client_hello(bytes: &[u8]) -> Option<(u16, usize)> {
    let (mut hello, length) = message(bytes, CLIENT_HELLO)?;
    let version = hello.u16()?;
    let (suites, session, challenge) = (hello.u16()?, hello.u16()?, hello.u16()?);
    let is_suites = suites > 0 && suites % 3 == 0;
    let is_challenge = (16..=32).contains(&challenge) && matches!(session, 0 | 16);
    let total = 9 + usize::from(suites) + usize::from(session) + usize::from(challenge);
    let is_version = matches!(version, VERSION | 0x0300..=0x0303);
    (is_version && is_suites && is_challenge && total == length)
        .then_some((version, HEADER_LEN + length))
}

/// What a server says that speaks SSLv2 itself.
pub(super) fn server_hello(bytes: &[u8]) -> Option<Tls> {
    let (mut hello, length) = message(bytes, SERVER_HELLO)?;
    let is_resumed = hello.u8()? != 0;
    hello.u8()?;
    let version = hello.u16()?;
    let (certificate, suites, connection) = (hello.u16()?, hello.u16()?, hello.u16()?);
    let total = 11 + usize::from(certificate) + usize::from(suites) + usize::from(connection);
    if version != VERSION || total != length {
        return None;
    }
    Some(Tls {
        version: Some("SSLv2".into()),
        resumed: Some(is_resumed),
        certificate: hello.take(certificate.into()).and_then(certificate::read),
        answered: true,
        ..Tls::default()
    })
}

/// The body of a first message of this kind, in the record with the short header, and its length
/// with the kind.
fn message(bytes: &[u8], kind: u8) -> Option<(Bytes<'_>, usize)> {
    let mut bytes = Bytes(bytes);
    let header = bytes.u16()?;
    let length = usize::from(header & 0x7fff);
    let mut body = bytes.take_up_to(length);
    (header & 0x8000 != 0 && body.u8()? == kind).then_some((body, length))
}
