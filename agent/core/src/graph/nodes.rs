//! Ends, folded into workloads.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

use plainsight_ebpf::abi::Comm;
use plainsight_ebpf::abi::edge::EdgeKey;

use super::Scope;
use crate::flow::handshakes::{Dated, Read};
use crate::flow::{Endpoint, Half};
use crate::identity::{self, Directory, Kind, Workload};

/// An end of a connection, as the kernel half tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// On this host.
    Local(Endpoint),
    /// Only its address is known.
    Remote(IpAddr),
    /// One of many, of which none is known.
    Folded,
}

/// A workload of this map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node(usize);

/// All workloads of this map. Ends that are the same workload are one node.
pub(super) struct Nodes<'a> {
    directory: &'a Directory,
    handshakes: &'a Read,
    comms: BTreeMap<Endpoint, &'a Comm>,
    ends: BTreeMap<End, Node>,
    identities: BTreeMap<Workload, Node>,
    workloads: Vec<Workload>,
}

// === impl Nodes ===

impl<'a> Nodes<'a> {
    pub(super) fn new(halves: &'a [Half], directory: &'a Directory, handshakes: &'a Read) -> Self {
        let mut comms = BTreeMap::new();
        for half in halves {
            let comm = &half.counters.comm;
            // Two names can share a short id. Which half comes first must not decide.
            comms
                .entry(half.own())
                .and_modify(|least: &mut &Comm| *least = comm.min(*least))
                .or_insert(comm);
        }
        let (ends, identities) = (BTreeMap::new(), BTreeMap::new());
        Self { directory, handshakes, comms, ends, identities, workloads: Vec::new() }
    }

    /// The handshakes that were read at this half of an edge.
    pub(super) fn handshakes(&self, key: &EdgeKey) -> &'a [Dated] {
        self.handshakes.of(key)
    }

    /// The node that this end is a part of.
    pub(super) fn node(&mut self, end: End) -> Node {
        if let Some(node) = self.ends.get(&end) {
            return *node;
        }
        let workload = self.resolve(end);
        let node = self.of(workload);
        self.ends.insert(end, node);
        node
    }

    /// The nodes that a client and a server are shown as, so far from each other.
    pub(super) fn shown(&mut self, client: Node, server: Node, scope: Scope) -> (Node, Node) {
        let both = self.workload(client).zip(self.workload(server));
        let Some((one, other)) = both.filter(|_| scope == Scope::Outside) else {
            return (client, server);
        };
        let (one, other) = super::shown(one.clone(), other.clone(), scope);
        (self.of(one), self.of(other))
    }

    /// Who serves at this port of a server, where that only opened it for others. Ends of one name
    /// in several network namespaces are one node: where they opened the port for different ones, it stays.
    pub(super) fn heir(&mut self, server: Node, port: u16) -> Node {
        let opened = self.directory.heirs().filter(|(_, at, _)| *at == port);
        let mine = opened.filter(|(end, ..)| self.ends.get(&End::Local(**end)) == Some(&server));
        let mut heirs: Vec<&Workload> = mine.map(|(.., workload)| workload).collect();
        heirs.sort_unstable();
        heirs.dedup();
        match heirs.as_slice() {
            [heir] => {
                let heir = (*heir).clone();
                self.of(heir)
            }
            _ => server,
        }
    }

    fn of(&mut self, workload: Workload) -> Node {
        let next = Node(self.workloads.len());
        let node = *self.identities.entry(workload.identity()).or_insert(next);
        match self.workloads.get_mut(node.0) {
            Some(known) => known.merge(&workload),
            None => self.workloads.push(workload),
        }
        node
    }

    /// The workload behind a node. `None` only for a node of another map.
    pub(super) fn workload(&self, node: Node) -> Option<&Workload> {
        self.workloads.get(node.0)
    }

    fn resolve(&self, end: End) -> Workload {
        match end {
            End::Remote(ip) => self.directory.at(ip),
            End::Folded => identity::folded(),
            End::Local(endpoint) => match self.directory.get(&endpoint) {
                // Of all that a cgroup does, no process is more than one part.
                known if is_whole_cgroup(&endpoint) => match known {
                    Some(workload) if workload.kind != Kind::Process => workload.clone(),
                    _ => identity::unresolved(&endpoint, None),
                },
                Some(workload) => workload.clone(),
                None => identity::unresolved(&endpoint, self.comms.get(&endpoint).copied()),
            },
        }
    }
}

/// Whether an end is all of its cgroup, as it is on a folded edge.
const fn is_whole_cgroup(endpoint: &Endpoint) -> bool {
    endpoint.netns == 0 && endpoint.name == 0
}
