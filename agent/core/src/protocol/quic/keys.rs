//! Keys of Initial packets (RFC 9001, section 5), which anybody can derive.

use alloc::vec::Vec;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{Aead as _, Payload};
use hkdf::Hkdf;
use sha2::Sha256;

use super::packet::Packet;
use crate::protocol::conversation::Side;

/// In what versions differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters {
    salt: &'static [u8; SALT_LEN],
    /// Whether its packets and labels are those of version 2 (RFC 9369).
    pub(super) is_v2: bool,
}

/// What protects the Initial packets of one end.
pub(super) struct Protection {
    key: Aes128Gcm,
    iv: [u8; IV_LEN],
    header: Aes128,
}

const SALT_LEN: usize = 20;
const IV_LEN: usize = 12;
const KEY_LEN: usize = 16;
const SECRET_LEN: usize = 32;

/// Part of a packet that its header's protection depends on.
const SAMPLE_LEN: usize = 16;

/// RFC 9001, section 5.2, and drafts 33 and 34.
const SALT_V1: [u8; SALT_LEN] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];

/// RFC 9369, section 3.3.1.
const SALT_V2: [u8; SALT_LEN] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb,
    0xf9, 0xbd, 0x2e, 0xd9,
];

/// Of the last drafts of version 2.
const SALT_V2_DRAFT: [u8; SALT_LEN] = [
    0xa7, 0x07, 0xc2, 0x03, 0xa5, 0x9b, 0x47, 0x18, 0x4a, 0x1d, 0x62, 0xca, 0x57, 0x04, 0x06, 0xea,
    0x7a, 0xe3, 0xe5, 0xd3,
];

/// Drafts 29 to 32.
const SALT_DRAFT_29: [u8; SALT_LEN] = [
    0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0,
    0x43, 0x90, 0xa8, 0x99,
];

/// Drafts 23 to 28.
const SALT_DRAFT_23: [u8; SALT_LEN] = [
    0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65,
    0xbe, 0xf9, 0xf5, 0x02,
];

/// Draft 22.
const SALT_DRAFT_22: [u8; SALT_LEN] = [
    0x7f, 0xbc, 0xdb, 0x0e, 0x7c, 0x66, 0xbb, 0xe9, 0x19, 0x3a, 0x96, 0xcd, 0x21, 0x51, 0x9e, 0xbd,
    0x7a, 0x02, 0x64, 0x4a,
];

/// Google's Q050.
const SALT_Q050: [u8; SALT_LEN] = [
    0x50, 0x45, 0x74, 0xef, 0xd0, 0x66, 0xfe, 0x2f, 0x9d, 0x94, 0x5c, 0xfc, 0xdb, 0xd3, 0xa7, 0xf0,
    0xd3, 0xb5, 0x6b, 0x45,
];

/// Google's T050.
const SALT_T050: [u8; SALT_LEN] = [
    0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80, 0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c,
    0x60, 0x48, 0x83, 0x10,
];

/// Google's T051.
const SALT_T051: [u8; SALT_LEN] = [
    0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50, 0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc,
    0xda, 0x6e, 0x03, 0x3d,
];

/// Google's versions, in ASCII: with its own handshake, and with TLS.
const Q050: u32 = 0x5130_3530;
const T050: u32 = 0x5430_3530;
const T051: u32 = 0x5430_3531;

/// What is particular to a version, where it is known here.
pub(super) const fn parameters(version: u32) -> Option<Parameters> {
    let (salt, is_v2) = match version {
        1 | 0xff00_0021..=0xff00_0022 => (&SALT_V1, false),
        0x6b33_43cf => (&SALT_V2, true),
        0x709a_50c4 => (&SALT_V2_DRAFT, true),
        0xff00_001d..=0xff00_0020 => (&SALT_DRAFT_29, false),
        // The second row is Facebook's, which began with the drafts and took up version 1.
        0xff00_0017..=0xff00_001c => (&SALT_DRAFT_23, false),
        0xfaceb002 | 0xfaceb00d..=0xfaceb00f => (&SALT_DRAFT_23, false),
        0xfaceb003 | 0xfaceb010 => (&SALT_V1, false),
        0xff00_0016 | 0xfaceb000..=0xfaceb001 => (&SALT_DRAFT_22, false),
        Q050 => (&SALT_Q050, false),
        T050 => (&SALT_T050, false),
        T051 => (&SALT_T051, false),
        _ => return None,
    };
    Some(Parameters { salt, is_v2 })
}

/// Whether Google's own handshake is inside, and not TLS.
pub(super) const fn is_google(version: u32) -> bool {
    version == Q050
}

/// Whether frames have Google's numbers.
pub(super) const fn is_numbered_by_google(version: u32) -> bool {
    matches!(version, Q050 | T050 | T051)
}

// === impl Protection ===

impl Protection {
    /// What follows from the connection identifier that the client chose for the server.
    pub(super) fn new(version: u32, id: &[u8], side: Side) -> Option<Self> {
        let Parameters { salt, is_v2 } = parameters(version)?;
        let (initial, _) = Hkdf::<Sha256>::extract(Some(salt), id);
        let end: &[u8] = match side {
            Side::Client => b"client in",
            Side::Server => b"server in",
        };
        let secret: [u8; SECRET_LEN] = expand(&initial, end)?;
        let labels: [&[u8]; 3] = if is_v2 {
            [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"]
        } else {
            [b"quic key", b"quic iv", b"quic hp"]
        };
        let [key, iv, header] = labels;
        Some(Self {
            key: Aes128Gcm::new(&expand::<KEY_LEN>(&secret, key)?.into()),
            iv: expand(&secret, iv)?,
            header: Aes128::new(&expand::<KEY_LEN>(&secret, header)?.into()),
        })
    }

    /// The content of an Initial packet, if these are its keys (RFC 9001, sections 5.3 and 5.4).
    pub(super) fn open(&self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let (header, sealed) = packet.bytes.split_at_checked(packet.number_at)?;
        let sample = sealed.get(4..4 + SAMPLE_LEN)?;
        let mut mask: [u8; SAMPLE_LEN] = sample.try_into().ok()?;
        self.header.encrypt_block((&mut mask).into());
        let [first_mask, number_mask @ ..] = mask;

        let mut header = header.to_vec();
        let first = header.first_mut()?;
        *first ^= first_mask & 0x0f;
        let number_len = usize::from(*first & 3) + 1;
        let (number, sealed) = sealed.split_at_checked(number_len)?;
        header.extend(number.iter().zip(number_mask).map(|(byte, mask)| byte ^ mask));

        let number = header.get(packet.number_at..)?;
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().rev().zip(number.iter().rev()) {
            *byte ^= number;
        }
        self.key.decrypt(&nonce.into(), Payload { msg: sealed, aad: &header }).ok()
    }
}

/// HKDF-Expand-Label without a context (RFC 8446, section 7.1).
fn expand<const LEN: usize>(secret: &[u8], label: &[u8]) -> Option<[u8; LEN]> {
    const PREFIX: &[u8] = b"tls13 ";
    let length = u16::try_from(LEN).ok()?.to_be_bytes();
    let label_len = [u8::try_from(PREFIX.len() + label.len()).ok()?];
    let mut key = [0; LEN];
    let info: [&[u8]; 5] = [&length, &label_len, PREFIX, label, &[0]];
    Hkdf::<Sha256>::from_prk(secret).ok()?.expand_multi_info(&info, &mut key).ok()?;
    Some(key)
}
