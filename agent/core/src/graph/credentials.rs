//! Authentication that others can read, as far as an edge showed it.

use alloc::borrow::Cow;

use plainsight_ebpf::wire::secret::Secret;
use serde::{Deserialize, Serialize};

/// How clients authenticated themselves in the clear: the worst kind, never any of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// In the words of its protocol, as in `HTTP Basic`. Of several kinds that are equally bad, the
    /// first by name.
    pub mechanism: Cow<'static, str>,
    /// Whether the secret itself is readable, or only a proof of it.
    pub readable: bool,
    /// How many connections showed one that is as bad.
    pub connections: u64,
}

// === impl Credentials ===

impl Credentials {
    /// What so many connections showed; none where they showed none.
    pub fn new(secret: Secret, connections: u64) -> Option<Self> {
        let is_one = secret != Secret::None && connections > 0;
        is_one.then(|| Self {
            mechanism: Cow::Borrowed(secret.name()),
            readable: secret.is_readable(),
            connections,
        })
    }

    /// What both are together: a readable secret hides a proof, because it is worse.
    pub fn worst(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (one, other) = match (one, other) {
            (Some(one), Some(other)) => (one, other),
            (one, other) => return one.or(other),
        };
        Some(match (one.readable, other.readable) {
            (true, false) => one,
            (false, true) => other,
            _ => Self {
                mechanism: one.mechanism.min(other.mechanism),
                readable: one.readable,
                connections: one.connections.saturating_add(other.connections),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(all: &[(Secret, u64)], expect: Option<(&str, bool, u64)>) {
        let sum = |all: &mut dyn Iterator<Item = &(Secret, u64)>| {
            all.map(|(secret, n)| Credentials::new(*secret, *n)).fold(None, Credentials::worst)
        };
        let forward = sum(&mut all.iter());
        let found = forward.as_ref();
        let found = found.map(|found| (&*found.mechanism, found.readable, found.connections));
        assert_eq!(found, expect, "{all:?}");
        assert_eq!(forward, sum(&mut all.iter().rev()), "the order makes no difference");
    }

    #[test]
    fn the_worst_is_kept() {
        check(&[], None);
        check(&[(Secret::None, 7)], None);
        check(&[(Secret::RedisAuth, 0)], None);
        check(&[(Secret::PostgresqlScram, 3)], Some(("PostgreSQL SCRAM", false, 3)));
        let both = [(Secret::HttpDigest, 11), (Secret::HttpBasic, 5)];
        check(&both, Some(("HTTP Basic", true, 5)));
        let same = [(Secret::HttpBearer, 2), (Secret::HttpBasic, 5), (Secret::None, 3)];
        check(&same, Some(("HTTP Basic", true, 7)));
    }
}
