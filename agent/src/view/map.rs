//! The map as a table.

use plainsight_core::{
    flow::Reporter,
    graph::{Edge, Scope},
    protocol::{Security, Transport},
};
use std::net::SocketAddr;

use super::{
    Align, Cell, Ink, Style, Table, amount, bytes, counted, datagrams, failures, grouped, link,
    losses, name, protocol, sum,
};
use crate::serve::Snapshot;

/// One line for each edge, then the sums and what was lost.
pub fn text(map: &Snapshot, style: Style) -> String {
    if map.edges.is_empty() {
        return format!("No connections seen yet; {}.\n", losses(&map.lost));
    }
    let notes: Vec<String> = map.edges.iter().map(note).collect();
    let mut columns = columns();
    if notes.iter().any(|note| !note.is_empty()) {
        columns.push(("NOTE", Align::Left));
    }
    let mut table = Table::new(0, columns);
    for (edge, note) in map.edges.iter().zip(notes) {
        let mut cells = row(edge);
        cells.push(Cell::new(note).inked(Ink::Doubtful));
        table.push(cells);
    }
    table.render(style) + &totals(map, style)
}

fn columns() -> Vec<(&'static str, Align)> {
    use Align::{Left, Right};
    vec![
        ("CLIENT", Left),
        ("→", Left),
        ("SERVER", Left),
        ("PORT", Right),
        ("PROTOCOL", Left),
        ("SECURITY", Left),
        ("CONNECTIONS", Right),
        ("OPEN", Right),
        ("FAILED", Left),
        ("SENT", Right),
        ("RECEIVED", Right),
        ("REPORTERS", Left),
    ]
}

fn row(edge: &Edge) -> Vec<Cell> {
    let failed = failures(&edge.failures_by_kind);
    vec![
        Cell::new(name(&edge.client)),
        Cell::new("→"),
        Cell::new(name(&edge.server)),
        Cell::new(port(edge)),
        Cell::new(protocol(&edge.protocol, edge.protocol_version.as_deref())),
        security(edge),
        Cell::new(connections(edge)),
        Cell::new(if is_udp(edge) { String::new() } else { grouped(edge.open) }),
        if failed.is_empty() { Cell::new("0") } else { Cell::new(failed).inked(Ink::Doubtful) },
        Cell::new(bytes(edge.bytes_sent)),
        Cell::new(bytes(edge.bytes_received)),
        Cell::new(reporters(&edge.reporters)),
    ]
}

fn is_udp(edge: &Edge) -> bool {
    edge.transport == Transport::Udp
}

/// With the transport where it is not TCP. A folded edge has none.
fn port(edge: &Edge) -> String {
    match (edge.server_port, edge.transport) {
        (0, Transport::Tcp) => "-".to_owned(),
        (0, transport) => format!("-/{}", transport.name()),
        (port, Transport::Tcp) => port.to_string(),
        (port, transport) => format!("{port}/{}", transport.name()),
    }
}

/// Over UDP the datagrams of both directions, because there are no connections.
fn connections(edge: &Edge) -> String {
    if is_udp(edge) { amount(edge) } else { grouped(edge.connections) }
}

/// What a reader should know before relying on the line.
fn note(edge: &Edge) -> String {
    let late = edge.joined_late.then(|| "joined late".to_owned());
    late.into_iter().chain(reached(edge)).chain(link(edge)).collect::<Vec<_>>().join("; ")
}

/// The first place that packets went, and how many more there are.
fn reached(edge: &Edge) -> Option<String> {
    let (first, others) = edge.reached.split_first()?;
    let place = SocketAddr::new(first.address, first.port);
    let more = edge.reached_more.saturating_add(others.len() as u64);
    let more = if more == 0 { String::new() } else { format!(" and {} more", grouped(more)) };
    Some(format!("reached {place}{more}"))
}

/// Plain text is bad where others can read it on the way.
fn security(edge: &Edge) -> Cell {
    let cell = Cell::new(edge.security.name());
    match (edge.security, edge.scope) {
        (Security::None, Scope::Cluster | Scope::Outside) => cell.inked(Ink::Bad),
        (Security::None | Security::Unknown, _) => cell,
        _ => cell.inked(Ink::Good),
    }
}

fn reporters(reporters: &[Reporter]) -> String {
    reporters.iter().map(|reporter| reporter.name()).collect::<Vec<_>>().join("+")
}

fn totals(map: &Snapshot, style: Style) -> String {
    let total = |value: fn(&Edge) -> u64| sum(&map.edges, value);
    let lost = losses(&map.lost);
    let datagrams = match total(datagrams) {
        0 => String::new(),
        some => format!(", {}", counted(some, "datagram")),
    };
    format!(
        "{}, {} ({} open), {} failed{datagrams}; {} sent, {} received; {}\n",
        counted(map.edges.len() as u64, "edge"),
        counted(total(|edge| edge.connections), "connection"),
        grouped(total(|edge| edge.open)),
        grouped(total(|edge| edge.failures)),
        bytes(total(|edge| edge.bytes_sent)),
        bytes(total(|edge| edge.bytes_received)),
        if lost == "0 lost" { lost } else { style.paint(Ink::Bad, &lost) },
    )
}
