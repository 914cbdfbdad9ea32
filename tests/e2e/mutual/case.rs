//! What a client has to show, and what follows from it.

use std::fmt;

use plainsight_core::protocol::tls::Mutual;

use super::Ask;
use crate::servers::{Authority, Identity, Key};

/// How much comes with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// It alone, for one name.
    Single,
    /// Two more that lead to its authority.
    Chain,
    /// For so many names that it takes a record of its own size.
    Large,
}

/// One client, and the server's question.
pub(super) struct Case<'a> {
    ask: Ask,
    identity: Option<&'a (String, Identity)>,
}

const SMALL: &[(Key, Shape)] = &[
    (Key::Rsa2048, Shape::Single),
    (Key::P256, Shape::Single),
    (Key::P256, Shape::Chain),
    (Key::Ed25519, Shape::Single),
];

const FULL: &[(Key, Shape)] = &[
    (Key::Rsa2048, Shape::Single),
    (Key::Rsa2048, Shape::Chain),
    (Key::Rsa2048, Shape::Large),
    (Key::Rsa4096, Shape::Single),
    (Key::P256, Shape::Single),
    (Key::P256, Shape::Chain),
    (Key::P256, Shape::Large),
    (Key::P384, Shape::Single),
    (Key::Ed25519, Shape::Single),
    (Key::Ed25519, Shape::Chain),
    (Key::Ed25519, Shape::Large),
];

/// Names in a large certificate, which then has some 8 KiB.
const NAMES: usize = 283;

// === impl Case ===

impl Case<'_> {
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.map(|(_, identity)| identity)
    }

    /// Whether the client has a certificate of this kind.
    pub(super) fn names(&self, key: &str) -> bool {
        self.identity.is_some_and(|(name, _)| name.starts_with(key))
    }

    /// What is so, of the connection or the session that it resumes.
    pub(super) fn truth(&self) -> Mutual {
        match (self.ask, self.identity) {
            (Ask::No, _) => Mutual::OneWay,
            (Ask::Yes, None) => Mutual::RequestedNotGiven,
            (Ask::Yes, Some(_)) => Mutual::Mutual,
        }
    }
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = self.identity.map_or("nothing", |(name, _)| name);
        write!(f, "{:?} with {has}", self.truth())
    }
}

pub(super) fn identities(authority: &Authority, is_full: bool) -> Vec<(String, Identity)> {
    let kinds = if is_full { FULL } else { SMALL };
    let issue = |&(key, shape): &(Key, Shape)| {
        let name = format!("{key:?}-{shape:?}").to_lowercase();
        let identity = match shape {
            Shape::Single => authority.issue(&name, key, 1, 0),
            Shape::Chain => authority.issue(&name, key, 1, 2),
            Shape::Large => authority.issue(&name, key, NAMES, 0),
        };
        (name, identity)
    };
    kinds.iter().map(issue).collect()
}

/// A client that has nothing to show, and of the others one where nobody asks and all where the
/// server does.
pub(super) fn of(ask: Ask, identities: &[(String, Identity)]) -> impl Iterator<Item = Case<'_>> {
    let shown = match ask {
        Ask::No => 1,
        Ask::Yes => identities.len(),
    };
    let all = std::iter::once(None).chain(identities.iter().take(shown).map(Some));
    all.map(move |identity| Case { ask, identity })
}
