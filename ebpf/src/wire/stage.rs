//! How far a conversation was seen to be protected.

use super::coded::coded;

coded! {
    /// Where a conversation stands. Codes are part of the contract of kernel and agent; with its
    /// protocol it says security and state of an edge.
    Stage {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_one_to_one() {
        for (i, stage) in Stage::ALL.iter().copied().enumerate() {
            assert_eq!((stage as usize, Stage::from_code(i as u8)), (i, Some(stage)));
        }
        assert_eq!(Stage::from_code(Stage::ALL.len() as u8), None);
    }
}
