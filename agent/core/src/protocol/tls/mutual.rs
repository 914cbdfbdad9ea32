//! Mutual TLS 1.3, told from the lengths of the client's first protected records.
//!
//! TLS 1.3 seals certificates. But after the server's hello a client in a full handshake sends
//! nothing but the rest of the handshake first, and nobody pads it by default, so that the lengths
//! tell which messages there are (RFC 8446, sections 4.4 and 5.2). A protected record is as long as
//! its content and 17 bytes: the type, and 16 of the cipher's tag (8 with `CCM_8`).
//!
//! # The rule
//!
//! Finished is 36 bytes with a cipher suite of SHA-256 and 52 with one of SHA-384, a Certificate
//! message without a certificate is 8, and a CertificateVerify 8 and the signature. Then, in bytes
//! of content:
//!
//! | the client's first protected records | that is |
//! |---|---|
//! | Finished | one way |
//! | Finished + 10, if it offered application settings | one way: browsers send EncryptedExtensions first |
//! | 8, Finished; or 8 + Finished in one | requested, not given |
//! | 183 or more, a CertificateVerify, Finished | mutual |
//! | 183 and a CertificateVerify or more, Finished | mutual |
//! | 183 or more, a CertificateVerify + Finished in one | mutual |
//! | all of these in one, and a later record that is no multiple of it | mutual |
//! | anything else | unknown |
//!
//! A CertificateVerify has one of the lengths that signatures have: 64 (Ed25519), 114 (Ed448), 66
//! to 72 (ECDSA with P-256), 98 to 104 (P-384), 133 to 139 (P-521), 128, 256, 384, 512 or 1024
//! (RSA), 2420, 3309 or 4627 (ML-DSA). "Or more" ends at 16,383, since a record that is full may be
//! a part of a message.
//!
//! # Its limits
//!
//! - A resumed session, or one with early data, says unknown: it has no certificates of its own,
//!   and its first records are something else.
//! - A client that pads its records says unknown, unless it pads at random and by chance meets the
//!   lengths of a row. That blocks are not padded is what the last condition of a coalesced flight
//!   is for: with blocks, every length is a multiple of the first.
//! - Certificates that are asked for after the handshake, raw public keys, and a compressed
//!   certificate under 183 bytes are not seen.
//! - That the client sent a certificate does not show that the server liked it.

use super::Mutual;
use super::flight::Sealed;
use super::record::Kind;

/// The kind and the length before a handshake message.
const HEADER_LEN: usize = 4;

/// A Certificate message without a certificate: its context and its list are empty.
const NO_CERTIFICATE: usize = HEADER_LEN + 1 + 3;

/// EncryptedExtensions with one empty extension.
const SETTINGS: usize = HEADER_LEN + 2 + 4;

/// A certificate is longer than this: names, dates, a key and a signature.
const CERTIFICATE_MIN: usize = 183;

/// From this length on a record may hold a part of a message.
const FRAGMENT: usize = 16_384;

/// The shortest CertificateVerify.
const PROOF_MIN: usize = HEADER_LEN + 4 + 64;

/// Tells whether a client sent a certificate from its protected records, in a full handshake
/// without early data. `settings`: whether it offered application settings.
pub(super) fn infer(records: &[Sealed], suite: u16, settings: bool) -> Mutual {
    let Some((finished, overhead)) = lengths(suite) else { return Mutual::Unknown };
    let mut contents = records.iter().map(|record| content(record, overhead));
    let mut next = || contents.next().flatten();
    let (first, second, third) = (next(), next(), next());
    let Some(first) = first else { return Mutual::Unknown };
    let is_settings = |length| settings && length == SETTINGS;
    if first == finished
        || first.checked_sub(finished).is_some_and(is_settings)
        || is_settings(first) && second == Some(finished)
    {
        Mutual::OneWay
    } else if first == NO_CERTIFICATE && second == Some(finished)
        || first == NO_CERTIFICATE + finished
    {
        Mutual::RequestedNotGiven
    } else if is_proven(first, second, third, finished)
        || !settings && is_coalesced(first, second, finished)
    {
        Mutual::Mutual
    } else {
        Mutual::Unknown
    }
}

/// Length of Finished (RFC 8446, section 4.4.4), and what protection adds to a record's content.
const fn lengths(suite: u16) -> Option<(usize, usize)> {
    Some(match suite {
        0x1301 | 0x1303 | 0x1304 | 0x00c6 | 0x00c7 => (HEADER_LEN + 32, 17),
        0x1302 => (HEADER_LEN + 48, 17),
        0x1305 => (HEADER_LEN + 32, 9),
        _ => return None,
    })
}

fn content(record: &Sealed, overhead: usize) -> Option<usize> {
    (record.kind == Kind::ApplicationData).then(|| record.length.checked_sub(overhead)).flatten()
}

/// A certificate, its proof and Finished, in two records or in three. That Finished ends exactly
/// where it must shows that nothing was padded.
fn is_proven(first: usize, second: Option<usize>, third: Option<usize>, finished: usize) -> bool {
    let Some(second) = second.filter(|_| (CERTIFICATE_MIN..FRAGMENT).contains(&first)) else {
        return false;
    };
    is_proof(second) && third == Some(finished)
        || second.checked_sub(finished).is_some_and(is_proof)
        || second == finished && first >= CERTIFICATE_MIN + PROOF_MIN
}

/// The same in one record. The one after it shows that records are not padded to blocks.
fn is_coalesced(first: usize, second: Option<usize>, finished: usize) -> bool {
    let least = CERTIFICATE_MIN + PROOF_MIN + finished;
    let is_unpadded = |second: usize| !(second + 1).is_multiple_of(first + 1);
    (least..FRAGMENT).contains(&first) && second.is_some_and(is_unpadded)
}

/// Whether a CertificateVerify can be so long: its header, algorithm and length, and a signature.
const fn is_proof(length: usize) -> bool {
    let Some(signature) = length.checked_sub(HEADER_LEN + 4) else { return false };
    matches!(
        signature,
        64 | 66..=72 | 98..=104 | 114 | 133..=139 | 128 | 256 | 384 | 512 | 1024 | 2420 | 3309 | 4627
    )
}
