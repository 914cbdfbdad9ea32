//! Who an end of a connection is: from a cgroup path, a process, or nothing but an address.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::net::IpAddr;

use plainsight_ebpf::abi::Comm;
use serde::{Deserialize, Serialize};

use crate::escape;
use crate::flow::Endpoint;

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
}

/// How much the match is worth, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The workload cannot choose it itself.
    High,
    /// The workload could have chosen it.
    Medium,
    /// It could not be checked, or says little.
    Low,
}

/// Something that talks: a node of the map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Workload {
    /// Unit name, short container id, pod uid, process name or address.
    pub name: String,
    /// What sort of thing it is.
    pub kind: Kind,
    /// `user-UID` for what runs under a user's own systemd.
    pub namespace: Option<String>,
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

/// What is known of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its name as the hook saw it (`comm`).
    pub name: String,
    /// Path of its executable, where it could be read.
    pub exe: Option<String>,
    /// Whether it was still there when it was looked up, and older than what the hook saw.
    pub alive: bool,
}

/// Which workload each end on this host is. An end is resolved once and keeps its name.
#[derive(Clone, Debug)]
pub struct Directory {
    known: BTreeMap<Endpoint, Workload>,
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
            service: None,
            host: Some(host.to_owned()),
            cluster: None,
            owner: None,
            matched_by: MatchedBy::Cgroup,
            confidence: Confidence::High,
        }
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
    pub const fn new(capacity: usize) -> Self {
        Self { known: BTreeMap::new(), capacity, refused: 0 }
    }

    /// The workload at this end, if it was resolved.
    pub fn get(&self, endpoint: &Endpoint) -> Option<&Workload> {
        self.known.get(endpoint)
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

/// The unit, container or pod that a cgroup path names.
///
/// * A pod is named by its uid, in the form with dashes: its containers share one network, so that
///   the pod and not the container is what talks. Its proper name is not in the path.
/// * A container is named by the first 12 digits of its id, as its runtime prints it. What runs in
///   a container, a whole systemd included, is that container.
/// * A unit is the innermost service or scope, its name as systemd spells it, instance and escapes
///   included. What runs under a user's own systemd has the namespace `user-UID`.
///
/// `None` for a path that names no workload of its own: the root, slices, login sessions, the
/// `init.scope` of a systemd and plain folders. There the process tells more.
pub fn from_cgroup(path: &str, host: &str) -> Option<Workload> {
    let (name, kind) = if let Some(uid) = last(path, pod_uid) {
        (uid.replace('_', "-"), Kind::Pod)
    } else if let Some(id) = last(path, container_id) {
        (id.chars().take(SHORT_ID).collect(), Kind::Container)
    } else {
        (last(path, unit)?.to_owned(), Kind::Unit)
    };
    let mut workload = Workload::local(&name, kind, host);
    workload.namespace = last(path, user).map(|uid| format!("user-{uid}"));
    Some(workload)
}

/// A local end: by its cgroup2 path, else by its path in the v1 hierarchy `name=systemd`, else by
/// its process.
pub fn local(
    path: Option<&str>,
    legacy_path: Option<&str>,
    process: &Process,
    host: &str,
) -> Workload {
    let unified = path.and_then(|path| from_cgroup(path, host));
    let legacy = || {
        let workload = from_cgroup(legacy_path?, host)?;
        Some(Workload { matched_by: MatchedBy::LegacyCgroup, ..workload })
    };
    unified.or_else(legacy).unwrap_or_else(|| by_process(process, host))
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

/// What stands for all the other ends of a folded edge: no name, and no address either.
pub fn folded() -> Workload {
    Workload {
        host: None,
        matched_by: MatchedBy::Address,
        confidence: Confidence::Low,
        ..Workload::local("folded", Kind::Group, "")
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

/// How many digits of a container's id its runtime prints.
const SHORT_ID: usize = 12;

/// What runtimes put before a container's id in the name of its cgroup.
const RUNTIMES: [&str; 6] =
    ["cri-containerd-", "crio-", "docker-", "libpod-payload-", "libpod-", "containerd-"];

/// The innermost component of the path that `name` finds something in.
fn last<'a>(path: &'a str, name: impl Fn(&'a str) -> Option<&'a str>) -> Option<&'a str> {
    path.rsplit('/').find_map(name)
}

/// The id in `<id>`, `docker-<id>.scope`, or `<slice>:cri-containerd:<id>`.
fn container_id(component: &str) -> Option<&str> {
    let id = component.rsplit(':').next().unwrap_or(component);
    let id = id.strip_suffix(".scope").unwrap_or(id);
    let id = RUNTIMES.iter().find_map(|runtime| id.strip_prefix(runtime)).unwrap_or(id);
    (id.len() == 64 && is_hex(id)).then_some(id)
}

/// The uid in `pod<uid>` or `kubepods-burstable-pod<uid>.slice`, with dashes or underscores.
fn pod_uid(component: &str) -> Option<&str> {
    let slice = component.split(':').next().unwrap_or(component);
    let (before, uid) = slice.strip_suffix(".slice").unwrap_or(slice).rsplit_once("pod")?;
    ((before.is_empty() || before.ends_with('-')) && is_uid(uid)).then_some(uid)
}

/// A UUID (RFC 9562, section 4), or the bare 32 digits that a static pod has for one.
fn is_uid(uid: &str) -> bool {
    let at_dash = |at| matches!(at, 8 | 13 | 18 | 23);
    let grouped = |(at, b): (usize, u8)| match b {
        b'-' | b'_' => at_dash(at),
        b => !at_dash(at) && b.is_ascii_hexdigit(),
    };
    match uid.len() {
        32 => is_hex(uid),
        36 => uid.bytes().enumerate().all(grouped),
        _ => false,
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A service or scope that is a workload, and not the frame that others run in.
fn unit(component: &str) -> Option<&str> {
    let frame = component == "init.scope"
        || component.starts_with("session-") && component.ends_with(".scope")
        || user(component).is_some();
    let (name, suffix) = component.rsplit_once('.')?;
    (!frame && !name.is_empty() && matches!(suffix, "service" | "scope")).then_some(component)
}

/// The uid of the user whose own systemd this is.
fn user(component: &str) -> Option<&str> {
    let uid = component.strip_prefix("user@")?.strip_suffix(".service")?;
    (!uid.is_empty() && uid.bytes().all(|b| b.is_ascii_digit())).then_some(uid)
}

fn by_process(process: &Process, host: &str) -> Workload {
    Workload {
        matched_by: MatchedBy::Process,
        // A process that is alive can still have given itself this name.
        confidence: if process.alive { Confidence::Medium } else { Confidence::Low },
        ..Workload::local(process_name(process), Kind::Process, host)
    }
}

/// The name the kernel knows, because it is the same whether or not the process is still there;
/// the executable's only where a process has emptied its name.
fn process_name(process: &Process) -> &str {
    let exe = process.exe.as_deref().and_then(|exe| exe.rsplit('/').next());
    [Some(process.name.as_str()), exe]
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty())
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests;
