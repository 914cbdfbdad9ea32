//! The two hellos, of TLS, DTLS and QUIC alike (RFC 8446, sections 4.1.2 and 4.1.3).
//!
//! A client's hello may have been cut: its extensions are read as far as they are there in full.

use alloc::string::String;
use alloc::vec::Vec;

use super::bytes::Bytes;
use super::names;

/// What a client hello says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientHello {
    /// Whether all of it is there.
    pub(super) is_whole: bool,
    /// The highest version it offers; nothing where what says so was cut off.
    pub(super) version: Option<u16>,
    /// The session to resume.
    pub(super) session: Vec<u8>,
    pub(super) sni: Option<String>,
    pub(super) alpn: Vec<String>,
    pub(super) ech: bool,
    /// Whether data follows before the server has answered.
    pub(super) early_data: bool,
    /// Whether it can say more after its hello (application settings, an Internet-Draft of
    /// browsers): then EncryptedExtensions may come before Finished.
    pub(super) settings: bool,
}

/// What a server hello says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerHello {
    /// The version it chose.
    pub(super) version: u16,
    /// The cipher suite it chose.
    pub(super) suite: u16,
    /// The session.
    pub(super) session: Vec<u8>,
    pub(super) alpn: Option<String>,
    /// The group it chose, of TLS 1.3.
    pub(super) group: Option<u16>,
    /// Whether it took a key that both had before, of TLS 1.3.
    pub(super) psk: bool,
    /// Whether it asks for another client hello.
    pub(super) is_retry: bool,
}

/// Extensions (IANA's registry "TLS ExtensionType Values").
mod extension {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const ALPN: u16 = 16;
    /// Of key_share before draft 23.
    pub(super) const KEY_SHARE_DRAFT: u16 = 40;
    pub(super) const PRE_SHARED_KEY: u16 = 41;
    pub(super) const EARLY_DATA: u16 = 42;
    pub(super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(super) const KEY_SHARE: u16 = 51;
    pub(super) const APPLICATION_SETTINGS: u16 = 17_513;
    pub(super) const APPLICATION_SETTINGS_NEW: u16 = 17_613;
    pub(super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
}

const RANDOM_LEN: usize = 32;

/// The random of a server hello that asks for another client hello (RFC 8446, section 4.1.3).
const RETRY_RANDOM: [u8; RANDOM_LEN] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

// === impl ClientHello ===

impl ClientHello {
    /// Reads the body of a client hello. A hello that is cut before its extensions says nothing.
    pub(super) fn read(body: &[u8], is_whole: bool) -> Option<Self> {
        let mut body = Bytes(body);
        let legacy_version = body.u16()?;
        body.take(RANDOM_LEN)?;
        let session = body.vector8()?.0.to_vec();
        if is_datagram(legacy_version) {
            body.vector8()?;
        }
        body.vector16()?;
        body.vector8()?;
        let version = is_whole.then_some(legacy_version);
        let mut hello = Self { is_whole, version, session, ..Self::default() };
        for (kind, data) in extensions(body) {
            hello.take(kind, data);
        }
        Some(hello)
    }

    fn take(&mut self, kind: u16, data: Bytes<'_>) {
        match kind {
            extension::SERVER_NAME => self.sni = server_name(data),
            extension::ALPN => self.alpn = protocols(data),
            extension::EARLY_DATA => self.early_data = true,
            extension::SUPPORTED_VERSIONS => self.version = newest(data).or(self.version),
            extension::ENCRYPTED_CLIENT_HELLO => self.ech = true,
            extension::APPLICATION_SETTINGS | extension::APPLICATION_SETTINGS_NEW => {
                self.settings = true;
            }
            _ => {}
        }
    }
}

// === impl ServerHello ===

impl ServerHello {
    /// Reads the body of a server hello.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut body = Bytes(body);
        let version = body.u16()?;
        let is_retry = body.take(RANDOM_LEN)? == RETRY_RANDOM;
        // Up to draft 21 the version stood here and the session did not.
        let session = if matches!(version, 0x7f00..=0x7f15) {
            Vec::new()
        } else {
            body.vector8()?.0.to_vec()
        };
        let suite = body.u16()?;
        if !matches!(version, 0x7f00..=0x7f15) {
            body.u8()?;
        }
        let mut hello = Self { version, suite, session, is_retry, ..Self::default() };
        for (kind, data) in extensions(body) {
            hello.take(kind, data);
        }
        Some(hello)
    }

    fn take(&mut self, kind: u16, mut data: Bytes<'_>) {
        match kind {
            extension::ALPN => self.alpn = protocols(data).into_iter().next(),
            extension::SUPPORTED_VERSIONS => self.version = data.u16().unwrap_or(self.version),
            extension::KEY_SHARE | extension::KEY_SHARE_DRAFT => self.group = data.u16(),
            extension::PRE_SHARED_KEY => self.psk = true,
            _ => {}
        }
    }
}

/// Each extension that is there in full.
fn extensions(mut body: Bytes<'_>) -> impl Iterator<Item = (u16, Bytes<'_>)> {
    let length = body.u16().unwrap_or_default();
    let mut left = body.take_up_to(length.into());
    core::iter::from_fn(move || Some((left.u16()?, left.vector16()?)))
}

/// Only DTLS has a cookie in its client hello.
const fn is_datagram(version: u16) -> bool {
    matches!(version, 0xfe00..=0xfeff | 0x0100)
}

/// The host name of a server_name extension (RFC 6066, section 3).
fn server_name(mut data: Bytes<'_>) -> Option<String> {
    const HOST_NAME: u8 = 0;
    let mut names = data.vector16()?;
    let kind = names.u8()?;
    let name = names.vector16()?;
    (kind == HOST_NAME && !name.is_empty()).then(|| text(name))
}

/// The names of an ALPN extension (RFC 7301, section 3.1).
fn protocols(mut data: Bytes<'_>) -> Vec<String> {
    let Some(mut names) = data.vector16() else { return Vec::new() };
    let names = core::iter::from_fn(move || names.vector8());
    names.filter(|name| !name.is_empty() && !is_grease(*name)).map(text).collect()
}

fn is_grease(name: Bytes<'_>) -> bool {
    name.0.try_into().is_ok_and(|code| names::is_grease(u16::from_be_bytes(code)))
}

/// The newest version of a supported_versions extension that is known here. DTLS counts downwards.
fn newest(mut data: Bytes<'_>) -> Option<u16> {
    let mut versions = data.vector8()?;
    let versions = core::iter::from_fn(move || versions.u16());
    let known = versions.filter(|code| names::version(*code).is_some());
    known.max_by_key(|code| match *code {
        code if names::is_tls13(code) => 0x0304,
        code if is_datagram(code) => u16::MAX - code,
        code => code,
    })
}

/// Text as it came; what is not UTF-8 becomes U+FFFD.
fn text(bytes: Bytes<'_>) -> String {
    String::from_utf8_lossy(bytes.0).into_owned()
}
