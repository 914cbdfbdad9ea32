//! What is not proven, and why: neither safe nor unsafe.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rules::payload;
use crate::graph::Edge;
use crate::protocol::{Security, State};

/// Why it is not known whether a hop is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// It is older than the agent, and its start was not seen.
    JoinedLate,
    /// Its first bytes fit no rule.
    UnknownProtocol,
    /// A handshake was begun, and nothing protected followed.
    HandshakeOnly,
    /// Parts of its messages are protected, or it seals them itself.
    SealedInside,
    /// It stands for many others of its cgroup, which are not told apart.
    Folded,
}

/// Hops and what they carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub hops: u64,
    /// Payload bytes of both directions.
    pub bytes: u64,
}

/// What is not proven.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NotProven {
    /// How much.
    #[serde(flatten)]
    pub amount: Amount,
    /// Of how much in all.
    pub of: Amount,
    /// The hops' share, 0 to 1.
    pub hops_share: f64,
    /// The bytes' share, 0 to 1.
    pub bytes_share: f64,
    /// The same by reason.
    pub reasons: BTreeMap<Doubt, Amount>,
    /// How many connections, events and the like were lost, and may have been anything.
    pub lost: u64,
}

// === impl Doubt ===

impl Doubt {
    /// In words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::JoinedLate => "joined late",
            Self::UnknownProtocol => "unknown protocol",
            Self::HandshakeOnly => "handshake only",
            Self::SealedInside => "sealed inside",
            Self::Folded => "folded",
        }
    }
}

// === impl Amount ===

impl Amount {
    pub(super) fn add(&mut self, edge: &Edge) {
        self.hops = self.hops.saturating_add(1);
        self.bytes = self.bytes.saturating_add(payload(edge));
    }
}

/// Why this hop is not proven to be either; none where it is, and where it carried nothing.
pub fn doubt(edge: &Edge) -> Option<Doubt> {
    let is_sealed = !matches!(edge.security, Security::None | Security::Unknown);
    match edge.state {
        _ if payload(edge) == 0 => None,
        _ if edge.server.is_folded() || edge.client.is_folded() => Some(Doubt::Folded),
        State::Partial => Some(Doubt::SealedInside),
        State::Encrypted | State::Upgraded => None,
        State::Plaintext if edge.protocol != "unknown" => None,
        _ if edge.joined_late => Some(Doubt::JoinedLate),
        State::HandshakeOnly => Some(Doubt::HandshakeOnly),
        State::Unknown if is_sealed => Some(Doubt::HandshakeOnly),
        _ => Some(Doubt::UnknownProtocol),
    }
}

/// What of these hops is not proven, beside so much that was lost.
pub fn not_proven<'a>(edges: impl IntoIterator<Item = &'a Edge>, lost: u64) -> NotProven {
    let mut all = NotProven { lost, ..NotProven::default() };
    for edge in edges.into_iter().filter(|edge| payload(edge) > 0) {
        all.of.add(edge);
        if let Some(doubt) = doubt(edge) {
            all.amount.add(edge);
            all.reasons.entry(doubt).or_default().add(edge);
        }
    }
    all.hops_share = share(all.amount.hops, all.of.hops);
    all.bytes_share = share(all.amount.bytes, all.of.bytes);
    all
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}
