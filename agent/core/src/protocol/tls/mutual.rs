//! Mutual TLS 1.3, told from the lengths of the client's first protected records.
//!
//! TLS 1.3 seals certificates. But after the server's hello a client in a full handshake sends
//! nothing but the rest of the handshake first, and hardly anybody pads it, so that the lengths tell
//! which messages there are (RFC 8446, sections 4.4 and 5.2). A protected record is as long as its
//! content and 17 bytes: the type, and 16 of the cipher's tag (8 with `CCM_8`).
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
//! | all of these in one, and data after it | mutual |
//! | anything else | unknown |
//!
//! The rows without application settings hold as well where every record has 16 bytes more, since
//! Java's own stack pads so.
//!
//! A CertificateVerify has one of the lengths that signatures have: 64 (Ed25519), 114 (Ed448), 66
//! to 72 (ECDSA with P-256), 98 to 104 (P-384), 133 to 139 (P-521), 128, 256, 384, 512 or 1024
//! (RSA), 2420, 3309 or 4627 (ML-DSA). "Or more" ends at 16,367, since a record that is full may be
//! a part of a message.
//!
//! # Its limits
//!
//! - A resumed session, or one with early data, says unknown: it has no certificates of its own,
//!   and its first records are something else.
//! - A client that pads its records says unknown, unless it pads at random and by chance meets the
//!   lengths of a row. The data after a flight in one record must not be a multiple of it: with
//!   padding to blocks, every length is. Nor may it be as long as an alert, a CertificateVerify or
//!   Finished, which would belong to a flight in several records that went otherwise.
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

/// From this length on a record may hold a part of a message, even if 16 bytes of it are padding.
const FRAGMENT: usize = 16_384 - JAVA_PADDING;

/// The shortest CertificateVerify.
const PROOF_MIN: usize = HEADER_LEN + 4 + 64;

/// What Java's own stack adds to each record.
const JAVA_PADDING: usize = 16;

/// Tells whether a client sent a certificate from its protected records, in a full handshake
/// without early data. `settings`: whether it offered application settings.
pub(super) fn infer(records: &[Sealed], suite: u16, settings: bool) -> Mutual {
    let Some((finished, overhead)) = lengths(suite) else { return Mutual::Unknown };
    let flight = |padding| flight(records, overhead + padding);
    let is_browsers = settings && is_after_settings(flight(0), finished);
    let told = if is_browsers { Mutual::OneWay } else { judge(flight(0), finished) };
    match told {
        Mutual::Unknown if settings => Mutual::Unknown,
        Mutual::Unknown if is_coalesced(flight(0), finished) => Mutual::Mutual,
        Mutual::Unknown => judge(flight(JAVA_PADDING), finished),
        told => told,
    }
}

/// The contents of the first three records.
type Contents = [Option<usize>; 3];

fn flight(records: &[Sealed], overhead: usize) -> Contents {
    [0, 1, 2].map(|i| {
        let record = records.get(i).filter(|record| record.kind == Kind::ApplicationData)?;
        record.length.checked_sub(overhead)
    })
}

/// What messages in records of their own, or Finished with its neighbour, tell.
fn judge([first, second, third]: Contents, finished: usize) -> Mutual {
    let Some(first) = first else { return Mutual::Unknown };
    let is_empty = first == NO_CERTIFICATE && second == Some(finished);
    if first == finished {
        Mutual::OneWay
    } else if is_empty || first == NO_CERTIFICATE + finished {
        Mutual::RequestedNotGiven
    } else if is_proven(first, second, third, finished) {
        Mutual::Mutual
    } else {
        Mutual::Unknown
    }
}

/// Finished after EncryptedExtensions, in one record or in two.
fn is_after_settings([first, second, _]: Contents, finished: usize) -> bool {
    first == Some(SETTINGS + finished) || first == Some(SETTINGS) && second == Some(finished)
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

/// The same in one record. The one after it shows that records are not padded to blocks, and is
/// neither an alert nor what would belong to a flight in several records.
fn is_coalesced([first, second, _]: Contents, finished: usize) -> bool {
    const ALERT: usize = 2;
    let Some((first, second)) = first.zip(second) else { return false };
    let is_padded = (second + 1).is_multiple_of(first + 1);
    let is_data = second != ALERT && second != finished && !is_proof(second);
    let least = CERTIFICATE_MIN + PROOF_MIN + finished;
    (least..FRAGMENT).contains(&first) && is_data && !is_padded
}

/// Whether a CertificateVerify can be so long: its header, algorithm and length, and a signature.
const fn is_proof(length: usize) -> bool {
    let Some(signature) = length.checked_sub(HEADER_LEN + 4) else { return false };
    matches!(
        signature,
        64 | 66..=72 | 98..=104 | 114 | 133..=139 | 128 | 256 | 384 | 512 | 1024 | 2420 | 3309 | 4627
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const SHA256: u16 = 0x1301;
    const SHA384: u16 = 0x1302;

    fn sealed(lengths: &[usize]) -> Vec<Sealed> {
        let kind = Kind::ApplicationData;
        let sealed =
            lengths.iter().map(|length| Sealed { kind, length: *length, is_complete: true });
        sealed.collect()
    }

    fn check(lengths: &[usize], suite: u16, expect: Mutual) {
        assert_eq!(infer(&sealed(lengths), suite, false), expect, "{lengths:?}");
    }

    #[test]
    fn finished_alone_is_one_way() {
        check(&[53], SHA256, Mutual::OneWay);
        check(&[69], SHA384, Mutual::OneWay);
        check(&[53, 281, 500], SHA256, Mutual::OneWay);
        check(&[45], 0x1305, Mutual::OneWay);
    }

    #[test]
    fn an_empty_certificate_was_asked_for() {
        check(&[25, 53], SHA256, Mutual::RequestedNotGiven);
        check(&[25, 69, 235], SHA384, Mutual::RequestedNotGiven);
        check(&[61], SHA256, Mutual::RequestedNotGiven);
        check(&[77], SHA384, Mutual::RequestedNotGiven);
    }

    #[test]
    fn a_certificate_with_its_proof_is_mutual() {
        check(&[795, 281, 69], SHA384, Mutual::Mutual);
        check(&[408, 95, 69], SHA384, Mutual::Mutual);
        check(&[408, 95, 53, 100], SHA256, Mutual::Mutual);
        check(&[3000, 537, 53], SHA256, Mutual::Mutual);
        check(&[6000, 3334, 53], SHA256, Mutual::Mutual);
        check(&[486, 69], SHA384, Mutual::Mutual);
        check(&[408, 131], SHA256, Mutual::Mutual);
        check(&[538, 40], SHA384, Mutual::Mutual);
    }

    #[test]
    fn what_fits_no_row_is_unknown() {
        check(&[], SHA256, Mutual::Unknown);
        check(&[25], SHA256, Mutual::Unknown);
        check(&[25, 69], SHA256, Mutual::Unknown);
        check(&[70], SHA256, Mutual::Unknown);
        check(&[53], SHA384, Mutual::Unknown);
        check(&[165, 21, 53], SHA256, Mutual::Unknown);
        check(&[408, 95], SHA256, Mutual::Unknown);
        check(&[408, 95, 69], SHA256, Mutual::Unknown);
        check(&[408, 19], SHA256, Mutual::Unknown);
        check(&[150, 95, 53], SHA256, Mutual::Unknown);
        check(&[16_401, 95, 53], SHA256, Mutual::Unknown);
        check(&[302, 69, 52], SHA256, Mutual::Unknown);
        check(&[538], SHA384, Mutual::Unknown);
        check(&[53], 0xc02f, Mutual::Unknown);
        check(&[63], SHA256, Mutual::Unknown);
        check(&[27, 53], SHA256, Mutual::Unknown);
        check(&[16], SHA256, Mutual::Unknown);
    }

    /// OpenSSL can be told to pad to blocks: its Finished is then a block, and all that follows.
    #[test]
    fn blocks_are_no_certificate() {
        for block in [64, 100, 256, 500, 512, 1000, 1024, 4096] {
            for blocks in [1, 2, 3, 7] {
                let lengths = [16 + block, 16 + block * blocks, 16 + block];
                for suite in [SHA256, SHA384] {
                    assert_eq!(infer(&sealed(&lengths), suite, false), Mutual::Unknown, "{block}");
                }
            }
        }
    }

    #[test]
    fn java_pads_each_record_by_16_bytes() {
        check(&[85, 58, 35], SHA384, Mutual::OneWay);
        check(&[69, 58, 35], SHA256, Mutual::OneWay);
        check(&[41, 85, 58], SHA384, Mutual::RequestedNotGiven);
        check(&[476, 112, 85], SHA384, Mutual::Mutual);
        check(&[430, 105, 85], SHA384, Mutual::Mutual);
        check(&[41, 69], SHA384, Mutual::Unknown);
        check(&[240, 112, 69], SHA384, Mutual::Unknown);
    }

    #[test]
    fn application_settings_come_first() {
        let check = |lengths: &[usize], expect| {
            assert_eq!(infer(&sealed(lengths), SHA256, true), expect, "{lengths:?}");
        };
        check(&[63], Mutual::OneWay);
        check(&[27, 53], Mutual::OneWay);
        check(&[53], Mutual::OneWay);
        check(&[538, 40], Mutual::Unknown);
        check(&[408, 95, 53], Mutual::Mutual);
    }

    #[test]
    fn only_protected_records_are_a_flight() {
        let mut records = sealed(&[53]);
        records.iter_mut().for_each(|record| record.kind = Kind::Handshake);
        assert_eq!(infer(&records, SHA256, false), Mutual::Unknown);
    }

    proptest! {
        #[test]
        fn any_lengths_are_judged(
            lengths in prop::collection::vec(0..20_000_usize, 0..6),
            suite in prop::sample::select(&[SHA256, SHA384, 0x1305, 7][..]),
            settings in any::<bool>(),
        ) {
            infer(&sealed(&lengths), suite, settings);
        }
    }
}
