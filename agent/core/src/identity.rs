//! Who an end of a connection is: from a cgroup path, what a container's runtime says, a process, or
//! nothing but an address.

mod decide;
pub mod explain;
pub mod outside;
pub mod path;

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::net::IpAddr;

use plainsight_ebpf::abi::Comm;
use serde::{Deserialize, Serialize};

use crate::escape;
use crate::flow::Endpoint;
pub use decide::{Cgroup, Container, Facts, Pod, Process, decide, from_cgroup, local};
pub use outside::{Outside, Rule, Rules, remote};

/// What sort of thing a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A unit of systemd: a service, or a scope somebody started as one.
    Unit,
    /// A container that belongs to no pod.
    Container,
    /// A pod with all its containers, which share its network.
    Pod,
    /// A process that belongs to none of those.
    Process,
    /// Several workloads that are shown as one.
    Group,
    /// An address of which nothing else is known.
    Address,
}

/// What a workload was recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    /// The path of its cgroup in the unified hierarchy.
    Cgroup,
    /// The path of its cgroup in the v1 hierarchy `name=systemd`.
    LegacyCgroup,
    /// The name of its process.
    Process,
    /// The process that holds the listening socket.
    Listener,
    /// The address in the packets.
    Address,
    /// A user's name for the network that the address is in.
    Rule,
}

/// How much the match is worth, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The workload cannot choose it itself.
    High,
    /// The workload could have chosen it, or it is an id for want of a name.
    Medium,
    /// It could not be checked, or says little.
    Low,
}

/// Something that talks: a node of the map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Workload {
    /// Unit, container, pod or process name, or address. Where no name was found, the short id of a
    /// container and the uid of a pod.
    pub name: String,
    /// What sort of thing it is.
    pub kind: Kind,
    /// A pod's own; `user-UID` for what runs under a user's own systemd.
    pub namespace: Option<String>,
    /// Which container of a pod it is, where that is known.
    pub container: Option<String>,
    /// The service it is a part of.
    pub service: Option<String>,
    /// The host it runs on.
    pub host: Option<String>,
    /// The cluster it runs in.
    pub cluster: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it was recognised by.
    pub matched_by: MatchedBy,
    /// How much that is worth.
    pub confidence: Confidence,
}

/// Which workload each end on this host is. An end is resolved once and keeps its name.
#[derive(Clone, Debug)]
pub struct Directory {
    known: BTreeMap<Endpoint, Workload>,
    outside: Arc<Outside>,
    /// Who serves at a port of an end that only opened it for others.
    heirs: BTreeMap<(Endpoint, u16), Workload>,
    capacity: usize,
    refused: u64,
}

// === impl Kind ===

impl Kind {
    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Container => "container",
            Self::Pod => "pod",
            Self::Process => "process",
            Self::Group => "group",
            Self::Address => "address",
        }
    }
}

// === impl Workload ===

impl Workload {
    fn local(name: &str, kind: Kind, host: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            namespace: None,
            container: None,
            service: None,
            host: Some(host.to_owned()),
            cluster: None,
            owner: None,
            matched_by: MatchedBy::Cgroup,
            confidence: Confidence::High,
        }
    }

    /// Whether it stands for the other ends of a folded edge, of which nothing is known.
    pub fn is_folded(&self) -> bool {
        // A user may call a network so.
        let is_nobodys = self.kind == Kind::Group && self.matched_by != MatchedBy::Rule;
        is_nobodys && self.name == FOLDED
    }

    /// Who it is, without how it was recognised and who answers for it.
    pub(crate) fn identity(&self) -> Self {
        let (matched_by, confidence) = (MatchedBy::Cgroup, Confidence::High);
        Self { owner: None, matched_by, confidence, ..self.clone() }
    }

    /// Takes in another match of the same identity: together they are worth what the weaker is.
    pub(crate) fn merge(&mut self, other: &Self) {
        let weaker = (self.confidence, self.matched_by).max((other.confidence, other.matched_by));
        (self.confidence, self.matched_by) = weaker;
        if other.owner > self.owner {
            self.owner.clone_from(&other.owner);
        }
    }
}

// === impl Directory ===

impl Directory {
    /// An empty directory that takes up to `capacity` ends.
    pub fn new(capacity: usize) -> Self {
        Self {
            known: BTreeMap::new(),
            outside: Arc::default(),
            heirs: BTreeMap::new(),
            capacity,
            refused: 0,
        }
    }

    /// The workload at this end, if it was resolved.
    pub fn get(&self, endpoint: &Endpoint) -> Option<&Workload> {
        self.known.get(endpoint)
    }

    /// The workload at an address that is not on this host, as far as anybody has told.
    pub fn at(&self, ip: IpAddr) -> Workload {
        self.outside.at(ip)
    }

    /// What is known about addresses elsewhere.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    /// Takes other names for addresses. They are for all edges, those that are there included: a
    /// user's name is a way of reading addresses, and none of them changes hands by it.
    pub fn set_outside(&mut self, outside: Outside) {
        self.outside = Arc::new(outside);
    }

    /// Keeps the workload of an end, unless that end has one already. False where the directory is
    /// full, which is counted.
    pub fn insert(&mut self, endpoint: Endpoint, workload: Workload) -> bool {
        if self.known.contains_key(&endpoint) {
            return true;
        }
        if self.known.len() >= self.capacity {
            self.refused = self.refused.saturating_add(1);
            return false;
        }
        self.known.insert(endpoint, workload);
        true
    }

    /// Who serves at this port, where the end that listens there only opened it: systemd, for the service of a
    /// socket unit.
    pub fn heir(&self, endpoint: &Endpoint, port: u16) -> Option<&Workload> {
        self.heirs.get(&(*endpoint, port))
    }

    /// Every port that was opened for somebody else: the end that opened it, the port, and who serves there.
    pub fn heirs(&self) -> impl Iterator<Item = (&Endpoint, u16, &Workload)> {
        self.heirs.iter().map(|((endpoint, port), workload)| (endpoint, *port, workload))
    }

    /// Keeps who serves at a port that an end opened for others. False where the directory is full, which
    /// is counted.
    pub fn inherit(&mut self, endpoint: Endpoint, port: u16, workload: Workload) -> bool {
        let place = (endpoint, port);
        if self.heirs.len() >= self.capacity && !self.heirs.contains_key(&place) {
            self.refused = self.refused.saturating_add(1);
            return false;
        }
        self.heirs.insert(place, workload);
        true
    }

    /// Gives an end that it holds another workload, because the one it has is not that of all that
    /// happens there.
    pub fn replace(&mut self, endpoint: Endpoint, workload: Workload) {
        if let Some(known) = self.known.get_mut(&endpoint) {
            *known = workload;
        }
    }

    /// Every end it holds, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Endpoint, &Workload)> {
        self.known.iter()
    }

    /// How many ends it holds.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many ends it can hold.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many insertions found it full.
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

/// The name of what is folded.
const FOLDED: &str = "folded";

/// What stands for all the other ends of a folded edge: no name, and no address either.
pub fn folded() -> Workload {
    Workload {
        host: None,
        matched_by: MatchedBy::Address,
        confidence: Confidence::Low,
        ..Workload::local(FOLDED, Kind::Group, "")
    }
}

/// A local end that the directory does not hold: by its process name, else by its cgroup's number.
pub fn unresolved(endpoint: &Endpoint, comm: Option<&Comm>) -> Workload {
    let name = comm.map(escape::comm).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| format!("cgroup/{}", endpoint.cgroup));
    Workload {
        host: None,
        matched_by: MatchedBy::Process,
        confidence: Confidence::Low,
        ..Workload::local(&name, Kind::Process, "")
    }
}

#[cfg(test)]
mod tests;
