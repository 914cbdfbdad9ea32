//! One line for each record.

use std::net::SocketAddr;

use anyhow::Context as _;
use plainsight_core::{
    escape,
    record::{Close, Detail, Layer4, Reached, Record},
};
use serde::Deserialize;

use super::{Ink, Style, bytes, counted, name, place, protocol};

/// What the agent sends in place of records for which this reader was too slow.
#[derive(Deserialize)]
struct Missing {
    gap: Gap,
}

#[derive(Deserialize)]
struct Gap {
    missed: u64,
}

/// A line of the agent's stream as a line for people.
pub fn text(line: &str, style: Style) -> anyhow::Result<String> {
    if let Ok(Missing { gap }) = serde_json::from_str(line) {
        let missing = format!("{} missing here: read too slowly", counted(gap.missed, "record"));
        return Ok(style.paint(Ink::Bad, &missing) + "\n");
    }
    let record = serde_json::from_str(line)
        .context("a line is no record: is the agent of another version?")?;
    Ok(one(&record, style))
}

fn one(record: &Record, style: Style) -> String {
    let detail = &record.plainsight;
    let ports = record.flow.l4.ports();
    format!(
        "{} {:<6} {} → {}{} {} {}s {}\n",
        record.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
        detail.reporter.name(),
        name(&detail.client),
        place(&detail.server, ports.destination_port),
        detail.reached.as_ref().map(reached).unwrap_or_default(),
        what(record),
        seconds(detail.duration_seconds),
        close(detail.close, style),
    )
}

/// Protocol, transport where it is not TCP, and how much was carried each way.
fn what(record: &Record) -> String {
    let detail = &record.plainsight;
    let protocol = protocol(&detail.protocol, detail.protocol_version.as_deref());
    let carried = carried(detail);
    match &record.flow.l4 {
        Layer4::Tcp(_) => format!("{protocol} {carried}"),
        Layer4::Udp(_) => format!("{protocol} udp {carried}"),
    }
}

fn carried(detail: &Detail) -> String {
    let way = |size, datagrams: Option<u64>| match datagrams {
        Some(count) => format!("{} in {}", bytes(size), counted(count, "datagram")),
        None => bytes(size),
    };
    format!(
        "{} sent, {} received",
        way(detail.bytes_sent, detail.datagrams_sent),
        way(detail.bytes_received, detail.datagrams_received),
    )
}

/// Where it went behind what was asked for.
fn reached(reached: &Reached) -> String {
    format!(" ({})", SocketAddr::new(reached.address, reached.port))
}

/// Three digits behind the point, and six for what would be 0 otherwise.
fn seconds(value: f64) -> String {
    if value < 0.001 { format!("{value:.6}") } else { format!("{value:.3}") }
}

fn close(close: Close, style: Style) -> String {
    let name = escape::terminal(close.name());
    match close {
        Close::Fin | Close::Closed => name.into_owned(),
        _ => style.paint(Ink::Doubtful, &name),
    }
}
