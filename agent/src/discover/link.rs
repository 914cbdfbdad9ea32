//! What encrypts the packets between two addresses, as far as the host can tell.
//!
//! The route to the other end says by which device packets leave, and the device's kind whether it
//! encrypts; IPsec's policies say what happens before. Out of a container packets go on in another
//! namespace, and are followed there. All that may send them elsewhere, above all the programs of a
//! network plug-in, makes the answer unknown; so does everything that cannot be asked for. What a
//! socket's mark and netfilter's marks change about a route is not seen.

mod device;
mod ipsec;
mod namespace;
mod programs;
mod route;

use std::{collections::BTreeSet, net::IpAddr, ops::ControlFlow, thread};

use plainsight_core::flow::link::{Judged, Link, Observed, Way};

pub use namespace::{GONE, Namespaces};

use device::{Device, Nature};
use ipsec::{Packets, Treatment};
use namespace::Open;
use programs::Side;
use route::{Question, Route};

/// Namespaces that packets pass through before nobody follows them any more.
const MOST_STEPS: usize = 8;

/// Where packets are: in which namespace, and by which device they came there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stop {
    at: usize,
    arrived: Option<u32>,
}

/// What is known of packets, or where they go on.
type Step<T> = ControlFlow<Judged, T>;

/// Looks at each way. It is done by a thread of its own, which moves among namespaces.
pub fn look(namespaces: &mut Namespaces, ways: &BTreeSet<Way>) -> Observed {
    let look = || match Open::new(namespaces) {
        Ok(mut open) => ways.iter().map(|way| (*way, judge(&mut open, way))).collect(),
        Err(error) => unseen(ways, &error.to_string()),
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("links".to_owned());
        match thread.spawn_scoped(scope, look) {
            Ok(thread) => thread.join().unwrap_or_else(|_| unseen(ways, "it came to harm")),
            Err(error) => unseen(ways, &error.to_string()),
        }
    })
}

fn unseen(ways: &BTreeSet<Way>, why: &str) -> Observed {
    let judged = Judged::unknown(format!("the host could not be asked: {why}"));
    ways.iter().map(|way| (*way, judged.clone())).collect()
}

fn judge(open: &mut Open<'_>, way: &Way) -> Judged {
    let is_ambiguous = match way.peer {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if is_ambiguous {
        return Judged::unknown("a link-local address does not tell by which device it is reached");
    }
    let mut stop = match open.with_cookie(way.netns) {
        Ok(at) => Stop { at, arrived: None },
        Err(why) => return Judged::unknown(why),
    };
    for _ in 0..MOST_STEPS {
        match step(open, way, stop) {
            ControlFlow::Continue(next) => stop = next,
            ControlFlow::Break(judged) => return judged,
        }
    }
    Judged::unknown("it leads through too many network namespaces")
}

/// Follows packets out of one namespace.
fn step(open: &mut Open<'_>, way: &Way, stop: Stop) -> Step<Stop> {
    let Stop { at, arrived } = stop;
    let route = ask(open, at, Question { from: way.local, to: way.peer, arrived })?;
    if route.is_local() {
        return ControlFlow::Break(match arrived {
            None => Judged::unknown("no link: the address is on this host"),
            Some(_) => Judged::observed(
                Link::None,
                "stays on this host, between network namespaces, and is not encrypted",
            ),
        });
    }
    if !route.is_passable() {
        return unknown("the route refuses it");
    }
    if route.is_encapsulated {
        return unknown("the route encapsulates it, which is not followed");
    }
    let Some((index, device)) = leaving(open, at, &route) else {
        return unknown("the route tells no device");
    };
    clear(open, at, index, &device, Side::Egress)?;
    let is_forwarded = arrived.is_some();
    let packets = Packets { from: way.local, to: way.peer, is_forwarded, if_id: device.if_id };
    sealed(open, at, &packets, &device)?;
    if device.nature() == Nature::Xfrm {
        return unknown(format!("leaves by {}, and none of its policies covers it", device.name));
    }
    let devices = open.get(at).map(|namespace| &namespace.devices);
    match devices.and_then(|devices| device::judge(devices, index)) {
        Some(judged) => ControlFlow::Break(judged),
        None if device.nature() == Nature::Pair => cross(open, way, at, (index, &device), &route),
        None => unknown(format!("leaves by {}, which leads back here", device.name)),
    }
}

fn ask(open: &Open<'_>, at: usize, question: Question) -> Step<Route> {
    let Some(namespace) = open.get(at) else { return unknown("its namespace is not open") };
    match route::route(&namespace.route, &question) {
        Ok(route) => ControlFlow::Continue(route),
        Err(error) => unknown(format!("no route is told: {error}")),
    }
}

fn leaving(open: &Open<'_>, at: usize, route: &Route) -> Option<(u32, Device)> {
    let index = route.device?;
    Some((index, open.get(at)?.devices.get(&index)?.clone()))
}

/// Goes on where nothing at this side of a device may send packets elsewhere.
fn clear(open: &mut Open<'_>, at: usize, index: u32, device: &Device, side: Side) -> Step<()> {
    match open.redirect(at, index, side) {
        Ok(None) => ControlFlow::Continue(()),
        Ok(Some(redirect)) => unknown(format!("{} has {}", device.name, redirect.words())),
        Err(error) => unknown(format!("{} does not tell its programs: {error}", device.name)),
    }
}

/// Goes on where IPsec leaves packets as they are.
fn sealed(open: &mut Open<'_>, at: usize, packets: &Packets, device: &Device) -> Step<()> {
    let Some(namespace) = open.get(at) else { return unknown("its namespace is not open") };
    let treatment = match &namespace.policies {
        Ok(policies) => ipsec::treat(policies, packets, || namespace.states()),
        Err(error) => return unknown(format!("the policies of IPsec are not told: {error}")),
    };
    match treatment {
        Treatment::Untouched => ControlFlow::Continue(()),
        Treatment::Unclear(why) => unknown(why),
        Treatment::Encrypted(_) if packets.to.is_ipv4() && open.lets_ipsec_be(at, &device.name) => {
            unknown(format!("{} leaves out IPsec (disable_xfrm)", device.name))
        }
        Treatment::Encrypted(cipher) => {
            let evidence = format!("a policy of IPsec covers it: ESP with {cipher}");
            ControlFlow::Break(Judged::observed(Link::Ipsec, evidence))
        }
    }
}

/// Follows packets to the other end of a pair. Where that is a port of a bridge, they leave the
/// bridge only if the host itself is who they are handed to.
fn cross(
    open: &mut Open<'_>,
    way: &Way,
    at: usize,
    (index, device): (u32, &Device),
    route: &Route,
) -> Step<Stop> {
    let there = match device.lower_netns {
        None => Some(at),
        Some(number) => open.numbered(at, number),
    };
    let Some(there) = there else {
        let name = &device.name;
        return unknown(format!("leaves by {name} to a network namespace that cannot be asked"));
    };
    let Some((other, end)) = device.lower.and_then(|other| find(open, there, other)) else {
        return unknown(format!("the other end of {} is not there", device.name));
    };
    if end.nature() != Nature::Pair || end.lower != Some(index) {
        return unknown(format!("the other end of {} is none of a pair", device.name));
    }
    if end.has_xdp {
        return unknown(format!("{} has a program of XDP, which may redirect", end.name));
    }
    clear(open, there, other, &end, Side::Ingress)?;
    let Some(master) = end.master else {
        return ControlFlow::Continue(Stop { at: there, arrived: Some(other) });
    };
    let Some((_, bridge)) = find(open, there, master) else {
        return unknown(format!("{} is a port of something that is not there", end.name));
    };
    if bridge.kind.as_deref() != Some("bridge") {
        return unknown(format!("{} is a port of {}", end.name, bridge.title()));
    }
    clear(open, there, master, &bridge, Side::Ingress)?;
    let next = route.gateway.unwrap_or(way.peer);
    match ask(open, there, Question { from: None, to: next, arrived: None })?.is_local() {
        true => ControlFlow::Continue(Stop { at: there, arrived: Some(master) }),
        false => unknown(format!("{} switches it, to where is not told", bridge.title())),
    }
}

fn find(open: &Open<'_>, at: usize, index: u32) -> Option<(u32, Device)> {
    Some((index, open.get(at)?.devices.get(&index)?.clone()))
}

fn unknown<T>(why: impl Into<std::borrow::Cow<'static, str>>) -> Step<T> {
    ControlFlow::Break(Judged::unknown(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_hosts_own_addresses_are_no_link() {
        let mut namespaces = Namespaces::default();
        let ip = "127.0.0.1".parse().unwrap();
        let open = Open::new(&mut namespaces).unwrap();
        let netns = open.get(0).unwrap().cookie();
        let way = |netns, peer| Way { netns, local: Some(ip), peer };
        let far = "fe80::1".parse().unwrap();
        let ways = BTreeSet::from([way(netns, ip), way(netns, far), way(u64::MAX, ip)]);
        let found = look(&mut Namespaces::default(), &ways);
        let evidence: Vec<&str> = found.values().map(|judged| &*judged.evidence).collect();
        assert_eq!(evidence[0], "no link: the address is on this host");
        assert!(evidence[1].starts_with("a link-local address"), "{}", evidence[1]);
        assert!(evidence[2].starts_with("its network namespace"), "{}", evidence[2]);
        assert!(
            found.values().all(|judged| judged.link == Link::Unknown && judged.basis.is_none())
        );
    }
}
