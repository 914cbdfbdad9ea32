//! Messages in BER: LDAP and SNMP.

use super::super::protocol::Protocol;
use super::super::secret::Secret;
use super::super::window::Window;
use super::{Before, Head, Tell, text};

/// Longest message that is believed, as servers do (OpenLDAP's `sockbuf_max_incoming_auth` is
/// 4 MiB).
const LONGEST: u32 = 1 << 24;

/// A message that starts with a SEQUENCE and an INTEGER: LDAP's id (RFC 4511, section 4.1.1) or
/// SNMP's version (RFC 3416).
#[inline(never)]
pub(super) const fn head(window: &Window, before: &Before) -> Head {
    let Some((length, inner)) = window.ber() else { return Head::UNKNOWN };
    let id_len = inner.byte(1);
    if length < 5 || length > LONGEST || inner.byte(0) != 2 || id_len == 0 || id_len > 4 {
        return Head::UNKNOWN;
    }
    if !inner.has(4 + id_len as u32) {
        return Head::UNKNOWN;
    }
    let (version, operation) = (inner.byte(2), inner.skip(2 + id_len as u32));
    match operation.byte(0) {
        // A community string, or the header of version 3.
        0x04 if id_len == 1 && version <= 1 => Head::sure(Protocol::Snmp),
        0x30 if id_len == 1 && version == 3 => Head::sure(Protocol::Snmp),
        0x60 => bind(operation),
        0x77 => extended(operation, before),
        0x78 if before.heard(Tell::Ask) => started(operation),
        0x42 | 0x4a | 0x50 | 0x63 | 0x66 | 0x68 | 0x6c | 0x6e => Head::sure(Protocol::Ldap),
        0x61 | 0x64 | 0x65 | 0x67 | 0x69 | 0x6b | 0x6d | 0x6f | 0x73 | 0x78 | 0x79 => {
            Head::sure(Protocol::Ldap)
        }
        _ => Head::UNKNOWN,
    }
}

/// A bind (RFC 4511, section 4.2): version, name, and what proves it.
#[inline(always)]
const fn bind(operation: Window) -> Head {
    let ldap = Head::sure(Protocol::Ldap);
    let Some((length, inner)) = operation.ber() else { return Head::UNKNOWN };
    if inner.word(0) >> 8 != 0x02_0103 && inner.word(0) >> 8 != 0x02_0102 {
        return Head::UNKNOWN;
    }
    let Some((name, proof)) = inner.skip(3).ber() else { return Head::UNKNOWN };
    if name != 0 {
        // With SASL the name is empty, so this is a password, if there is room for one.
        let password = length > name.saturating_add(7);
        return ldap.with(if password { Secret::LdapSimple } else { Secret::None });
    }
    match proof.byte(0) {
        _ if !proof.has(2) => Head::UNKNOWN,
        0x80 => ldap,
        0xa3 => match proof.ber() {
            Some((_, mechanism)) if mechanism.has(6) => {
                ldap.with(text::mechanism(mechanism.word(2)))
            }
            _ => Head::UNKNOWN,
        },
        _ => ldap,
    }
}

/// An extended request, of which StartTLS is one: `1.3.6.1.4.1.1466.20037` (RFC 4511, section
/// 4.14.1).
#[inline(always)]
const fn extended(operation: Window, before: &Before) -> Head {
    let Some((_, name)) = operation.ber() else { return Head::UNKNOWN };
    let is_near = name.byte(0) == 0x80
        && name.byte(1) == 22
        && name.long(2) == u64::from_be_bytes(*b"1.3.6.1.");
    if !name.has(if is_near { 16 } else { 10 }) {
        return Head::UNKNOWN;
    }
    // No more of it is in the window where lengths take four bytes, as those of Windows do.
    let is_start = is_near && name.long(10) >> 16 == u64::from_be_bytes(*b"\0\x004.1.14");
    let tell = if is_start && before.is_client() { Tell::Ask } else { Tell::Sure };
    Head::of(Protocol::Ldap, tell)
}

/// The answer to that: its result code is 0 for success.
#[inline(always)]
const fn started(operation: Window) -> Head {
    let Some((_, result)) = operation.ber() else { return Head::UNKNOWN };
    if !result.has(3) {
        return Head::UNKNOWN;
    }
    let tell = if result.word(0) >> 8 == 0x0a_0100 { Tell::GoAhead } else { Tell::Refusal };
    Head::of(Protocol::Ldap, tell)
}
