//! What one end said in a handshake: its messages in the clear, and how long the protected ones
//! were.

use alloc::vec::Vec;

use super::bytes::Bytes;
use super::record::{Kind, Record, records};

/// One direction of a handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    /// Handshake messages in the clear, one behind the other.
    pub(super) clear: Vec<u8>,
    /// Protected records, in their order.
    pub(super) sealed: Vec<Sealed>,
    /// Whether it changed to its new keys, and all handshake messages since are protected.
    pub(super) changed: bool,
    /// Whether it said by an alert that it has no certificate, as in SSLv3.
    pub(super) no_certificate: bool,
}

/// A protected record: no more of it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) kind: Kind,
    /// Bytes of payload that its header announces.
    pub(super) length: usize,
    /// Whether all of it is there.
    pub(super) is_complete: bool,
}

/// One handshake message (RFC 8446, section 4).
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    /// Its body, as far as it is there.
    pub(super) body: &'a [u8],
    /// Whether all of it is there.
    pub(super) is_whole: bool,
}

/// Handshake messages (IANA's registry "TLS HandshakeType").
pub(super) mod kind {
    pub(in super::super) const CLIENT_HELLO: u8 = 1;
    pub(in super::super) const SERVER_HELLO: u8 = 2;
    pub(in super::super) const CERTIFICATE: u8 = 11;
    pub(in super::super) const SERVER_KEY_EXCHANGE: u8 = 12;
    pub(in super::super) const CERTIFICATE_REQUEST: u8 = 13;
    pub(in super::super) const SERVER_HELLO_DONE: u8 = 14;
    pub(in super::super) const CERTIFICATE_VERIFY: u8 = 15;
    pub(in super::super) const CLIENT_KEY_EXCHANGE: u8 = 16;
}

/// The alert with which a client of SSLv3 refuses to show a certificate (RFC 6101, section 5.4.2).
const NO_CERTIFICATE: &[u8] = &[1, 41];

// === impl Flight ===

impl Flight {
    /// Reads the records that stand at the start of `bytes`.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut flight = Self::default();
        for record in records(bytes) {
            flight.hear(&record);
        }
        flight
    }

    fn hear(&mut self, record: &Record<'_>) {
        match record.kind {
            Kind::ChangeCipherSpec => self.changed = true,
            Kind::Handshake if !self.changed || is_hello(record.payload) => {
                // In TLS 1.3 a second hello may follow what only looks like a change of keys.
                self.changed = false;
                self.clear.extend_from_slice(record.payload);
            }
            Kind::Alert if !self.changed => self.no_certificate |= record.payload == NO_CERTIFICATE,
            // An alert that is protected may as well say that the handshake failed.
            Kind::Alert => {}
            kind => {
                let (length, is_complete) = (record.length, record.is_complete());
                self.sealed.push(Sealed { kind, length, is_complete });
            }
        }
    }

    /// Its messages in the clear.
    pub(super) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        messages(&self.clear)
    }

    /// Whether protected handshake messages or data are among what it said.
    pub(super) fn is_protected(&self) -> bool {
        self.has_data() || self.has(Kind::Handshake)
    }

    /// Whether protected data is, which in TLS 1.3 handshake messages look like.
    pub(super) fn has_data(&self) -> bool {
        self.has(Kind::ApplicationData)
    }

    fn has(&self, kind: Kind) -> bool {
        self.sealed.iter().any(|sealed| sealed.kind == kind && sealed.is_complete)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clear.is_empty() && self.sealed.is_empty()
    }
}

/// The messages that stand one behind the other in `bytes`; the last may be cut.
pub(super) fn messages(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut left = Bytes(bytes);
    core::iter::from_fn(move || {
        let (kind, length) = (left.u8()?, left.u24()?);
        let body = left.take_up_to(length).0;
        Some(Message { kind, body, is_whole: body.len() == length })
    })
}

/// Whether a record after a change of keys begins with a hello in the clear, as none but the second
/// one of TLS 1.3 does: protected bytes look so in one of 2^30 cases.
fn is_hello(payload: &[u8]) -> bool {
    matches!(payload, [kind::CLIENT_HELLO | kind::SERVER_HELLO, 0, _, _, 3, 3, ..])
}
