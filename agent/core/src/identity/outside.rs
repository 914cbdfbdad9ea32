//! Names for addresses: those that a user gave, and one for all that is outside and has none.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString as _};
use core::net::IpAddr;

use super::{Confidence, Kind, MatchedBy, Workload};

/// What stands for everybody outside who has no name.
pub const INTERNET: &str = "internet";

/// A user's name for a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name.
    pub name: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The network as the user wrote it.
    pub network: String,
}

/// A user's names for networks. Of several that hold an address the smallest counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    rules: BTreeMap<Network, Rule>,
    /// Lengths of prefixes that occur, of IPv4 and of IPv6.
    lengths: [BTreeSet<u8>; 2],
}

/// What a host knows about addresses elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// The cluster or site whose addresses those of private networks are.
    pub cluster: Option<String>,
    /// The user's names.
    pub rules: Rules,
}

/// A family, the length of a prefix, and its bits with those of the host cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Network {
    is_v6: bool,
    length: u8,
    bits: u128,
}

// === impl Network ===

impl Network {
    /// The network of this length that an address is in; none where no prefix is so long.
    fn of(ip: IpAddr, length: u8) -> Option<Self> {
        let (is_v6, bits, width) = match ip.to_canonical() {
            IpAddr::V4(ip) => (false, u128::from(ip.to_bits()), 32),
            IpAddr::V6(ip) => (true, ip.to_bits(), 128),
        };
        let host = u32::from(u8::checked_sub(width, length)?);
        let bits = bits.checked_shr(host).unwrap_or(0).checked_shl(host).unwrap_or(0);
        Some(Self { is_v6, length, bits })
    }
}

// === impl Rules ===

impl Rules {
    /// Adds a rule for the network of `length` around an address. False, and nothing is added, where the network has one
    /// already, or no prefix is so long.
    pub fn add(&mut self, ip: IpAddr, length: u8, rule: Rule) -> bool {
        let Some(network) = Network::of(ip, length) else { return false };
        if self.rules.contains_key(&network) {
            return false;
        }
        self.rules.insert(network, rule);
        if let Some(lengths) = self.lengths.get_mut(usize::from(network.is_v6)) {
            lengths.insert(length);
        }
        true
    }

    /// The rule of the smallest network that holds this address.
    pub fn find(&self, ip: IpAddr) -> Option<&Rule> {
        let is_v6 = ip.to_canonical().is_ipv6();
        let lengths = self.lengths.get(usize::from(is_v6))?;
        lengths.iter().rev().find_map(|length| self.rules.get(&Network::of(ip, *length)?))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

// === impl Outside ===

impl Outside {
    /// The end at an address: by the user's name for it, else by the address alone.
    ///
    /// Addresses of private networks mean something within one site only, so they carry its name.
    pub fn at(&self, ip: IpAddr) -> Workload {
        match self.rules.find(ip) {
            Some(rule) => Workload {
                host: None,
                cluster: self.cluster.clone(),
                owner: rule.owner.clone(),
                matched_by: MatchedBy::Rule,
                ..Workload::local(&rule.name, Kind::Group, "")
            },
            None => Workload {
                cluster: self.cluster.clone().filter(|_| is_private(ip) || ip.is_loopback()),
                ..remote(ip)
            },
        }
    }
}

/// An end of which only the address is known. Confidence is low because an address does not say
/// who is behind it.
pub fn remote(ip: IpAddr) -> Workload {
    Workload {
        host: None,
        matched_by: MatchedBy::Address,
        confidence: Confidence::Low,
        ..Workload::local(&ip.to_string(), Kind::Address, "")
    }
}

/// A client as it is shown where it is outside: without a name it is one of many, whose addresses
/// would make edges without end.
pub fn client(workload: Workload) -> Workload {
    if workload.kind != Kind::Address {
        return workload;
    }
    Workload { name: INTERNET.to_string(), kind: Kind::Group, ..workload }
}

/// A server likewise: those that this host asks are few and worth telling apart.
pub fn server(workload: Workload) -> Workload {
    if workload.kind != Kind::Address {
        return workload;
    }
    Workload { namespace: Some(INTERNET.to_string()), ..workload }
}

/// Whether an address is of a private network: RFC 1918, shared address space (RFC 6598), unique
/// local (RFC 4193) or link-local (RFC 3927; RFC 4291, section 2.5.6).
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let is_shared = a == 100 && b & 0xc0 == 64;
            ip.is_private() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(networks: &[(&str, u8)]) -> Rules {
        let mut rules = Rules::default();
        for (ip, length) in networks {
            let network = alloc::format!("{ip}/{length}");
            let rule = Rule { name: network.clone(), owner: None, network };
            assert!(rules.add(ip.parse().unwrap(), *length, rule), "{ip}/{length}");
        }
        rules
    }

    #[test]
    fn the_smallest_network_names_an_address() {
        let rules = rules(&[
            ("10.0.0.0", 8),
            ("10.1.0.0", 16),
            ("10.1.2.3", 32),
            ("0.0.0.0", 0),
            ("2001:db8::", 32),
            ("2001:db8:0:1::", 64),
        ]);
        let check = |ip: &str, expect: Option<&str>| {
            let found = rules.find(ip.parse().unwrap()).map(|rule| rule.name.as_str());
            assert_eq!(found, expect, "{ip}");
        };
        check("10.2.0.1", Some("10.0.0.0/8"));
        check("10.1.255.255", Some("10.1.0.0/16"));
        check("10.1.2.3", Some("10.1.2.3/32"));
        check("::ffff:10.1.2.3", Some("10.1.2.3/32"));
        check("10.1.2.4", Some("10.1.0.0/16"));
        check("192.0.2.1", Some("0.0.0.0/0"));
        check("2001:db8:0:1::9", Some("2001:db8:0:1::/64"));
        check("2001:db8:0:2::9", Some("2001:db8::/32"));
        // What stands for all of IPv4 is none of IPv6.
        check("2001:db9::1", None);
        assert_eq!((rules.len(), rules.is_empty(), Rules::default().is_empty()), (6, false, true));
    }

    #[test]
    fn a_network_has_one_name() {
        let mut rules = rules(&[("10.0.0.0", 8), ("::", 0)]);
        let rule = || Rule { name: "b".into(), owner: None, network: "x".into() };
        // The same network, whatever its host bits are.
        assert!(!rules.add("10.9.9.9".parse().unwrap(), 8, rule()));
        assert!(!rules.add("10.0.0.0".parse().unwrap(), 33, rule()));
        assert!(!rules.add("::1".parse().unwrap(), 129, rule()));
        assert_eq!(rules.len(), 2);
    }

    #[test]
    fn an_address_without_a_name_is_itself() {
        let mut outside = Outside { cluster: Some("lab".into()), rules: Rules::default() };
        let rule = Rule { name: "branch".into(), owner: Some("net".into()), network: "x".into() };
        outside.rules.add("198.51.100.0".parse().unwrap(), 24, rule);
        let at = |ip: &str| outside.at(ip.parse().unwrap());
        let named = at("198.51.100.7");
        assert_eq!((named.name.as_str(), named.kind), ("branch", Kind::Group));
        assert_eq!((named.matched_by, named.confidence), (MatchedBy::Rule, Confidence::High));
        assert_eq!(named.owner.as_deref(), Some("net"));
        let inside = at("10.0.0.7");
        assert_eq!((inside.name.as_str(), inside.cluster.as_deref()), ("10.0.0.7", Some("lab")));
        let public = at("203.0.113.7");
        assert_eq!((public.name.as_str(), public.cluster.as_deref()), ("203.0.113.7", None));
        assert_eq!(client(public.clone()).name, "internet");
        assert_eq!(client(public.clone()), client(at("203.0.113.8")));
        let shown = server(public);
        assert_eq!(
            (shown.name.as_str(), shown.namespace.as_deref()),
            ("203.0.113.7", Some("internet"))
        );
        assert_eq!(client(named.clone()), named);
        assert_eq!(server(named.clone()), named);
    }

    proptest::proptest! {
        #[test]
        fn the_tables_answer_is_that_of_a_look_at_every_rule(
            networks: alloc::vec::Vec<(u32, u8)>,
            ip: u32,
        ) {
            let mut rules = Rules::default();
            let mut plain = alloc::vec::Vec::new();
            for (bits, length) in networks {
                // Few enough bits that networks hold each other.
                let (bits, length) = (bits & 0x0700_0007, length % 33);
                let name = alloc::format!("{bits}/{length}");
                let rule = Rule { name: name.clone(), owner: None, network: name.clone() };
                if rules.add(core::net::Ipv4Addr::from_bits(bits).into(), length, rule) {
                    plain.push((bits, length, name));
                }
            }
            let ip = ip & 0x0700_0007;
            let holds = |bits: u32, length: u8| (u64::from(bits ^ ip) >> (32 - length)) == 0;
            let expect = plain.iter().filter(|(bits, length, _)| holds(*bits, *length)).max_by_key(|(_, length, _)| *length);
            let found = rules.find(core::net::Ipv4Addr::from_bits(ip).into());
            proptest::prop_assert_eq!(found.map(|rule| &rule.name), expect.map(|(_, _, name)| name));
        }
    }
}
