//! What protects a payload: what users ask for, and what a protocol and a stage add up to.

use super::coded::coded;
use super::protocol::Protocol;
use super::stage::Stage;

coded! {
    /// What protects the payload. Codes are part of the contract of kernel and agent.
    Security {
        /// Nothing: the payload is readable by whoever carries it.
        None = 0 "none",
        /// TLS (RFC 8446, RFC 5246).
        Tls = 1 "tls",
        /// DTLS (RFC 9147).
        Dtls = 2 "dtls",
        /// QUIC (RFC 9001).
        Quic = 3 "quic",
        /// SSH (RFC 4253).
        Ssh = 4 "ssh",
        /// WireGuard.
        Wireguard = 5 "wireguard",
        /// IPsec: IKE (RFC 7296) and ESP (RFC 4303).
        Ipsec = 6 "ipsec",
        /// OpenVPN.
        Openvpn = 7 "openvpn",
        /// Not known, which is neither safe nor unsafe.
        Unknown = 8 "unknown",
    }
}

/// One bit for each stage in the clear.
const CLEAR: u16 = stages(Security::None);

/// One bit for each stage that is protected.
const PROTECTED: u16 = stages(Security::Tls);

/// What protects the first 16 protocols, four bits each. Of the others all but one change to TLS.
const BY_PROTOCOL: u64 = {
    let (mut table, mut code) = (0, 0);
    while code < 16 {
        table |= (Security::by(Protocol::ALL[code]) as u64) << (code * 4);
        code += 1;
    }
    table
};

impl Security {
    /// What protects a conversation of this protocol that has come to this stage. What is sealed
    /// by its own messages, or in parts, is protected by none of these, and yet not readable.
    #[inline(always)]
    pub const fn of(protocol: Protocol, stage: Stage) -> Self {
        match stage {
            Stage::Pending | Stage::Unknown | Stage::Partial => Self::Unknown,
            Stage::Plaintext | Stage::MayUpgrade | Stage::OfferedNotTaken | Stage::Refused => {
                Self::None
            }
            Stage::Offered | Stage::Handshake | Stage::Encrypted | Stage::Upgraded => {
                Self::by(protocol)
            }
        }
    }

    /// What is left of a protocol's name where it is protected. All that begin in the clear change
    /// to TLS.
    const fn by(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Dtls => Self::Dtls,
            Protocol::Quic | Protocol::Gquic => Self::Quic,
            Protocol::Ssh => Self::Ssh,
            Protocol::Wireguard => Self::Wireguard,
            Protocol::Ike | Protocol::EspInUdp => Self::Ipsec,
            Protocol::Openvpn => Self::Openvpn,
            _ => Self::Tls,
        }
    }

    /// The bit that stands for it in a mask.
    pub const fn bit(self) -> u16 {
        1 << self as u8
    }

    /// [`Self::bit`] by the codes of a protocol and a stage.
    ///
    /// By masks and not by branches: the verifier follows each value that it knows through all
    /// filters.
    #[inline(always)]
    pub const fn bit_of(protocol: u8, stage: u8) -> u16 {
        let (is_clear, is_protected) = (has(CLEAR, stage), has(PROTECTED, stage));
        let bits = is_protected.wrapping_neg() & Self::bit_by(protocol)
            | is_clear.wrapping_neg() & Self::None.bit();
        bits | (is_clear | is_protected).wrapping_sub(1) & Self::Unknown.bit()
    }

    #[inline(always)]
    const fn bit_by(protocol: u8) -> u16 {
        if protocol == Protocol::Gquic as u8 {
            Self::Quic.bit()
        } else if protocol > 15 {
            Self::Tls.bit()
        } else {
            1 << (BY_PROTOCOL >> (protocol * 4) & 15)
        }
    }
}

/// One bit for each stage at which TLS reads as `security`.
const fn stages(security: Security) -> u16 {
    let (mut mask, mut at) = (0, 0);
    while at < Stage::ALL.len() {
        let stage = Stage::ALL[at];
        if Security::of(Protocol::Tls, stage) as u8 == security as u8 {
            mask |= 1 << stage as u8;
        }
        at += 1;
    }
    mask
}

#[inline(always)]
const fn has(mask: u16, stage: u8) -> u16 {
    mask >> (stage & 15) & 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(protocol: Protocol, stage: Stage, expect: Security) {
        assert_eq!(Security::of(protocol, stage), expect, "{protocol:?} {stage:?}");
    }

    #[test]
    fn a_stage_decides_whether_and_a_protocol_how() {
        check(Protocol::Tls, Stage::Pending, Security::Unknown);
        check(Protocol::Http, Stage::Plaintext, Security::None);
        check(Protocol::Smtp, Stage::MayUpgrade, Security::None);
        check(Protocol::Smtp, Stage::OfferedNotTaken, Security::None);
        check(Protocol::Postgresql, Stage::Refused, Security::None);
        check(Protocol::Postgresql, Stage::Upgraded, Security::Tls);
        check(Protocol::Tls, Stage::Offered, Security::Tls);
        check(Protocol::Dtls, Stage::Handshake, Security::Dtls);
        check(Protocol::Gquic, Stage::Encrypted, Security::Quic);
        check(Protocol::EspInUdp, Stage::Encrypted, Security::Ipsec);
        check(Protocol::Kerberos, Stage::Partial, Security::Unknown);
    }

    #[test]
    fn codes_are_one_to_one() {
        for (i, security) in Security::ALL.iter().copied().enumerate() {
            assert_eq!((security as usize, security.bit()), (i, 1 << i));
        }
    }

    #[test]
    fn codes_say_the_same_as_names() {
        for protocol in Protocol::ALL {
            for stage in Stage::ALL.iter().copied() {
                let bit = Security::bit_of(*protocol as u8, stage as u8);
                assert_eq!(bit, Security::of(*protocol, stage).bit(), "{protocol:?} {stage:?}");
            }
        }
    }
}
