//! Which halves belong together, and to whom the numbers of a client go.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::mem;

use plainsight_ebpf::abi::Address;
use plainsight_ebpf::abi::edge::EdgeKey;

use super::nodes::{End, Node, Nodes};
use super::tally::Classes;
use super::{Hop, Place, Scope};
use crate::flow::{self, Endpoint, Half, Reporter};
use crate::protocol::Transport;

/// What both halves of a local connection know of it, and what is as good where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Meeting {
    client: End,
    asked: Asked,
    transport: u8,
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    /// This address and port, as the client says.
    Address(Address, u16),
    /// Not known. This is who answered, at this port.
    Server(Endpoint, u16),
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
    classes: Classes,
}

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
        let (client, asked) = match (half.reporter(), half.peer()) {
            (Reporter::Client, _) => (End::Local(half.own()), Asked::Address(key.remote, key.port)),
            (Reporter::Server, Some(client)) => {
                (End::Local(client), Asked::Address(key.remote, key.asked_port))
            }
            (Reporter::Server, None) => {
                (End::Remote(flow::ip(&key.remote)), Asked::Server(half.own(), key.port))
            }
        };
        Self { client, asked, transport: key.transport }
    }
}

// === impl Place ===

impl Place {
    fn new(half: &Half) -> Self {
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
        // Only when each server has what is surely its own: the halves of a connection may differ
        // in class for a moment, or for good where one of them missed the first payload.
        for (_, seen, own) in &mut shares {
            client.classes.take_of_any(&seen.classes, own);
        }
        let part = |(server, seen, classes): (Node, Seen, Classes)| {
            let seen = Seen { place: client.place.on_host(), classes, ..seen };
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
        let (place, port) = (Place::new(half), half.key.port);
        Self { place, port, is_translated: false, classes: Classes::default() }
    }

    fn add(&mut self, half: &Half) {
        self.place = self.place.max(Place::new(half));
        self.is_translated |= is_translated(half);
        self.classes.add(half);
    }
}

/// Joins what belongs together. Halves are taken in the order of their keys, whatever the order
/// in which they came.
pub(super) fn hops(halves: &[Half], nodes: &mut Nodes<'_>) -> Vec<Hop> {
    let mut sorted: Vec<&Half> = halves.iter().collect();
    sorted.sort_unstable_by_key(|half| half.key);
    let mut groups: BTreeMap<Meeting, Group> = BTreeMap::new();
    for half in sorted {
        groups.entry(Meeting::new(half)).or_default().add(half, nodes);
    }
    groups.into_iter().flat_map(|(meeting, group)| hops_of(meeting, group, nodes)).collect()
}

/// What no server on this host saw belongs to the address. Bytes alone are no sign of another
/// server: the two ends of a live connection are not counted at the same instant.
fn rest(parts: &mut Vec<Part>, client: Seen, nodes: &mut Nodes<'_>) {
    let largest = parts.iter_mut().max_by_key(|part| part.seen.classes.connections());
    match largest {
        Some(part) if !client.classes.has_connections() => part.seen.classes.merge(client.classes),
        _ => {
            let server = nodes.node(End::Remote(client.place.ip.0));
            parts.push(Part { server, seen: client, reporters: &[Reporter::Client] });
        }
    }
}

/// Whether a paired server's own address and port are not those that its client asked for.
fn is_translated(half: &Half) -> bool {
    let EdgeKey { remote: asked, port, asked_port, .. } = half.key;
    let is_asked_for = asked == half.counters.local || flow::ip(&asked).is_unspecified();
    half.peer().is_some() && !(is_asked_for && port == asked_port)
}

fn hops_of(meeting: Meeting, group: Group, nodes: &mut Nodes<'_>) -> Vec<Hop> {
    let client = nodes.node(meeting.client);
    let hop = |Part { server, seen, reporters }| Hop {
        client,
        server,
        port: seen.port,
        transport: Transport::from_code(meeting.transport),
        place: seen.place,
        reporters: reporters.iter().copied().collect(),
        classes: seen.classes,
    };
    group.parts(nodes).into_iter().map(hop).collect()
}
