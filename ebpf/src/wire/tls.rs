//! TLS records (RFC 8446, section 5.1).

/// Length of a record's header.
pub const RECORD_HEADER: u32 = 5;

/// What is protected.
pub const APPLICATION_DATA: u8 = 23;

/// Whether a record of this type belongs to a handshake: a change of cipher, an alert, a message.
#[inline(always)]
pub const fn is_handshake(kind: u8) -> bool {
    matches!(kind, 20..=22)
}
