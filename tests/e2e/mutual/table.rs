//! Answers added up.

use std::{collections::BTreeMap, env, fs, path::Path};

use plainsight_core::protocol::tls::{Mutual, Tls};

use super::Version;

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    client: String,
    server: String,
    version: Version,
}

/// Counts by rows, and what is not as it should be.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rows: BTreeMap<Row, Counts>,
    wrong: Vec<String>,
    /// Connections without a certificate of the client's, and those that were called mutual.
    bare: [u64; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// First connections and those that resume: right, unknown, wrong.
    first: [u64; 3],
    resumed: [u64; 3],
}

const HEADER: &str = "\
| client | server | TLS | handshakes | right | unknown | wrong | resumed | right | unknown | wrong | error |
|---|---|---|---|---|---|---|---|---|---|---|---|";

const PREFACE: &str = "\
# Who proved themselves, told from the outside

Up to TLS 1.2 certificates are readable, and the answer is observed. TLS 1.3 seals them, and the answer is inferred
from the lengths of the first records that the client protects. This table says how often that is right. It is
measured by `cargo xtask prove mutual --tables`, which writes it: every client has nothing to show, or a certificate
(RSA 2048 and 4096, EC P-256 and P-384, Ed25519; alone, with two issuers, or for 283 names), and every server asks
for one or does not. A session that is resumed shows no certificate again, so unknown is what can be said of it.
";

// === impl Row ===

impl Row {
    pub(super) fn new(client: &str, server: &str, version: Version) -> Self {
        Self { client: client.to_owned(), server: server.to_owned(), version }
    }
}

// === impl Tally ===

impl Tally {
    /// One answer.
    pub(super) fn add(&mut self, row: Row, truth: Mutual, read: &Tls, what: &str) {
        let at = match read.mutual {
            said if said == truth => 0,
            Mutual::Unknown => 1,
            _ => 2,
        };
        if at == 2 {
            self.wrong.push(format!("{row:?}: {what}"));
        }
        self.bare[0] += u64::from(truth != Mutual::Mutual);
        self.bare[1] += u64::from(truth != Mutual::Mutual && read.mutual == Mutual::Mutual);
        let counts = self.rows.entry(row).or_default();
        let group =
            if read.resumed == Some(true) { &mut counts.resumed } else { &mut counts.first };
        group[at] += 1;
    }

    /// A connection that was not made, or not read.
    pub(super) fn fail(&mut self, row: Row, reason: String) {
        self.wrong.push(format!("{row:?}: {reason}"));
    }

    pub(super) fn wrong(&self) -> &[String] {
        &self.wrong
    }

    pub(super) fn right(&self) -> u64 {
        self.rows.values().map(|counts| counts.first[0]).sum()
    }

    pub(super) fn unknown(&self) -> u64 {
        self.rows.values().map(|counts| counts.first[1]).sum()
    }

    /// What matters most.
    pub(super) fn summary(&self) -> String {
        let Self { bare: [bare, mutual], .. } = self;
        format!("{bare} connections without a client's certificate, {mutual} of them called mutual")
    }

    /// In the form of Markdown.
    pub(super) fn table(&self) -> Vec<String> {
        let line = |(row, counts): (&Row, &Counts)| {
            let Counts { first, resumed } = *counts;
            let all = |group: [u64; 3]| group.iter().sum::<u64>();
            let error = (first[2] + resumed[2]) as f64 * 100.0 / (all(first) + all(resumed)) as f64;
            format!(
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {error:.1} % |",
                row.client,
                row.server,
                row.version.number(),
                all(first),
                first[0],
                first[1],
                first[2],
                all(resumed),
                resumed[0],
                resumed[1],
                resumed[2],
            )
        };
        self.rows.iter().map(line).collect()
    }

    /// Writes the table to the folder that `PLAINSIGHT_TABLES` names, if it names one.
    pub(super) fn write(&self) {
        if let Some(folder) = env::var_os("PLAINSIGHT_TABLES") {
            let text = format!(
                "{PREFACE}\n{HEADER}\n{}\n\n{}.\n",
                self.table().join("\n"),
                self.summary()
            );
            let path = Path::new(&folder).join("mutual-tls.md");
            fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}
