//! What replay may hold at one time, and what it had to refuse.

use std::collections::BTreeMap;

/// Bytes of payload that may be held, and what found no room.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
    refused: BTreeMap<Refusal, u64>,
}

/// Why something was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// A frame without an IP packet.
    NotIp,
    /// A frame shorter than its headers.
    Short,
    /// A frame of a link that is not read.
    UnknownLink,
    /// A packet that belongs to no stream: ICMP, IGMP.
    NoStream,
    /// A transport that is not read.
    UnknownTransport,
    /// A fragment of a packet of which not all was seen, or that found no room.
    Fragment,
    /// A segment that is out of its connection's window.
    OutOfWindow,
    /// A segment that came too early and found no room.
    OutOfOrder,
    /// A packet of one stream too many.
    Stream,
    /// Payload that found no room.
    Payload,
}

/// 256 MiB of payload.
const HELD: usize = 1 << 28;

// === impl Budget ===

impl Budget {
    pub(super) const fn new() -> Self {
        Self { left: HELD, refused: BTreeMap::new() }
    }

    /// How many of so many bytes may be kept.
    pub(super) fn take(&mut self, wanted: usize) -> usize {
        let granted = wanted.min(self.left);
        self.left -= granted;
        if granted < wanted {
            self.refuse(Refusal::Payload);
        }
        granted
    }

    /// So many bytes are no longer kept.
    pub(super) const fn give_back(&mut self, bytes: usize) {
        self.left += bytes;
    }

    /// Counts what was not looked at.
    pub(super) fn refuse(&mut self, why: Refusal) {
        *self.refused.entry(why).or_default() += 1;
    }

    /// What was refused, by reason.
    pub(super) fn refused(self) -> BTreeMap<Refusal, u64> {
        self.refused
    }
}

// === impl Refusal ===

impl Refusal {
    /// Whether a stream may be missing, or less than what was captured of it was looked at.
    pub const fn is_loss(self) -> bool {
        !matches!(self, Self::NotIp | Self::NoStream)
    }

    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::Short => "short",
            Self::UnknownLink => "unknown_link",
            Self::NoStream => "no_stream",
            Self::UnknownTransport => "unknown_transport",
            Self::Fragment => "fragment",
            Self::OutOfWindow => "out_of_window",
            Self::OutOfOrder => "out_of_order",
            Self::Stream => "stream",
            Self::Payload => "payload",
        }
    }

    /// In words, behind a number.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotIp => "frames without an IP packet",
            Self::Short => "frames shorter than their headers",
            Self::UnknownLink => "frames of a link that is not read",
            Self::NoStream => "packets that belong to no stream",
            Self::UnknownTransport => "packets of a transport that is not read",
            Self::Fragment => "fragments without the rest of their packet",
            Self::OutOfWindow => "segments out of their connection's window",
            Self::OutOfOrder => "segments that came too early and found no room",
            Self::Stream => "packets of streams that found no room",
            Self::Payload => "segments or datagrams that found no room",
        }
    }
}
