//! What the agent tells other systems about itself and the map: one [`Sample`], several encodings.
//!
//! A sample is plain data, taken at one moment, so that an encoding neither waits for the agent
//! nor sees half of a change.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use jiff::Timestamp;
use plainsight_core::{
    escape,
    finding::{Kind, Report, Severity, State},
    flow::{Reporter, Totals},
    graph::{Edge, FailuresByKind},
    identity::{self, Workload},
};
use plainsight_ebpf::abi::counters::Counter;

pub mod prometheus;

/// What was lost, by stage and reason.
pub type Lost = BTreeMap<String, BTreeMap<String, u64>>;

/// How many series edges get unless somebody says otherwise. A scrape of so many stays under 5 MB.
pub const SERIES_LIMIT: usize = 10_000;

/// How many listeners are published.
pub const MOST_LISTENERS: usize = 4096;

/// Series that are set aside for each edge: four that every edge has, and one for the others, which
/// are failures by the kinds that occurred, and datagrams where there are connections too.
const SERIES_PER_ROW: usize = 5;

/// The agent at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Edges, each with series of its own.
    pub edges: EdgeRows,
    /// The kernel's counters.
    pub totals: Totals,
    /// What was lost: [`lost`] of the same totals, and what the agent itself lost.
    pub lost: Lost,
    /// Maps in the kernel.
    pub maps: Vec<MapFill>,
    /// Events taken from the ring, by kind.
    pub events_received: BTreeMap<&'static str, u64>,
    /// By how much totals and edges differ once the map is at rest.
    pub balance_error: u64,
    /// How many connections are open, by two sources that know nothing of each other.
    pub open: Option<Open>,
    /// Looks at the map of edges so far.
    pub scans: Scans,
    /// Record filters in force.
    pub filters: u64,
    /// What the agent's own process uses.
    pub process: Option<ProcessUse>,
    /// Clients that were cut off because they did not take their answer.
    pub clients_cut_off: u64,
    /// How its canary fares, where it has one.
    pub canary: Option<CanaryRuns>,
    /// Findings by kind, severity and state.
    pub findings: BTreeMap<(Kind, Severity, State), u64>,
    /// Findings that there is no room for.
    pub findings_refused: u64,
    /// Clients that are not remembered any more to have been encrypted.
    pub clients_forgotten: u64,
    /// How often the state file could not be written.
    pub state_failures: u64,
    /// Where servers of this host can be reached.
    pub listeners: Arc<Listeners>,
    /// Where names come from.
    pub names: Names,
}

/// Where servers of this host can be reached from elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// Address, port and server, in order.
    pub rows: BTreeSet<(IpAddr, u16, Party)>,
    /// How many there is no room for.
    pub refused: u64,
}

/// Where the names of ends come from, and how that went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Ends by how they came out.
    pub ends: Vec<(&'static str, u64)>,
    /// Files of container runtimes by runtime and answer.
    pub files: Vec<(&'static str, &'static str, u64)>,
    /// Names for networks that are in force, and whether they are those of the file.
    pub rules: Option<(u64, bool)>,
}

/// Ends of TCP connections on this host that are open, by each of two sources at about the same
/// time. They differ by those that just came or went, and by sockets in network namespaces that
/// cannot be listed; a difference that stays and grows is a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Opened and not closed, as the programs saw it.
    pub programs: u64,
    /// In the kernel's list of sockets.
    pub sockets: u64,
    /// By how much the first exceed the second, beyond what came or went during the comparison.
    pub unexplained: u64,
    /// The same as far as it was so in the comparison before, too.
    pub without_socket: u64,
}

/// How the canary fares: a connection of the agent's own that must come back through the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanaryRuns {
    /// How often it was sent, by how that came out.
    pub runs: BTreeMap<&'static str, u64>,
    /// When it came back last.
    pub last_success: Option<Timestamp>,
}

/// A map's size, and how much of it is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFill {
    /// The map's name.
    pub name: &'static str,
    /// Elements in it, where they can be counted; for a ring, unread bytes.
    pub entries: Option<u64>,
    /// Most elements it can hold; for a ring, its bytes.
    pub capacity: u64,
    /// Memory the kernel accounts for it.
    pub memory_bytes: u64,
}

/// How often the map of edges was read, and how long that took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scans {
    /// How often.
    pub count: u64,
    /// How long, all together.
    pub seconds: f64,
}

/// What the agent's own process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUse {
    /// Memory that is resident.
    pub resident_bytes: u64,
    /// CPU time of all threads since it started.
    pub cpu_seconds: f64,
}

/// Edges added up by the labels they have as series, as many as there is room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeRows {
    /// One row for each set of labels, in their order.
    pub rows: Vec<EdgeRow>,
    /// What is beyond the limit, added up.
    pub overflow: Option<Counts>,
    /// How many sets of labels that is.
    pub overflow_rows: u64,
}

/// The series of one set of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeRow {
    /// The labels.
    pub labels: EdgeLabels,
    /// The values.
    pub counts: Counts,
}

/// What tells the series of one edge from those of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeLabels {
    /// The client.
    pub client: Party,
    /// The server.
    pub server: Party,
    /// The port the server listens on.
    pub server_port: u16,
    /// The wire protocol.
    pub protocol: String,
    /// What protects the payload.
    pub security: &'static str,
    /// `client`, `server` or `both`.
    pub reporter: &'static str,
}

/// A workload as labels name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party {
    /// Its name.
    pub workload: String,
    /// What sort of thing it is.
    pub kind: &'static str,
    /// Its namespace; empty where it has none.
    pub namespace: String,
    /// Its cluster or site; empty where it belongs to none.
    pub cluster: String,
    /// Its host; empty where that does not matter: a pod is the same on any.
    pub host: String,
}

/// Values of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections established.
    pub connections: u64,
    /// Of those, not ended yet.
    pub open: u64,
    /// Payload bytes from client to server.
    pub bytes_sent: u64,
    /// Payload bytes from server to client.
    pub bytes_received: u64,
    /// UDP datagrams from client to server.
    pub datagrams_sent: u64,
    /// UDP datagrams from server to client.
    pub datagrams_received: u64,
    /// Connects that failed.
    pub failures: FailuresByKind,
}

// === impl EdgeRows ===

impl EdgeRows {
    /// Adds edges up by their labels, and what is beyond `limit` series into one row.
    ///
    /// Whoever was seen first keeps its series: if the busiest had them, series would come and go
    /// from scrape to scrape, and a counter that goes is read as a restart.
    pub fn new(edges: &[Edge], limit: usize) -> Self {
        let mut rows = oldest_first(edges);
        let room = limit / SERIES_PER_ROW;
        let beyond = rows.split_off(room.min(rows.len()));
        let mut overflow = Counts::default();
        beyond.iter().for_each(|row| overflow.add(&row.counts));
        overflow.add(&displace(&mut rows, room));
        rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        Self {
            rows,
            overflow: (overflow != Counts::default()).then_some(overflow),
            overflow_rows: beyond.len() as u64,
        }
    }
}

/// One row for each set of labels.
fn oldest_first(edges: &[Edge]) -> Vec<EdgeRow> {
    let mut sums = BTreeMap::new();
    for edge in edges {
        let (first_seen, counts) =
            sums.entry(EdgeLabels::new(edge)).or_insert((edge.first_seen, Counts::default()));
        *first_seen = edge.first_seen.min(*first_seen);
        counts.add(&Counts::new(edge));
    }
    let mut ranked: Vec<_> = sums
        .into_iter()
        .map(|(labels, (first_seen, counts))| (first_seen, EdgeRow { labels, counts }))
        .collect();
    // A stable sort: rows first seen at the same moment stay in the order of their labels.
    ranked.sort_by_key(|(first_seen, _)| *first_seen);
    ranked.into_iter().map(|(_, row)| row).collect()
}

/// Takes from the rows what they have beside the series of every edge, where `room` does not
/// suffice for it, and gives the sum.
fn displace(rows: &mut [EdgeRow], mut room: usize) -> Counts {
    let mut displaced = Counts::default();
    for row in rows {
        let others = row.counts.others();
        match room.checked_sub(others.series()) {
            Some(left) => room = left,
            None => {
                displaced.add(&others);
                row.counts.leave_out_others();
            }
        }
    }
    displaced
}

/// Kinds of failures that occurred, and how often.
pub(crate) fn occurred(
    failures: &FailuresByKind,
) -> impl Iterator<Item = (&'static str, u64)> + use<> {
    let FailuresByKind { refused, timeout, aborted, denied } = *failures;
    let kinds =
        [("refused", refused), ("timeout", timeout), ("aborted", aborted), ("denied", denied)];
    kinds.into_iter().filter(|(_, count)| *count > 0)
}

// === impl EdgeLabels ===

impl EdgeLabels {
    fn new(edge: &Edge) -> Self {
        let [client, server] = [&edge.client, &edge.server].map(Party::new);
        Self {
            client,
            server,
            server_port: edge.server_port,
            protocol: edge.protocol.clone().into_owned(),
            security: edge.security.name(),
            reporter: reporter(&edge.reporters),
        }
    }
}

// === impl Listeners ===

impl Listeners {
    /// Adds a server at an address, if there is room.
    pub fn add(&mut self, address: IpAddr, port: u16, server: &Workload) {
        let row = (address, port, Party::new(server));
        if self.rows.len() < MOST_LISTENERS || self.rows.contains(&row) {
            self.rows.insert(row);
        } else {
            self.refused += 1;
        }
    }
}

// === impl Party ===

impl Party {
    fn new(workload: &Workload) -> Self {
        let optional = |name: &Option<String>| name.as_deref().map(text).unwrap_or_default();
        let has_host = workload.kind != identity::Kind::Pod;
        Self {
            workload: text(&workload.name),
            kind: workload.kind.name(),
            namespace: optional(&workload.namespace),
            cluster: optional(&workload.cluster),
            host: if has_host { optional(&workload.host) } else { String::new() },
        }
    }
}

// === impl Counts ===

impl Counts {
    fn new(edge: &Edge) -> Self {
        Self {
            connections: edge.connections,
            open: edge.open,
            bytes_sent: edge.bytes_sent,
            bytes_received: edge.bytes_received,
            datagrams_sent: edge.datagrams_sent,
            datagrams_received: edge.datagrams_received,
            failures: edge.failures_by_kind,
        }
    }

    /// Whether there is UDP in it.
    pub(crate) const fn has_datagrams(&self) -> bool {
        self.datagrams_sent != 0 || self.datagrams_received != 0
    }

    /// Whether there is anything but UDP in it, or nothing at all.
    pub(crate) fn has_connections(&self) -> bool {
        let is_other = self.connections != 0 || self.failures != FailuresByKind::default();
        is_other || !self.has_datagrams()
    }

    /// What is not in the four series that every edge has: connections that were established, those
    /// open, and bytes each way; of UDP alone, datagrams in place of the first two.
    fn others(&self) -> Self {
        let failures = self.failures;
        let mut others = Self { failures, ..Self::default() };
        if self.has_connections() {
            others.datagrams_sent = self.datagrams_sent;
            others.datagrams_received = self.datagrams_received;
        }
        others
    }

    /// How many series [`Self::others`] take.
    fn series(&self) -> usize {
        occurred(&self.failures).count() + if self.has_datagrams() { 2 } else { 0 }
    }

    fn leave_out_others(&mut self) {
        if self.has_connections() {
            (self.datagrams_sent, self.datagrams_received) = (0, 0);
        }
        self.failures = FailuresByKind::default();
    }

    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.connections, other.connections),
            (&mut self.open, other.open),
            (&mut self.bytes_sent, other.bytes_sent),
            (&mut self.bytes_received, other.bytes_received),
            (&mut self.datagrams_sent, other.datagrams_sent),
            (&mut self.datagrams_received, other.datagrams_received),
            (&mut self.failures.refused, other.failures.refused),
            (&mut self.failures.timeout, other.failures.timeout),
            (&mut self.failures.aborted, other.failures.aborted),
            (&mut self.failures.denied, other.failures.denied),
        ];
        for (sum, more) in pairs {
            *sum = sum.saturating_add(more);
        }
    }
}

/// A name without control characters: the format would carry them, into every terminal that shows
/// it.
fn text(name: &str) -> String {
    escape::terminal(name).into_owned()
}

/// One label for the set of reporters, so that a sum over hosts can leave out the server's view of
/// what a client reports as well.
fn reporter(reporters: &[Reporter]) -> &'static str {
    match reporters {
        [Reporter::Client] => "client",
        [Reporter::Server] => "server",
        _ => "both",
    }
}

/// What the kernel half lost, by stage and reason. All reasons are there, those of which nothing
/// was lost with 0: a series that appears only with the first loss is found by no alert.
///
/// What is folded is no loss: it is counted to the byte.
pub fn lost(totals: &Totals) -> Lost {
    const REASONS: [(&str, &str, Counter); 10] = [
        ("edges", "full", Counter::EdgesFull),
        ("edges", "busy", Counter::EdgesBusy),
        ("edges", "other", Counter::EdgesOther),
        ("ring", "first_seen", Counter::RingFullFirstSeen),
        ("ring", "connection", Counter::RingFullConnection),
        ("ring", "handshake", Counter::RingFullHandshake),
        ("socket", "storage", Counter::StorageFull),
        ("socket", "callbacks", Counter::CallbacksRefused),
        ("socket", "conversations", Counter::ConversationsRefused),
        ("packet", "unreadable", Counter::PacketsUnreadable),
    ];
    let mut lost = Lost::new();
    for (stage, reason, counter) in REASONS {
        let reasons = lost.entry(stage.to_owned()).or_default();
        reasons.insert(reason.to_owned(), totals.get(counter));
    }
    lost
}

/// Findings by kind, severity and state.
pub fn findings(report: &Report) -> BTreeMap<(Kind, Severity, State), u64> {
    let mut counts = BTreeMap::new();
    for finding in &report.findings {
        *counts.entry((finding.kind, finding.severity, finding.state)).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests;
