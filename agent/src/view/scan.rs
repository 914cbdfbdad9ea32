//! What a scan found, on one screen: what is in clear first.

use std::{cmp::Reverse, time::Duration};

use plainsight_core::{
    escape,
    graph::{Edge, Scope},
    protocol::Security,
};
use serde::Serialize;

use super::{
    Align, Cell, Ink, Style, Table, amount, bytes, counted, datagrams, failures, grouped, losses,
    name, place, protocol, sum,
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
    Unknown,
    /// Without a connection that could belong to any of the others.
    FailedOnly,
}

// === impl Group ===

impl Group {
    fn of(edge: &Edge) -> Self {
        if edge.connections == 0 && edge.failures > 0 {
            return Self::FailedOnly;
        }
        match (edge.security, edge.scope) {
            (Security::None, Scope::Loopback | Scope::Host) => Self::ClearStaying,
            (Security::None, Scope::Cluster | Scope::Outside) => Self::ClearLeaving,
            (Security::Unknown, _) => Self::Unknown,
            _ => Self::Encrypted,
        }
    }
}

/// The scan on one screen.
pub fn text(scan: &Scan, style: Style) -> String {
    let group = |group| in_group(&scan.map.edges, |edge| Group::of(edge) == group);
    let failed = in_group(&scan.map.edges, |edge| edge.failures > 0);
    let mut screen = header(scan, style);
    screen += &section("IN CLEAR, LEAVES THIS HOST", Ink::Bad, &group(Group::ClearLeaving), style);
    screen +=
        &section("IN CLEAR, STAYS ON THIS HOST", Ink::Doubtful, &group(Group::ClearStaying), style);
    let encrypted = group(Group::Encrypted);
    screen += &section("ENCRYPTED, OR HANDSHAKE SEEN", Ink::Good, &encrypted, style);
    screen += &section("UNKNOWN", Ink::Doubtful, &group(Group::Unknown), style);
    screen += &failed_section(&failed, style);
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

fn section(title: &str, ink: Ink, edges: &[&Edge], style: Style) -> String {
    listed(title, ink, edges, style, |edge| {
        vec![
            Cell::new(protocol(&edge.protocol, edge.protocol_version.as_deref())),
            Cell::new(amount(edge)),
            Cell::new(format!("{} sent", bytes(edge.bytes_sent))),
            Cell::new(format!("{} received", bytes(edge.bytes_received))),
            Cell::new(escape::terminal(&edge.evidence.what)),
        ]
    })
}

fn failed_section(edges: &[&Edge], style: Style) -> String {
    let columns = |edge: &Edge| vec![Cell::new(failures(&edge.failures_by_kind))];
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
    let mut table = Table::new(2, vec![("", Align::Left); 6]);
    for edge in edges.iter().take(SHOWN) {
        let hop = format!("{} → {}", name(&edge.client), place(&edge.server, edge.server_port));
        let mut cells = vec![Cell::new(hop)];
        cells.extend(columns(edge));
        table.push(cells);
    }
    let title = style.paint(ink, &format!("{title}: {}", grouped(edges.len() as u64)));
    let more = match edges.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("  and {more} more: -o json has them all\n"),
        _ => String::new(),
    };
    format!("{title}\n{}{more}", table.render(style))
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
