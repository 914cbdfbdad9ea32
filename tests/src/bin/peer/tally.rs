//! What was counted, and how it is told.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use serde_json::{Value, json};

/// Ports beyond so many are not listed.
const MOST_PORTS: usize = 10_000;

/// Counts of one peer.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) connections: u64,
    pub(crate) read: u64,
    pub(crate) written: u64,
    /// Segments with payload that came, of connections where they were counted.
    pub(crate) segments: u64,
    failures: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
    ports: Vec<u16>,
}

// === impl Tally ===

impl Tally {
    /// A connect failed.
    pub(crate) fn failure(&mut self, error: &io::Error) {
        *self.failures.entry(reason(error)).or_default() += 1;
    }

    /// An established connection ended in an error.
    pub(crate) fn error(&mut self, error: &io::Error) {
        *self.errors.entry(reason(error)).or_default() += 1;
    }

    /// A client's own port.
    pub(crate) fn port(&mut self, port: u16) {
        if self.ports.len() < MOST_PORTS {
            self.ports.push(port);
        }
    }

    /// Whether every established connection ended as it should.
    pub(crate) fn is_without_errors(&self) -> bool {
        self.errors.is_empty()
    }

    /// Adds what another thread counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.connections += other.connections;
        self.read += other.read;
        self.written += other.written;
        self.segments += other.segments;
        for (reason, count) in other.failures {
            *self.failures.entry(reason).or_default() += count;
        }
        for (reason, count) in other.errors {
            *self.errors.entry(reason).or_default() += count;
        }
        self.ports.extend(other.ports);
    }

    /// Tells it.
    pub(crate) fn tell(&self) -> io::Result<()> {
        say(&json!({
            "connections": self.connections,
            "read": self.read,
            "written": self.written,
            "segments": self.segments,
            "failures": self.failures,
            "errors": self.errors,
            "ports": self.ports,
        }))
    }
}

/// Prints one line.
pub(crate) fn say(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

/// Says that it waits, and waits for a line or the end of the input.
pub(crate) fn wait() -> io::Result<()> {
    say(&json!({ "waiting": true }))?;
    io::stdin().read_line(&mut String::new()).map(drop)
}

fn reason(error: &io::Error) -> String {
    error.kind().to_string()
}
