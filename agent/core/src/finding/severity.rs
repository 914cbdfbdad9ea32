//! How bad it is.

use serde::{Deserialize, Serialize};

use crate::graph::{Link, Scope};

/// How bad a finding is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A readable secret, or payload, of what somebody has tagged as precious. Nothing is tagged
    /// yet.
    Critical,
    /// A readable secret off the host, or payload in the clear that leaves for anywhere.
    High,
    /// Other payload in the clear off the host; TLS that does not hold.
    Medium,
    /// What helps an attacker and does not suffice.
    Low,
    /// What is meant to be so.
    Info,
}

// === impl Severity ===

impl Severity {
    /// Every one, worst first.
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info];

    /// The one with this [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }

    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Info => "info",
        }
    }

    /// One step less, but never so little that nobody looks.
    const fn lowered(self) -> Self {
        match self {
            Self::Critical => Self::High,
            Self::High => Self::Medium,
            Self::Medium | Self::Low => Self::Low,
            Self::Info => Self::Info,
        }
    }

    /// The same over a link that is encrypted itself, or said to be.
    pub(super) const fn over(self, link: Link) -> Self {
        if link.is_encrypted() { self.lowered() } else { self }
    }
}

/// Payload in the clear. Between two ends on one host it passes no wire, but they may be on two
/// hosts tomorrow.
pub(super) const fn of_payload(scope: Scope) -> Severity {
    match scope {
        Scope::Loopback => Severity::Info,
        Scope::Host => Severity::Low,
        Scope::Cluster => Severity::Medium,
        Scope::Outside => Severity::High,
    }
}

/// A secret that can be read.
pub(super) const fn of_secret(scope: Scope) -> Severity {
    match scope {
        Scope::Loopback => Severity::Info,
        Scope::Host => Severity::Medium,
        Scope::Cluster | Scope::Outside => Severity::High,
    }
}

/// What is as bad as `severity` on the way to others, and no worse than low among themselves.
pub(super) fn off_host(severity: Severity, scope: Scope) -> Severity {
    match scope {
        Scope::Loopback => Severity::Info,
        Scope::Host => severity.max(Severity::Low),
        Scope::Cluster | Scope::Outside => severity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_link_lowers_by_a_step_and_never_hides() {
        let check = |severity: Severity, link, expect| assert_eq!(severity.over(link), expect);
        check(Severity::Critical, Link::Wireguard, Severity::High);
        check(Severity::High, Link::Ipsec, Severity::Medium);
        check(Severity::Medium, Link::Declared, Severity::Low);
        check(Severity::Low, Link::Wireguard, Severity::Low);
        check(Severity::Info, Link::Wireguard, Severity::Info);
        for severity in Severity::ALL {
            check(severity, Link::Unknown, severity);
            check(severity, Link::None, severity);
        }
    }

    #[test]
    fn farther_is_never_less_severe() {
        let scopes = [Scope::Loopback, Scope::Host, Scope::Cluster, Scope::Outside];
        for pair in scopes.windows(2) {
            for of in [of_payload, of_secret] {
                assert!(of(pair[1]) <= of(pair[0]), "{pair:?}");
            }
            assert!(of_secret(pair[0]) <= of_payload(pair[0]), "{pair:?}");
        }
    }
}
