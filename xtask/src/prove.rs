//! `prove`: the promises at full counts, with a table of what was wanted and what was measured.

use std::process::ExitCode;

use clap::Args;

use crate::{
    fuzz, process,
    summary::Proof,
    test::{self, Options, Tier},
    workspace::Workspace,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only promises whose test's name contains this.
    name: Option<String>,
    /// Write the tables that were measured to docs/.
    #[arg(long)]
    tables: bool,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (name, tables) = (arguments.name.as_deref(), arguments.tables);
    let options = Options { name, full: true, tables, bless: false };
    let mut summary = test::tiers(workspace, &[Tier::Kernel, Tier::E2e], &options)?;
    // Building the targets takes minutes, so whoever asks for one test does not wait for it.
    if name.is_none_or(|name| name.contains("fuzz")) {
        summary.add(fuzz::all(workspace, None, fuzz::FULL_RUNS)?);
    }
    for line in table(&summary.proofs) {
        process::say(&line);
    }
    Ok(test::close(&summary))
}

/// The proofs in columns; a column is as wide as its widest cell.
fn table(proofs: &[Proof]) -> Vec<String> {
    if proofs.is_empty() {
        return Vec::new();
    }
    let header = Proof {
        what: "COMMAND OR PROMISE".into(),
        wanted: "WANTED".into(),
        measured: "MEASURED".into(),
    };
    let rows = || std::iter::once(&header).chain(proofs);
    let what = rows().map(|row| row.what.chars().count()).max().unwrap_or(0);
    let wanted = rows().map(|row| row.wanted.chars().count()).max().unwrap_or(0);
    rows()
        .map(|row| format!("{:what$}  {:wanted$}  {}", row.what, row.wanted, row.measured))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let proof = |what: &str, wanted: &str, measured: &str| Proof {
            what: what.into(),
            wanted: wanted.into(),
            measured: measured.into(),
        };
        let table =
            table(&[proof("curl, 23 requests", "23", "23"), proof("kill -9", "0 left", "0")]);
        assert_eq!(
            table,
            [
                "COMMAND OR PROMISE  WANTED  MEASURED",
                "curl, 23 requests   23      23",
                "kill -9             0 left  0",
            ]
        );
    }

    #[test]
    fn nothing_proven_prints_no_table() {
        assert!(table(&[]).is_empty());
    }
}
