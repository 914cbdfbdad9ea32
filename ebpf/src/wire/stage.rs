//! How far a conversation was seen to be protected.

/// Where a conversation stands. Codes are part of the contract of kernel and agent; with its
/// protocol it says security and state of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Stage {
    /// No payload yet in either direction.
    Pending = 0,
    /// Payload that no rule recognises.
    Unknown = 1,
    /// In the clear, and its protocol has no way to change that.
    Plaintext = 2,
    /// In the clear so far; its protocol may still change to encryption.
    MayUpgrade = 3,
    /// In the clear: the server offered encryption, and the client went on without.
    OfferedNotTaken = 4,
    /// In the clear: the client asked for encryption, and the server refused.
    Refused = 5,
    /// A handshake was begun by one end, and the other has not answered in kind.
    Offered = 6,
    /// Both ends have begun a handshake; nothing protected was seen.
    Handshake = 7,
    /// Protected payload followed the handshake of both ends.
    Encrypted = 8,
    /// The same, after a start in the clear.
    Upgraded = 9,
    /// Parts of its messages are protected, or it seals them itself.
    Partial = 10,
}

impl Stage {
    /// Every one, in the order of their codes.
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::Unknown,
        Self::Plaintext,
        Self::MayUpgrade,
        Self::OfferedNotTaken,
        Self::Refused,
        Self::Offered,
        Self::Handshake,
        Self::Encrypted,
        Self::Upgraded,
        Self::Partial,
    ];

    /// The one with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Pending,
            1 => Self::Unknown,
            2 => Self::Plaintext,
            3 => Self::MayUpgrade,
            4 => Self::OfferedNotTaken,
            5 => Self::Refused,
            6 => Self::Offered,
            7 => Self::Handshake,
            8 => Self::Encrypted,
            9 => Self::Upgraded,
            10 => Self::Partial,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_one_to_one() {
        for (i, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!((stage as usize, Stage::from_code(i as u8)), (i, Some(stage)));
        }
        assert_eq!(Stage::from_code(Stage::ALL.len() as u8), None);
    }
}
