//! The map as a table.

use plainsight_core::{
    flow::Reporter,
    graph::{Edge, Scope},
    protocol::Security,
};

use super::{
    Align, Cell, Ink, Style, Table, bytes, counted, failures, grouped, losses, name, protocol, sum,
};
use crate::serve::Snapshot;

/// One line for each edge, then the sums and what was lost.
pub fn text(map: &Snapshot, style: Style) -> String {
    if map.edges.is_empty() {
        return format!("No connections seen yet; {}.\n", losses(&map.lost));
    }
    let mut table = Table::new(0, columns());
    for edge in &map.edges {
        table.push(row(edge));
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
        Cell::new(edge.server_port.to_string()),
        Cell::new(protocol(&edge.protocol, edge.protocol_version.as_deref())),
        security(edge),
        Cell::new(grouped(edge.connections)),
        Cell::new(grouped(edge.open)),
        if failed.is_empty() { Cell::new("0") } else { Cell::new(failed).inked(Ink::Doubtful) },
        Cell::new(bytes(edge.bytes_sent)),
        Cell::new(bytes(edge.bytes_received)),
        Cell::new(reporters(&edge.reporters)),
    ]
}

/// Plain text is bad where others can read it on the way.
fn security(edge: &Edge) -> Cell {
    let cell = Cell::new(edge.security.name());
    match (edge.security, edge.scope) {
        (Security::None, Scope::Cluster | Scope::Outside) => cell.inked(Ink::Bad),
        (Security::Tls | Security::Ssh, _) => cell.inked(Ink::Good),
        _ => cell,
    }
}

fn reporters(reporters: &[Reporter]) -> String {
    reporters.iter().map(|reporter| reporter.name()).collect::<Vec<_>>().join("+")
}

fn totals(map: &Snapshot, style: Style) -> String {
    let total = |value: fn(&Edge) -> u64| sum(&map.edges, value);
    let lost = losses(&map.lost);
    format!(
        "{}, {} ({} open), {} failed; {} sent, {} received; {}\n",
        counted(map.edges.len() as u64, "edge"),
        counted(total(|edge| edge.connections), "connection"),
        grouped(total(|edge| edge.open)),
        grouped(total(|edge| edge.failures)),
        bytes(total(|edge| edge.bytes_sent)),
        bytes(total(|edge| edge.bytes_received)),
        if lost == "0 lost" { lost } else { style.paint(Ink::Bad, &lost) },
    )
}
