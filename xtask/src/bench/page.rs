//! The page about cost: its words are written by hand, its figures are put between two marks.

use std::fs;

use anyhow::Context as _;

use super::table::Table;
use crate::{process, workspace::Workspace};

const PAGE: &str = "docs/bench.md";
const BEGIN: &str = "<!-- measured -->\n";
const END: &str = "<!-- end -->\n";

pub(crate) fn write(workspace: &Workspace, head: &str, tables: &[Table]) -> anyhow::Result<()> {
    let path = workspace.root.join(PAGE);
    let old = fs::read_to_string(&path).with_context(|| format!("could not read {PAGE}"))?;
    let tables: Vec<_> = tables.iter().map(Table::markdown).collect();
    let measured = format!("\n{head}\n\n{}\n", tables.join("\n"));
    let new = replaced(&old, &measured).with_context(|| format!("{PAGE} has lost its marks"))?;
    fs::write(&path, new).with_context(|| format!("could not write {PAGE}"))?;
    process::say(&format!("written to {PAGE}"));
    Ok(())
}

/// The page with `measured` between its marks.
fn replaced(page: &str, measured: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some([before, BEGIN, measured, END, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let page = format!("a\n{BEGIN}old\n{END}b\n");
        assert_eq!(replaced(&page, "new\n"), Some(format!("a\n{BEGIN}new\n{END}b\n")));
        assert_eq!(replaced("a", "new"), None);
    }
}
