//! The map of who talks to whom: halves of edges, joined and named.
//!
//! Numbers are as the client sees them, and each connection is counted once: where the client is
//! on this host its half counts, and a paired server half adds who the server is. The same halves
//! in another order give the same edges in the same order.

mod credentials;
mod join;
mod nodes;
mod rtt;
mod tally;
pub mod tls;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::IpAddr;

use jiff::Timestamp;
use plainsight_ebpf::abi::edge::{EdgeKey, FOLDED, GUESSED, LATE};
use serde::{Deserialize, Serialize};

use crate::flow::handshakes::{Dated, Read};
pub use crate::flow::link::{Basis, Link};
use crate::flow::link::{Judged, Links, Way};
use crate::flow::{Clock, Half, Reporter};
use crate::fnv::Fnv;
use crate::identity::outside::{self, is_private};
use crate::identity::{Confidence, Directory, Workload};
pub use crate::protocol::Upgrade;
use crate::protocol::{Reading, Security, State, Transport};
use crate::record::{Evidence, Reached, Verdict};
pub use credentials::Credentials;
use nodes::{Node, Nodes};
use tally::{Classes, Classified};
use tls::EdgeTls;

/// Who talks to whom, how, and how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// The same for the same edge over restarts and hosts: see [`id`].
    pub id: String,
    /// Who opens the connections.
    pub client: Workload,
    /// Who accepts them.
    pub server: Workload,
    /// The address the client asks for; where the client is not on this host, the address it
    /// reached. Of several, one with the widest [`Scope`], and of those the lowest. Of a folded
    /// edge, the unspecified one.
    pub server_address: IpAddr,
    /// The port the server listens on where the server is on this host, else the port asked for;
    /// 0 on a folded edge.
    pub server_port: u16,
    /// Where packets went, where that is not what the client asked for: the first [`MOST_REACHED`].
    pub reached: Vec<Reached>,
    /// How many more there are.
    pub reached_more: u64,
    /// What carries the payload.
    pub transport: Transport,
    /// The wire protocol.
    pub protocol: Cow<'static, str>,
    /// Its major version, where known.
    pub protocol_version: Option<Cow<'static, str>>,
    /// What is spoken inside; not read yet.
    pub application: Option<String>,
    /// Connections established since the edge was first seen; 0 over UDP.
    pub connections: u64,
    /// Of those, the ones that have not ended.
    pub open: u64,
    /// Connects that failed.
    pub failures: u64,
    /// The same by kind.
    pub failures_by_kind: FailuresByKind,
    /// Payload bytes from client to server.
    pub bytes_sent: u64,
    /// Payload bytes from server to client.
    pub bytes_received: u64,
    /// UDP datagrams from client to server.
    pub datagrams_sent: u64,
    /// UDP datagrams from server to client.
    pub datagrams_received: u64,
    /// Smoothed round-trip times, as the client measures them where it is on this host. They are
    /// counted in classes that double in width, and taken to be spread evenly over each.
    pub rtt_seconds: Option<Quantiles>,
    /// When the first connection or failure was.
    pub first_seen: Timestamp,
    /// When anything was last counted.
    pub last_seen: Timestamp,
    /// The ends on this host that saw it, client first.
    pub reporters: Vec<Reporter>,
    /// Whether it is older than the agent. What came since is an edge of its own.
    pub joined_late: bool,
    /// Whether all of it was seen, and it stands for itself alone.
    pub complete: bool,
    /// What protects the payload.
    pub security: Security,
    /// How far that was seen to be in force.
    pub state: State,
    /// Whether it began in the clear and was offered encryption.
    pub upgrade: Upgrade,
    /// What protects the link that carries it. Where both ends are on this host there is none.
    pub link: Link,
    /// How that is known; none where it is not.
    #[serde(default)]
    pub link_basis: Option<Basis>,
    /// What it rests on, or why it is not known. Names in it are not escaped.
    #[serde(default)]
    pub link_evidence: Cow<'static, str>,
    /// How far it goes.
    pub scope: Scope,
    /// What the TLS handshakes that were read said, together. Boxed, because most edges have none
    /// and it is large.
    pub tls: Option<Box<EdgeTls>>,
    /// The worst authentication that was seen in the clear.
    pub credentials: Option<Credentials>,
    /// What protocol, security and state follow from.
    pub evidence: Evidence,
    /// How sure those are: high where every connection showed it, medium where some carried
    /// nothing or all are older than the agent, low where nothing was recognised, or where only the
    /// ports tell which end is the client.
    pub confidence: Confidence,
    /// What the policy says.
    pub verdict: Verdict,
}

/// Connects that failed, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailuresByKind {
    /// Answered by a reset.
    pub refused: u64,
    /// Never answered.
    pub timeout: u64,
    /// Given up by the application, or ended by an ICMP error.
    pub aborted: u64,
    /// Denied by a policy.
    pub denied: u64,
}

/// Two points of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// What 99 of 100 stay under.
    pub p99: f64,
}

/// How far a connection goes, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Over a loopback address.
    Loopback,
    /// Between two ends on this host.
    Host,
    /// To a private network: see [`outside::is_private`].
    Cluster,
    /// Anywhere else. A folded edge is taken for one.
    Outside,
}

/// How many places an edge names in [`Edge::reached`].
pub const MOST_REACHED: usize = 16;

/// What makes an edge one edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    client: Node,
    server: Node,
    port: u16,
    transport: Transport,
    late: bool,
    /// Classes that read alike are one.
    reading: Reading,
}

/// Where a server was reached. The greatest stands for many: see [`Edge::server_address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    scope: Scope,
    ip: Reverse<IpAddr>,
}

/// All that one client asks of one server at one port, told apart by class.
struct Hop {
    client: Node,
    server: Node,
    port: u16,
    transport: Transport,
    late: bool,
    place: Place,
    reached: BTreeSet<Reached>,
    flags: u8,
    reporters: BTreeSet<Reporter>,
    classes: Classes,
    read: BTreeSet<EdgeKey>,
    ways: BTreeSet<Way>,
}

/// The numbers of one edge.
struct Sum {
    place: Place,
    reached: BTreeSet<Reached>,
    /// Of the halves' keys, all together.
    flags: u8,
    reporters: BTreeSet<Reporter>,
    tally: Classified,
    /// Keys of which handshakes were read.
    read: BTreeSet<EdgeKey>,
    /// Where its packets go off this host.
    ways: BTreeSet<Way>,
}

// === impl Scope ===

impl Scope {
    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Host => "host",
            Self::Cluster => "cluster",
            Self::Outside => "outside",
        }
    }

    /// How far it is from one address to another.
    pub fn between(local: IpAddr, remote: IpAddr) -> Self {
        // Linux takes a connect to the unspecified address for one to itself.
        if remote.is_loopback() || remote.is_unspecified() {
            Self::Loopback
        } else if local == remote {
            Self::Host
        } else if is_private(remote) {
            Self::Cluster
        } else {
            Self::Outside
        }
    }
}

// === impl Sum ===

impl Sum {
    fn add(&mut self, other: Self) {
        self.place = self.place.max(other.place);
        self.reached.extend(other.reached);
        self.flags |= other.flags;
        self.reporters.extend(other.reporters);
        self.tally.add(&other.tally);
        self.read.extend(other.read);
        self.ways.extend(other.ways);
    }

    /// Of all connections, the ones that showed the class.
    fn evidence(&self) -> Evidence {
        let Classified { all, pending, class, .. } = &self.tally;
        let shown = match class.is_pending() {
            true => all.connections,
            false => all.connections.saturating_sub(*pending),
        };
        let what = class.evidence(self.flags);
        Evidence { what, connections: shown, of: all.connections }
    }

    const fn confidence(&self) -> Confidence {
        match self.tally.class {
            _ if self.flags & GUESSED != 0 => Confidence::Low,
            class if class.is_unread() => Confidence::Low,
            _ if self.tally.pending != 0 || self.flags & LATE != 0 => Confidence::Medium,
            _ => Confidence::High,
        }
    }
}

/// Joins the halves of one scan into edges, in the order of client, server, port and protocol.
///
/// * Client half and server half of a local connection: the client's numbers, both reporters.
/// * Where the client asked for an address that is not the server's own, or several servers on
///   this host answered at it, each server gets what it saw. What no server here saw belongs to
///   the address, because it may have gone to another host.
/// * A half alone: the other end is an address, unless the kernel paired it.
/// * What is older than the programs stays apart from what came since.
/// * A server that only opened its port for another is that other.
/// * Clients outside without a name of their own are one.
/// * A folded half stands for many others of its cgroup: its other end is nobody.
/// * Connections that carried no payload, and failures, belong to the one protocol that the same
///   client speaks with the same server; where there is none or more than one, they stay apart.
pub fn edges(
    halves: &[Half],
    directory: &Directory,
    handshakes: &Read,
    links: &Links<'_>,
    clock: &Clock,
) -> Vec<Edge> {
    let mut nodes = Nodes::new(halves, directory, handshakes);
    let mut sums = BTreeMap::new();
    for hop in join::hops(halves, &mut nodes) {
        let server = nodes.heir(hop.server, hop.port);
        let (client, server) = nodes.shown(hop.client, server, hop.place.scope);
        add(&mut sums, Hop { client, server, ..hop });
    }
    let named = |(key, sum)| edge(key, sum, &nodes, links, clock);
    let mut edges: Vec<Edge> = sums.into_iter().filter_map(named).collect();
    edges.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
    edges
}

/// The id of the edge between two workloads with this reading: `e-` and 12 hex digits.
///
/// It depends on nothing else but on whether it is older than the programs (`late`), so a record
/// can be given the id of its edge. Owners are left out, because an edge stays what it is when
/// somebody else answers for it.
pub fn id(
    client: &Workload,
    server: &Workload,
    port: u16,
    transport: Transport,
    reading: &Reading,
    late: bool,
) -> String {
    let ends = [client, server].into_iter().fold(Fnv::START, hash);
    let hash = ends
        .bytes(&port.to_be_bytes())
        .text(transport.name())
        .text(reading.protocol)
        .optional(reading.version)
        .text(reading.security.name())
        .text(reading.state.name());
    let hash = if late { hash.text("late") } else { hash };
    format!("e-{:012x}", hash.value() >> 16)
}

/// A client and a server as they are shown so far from each other: see [`outside::client`].
pub fn shown(client: Workload, server: Workload, scope: Scope) -> (Workload, Workload) {
    match scope {
        Scope::Outside => (outside::client(client), outside::server(server)),
        Scope::Loopback | Scope::Host | Scope::Cluster => (client, server),
    }
}

fn hash(hash: Fnv, workload: &Workload) -> Fnv {
    let Workload { name, kind, namespace, container, service, host, cluster, .. } = workload;
    let hash = [namespace, service, host, cluster]
        .into_iter()
        .fold(hash.text(name).text(kind.name()), |hash, text| hash.optional(text.as_deref()));
    match container {
        Some(container) => hash.text(container),
        None => hash,
    }
}

fn add(sums: &mut BTreeMap<Key, Sum>, hop: Hop) {
    let Hop {
        client,
        server,
        port,
        transport,
        late,
        place,
        reached,
        flags,
        reporters,
        classes,
        read,
        ways,
    } = hop;
    // A server's socket may be older where the conversation is not.
    let flags = if late { flags | LATE } else { flags & !LATE };
    for tally in classes.settle(transport) {
        let reading = tally.class.reading();
        let (reached, reporters, ways) = (reached.clone(), reporters.clone(), ways.clone());
        // Of several protocols at one port, handshakes are of those that have them.
        let is_read = matches!(reading.security, Security::Tls);
        let read = if is_read { read.clone() } else { BTreeSet::new() };
        let part = Sum { place, reached, flags, reporters, tally, read, ways };
        match sums.entry(Key { client, server, port, transport, late, reading }) {
            Entry::Occupied(sum) => sum.into_mut().add(part),
            Entry::Vacant(sum) => _ = sum.insert(part),
        }
    }
}

fn edge(key: Key, sum: Sum, nodes: &Nodes<'_>, links: &Links<'_>, clock: &Clock) -> Option<Edge> {
    let Judged { link, basis: link_basis, evidence: link_evidence } = match sum.flags & FOLDED {
        0 => links.of(&sum.ways),
        _ => Judged::unknown("folded: its other ends are not told apart"),
    };
    let (client, server) = (nodes.workload(key.client)?, nodes.workload(key.server)?);
    let (reading, all) = (key.reading, &sum.tally.all);
    Some(Edge {
        id: id(client, server, key.port, key.transport, &reading, key.late),
        client: client.clone(),
        server: server.clone(),
        server_address: sum.place.ip.0,
        server_port: key.port,
        reached: sum.reached.iter().copied().take(MOST_REACHED).collect(),
        reached_more: sum.reached.len().saturating_sub(MOST_REACHED) as u64,
        transport: key.transport,
        protocol: Cow::Borrowed(reading.protocol),
        protocol_version: reading.version.map(Cow::Borrowed),
        application: None,
        connections: all.connections,
        open: all.open,
        failures: all.failures(),
        failures_by_kind: FailuresByKind {
            refused: all.refused,
            timeout: all.timed_out,
            aborted: all.aborted,
            denied: 0,
        },
        bytes_sent: all.sent_bytes,
        bytes_received: all.received_bytes,
        datagrams_sent: all.sent_datagrams,
        datagrams_received: all.received_datagrams,
        rtt_seconds: all.rtt.quantiles(),
        // Before its first event is known, the latest is the first.
        first_seen: clock.time(all.first_ns.min(all.last_ns)),
        last_seen: clock.time(all.last_ns),
        evidence: sum.evidence(),
        confidence: sum.confidence(),
        reporters: sum.reporters.into_iter().collect(),
        joined_late: key.late,
        complete: sum.flags & (LATE | FOLDED) == 0,
        security: reading.security,
        state: reading.state,
        upgrade: sum.tally.class.upgrade(),
        link,
        link_basis,
        link_evidence,
        scope: sum.place.scope,
        tls: tls_of(&sum.read, nodes, clock),
        credentials: sum.tally.credentials,
        verdict: Verdict::without_policy(),
    })
}

/// What the handshakes of these keys said, together.
fn tls_of(keys: &BTreeSet<EdgeKey>, nodes: &Nodes<'_>, clock: &Clock) -> Option<Box<EdgeTls>> {
    let mut read: Vec<&Dated> = keys.iter().flat_map(|key| nodes.handshakes(key)).collect();
    read.sort_by_key(|dated| dated.time_ns);
    let mut all = EdgeTls::default();
    read.iter().for_each(|dated| all.fold(&dated.tls, clock.time(dated.time_ns)));
    (!read.is_empty()).then(|| Box::new(all))
}

/// No two edges are equal in it, so there is one order.
fn order(edge: &Edge) -> impl Ord + '_ {
    let ends = (&edge.client, &edge.server, edge.server_port, edge.transport);
    let reading = (&edge.protocol, &edge.protocol_version, edge.security, edge.state);
    (ends, reading, edge.joined_late)
}

#[cfg(test)]
mod tests;
