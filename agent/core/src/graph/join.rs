//! Which halves belong together, and to whom the numbers of a client go.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::mem;
use core::net::{IpAddr, Ipv6Addr};

use plainsight_ebpf::abi::Address;
use plainsight_ebpf::abi::edge::{EdgeKey, FOLDED, LATE};

use super::nodes::{End, Node, Nodes};
use super::tally::Classes;
use super::{Hop, Place, Scope};
use crate::flow::link::Way;
use crate::flow::{self, Endpoint, Half, Reporter, handshakes};
use crate::protocol::Transport;
use crate::record::Reached;

/// What both halves of a local connection know of it, and what is as good where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Meeting {
    client: End,
    asked: Asked,
    transport: u8,
    /// Older than the programs. What is older stays apart from what came since.
    late: bool,
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    /// This address and port, as the client says.
    Address(Address, u16),
    /// Not known. This is who answered, at this port.
    Server(Endpoint, u16),
    /// Not known any more: it was folded.
    Folded,
}

/// Who was seen at a meeting. Servers that are one workload at one port are one.
#[derive(Default)]
struct Group {
    client: Option<Seen>,
    servers: BTreeMap<(Node, u16), Seen>,
}

/// What was seen at one end.
struct Seen {
    place: Place,
    port: u16,
    /// A server whose own address and port are not those that its client asked for: what the
    /// client asked for may stand for others too, on other hosts.
    is_translated: bool,
    /// Where the packets went, as far as that is not what was asked for.
    reached: BTreeSet<Reached>,
    /// Of a server, the places at which it answered: none for the one that was asked for.
    answers: BTreeSet<Option<Reached>>,
    /// Of the keys, all together.
    flags: u8,
    classes: Classes,
    /// Keys of which handshakes were read.
    read: BTreeSet<EdgeKey>,
    /// Where packets go off this host, and the place at which that was reached.
    ways: BTreeSet<(Option<Reached>, Way)>,
}

/// Places at which servers on this host answered, and how many did: none is the one asked for.
type Answers = BTreeMap<Option<Reached>, usize>;

/// One server's part in a meeting.
struct Part {
    server: Node,
    seen: Seen,
    reporters: &'static [Reporter],
}

// === impl Meeting ===

impl Meeting {
    fn new(half: &Half) -> Self {
        let key = &half.key;
        let is_folded = key.flags & FOLDED != 0;
        let (client, asked) = match (half.reporter(), half.peer()) {
            (Reporter::Client, _) if is_folded => (End::Local(half.own()), Asked::Folded),
            (Reporter::Server, _) if is_folded => {
                (End::Folded, Asked::Server(half.own(), key.port))
            }
            (Reporter::Client, _) => (End::Local(half.own()), Asked::Address(key.remote, key.port)),
            (Reporter::Server, Some(client)) => {
                (End::Local(client), Asked::Address(key.remote, key.asked_port))
            }
            (Reporter::Server, None) => {
                (End::Remote(flow::ip(&key.remote)), Asked::Server(half.own(), key.port))
            }
        };
        Self { client, asked, transport: key.transport, late: key.flags & LATE != 0 }
    }

    /// Where a half belongs, given where the clients over UDP are.
    ///
    /// A server's UDP socket may be older than the programs while its client's is not, and the
    /// other way round. It is the client's that says whether the conversation is.
    fn among(half: &Half, clients: &BTreeSet<Self>) -> Self {
        let own = Self::new(half);
        if !is_udp(half) || half.reporter() == Reporter::Client || half.peer().is_none() {
            return own;
        }
        let meetings = [false, true].map(|late| Self { late, ..own });
        meetings.into_iter().find(|meeting| clients.contains(meeting)).unwrap_or(own)
    }
}

// === impl Place ===

impl Place {
    /// Of a folded edge, which may go as far as can be.
    const ANYWHERE: Self =
        Self { scope: Scope::Outside, ip: Reverse(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) };

    fn new(half: &Half) -> Self {
        if half.key.flags & FOLDED != 0 {
            return Self::ANYWHERE;
        }
        let (local, remote) = (flow::ip(&half.counters.local), flow::ip(&half.key.remote));
        let scope = Scope::between(local, remote);
        match (half.reporter(), half.peer()) {
            (Reporter::Client, _) => Self { scope, ip: Reverse(remote) },
            (Reporter::Server, Some(_)) => Self { scope, ip: Reverse(remote) }.on_host(),
            (Reporter::Server, None) => Self { scope, ip: Reverse(local) },
        }
    }

    /// The same where both ends are known to be on this host.
    fn on_host(self) -> Self {
        Self { scope: self.scope.min(Scope::Host), ..self }
    }
}

// === impl Group ===

impl Group {
    fn add(&mut self, half: &Half, nodes: &mut Nodes<'_>) {
        let new = || Seen::new(half);
        let seen = match half.reporter() {
            Reporter::Client => self.client.get_or_insert_with(new),
            Reporter::Server => {
                let server = nodes.node(End::Local(half.own()));
                self.servers.entry((server, half.key.port)).or_insert_with(new)
            }
        };
        seen.add(half);
        if !nodes.handshakes(&half.key).is_empty() {
            seen.read.insert(handshakes::key(&half.key));
        }
    }

    /// Gives each server what is its own. Where a client reports, its numbers are dealt out and no
    /// others count.
    fn parts(self, nodes: &mut Nodes<'_>) -> Vec<Part> {
        let is_translated = self.servers.values().any(|seen| seen.is_translated);
        let owns_address = self.servers.len() == 1 && !is_translated;
        let servers = self.servers.into_iter().map(|((server, _), seen)| (server, seen));
        let Some(mut client) = self.client else {
            let reporters = &[Reporter::Server];
            return servers.map(|(server, seen)| Part { server, seen, reporters }).collect();
        };
        let share = |(server, seen): (Node, Seen)| {
            let own = match owns_address {
                true => mem::take(&mut client.classes),
                false => client.classes.take(&seen.classes),
            };
            (server, seen, own)
        };
        let mut shares: Vec<_> = servers.map(share).collect();
        let mut answers = Answers::new();
        for place in shares.iter().flat_map(|(_, seen, _)| &seen.answers) {
            *answers.entry(*place).or_default() += 1;
        }
        let is_untold = answers.keys().flatten().any(|place| !client.reached.contains(place));
        client.reached.retain(|reached| !answers.contains_key(&Some(*reached)));
        client.ways.retain(|(place, _)| !answers.contains_key(place));
        let here = client.read_here(&answers, owns_address);
        // Translated on the way, where the client does not see it: whose they are is not known.
        client.read.retain(|key| !is_untold || went(key).is_some());
        // Only when each server has what is surely its own: the halves of a connection may differ
        // in class for a moment, or for good where one of them missed the first payload.
        for (_, seen, own) in &mut shares {
            client.classes.take_of_any(&seen.classes, own);
        }
        let part = |(server, seen, classes): (Node, Seen, Classes)| {
            let (place, flags) = (client.place.on_host(), client.flags | seen.flags);
            // Both ends read the same handshakes, so one end's count. Where several answered at one
            // place, only each of them knows which were its own.
            let is_alone = |place: &Option<Reached>| answers.get(place) == Some(&1);
            let is_own = |key: &&EdgeKey| {
                let place = went(key);
                owns_address || seen.answers.contains(&place) && is_alone(&place)
            };
            let clients: BTreeSet<EdgeKey> =
                BTreeSet::iter(&here).filter(is_own).copied().collect();
            let read = if clients.is_empty() { seen.read } else { clients };
            let seen = Seen { place, flags, classes, read, ..seen };
            Part { server, seen, reporters: &[Reporter::Client, Reporter::Server] }
        };
        let mut parts = shares.into_iter().map(part).collect();
        rest(&mut parts, client, nodes);
        parts
    }
}

// === impl Seen ===

impl Seen {
    fn new(half: &Half) -> Self {
        Self {
            place: Place::new(half),
            port: half.key.port,
            is_translated: false,
            reached: BTreeSet::new(),
            answers: BTreeSet::new(),
            flags: 0,
            classes: Classes::default(),
            read: BTreeSet::new(),
            ways: BTreeSet::new(),
        }
    }

    fn add(&mut self, half: &Half) {
        let reached = Reached::new(&half.key, &half.counters.local);
        self.place = self.place.max(Place::new(half));
        self.is_translated |= half.reporter() == Reporter::Server && reached.is_some();
        self.reached.extend(reached);
        if half.reporter() == Reporter::Server && half.counters.local != [0; 4] {
            self.answers.insert(reached);
        }
        self.ways.extend(Way::of(half).map(|way| (reached, way)));
        self.flags |= half.key.flags;
        self.classes.add(half);
    }

    /// Takes from a client the handshakes that servers on this host answered, at these places:
    /// what was read is of whoever answered, and not of those that answer elsewhere.
    fn read_here(&mut self, answers: &Answers, owns_address: bool) -> BTreeSet<EdgeKey> {
        let is_here = |key: &EdgeKey| owns_address || answers.contains_key(&went(key));
        let (here, there) = mem::take(&mut self.read).into_iter().partition(is_here);
        self.read = there;
        here
    }

    fn merge(&mut self, other: Self) {
        self.reached.extend(other.reached);
        self.classes.merge(other.classes);
    }

    /// Who is there if nobody on this host is.
    fn elsewhere(&self) -> End {
        if self.flags & FOLDED != 0 { End::Folded } else { End::Remote(self.place.ip.0) }
    }
}

/// Joins what belongs together. Halves are taken in the order of their keys, whatever the order
/// in which they came.
pub(super) fn hops(halves: &[Half], nodes: &mut Nodes<'_>) -> Vec<Hop> {
    let mut sorted: Vec<&Half> = halves.iter().collect();
    sorted.sort_unstable_by_key(|half| half.key);
    let is_udp_client = |half: &&&Half| half.reporter() == Reporter::Client && is_udp(half);
    let clients = sorted.iter().filter(is_udp_client).map(|half| Meeting::new(half)).collect();
    let mut groups: BTreeMap<Meeting, Group> = BTreeMap::new();
    for half in sorted {
        groups.entry(Meeting::among(half, &clients)).or_default().add(half, nodes);
    }
    groups.into_iter().flat_map(|(meeting, group)| hops_of(meeting, group, nodes)).collect()
}

/// What no server on this host saw belongs to the address. Bytes alone are no sign of another
/// server: the two ends of a live connection are not counted at the same instant. Datagrams that
/// the client sent are one, since there are no connections.
fn rest(parts: &mut Vec<Part>, client: Seen, nodes: &mut Nodes<'_>) {
    let largest = parts.iter_mut().max_by_key(|part| part.seen.classes.weight());
    match largest {
        Some(part) if !client.classes.is_sign() => part.seen.merge(client),
        _ => {
            let server = nodes.node(client.elsewhere());
            parts.push(Part { server, seen: client, reporters: &[Reporter::Client] });
        }
    }
}

/// Where the packets of a client with this key went; none where that is what it asked for.
fn went(key: &EdgeKey) -> Option<Reached> {
    Reached::new(key, &key.reached)
}

fn is_udp(half: &Half) -> bool {
    Transport::from_code(half.key.transport) == Transport::Udp
}

fn hops_of(meeting: Meeting, group: Group, nodes: &mut Nodes<'_>) -> Vec<Hop> {
    let client = nodes.node(meeting.client);
    let hop = |Part { server, seen, reporters }| Hop {
        client,
        server,
        port: seen.port,
        transport: Transport::from_code(meeting.transport),
        late: meeting.late,
        place: seen.place,
        reached: seen.reached,
        flags: seen.flags,
        reporters: reporters.iter().copied().collect(),
        classes: seen.classes,
        read: seen.read,
        ways: seen.ways.into_iter().map(|(_, way)| way).collect(),
    };
    group.parts(nodes).into_iter().map(hop).collect()
}
