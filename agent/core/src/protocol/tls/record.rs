//! TLS records: where one ends and the next must begin (RFC 8446, section 5.1).

use super::bytes::Bytes;

/// How many bytes of a direction are read, whatever was handed over.
pub(super) const DIRECTION_MAX: usize = 64 * 1024;

/// How many records of a direction are read. A certificate chain in records of 512 bytes, the
/// shortest that can be negotiated (RFC 6066, section 4), still fits.
const RECORDS_MAX: usize = 256;

/// Longest protected payload that any version allows (RFC 5246, section 6.2.3).
const PAYLOAD_MAX: usize = 16_384 + 2048;

/// What a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// change_cipher_spec: in TLS 1.3 it means nothing.
    ChangeCipherSpec,
    /// An alert.
    Alert,
    /// Handshake messages.
    Handshake,
    /// Application data, and in TLS 1.3 everything that is protected.
    ApplicationData,
    /// A heartbeat (RFC 6520).
    Heartbeat,
}

/// One TLS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it carries.
    pub kind: Kind,
    /// The version in its header, which says little about the one that was negotiated.
    pub version: u16,
    /// Bytes of payload that its header announces.
    pub length: usize,
    /// Its payload, as far as there is any.
    pub payload: &'a [u8],
}

/// Records that follow one another without a gap.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    left: Bytes<'a>,
    count: usize,
}

/// The plausible TLS records that stand one behind the other from the first of `bytes` on; the last
/// may be cut. It ends at the first byte that can be none, after 64 KiB or 256 records.
///
/// One record alone proves nothing, since other protocols' frames can look like it. Two complete
/// ones in a row do: the second must stand exactly where the first ends.
pub fn records(bytes: &[u8]) -> Records<'_> {
    Records { left: Bytes(bytes).take_up_to(DIRECTION_MAX), count: 0 }
}

// === impl Kind ===

impl Kind {
    pub(super) const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            20 => Self::ChangeCipherSpec,
            21 => Self::Alert,
            22 => Self::Handshake,
            23 => Self::ApplicationData,
            24 => Self::Heartbeat,
            _ => return None,
        })
    }
}

// === impl Record ===

impl<'a> Record<'a> {
    /// Whether all of its payload is there.
    pub const fn is_complete(&self) -> bool {
        self.payload.len() == self.length
    }

    fn read(bytes: &mut Bytes<'a>) -> Option<Self> {
        let kind = Kind::from_code(bytes.u8()?)?;
        let version = bytes.u16()?;
        let length = bytes.u16()?.into();
        if !is_plausible(kind, version, length) {
            return None;
        }
        let payload = bytes.take_up_to(length).0;
        Some(Self { kind, version, length, payload })
    }
}

// === impl Records ===

impl<'a> Records<'a> {
    /// How many complete records stand in a row, not counting those that were taken already.
    pub fn complete(self) -> usize {
        self.take_while(Record::is_complete).count()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.count == RECORDS_MAX {
            return None;
        }
        self.count += 1;
        let record = Record::read(&mut self.left);
        if record.is_none() {
            self.left = Bytes(&[]);
        }
        record
    }
}

/// Only application data may be empty (RFC 8446, section 5.1). A change_cipher_spec is one byte in
/// all versions, and protected in none but by a mistake.
fn is_plausible(kind: Kind, version: u16, length: usize) -> bool {
    let is_version = matches!(version, 0x0300..=0x0304);
    let is_length = match kind {
        Kind::ChangeCipherSpec => length == 1,
        Kind::ApplicationData => length <= PAYLOAD_MAX,
        Kind::Alert => (2..=PAYLOAD_MAX).contains(&length),
        Kind::Handshake | Kind::Heartbeat => (1..=PAYLOAD_MAX).contains(&length),
    };
    is_version && is_length
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// Type, version and length.
    const HEADER_LEN: usize = 5;

    fn check(bytes: &[u8], kinds: &[Kind], complete: usize) {
        let found: Vec<Kind> = records(bytes).map(|record| record.kind).collect();
        assert_eq!(found, kinds, "{bytes:x?}");
        assert_eq!(records(bytes).complete(), complete, "{bytes:x?}");
    }

    #[test]
    fn a_record_ends_where_the_next_begins() {
        let data: &[u8] = &[23, 3, 3, 0, 3, 1, 2, 3];
        check(data, &[Kind::ApplicationData], 1);
        check(&[data, data].concat(), &[Kind::ApplicationData; 2], 2);
        check(
            &[data, &[20, 3, 3, 0, 1, 1]].concat(),
            &[Kind::ApplicationData, Kind::ChangeCipherSpec],
            2,
        );
        check(&[data, &data[..6]].concat(), &[Kind::ApplicationData; 2], 1);
        check(&[data, &data[..4]].concat(), &[Kind::ApplicationData], 1);
        check(&[data, &[0], data].concat(), &[Kind::ApplicationData], 1);
    }

    #[test]
    fn what_no_record_can_be_is_none() {
        check(b"", &[], 0);
        check(b"GET / HTTP/1.1\r\n", &[], 0);
        check(&[22, 3, 5, 0, 1, 1], &[], 0);
        check(&[22, 3, 3, 0, 0], &[], 0);
        check(&[20, 3, 3, 0, 2, 1, 1], &[], 0);
        check(&[21, 3, 3, 0, 1, 1], &[], 0);
        check(&[23, 3, 3, 0x48, 1, 1], &[], 0);
        check(&[25, 3, 3, 0, 1, 1], &[], 0);
        check(&[23, 3, 3, 0, 0], &[Kind::ApplicationData], 1);
    }

    #[test]
    fn a_flood_of_tiny_records_ends() {
        let flood = [23, 3, 3, 0, 0].repeat(5000);
        assert_eq!(records(&flood).count(), RECORDS_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_have_records(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let length: usize = records(&bytes).map(|r| HEADER_LEN + r.payload.len()).sum();
            prop_assert!(length <= bytes.len());
        }
    }
}
