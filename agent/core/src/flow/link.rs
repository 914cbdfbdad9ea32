//! What protects the packets of an edge below their payload: what was seen of the ways they take,
//! and what somebody declares.
//!
//! Only what was seen, or said with a reason and a date, counts; the rest is unknown, and says why.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use plainsight_ebpf::abi::edge::FOLDED;
use serde::{Deserialize, Serialize};

use super::{Half, Reporter, ip};

/// Whether the link that carries the packets encrypts them, the weakest first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// It does not.
    None,
    /// It cannot be told, or there is none: both ends are on one host.
    #[default]
    Unknown,
    /// Somebody says so, and names neither of the others.
    Declared,
    /// By IPsec.
    Ipsec,
    /// By WireGuard.
    Wireguard,
}

/// How that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The kernel says so.
    Observed,
    /// Somebody does.
    Declared,
}

/// From where to where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    /// Cookie of the network namespace that they leave; 0 where it is not known.
    pub netns: u64,
    /// The address that they leave; none where it is not known.
    pub local: Option<IpAddr>,
    /// The address that they go to.
    pub peer: IpAddr,
}

/// What is said of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What protects it.
    pub link: Link,
    /// How that is known; none where it is not.
    pub basis: Option<Basis>,
    /// What it rests on, or why it is not known. Names in it are not escaped.
    pub evidence: Cow<'static, str>,
}

/// What was seen of ways.
pub type Observed = BTreeMap<Way, Judged>;

/// What somebody says of the links between two networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The networks that its ends are in, in either order.
    pub between: [IpNet; 2],
    /// What protects them.
    pub link: Link,
    /// How whoever says so knows. Not escaped.
    pub evidence: String,
    /// The first day on which it holds, in UTC.
    pub since: Option<Date>,
    /// The last one.
    pub until: Option<Date>,
}

/// All that is known of links at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a> {
    /// What was seen.
    pub observed: &'a Observed,
    /// What is declared. Of several the first counts.
    pub declared: &'a [Declaration],
    /// The moment.
    pub now: Timestamp,
}

/// Whether a declaration holds on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    InForce,
    /// It begins later, on this day.
    Later(Date),
    /// It ended on this day.
    Ended(Date),
}

// === impl Link ===

impl Link {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Unknown => "unknown",
            Self::Declared => "declared",
            Self::Ipsec => "ipsec",
            Self::Wireguard => "wireguard",
        }
    }

    /// In words for people, where it is encrypted.
    pub const fn words(self) -> Option<&'static str> {
        match self {
            Self::Wireguard => Some("over WireGuard"),
            Self::Ipsec => Some("over IPsec"),
            Self::Declared => Some("over an encrypted link"),
            Self::None | Self::Unknown => None,
        }
    }

    /// Whether it encrypts what it carries.
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Declared | Self::Ipsec | Self::Wireguard)
    }
}

// === impl Way ===

impl Way {
    /// Where the packets of this half go; none where both ends are on this host, or the other ends
    /// are not told apart.
    pub fn of(half: &Half) -> Option<Self> {
        let key = &half.key;
        if key.flags & FOLDED != 0 || half.peer().is_some() {
            return None;
        }
        let is_reached = half.reporter() == Reporter::Client && key.reached != [0; 4];
        let peer = ip(if is_reached { &key.reached } else { &key.remote });
        let local = Some(ip(&half.counters.local)).filter(|local| !local.is_unspecified());
        let is_here = peer.is_loopback() || peer.is_unspecified() || local == Some(peer);
        (!is_here).then_some(Self { netns: key.netns, local, peer })
    }
}

// === impl Judged ===

impl Judged {
    /// The kernel says so.
    pub fn observed(link: Link, evidence: impl Into<Cow<'static, str>>) -> Self {
        Self { link, basis: Some(Basis::Observed), evidence: evidence.into() }
    }

    /// It cannot be told, for this reason.
    pub fn unknown(why: impl Into<Cow<'static, str>>) -> Self {
        Self { link: Link::Unknown, basis: None, evidence: why.into() }
    }
}

// === impl Declaration ===

impl Declaration {
    /// Whether it holds at this time.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let today = Offset::UTC.to_datetime(now).date();
        match (self.since, self.until) {
            (_, Some(until)) if until < today => Standing::Ended(until),
            (Some(since), _) if since > today => Standing::Later(since),
            _ => Standing::InForce,
        }
    }

    fn is_about(&self, way: &Way) -> bool {
        let [a, b] = &self.between;
        let local = |net: &IpNet| way.local.is_some_and(|local| net.contains(&local));
        local(a) && b.contains(&way.peer) || local(b) && a.contains(&way.peer)
    }

    fn text(&self) -> String {
        let since = self.since.map(|day| format!(" since {day}")).unwrap_or_default();
        let until = self.until.map(|day| format!(" until {day}")).unwrap_or_default();
        format!("declared{since}{until}: {}", self.evidence)
    }
}

// === impl Links ===

impl Links<'_> {
    /// Of several ways the weakest, because what goes over it is no safer.
    pub fn of(&self, ways: &BTreeSet<Way>) -> Judged {
        let all: Vec<Judged> = ways.iter().map(|way| self.judge(way)).collect();
        let Some(weakest) = all.iter().min_by_key(|judged| judged.link) else {
            return Judged::unknown("no link: both ends are on this host");
        };
        let alike = all.iter().filter(|judged| judged.link == weakest.link).count();
        if alike == all.len() {
            return weakest.clone();
        }
        let of = format!("{} ({alike} of {} ways)", weakest.evidence, all.len());
        Judged { evidence: of.into(), ..weakest.clone() }
    }

    /// What was seen to be encrypted needs nobody's word. A link that is said to be may be so beyond
    /// what can be seen from here, and then both are told.
    fn judge(&self, way: &Way) -> Judged {
        let seen = self.observed.get(way).cloned();
        let seen = seen.unwrap_or_else(|| Judged::unknown("its way was not looked at yet"));
        if seen.link.is_encrypted() {
            return seen;
        }
        let about: Vec<&Declaration> =
            self.declared.iter().filter(|declared| declared.is_about(way)).collect();
        let is_in_force = |one: &&&Declaration| one.standing(self.now) == Standing::InForce;
        if let Some(declared) = about.iter().find(is_in_force) {
            let evidence = format!("{}; from here: {}", declared.text(), seen.evidence).into();
            return Judged { link: declared.link, basis: Some(Basis::Declared), evidence };
        }
        let Some(first) = about.first() else { return seen };
        let when = match first.standing(self.now) {
            Standing::Ended(day) => format!("ended on {day}"),
            Standing::Later(day) => format!("begins on {day}"),
            Standing::InForce => return seen,
        };
        let evidence = format!("{}; what is declared {when}", seen.evidence).into();
        Judged { evidence, ..seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::address;
    use plainsight_ebpf::abi::edge::{EdgeCounters, EdgeKey, Role};

    fn way(local: &str, peer: &str) -> Way {
        Way { netns: 1, local: local.parse().ok(), peer: peer.parse().unwrap() }
    }

    fn declaration(link: Link, since: &str, until: &str) -> Declaration {
        Declaration {
            between: ["10.1.0.0/16", "10.2.0.0/16"].map(|net| net.parse().unwrap()),
            link,
            evidence: "site to site tunnel".into(),
            since: since.parse().ok(),
            until: until.parse().ok(),
        }
    }

    fn judged(observed: &Observed, declared: &[Declaration], ways: &[Way]) -> Judged {
        let now = "2026-11-24T18:00:00Z".parse().unwrap();
        Links { observed, declared, now }.of(&ways.iter().copied().collect())
    }

    #[test]
    fn a_way_leads_from_the_own_address_to_where_packets_go() {
        let check = |role: Role, remote: &str, reached: &str, local: &str, expect: Option<Way>| {
            let bytes = |text: &str| text.parse().map(address).unwrap_or_default();
            let (remote, reached) = (bytes(remote), bytes(reached));
            let key = EdgeKey { netns: 1, remote, reached, role: role as u8, ..EdgeKey::default() };
            let counters = EdgeCounters { local: bytes(local), ..EdgeCounters::default() };
            let half = Half { key, counters };
            assert_eq!(Way::of(&half), expect, "{role:?} {half:?}");
            for key in [EdgeKey { flags: FOLDED, ..key }, EdgeKey { peer_cgroup: 7, ..key }] {
                assert_eq!(Way::of(&Half { key, counters }), None, "{key:?}");
            }
        };
        let far = Some(way("10.1.0.1", "10.2.0.2"));
        check(Role::Client, "10.2.0.2", "", "10.1.0.1", far);
        check(Role::Client, "10.96.0.1", "10.2.0.2", "10.1.0.1", far);
        check(Role::Server, "10.2.0.2", "", "10.1.0.1", far);
        check(Role::Client, "10.2.0.2", "", "", Some(way("", "10.2.0.2")));
        check(Role::Client, "10.2.0.2", "127.0.0.1", "10.1.0.1", None);
        check(Role::Client, "10.1.0.1", "", "10.1.0.1", None);
        check(Role::Client, "::", "", "", None);
    }

    #[test]
    fn a_declaration_holds_on_its_days_alone() {
        let check = |since: &str, until: &str, expect: Standing| {
            let declared = declaration(Link::Ipsec, since, until);
            let now = "2026-11-24T23:59:59Z".parse().unwrap();
            assert_eq!(declared.standing(now), expect, "{since} {until}");
        };
        let day = |text: &str| text.parse::<Date>().unwrap();
        check("", "2026-11-24", Standing::InForce);
        check("2026-11-24", "", Standing::InForce);
        check("", "2026-11-23", Standing::Ended(day("2026-11-23")));
        check("2026-11-25", "", Standing::Later(day("2026-11-25")));
        check("2026-01-01", "2026-02-01", Standing::Ended(day("2026-02-01")));
    }

    #[test]
    fn what_is_declared_says_who_says_so_and_what_is_seen() {
        let far = way("10.1.0.1", "10.2.0.2");
        let seen = |link| Observed::from([(far, Judged::observed(link, "by eth0"))]);
        let declared = [declaration(Link::Wireguard, "", "2026-12-31")];
        let check = |observed: &Observed, declared: &[Declaration], way, expect| {
            let Judged { link, basis, evidence } = judged(observed, declared, &[way]);
            assert_eq!((link, basis, &*evidence), expect);
        };
        let said = "declared until 2026-12-31: site to site tunnel; from here: by eth0";
        let by_word = (Link::Wireguard, Some(Basis::Declared), said);
        check(&seen(Link::None), &declared, far, by_word);
        let back = way("10.2.0.2", "10.1.0.1");
        let observed = Observed::from([(back, Judged::observed(Link::None, "by eth0"))]);
        check(&observed, &declared, back, by_word);
        let observed = Some(Basis::Observed);
        check(&seen(Link::Ipsec), &declared, far, (Link::Ipsec, observed, "by eth0"));
        check(&seen(Link::None), &[], far, (Link::None, observed, "by eth0"));
        let ended = [declaration(Link::Ipsec, "", "2026-11-23")];
        let what = "by eth0; what is declared ended on 2026-11-23";
        check(&seen(Link::None), &ended, far, (Link::None, observed, what));
        let renewed = [ended[0].clone(), declared[0].clone()];
        check(&seen(Link::None), &renewed, far, by_word);
        let unseen = "its way was not looked at yet";
        let other = way("10.1.0.1", "10.3.0.2");
        check(&Observed::new(), &declared, other, (Link::Unknown, None, unseen));
        check(&Observed::new(), &declared, way("", "10.2.0.2"), (Link::Unknown, None, unseen));
    }

    #[test]
    fn of_several_ways_the_weakest_counts() {
        let ways = [1, 2, 3].map(|last| way("10.1.0.1", &format!("10.9.0.{last}")));
        let check = |links: [Link; 3], expect: Link, evidence: &str| {
            let each = ways.iter().zip(links);
            let seen = each.map(|(way, link)| (*way, Judged::observed(link, link.name())));
            let found = judged(&seen.collect(), &[], &ways);
            assert_eq!((found.link, &*found.evidence), (expect, evidence));
        };
        use Link::{Ipsec, None, Unknown, Wireguard};
        check([Wireguard; 3], Wireguard, "wireguard");
        check([Wireguard, Ipsec, Wireguard], Ipsec, "ipsec (1 of 3 ways)");
        check([Wireguard, Unknown, Unknown], Unknown, "unknown (2 of 3 ways)");
        check([Unknown, Wireguard, None], None, "none (1 of 3 ways)");
        let nowhere = judged(&Observed::new(), &[], &[]);
        assert_eq!(nowhere, Judged::unknown("no link: both ends are on this host"));
    }
}
