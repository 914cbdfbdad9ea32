//! What the tests ask the kernel's judging, and what it answers: the packet of a test run, in words.
//!
//! No part of what the agent loads. The program that answers is built with the feature `entry` only.

use crate::wire::head::HEAD_LEN;

/// Offset of question and answer in the packet. What stands before it is the Ethernet header, which
/// a test run wants and looks into.
pub const AT: usize = 16;

/// One message or datagram, and what was known before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Question {
    /// Its start, as it lies in memory.
    pub start: [u64; HEAD_LEN / 8],
    /// [`CLIENT`] to [`SEARCH`].
    pub kind: u64,
    /// The conversation before it, as `Talk::to_word` gives it; what `words::follow` calls `known`
    /// of a further datagram.
    pub known: u64,
    /// Its length in the upper half. In the lower one the segments of its direction that were looked
    /// at, or the two ports of a datagram.
    pub of: u64,
}

/// What the kernel says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Answer {
    /// The head of a message, or a step of a search; nothing of a datagram.
    pub head: u64,
    /// The conversation after it; nothing over UDP.
    pub talk: u64,
    /// What `words::read` gives; of a datagram protocol and stage in the lowest two bytes.
    pub reading: u64,
    /// Length of a header for a proxy; 0 where there is none.
    pub proxy: u64,
}

/// A message of the client over TCP.
pub const CLIENT: u64 = 0;
/// A message of the server over TCP.
pub const SERVER: u64 = 1;
/// A conversation's first datagram.
pub const FIRST: u64 = 2;
/// A further one.
pub const FOLLOW: u64 = 3;
/// A window of a message, of which [`Question::of`] is what `search::step` takes.
pub const SEARCH: u64 = 4;

/// What the program returns once it has answered.
pub const ANSWERED: u32 = 1;

const _: () = assert!(size_of::<Question>() == 56 && size_of::<Answer>() == 32);
