//! What is wrong with a hop, on what evidence, and what to do about it.
//!
//! There is one finding for each kind and server listener, with its clients inside. What it is
//! called stays the same over restarts, rollouts and changes of address. What is not known is no
//! finding: it is counted as not proven. And silence proves nothing: see [`register`].

mod expected;
mod fix;
mod listener;
mod proof;
pub mod register;
mod rules;
mod severity;
mod sidecar;

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::expected::expected;
pub use self::proof::{Amount, Doubt, NotProven, doubt, not_proven};
pub use self::register::{Coverage, Findings};
pub use self::rules::{Asked, is_clear, is_sealed};
pub use self::severity::Severity;
use crate::graph::{Link, Scope};
use crate::identity::{Confidence, Workload};
use crate::protocol::Transport;
use crate::record::Evidence;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A secret can be read on the way.
    CredentialsInClear,
    /// It was encrypted before, and is not any more.
    Downgrade,
    /// The client asked for encryption, and the server refused.
    UpgradeRefused,
    /// Payload can be read on the way.
    PlaintextHop,
    /// Encrypted in a way that does not hold.
    WeakTls,
    /// The server's certificate has ended, or will soon.
    CertificateExpiring,
    /// The client does not prove who it is. Only where somebody asks for that.
    OneWayTls,
    /// Nobody vouches for the server's certificate but itself.
    CertificateSelfSigned,
    /// A proof of a secret can be read on the way, and tried out.
    AuthInClear,
}

/// Where a finding stands, what needs a look first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// First seen within the last day.
    New,
    /// More severe than before, or back after it was fixed, within the last day.
    Worse,
    /// Seen within the last day, and known for longer.
    Open,
    /// Not seen for a day, which proves nothing.
    Quiet,
    /// Every client was seen to do better since, none did not, and nothing was missed meanwhile.
    Fixed,
    /// Somebody answers for it.
    Accepted,
}

/// What was found at one server listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `f-` and 12 hex digits, of the kind and the listener alone.
    pub id: String,
    /// What is wrong.
    pub kind: Kind,
    /// How bad that is: the worst since it was last fixed.
    pub severity: Severity,
    /// Where it stands.
    pub state: State,
    /// Who accepts the connections.
    pub server: Workload,
    /// The port it listens on; 0 where that is different each time.
    pub server_port: u16,
    /// What carries the payload.
    pub transport: Transport,
    /// The wire protocol.
    pub protocol: String,
    /// How far the farthest of its hops goes.
    pub scope: Scope,
    /// The weakest link that any of them goes over.
    #[serde(default)]
    pub link: Link,
    /// Who opens them: at most [`register::MOST_CLIENTS`], in order.
    pub clients: Vec<Workload>,
    /// How many more there are.
    pub clients_more: u64,
    /// What was seen, and on how many connections of how many.
    pub evidence: Evidence,
    /// How sure that is.
    pub confidence: Confidence,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// On how many connections it was seen since the agent's start; over UDP, datagrams; of
    /// handshakes, those that were read.
    pub connections: u64,
    /// Of how many.
    pub of: u64,
    /// What to do about it: the server's side, the client's, and what else.
    pub fix: Vec<Cow<'static, str>>,
    /// Who answers for the server.
    pub owner: Option<String>,
    /// The rule of a policy that asks for better; there is no policy yet.
    pub rule: Option<String>,
}

/// All findings at one moment: what `GET /api/v1/findings` gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The findings, by state and severity.
    pub findings: Vec<Finding>,
    /// How many of each state are above info.
    pub counts: BTreeMap<State, u64>,
    /// Hops in the clear that nobody wonders about.
    pub expected_plaintext: Amount,
    /// What is not known, and why.
    pub not_proven: NotProven,
    /// How many findings there was no room for.
    pub refused: u64,
    /// How many clients are not remembered any more to have been encrypted, for want of room.
    pub forgotten: u64,
    /// Since when the findings are kept.
    pub since: Timestamp,
    /// The moment.
    pub taken_at: Timestamp,
}

// === impl Report ===

impl Report {
    /// The worst of those that ask somebody to do something.
    pub fn worst_pending(&self) -> Option<Severity> {
        let pending = self.findings.iter().filter(|finding| finding.state.is_pending());
        pending.map(|finding| finding.severity).min()
    }
}

// === impl Kind ===

impl Kind {
    /// Every one, the gravest first.
    pub const ALL: [Self; 9] = [
        Self::CredentialsInClear,
        Self::Downgrade,
        Self::UpgradeRefused,
        Self::PlaintextHop,
        Self::WeakTls,
        Self::CertificateExpiring,
        Self::OneWayTls,
        Self::CertificateSelfSigned,
        Self::AuthInClear,
    ];

    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CredentialsInClear => "credentials_in_clear",
            Self::Downgrade => "downgrade",
            Self::UpgradeRefused => "upgrade_refused",
            Self::PlaintextHop => "plaintext_hop",
            Self::WeakTls => "weak_tls",
            Self::CertificateExpiring => "certificate_expiring",
            Self::OneWayTls => "one_way_tls",
            Self::CertificateSelfSigned => "certificate_self_signed",
            Self::AuthInClear => "auth_in_clear",
        }
    }

    /// Whether it says that payload is in the clear.
    pub const fn is_clear(self) -> bool {
        matches!(
            self,
            Self::CredentialsInClear
                | Self::Downgrade
                | Self::UpgradeRefused
                | Self::PlaintextHop
                | Self::AuthInClear
        )
    }
}

// === impl State ===

impl State {
    /// Every one, in their order.
    pub const ALL: [Self; 6] =
        [Self::New, Self::Worse, Self::Open, Self::Quiet, Self::Fixed, Self::Accepted];

    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Worse => "worse",
            Self::Open => "open",
            Self::Quiet => "quiet",
            Self::Fixed => "fixed",
            Self::Accepted => "accepted",
        }
    }

    /// Whether it asks somebody to do something.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::New | Self::Worse | Self::Open | Self::Quiet)
    }
}

#[cfg(test)]
mod tests;
