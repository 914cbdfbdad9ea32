//! Text for people: aligned, coloured on a terminal only, and safe whatever the names are.
//!
//! Names of workloads, hosts and processes come from outside, so each goes through
//! [`escape::terminal`] before it is measured or printed.

pub mod doctor;
pub mod explain;
pub mod findings;
pub mod flow;
pub mod map;
pub mod scan;

use std::{
    collections::BTreeMap,
    env,
    io::{self, ErrorKind, IsTerminal as _, Write as _},
};

use plainsight_core::{
    escape,
    graph::{Basis, Edge, FailuresByKind},
    identity::{Kind, Workload},
    protocol::Transport,
};

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

/// What a colour stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Heading,
    Good,
    Doubtful,
    Bad,
}

/// A table whose columns are as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    indent: usize,
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

/// Where a column's text stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// One field of a table.
#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    ink: Option<Ink>,
}

/// Nobody reads stdout any more, as when `head` has had enough. No error of ours.
#[derive(Debug, thiserror::Error)]
#[error("stdout was closed")]
pub struct Closed;

// === impl Style ===

impl Style {
    /// Without colour.
    pub const PLAIN: Self = Self { colour: false };

    /// For stdout: coloured on a terminal, unless NO_COLOR is set to something.
    pub fn of_stdout() -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: io::stdout().is_terminal() && !refused }
    }

    pub(crate) fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Heading => "1",
            Ink::Good => "32",
            Ink::Doubtful => "33",
            Ink::Bad => "31",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

// === impl Cell ===

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ink: None }
    }

    pub(crate) fn inked(self, ink: Ink) -> Self {
        Self { ink: Some(ink), ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }

    fn padded(&self, width: usize, align: Align, style: Style) -> String {
        let space = " ".repeat(width.saturating_sub(self.width()));
        let text = self.ink.map_or_else(|| self.text.clone(), |ink| style.paint(ink, &self.text));
        match align {
            Align::Left => text + &space,
            Align::Right => space + &text,
        }
    }
}

// === impl Table ===

impl Table {
    pub(crate) fn new(indent: usize, columns: Vec<(&'static str, Align)>) -> Self {
        Self { indent, columns, rows: Vec::new() }
    }

    /// Adds a row, which has one cell for each column.
    pub(crate) fn push(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The rows below their titles; without the titles where all of them are empty.
    pub(crate) fn render(&self, style: Style) -> String {
        let titles: Vec<Cell> =
            self.columns.iter().map(|(title, _)| Cell::new(*title).inked(Ink::Heading)).collect();
        let titled = titles.iter().any(|title| !title.text.is_empty());
        let lines: Vec<&Vec<Cell>> =
            titled.then_some(&titles).into_iter().chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|i| lines.iter().filter_map(|cells| cells.get(i)).map(Cell::width).max())
            .map(Option::unwrap_or_default)
            .collect();
        lines.into_iter().map(|cells| self.line(cells, &widths, style)).collect()
    }

    fn line(&self, cells: &[Cell], widths: &[usize], style: Style) -> String {
        let fields = cells.iter().zip(widths).zip(&self.columns);
        let fields: Vec<String> =
            fields.map(|((cell, width), (_, align))| cell.padded(*width, *align, style)).collect();
        let line = " ".repeat(self.indent) + &fields.join("  ");
        line.trim_end().to_owned() + "\n"
    }
}

/// Writes to stdout at once. [`Closed`] if nobody reads it any more.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        result => Ok(result?),
    }
}

/// The name of a workload, with its namespace where it has one.
pub(crate) fn name(workload: &Workload) -> String {
    let name = escape::terminal(&workload.name);
    match &workload.namespace {
        Some(namespace) => format!("{}/{name}", escape::terminal(namespace)),
        None => name.into_owned(),
    }
}

/// The name of a server, and its port; a folded edge has none.
pub(crate) fn place(server: &Workload, port: u16) -> String {
    let name = name(server);
    if port == 0 {
        return name;
    }
    if server.kind == Kind::Address && name.contains(':') {
        return format!("[{name}]:{port}");
    }
    format!("{name}:{port}")
}

/// Protocol and version, as in `http/1`.
pub(crate) fn protocol(name: &str, version: Option<&str>) -> String {
    let name = escape::terminal(name);
    match version {
        Some(version) => format!("{name}/{}", escape::terminal(version)),
        None => name.into_owned(),
    }
}

/// `text` followed by an `s` unless there is one of it.
pub(crate) fn counted(n: u64, text: &str) -> String {
    format!("{} {text}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes, exact as far as they can be read at a glance.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 10_000 {
        return format!("{} B", grouped(n));
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    // A value that would round to 1024.0 belongs to the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Failures by kind, and nothing where there are none.
pub(crate) fn failures(by_kind: &FailuresByKind) -> String {
    let FailuresByKind { refused, timeout, aborted, denied } = *by_kind;
    let kinds =
        [(refused, "refused"), (timeout, "timeout"), (aborted, "aborted"), (denied, "denied")];
    let some = kinds.iter().filter(|(n, _)| *n > 0);
    some.map(|(n, kind)| format!("{} {kind}", grouped(*n))).collect::<Vec<_>>().join(", ")
}

/// What was lost, in total and by stage and reason.
pub(crate) fn losses(lost: &BTreeMap<String, BTreeMap<String, u64>>) -> String {
    let mut total: u64 = 0;
    let mut parts = Vec::new();
    for (stage, reasons) in lost {
        for (reason, n) in reasons.iter().filter(|(_, n)| **n > 0) {
            total = total.saturating_add(*n);
            let (stage, reason) = (escape::terminal(stage), escape::terminal(reason));
            parts.push(format!("{} {stage}/{reason}", grouped(*n)));
        }
    }
    let kinds = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    format!("{} lost{kinds}", grouped(total))
}

/// Datagrams of both directions.
pub(crate) fn datagrams(edge: &Edge) -> u64 {
    edge.datagrams_sent.saturating_add(edge.datagrams_received)
}

/// What encrypts the link below an edge, and whether that is only said to be so; none where
/// nothing does.
pub(crate) fn link(edge: &Edge) -> Option<String> {
    let words = edge.link.words()?;
    Some(match edge.link_basis {
        Some(Basis::Declared) => format!("{words}, declared"),
        Some(Basis::Observed) | None => words.to_owned(),
    })
}

/// How much there was: connections, and over UDP datagrams.
pub(crate) fn amount(edge: &Edge) -> String {
    match edge.transport {
        Transport::Udp => counted(datagrams(edge), "datagram"),
        _ => counted(edge.connections, "connection"),
    }
}

/// What all edges have in common, added up.
pub(crate) fn sum(edges: &[Edge], value: impl Fn(&Edge) -> u64) -> u64 {
    edges.iter().map(value).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
