//! One line for each record.

use anyhow::Context as _;
use plainsight_core::{
    escape,
    record::{Close, Layer4, Record},
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
    let Layer4::Tcp(ports) = &record.flow.l4;
    format!(
        "{} {:<6} {} → {} {} {} sent, {} received {}s {}\n",
        record.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
        detail.reporter.name(),
        name(&detail.client),
        place(&detail.server, ports.destination_port),
        protocol(&detail.protocol, detail.protocol_version.as_deref()),
        bytes(detail.bytes_sent),
        bytes(detail.bytes_received),
        seconds(detail.duration_seconds),
        close(detail.close, style),
    )
}

/// Three digits behind the point, and six for what would be 0 otherwise.
fn seconds(value: f64) -> String {
    if value < 0.001 { format!("{value:.6}") } else { format!("{value:.3}") }
}

fn close(close: Close, style: Style) -> String {
    let name = escape::terminal(close.name());
    match close {
        Close::Fin => name.into_owned(),
        _ => style.paint(Ink::Doubtful, &name),
    }
}
