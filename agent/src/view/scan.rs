//! What a scan found, on one screen: what is in clear first.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use plainsight_core::{
    escape,
    finding::{self, Amount, Finding, Kind, NotProven, Severity},
    graph::{Edge, Scope},
    protocol::tls::Mutual,
};
use serde::Serialize;

use super::{
    Align, Cell, Ink, Style, Table, amount, bytes, counted, datagrams, failures,
    findings::{advice, not_proven, severity, what},
    grouped, link, losses, name, place, protocol, sum,
};
use crate::serve::Snapshot;

/// How many edges of a group are shown. All groups at their fullest still fit a large screen.
const SHOWN: usize = 10;

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scan {
    /// Name of the host.
    pub host: String,
    /// Release of its kernel.
    pub kernel: String,
    /// How long it was watched.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// Whether it was made sure that nothing of ours is in the kernel any more.
    pub nothing_left: bool,
    /// What is wrong with its hops.
    pub findings: Vec<Finding>,
    /// Hops in the clear that nobody wonders about.
    pub expected_plaintext: Amount,
    /// What is not known, and why.
    pub not_proven: NotProven,
    /// What passes by on this host without being seen.
    pub not_seen: Vec<String>,
    /// The map at the end.
    #[serde(flatten)]
    pub map: Snapshot,
}

/// Where an edge belongs on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    ClearLeaving,
    ClearStaying,
    Encrypted,
    Expected,
    NotProven,
    /// Without a connection that could belong to any of the others.
    FailedOnly,
}

// === impl Group ===

impl Group {
    fn of(edge: &Edge, findings: &[Finding]) -> Self {
        if edge.connections == 0 && edge.failures > 0 {
            return Self::FailedOnly;
        }
        match edge.scope {
            _ if finding::is_sealed(edge) => Self::Encrypted,
            _ if !finding::is_clear(edge) => Self::NotProven,
            _ if clear_severity(edge, findings) == Severity::Info => Self::Expected,
            Scope::Loopback | Scope::Host => Self::ClearStaying,
            Scope::Cluster | Scope::Outside => Self::ClearLeaving,
        }
    }
}

/// The worst that is said of this edge's payload in the clear. A listener's finding is as bad as
/// the worst of its hops, and this one may be expected; a sidecar's leg is not.
fn clear_severity(edge: &Edge, findings: &[Finding]) -> Severity {
    let found = findings.iter().filter(|found| found.kind.is_clear() && is_about(found, edge));
    let worst = found.map(|found| found.severity).min().unwrap_or(Severity::Info);
    let is_leg = edge.scope == Scope::Loopback && worst == Severity::Low;
    let is_secret = edge.credentials.as_ref().is_some_and(|shown| shown.readable);
    if finding::expected(edge).is_none() || is_leg || is_secret { worst } else { Severity::Info }
}

fn is_about(found: &Finding, edge: &Edge) -> bool {
    found.server_port == edge.server_port
        && found.transport == edge.transport
        && found.server.name == edge.server.name
        && found.server.kind == edge.server.kind
}

/// The scan on one screen.
pub fn text(scan: &Scan, style: Style) -> String {
    let of = |edge: &Edge| Group::of(edge, &scan.findings);
    let group = |group| in_group(&scan.map.edges, |edge| of(edge) == group);
    let failed = in_group(&scan.map.edges, |edge| edge.failures > 0);
    let worst_first = |mine| {
        let mut edges = group(mine);
        edges.sort_by_key(|edge| clear_severity(edge, &scan.findings));
        edges
    };
    let (leaving, staying) = (worst_first(Group::ClearLeaving), worst_first(Group::ClearStaying));
    let mut screen = header(scan, style);
    screen += &clear("IN CLEAR, LEAVES THIS HOST", Ink::Bad, &leaving, scan, style);
    screen += &clear("IN CLEAR, STAYS ON THIS HOST", Ink::Doubtful, &staying, scan, style);
    screen += &others(&scan.findings, style);
    screen += &encrypted(&group(Group::Encrypted), style);
    screen += &expected(&group(Group::Expected), style);
    screen += &unproven(&group(Group::NotProven), scan, style);
    screen += &failed_section(&failed, style);
    screen += &not_seen(&scan.not_seen);
    screen + last_line(scan.nothing_left)
}

/// The edges that fit, the busiest first.
fn in_group(edges: &[Edge], fits: impl Fn(&Edge) -> bool) -> Vec<&Edge> {
    let mut found: Vec<&Edge> = edges.iter().filter(|edge| fits(edge)).collect();
    let uses = |edge: &Edge| [edge.connections, edge.failures, datagrams(edge)];
    found.sort_by_key(|edge| Reverse(uses(edge).into_iter().fold(0, u64::saturating_add)));
    found
}

fn header(scan: &Scan, style: Style) -> String {
    let head = format!(
        "{}, {}, {}, blocks nothing",
        escape::terminal(&scan.host),
        escape::terminal(&scan.kernel),
        humantime::format_duration(Duration::from_secs(scan.duration.as_secs())),
    );
    let datagrams = match sum(&scan.map.edges, datagrams) {
        0 => String::new(),
        some => format!(", {}", counted(some, "datagram")),
    };
    format!(
        "{}: {}, {}{datagrams}, {}\n",
        style.paint(Ink::Heading, &head),
        counted(scan.map.edges.len() as u64, "hop"),
        counted(sum(&scan.map.edges, |edge| edge.connections), "connection"),
        losses(&scan.map.lost),
    )
}

/// Hops in the clear with how bad that is, and what to do about it once for each listener.
fn clear(title: &str, ink: Ink, edges: &[&Edge], scan: &Scan, style: Style) -> String {
    let mut told = BTreeSet::new();
    let lines = listed(title, ink, edges, style, |edge| {
        let mut cells = vec![severity(clear_severity(edge, &scan.findings))];
        cells.extend(hop_cells(edge));
        cells
    });
    let mut screen = String::new();
    for (at, line) in lines.lines().enumerate() {
        screen += &format!("{line}\n");
        let Some(edge) = at.checked_sub(1).and_then(|at| edges.get(at)) else { continue };
        let found = scan.findings.iter().filter(|found| is_about(found, edge));
        let worst = found.filter(|found| found.kind.is_clear()).min_by_key(|found| found.severity);
        let Some(found) = worst.filter(|found| found.severity <= Severity::Medium) else {
            continue;
        };
        if at <= SHOWN && told.insert(&found.id) {
            screen += &advice(&found.fix.join(" "));
        }
    }
    screen
}

fn hop_cells(edge: &Edge) -> Vec<Cell> {
    vec![
        Cell::new(hop(edge)),
        Cell::new(protocol(&edge.protocol, edge.protocol_version.as_deref())),
        Cell::new(amount(edge)),
        Cell::new(format!("{} sent", bytes(edge.bytes_sent))),
        Cell::new(format!("{} received", bytes(edge.bytes_received))),
        Cell::new(evidence(edge)),
    ]
}

/// What the reading rests on, and what encrypts the link below.
fn evidence(edge: &Edge) -> String {
    let what = escape::terminal(&edge.evidence.what);
    match link(edge) {
        Some(link) => format!("{what}; {link}"),
        None => what.into_owned(),
    }
}

/// What is found beside payload in the clear.
fn others(findings: &[Finding], style: Style) -> String {
    let is_other = |found: &&Finding| {
        let is_told = matches!(found.kind, Kind::PlaintextHop | Kind::Downgrade);
        !is_told && found.severity < Severity::Info
    };
    let others: Vec<&Finding> = findings.iter().filter(is_other).collect();
    if others.is_empty() {
        return String::new();
    }
    let mut table = Table::new(2, vec![("", Align::Left); 3]);
    for found in others.iter().take(SHOWN) {
        let server = Cell::new(place(&found.server, found.server_port));
        table.push(vec![severity(found.severity), server, Cell::new(what(found))]);
    }
    let title = style.paint(Ink::Bad, &format!("ALSO FOUND: {}", grouped(others.len() as u64)));
    format!("{title}\n{}{}", table.render(style), more(others.len()))
}

fn encrypted(edges: &[&Edge], style: Style) -> String {
    if edges.is_empty() {
        return String::new();
    }
    let mutual = |edge: &Edge| edge.tls.as_ref().map_or(Mutual::Unknown, |tls| tls.mutual);
    let count = |wanted: &[Mutual]| {
        edges.iter().filter(|edge| wanted.contains(&mutual(edge))).count() as u64
    };
    let certified =
        edges.iter().filter(|edge| edge.tls.as_ref().is_some_and(|tls| tls.certificates > 0));
    let title = format!(
        "ENCRYPTED: one-way {}, mutual {}, unknown {}; certificates seen on {} of",
        grouped(count(&[Mutual::OneWay, Mutual::RequestedNotGiven])),
        grouped(count(&[Mutual::Mutual])),
        grouped(count(&[Mutual::Unknown])),
        grouped(certified.count() as u64),
    );
    listed(&title, Ink::Good, edges, style, hop_cells)
}

/// In one line: how many for each reason, and the busiest.
fn expected(edges: &[&Edge], style: Style) -> String {
    let Some(busiest) = edges.first() else { return String::new() };
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for edge in edges {
        *reasons.entry(finding::expected(edge).unwrap_or("other")).or_default() += 1;
    }
    let reasons: Vec<String> =
        reasons.iter().map(|(reason, count)| format!("{} {reason}", grouped(*count))).collect();
    let title = format!("EXPECTED PLAINTEXT: {}", grouped(edges.len() as u64));
    format!(
        "{} ({}); busiest {}, {}\n",
        style.paint(Ink::Heading, &title),
        reasons.join(", "),
        hop(busiest),
        amount(busiest),
    )
}

/// In the words of `findings`, and which those are.
fn unproven(edges: &[&Edge], scan: &Scan, style: Style) -> String {
    let listed = listed("", Ink::Doubtful, edges, style, hop_cells);
    let rows = listed.split_once('\n').map_or("", |(_, rows)| rows);
    not_proven(&scan.not_proven) + rows
}

fn not_seen(what: &[String]) -> String {
    if what.is_empty() {
        return String::new();
    }
    let what: Vec<_> = what.iter().map(|what| escape::terminal(what)).collect();
    format!("NOT SEEN: {}\n", what.join("; "))
}

fn failed_section(edges: &[&Edge], style: Style) -> String {
    let columns =
        |edge: &Edge| vec![Cell::new(hop(edge)), Cell::new(failures(&edge.failures_by_kind))];
    listed("FAILED CONNECTS", Ink::Doubtful, edges, style, columns)
}

fn listed(
    title: &str,
    ink: Ink,
    edges: &[&Edge],
    style: Style,
    columns: impl Fn(&Edge) -> Vec<Cell>,
) -> String {
    if edges.is_empty() {
        return String::new();
    }
    let mut table = Table::new(2, vec![("", Align::Left); 7]);
    for edge in edges.iter().take(SHOWN) {
        table.push(columns(edge));
    }
    let colon = if title.ends_with(" of") { "" } else { ":" };
    let title = style.paint(ink, &format!("{title}{colon} {}", grouped(edges.len() as u64)));
    format!("{title}\n{}{}", table.render(style), more(edges.len()))
}

fn hop(edge: &Edge) -> String {
    format!("{} → {}", name(&edge.client), place(&edge.server, edge.server_port))
}

/// What of so many is not shown.
fn more(count: usize) -> String {
    match count.checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("  and {more} more: -o json has them all\n"),
        _ => String::new(),
    }
}

fn last_line(nothing_left: bool) -> &'static str {
    if nothing_left {
        "Nothing left in the kernel.\n"
    } else {
        "It could not be made sure that nothing is left in the kernel.\n"
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
