//! The verifier's work per program and kernel, compared with a checked-in file.
//!
//! A program close to the verifier's limit loads on one kernel and not on the next, so growth is
//! looked at when it happens: more than a tenth fails, and `--bless` accepts it.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use anyhow::Context as _;

use crate::{process, summary::Instructions, summary::Summary};

const FILE: &str = "tests/verified-instructions.txt";

const HEADER: &str = "# Instructions the verifier walked through: kernel, program, count.\n\
    # Written by `cargo xtask vm --bless` and `cargo xtask test kernel --bless`; more than 10 %\n\
    # above a count here fails.\n";

/// Counts by kernel and program, in the file's order.
type Table = BTreeMap<(String, String), u64>;

/// Compares the virtual machines' counts; every program measured must stand in the file.
pub(crate) fn judge(
    root: &Path,
    measured: &[(String, Instructions)],
    summary: &mut Summary,
    bless: bool,
) -> anyhow::Result<()> {
    let mut table = load(root)?;
    if bless {
        accept(&mut table, measured);
        return save(root, &table);
    }
    for (kernel, found) in measured {
        if let Some(reason) = complaint(&table, kernel, found) {
            summary.fail(&reason);
        }
    }
    Ok(())
}

/// Compares this host's counts, only if the file knows this host's kernel: other hosts have
/// others.
pub(crate) fn judge_host(root: &Path, summary: &mut Summary, bless: bool) -> anyhow::Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("no kernel release")?;
    let kernel = host_key(&release);
    let found = std::mem::take(&mut summary.instructions);
    let known = load(root)?.keys().any(|(name, _)| *name == kernel);
    if found.is_empty() || !(known || bless) {
        return Ok(());
    }
    let measured: Vec<_> = found.into_iter().map(|found| (kernel.clone(), found)).collect();
    judge(root, &measured, summary, bless)
}

/// `host-6.18` for `6.18.44-fc`.
fn host_key(release: &str) -> String {
    let parts: Vec<_> = release.trim().split(['.', '-']).take(2).collect();
    format!("host-{}", parts.join("."))
}

fn complaint(table: &Table, kernel: &str, found: &Instructions) -> Option<String> {
    let Instructions { program, count } = found;
    match table.get(&(kernel.to_owned(), program.clone())) {
        None => Some(format!(
            "{kernel}: no count for {program} in {FILE}: run `cargo xtask vm --bless`"
        )),
        Some(known) if count * 10 > known * 11 => Some(format!(
            "{kernel}: {program} grew from {known} to {count} verified instructions (over 10 %): \
             make it smaller, or accept it with --bless"
        )),
        Some(_) => None,
    }
}

/// Replaces the counts of the kernels measured, so that programs that are gone leave the file.
fn accept(table: &mut Table, measured: &[(String, Instructions)]) {
    table.retain(|(kernel, _), _| measured.iter().all(|(measured, _)| measured != kernel));
    for (kernel, found) in measured {
        table.insert((kernel.clone(), found.program.clone()), found.count);
    }
}

fn load(root: &Path) -> anyhow::Result<Table> {
    match fs::read_to_string(root.join(FILE)) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Table::new()),
        Err(error) => Err(error).with_context(|| format!("could not read {FILE}")),
    }
}

fn parse(text: &str) -> anyhow::Result<Table> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [kernel, program, count] = words[..] else {
                anyhow::bail!("{FILE}: `{line}` is not `kernel program count`");
            };
            let count = count.parse().with_context(|| format!("{FILE}: `{line}`"))?;
            Ok(((kernel.to_owned(), program.to_owned()), count))
        })
        .collect()
}

fn save(root: &Path, table: &Table) -> anyhow::Result<()> {
    let mut text = HEADER.to_owned();
    for ((kernel, program), count) in table {
        text.push_str(&format!("{kernel} {program} {count}\n"));
    }
    process::say(&format!("wrote {FILE}: {} counts", table.len()));
    fs::write(root.join(FILE), text).with_context(|| format!("could not write {FILE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(program: &str, count: u64) -> Instructions {
        Instructions { program: program.into(), count }
    }

    #[test]
    fn growth_over_a_tenth_and_unknown_programs_are_complaints() {
        let table = parse("# comment\n5.10 connect4 1000\n").unwrap();
        let check = |kernel: &str, program: &str, count, expect: Option<&str>| {
            let said = complaint(&table, kernel, &found(program, count));
            match expect {
                None => assert_eq!(said, None),
                Some(part) => assert!(said.clone().unwrap_or_default().contains(part), "{said:?}"),
            }
        };
        check("5.10", "connect4", 1000, None);
        check("5.10", "connect4", 1100, None);
        check("5.10", "connect4", 1101, Some("grew from 1000 to 1101"));
        check("5.10", "connect4", 10, None);
        check("5.10", "connect6", 10, Some("--bless"));
        check("6.1", "connect4", 10, Some("--bless"));
    }

    #[test]
    fn accepting_replaces_only_the_kernels_measured() {
        let mut table = parse("5.10 gone 1\n5.10 connect4 2\n6.1 connect4 3\n").unwrap();
        accept(&mut table, &[("5.10".into(), found("connect4", 9))]);
        assert_eq!(table, parse("5.10 connect4 9\n6.1 connect4 3\n").unwrap());
    }

    #[test]
    fn a_broken_line_is_named() {
        assert!(parse("5.10 connect4\n").unwrap_err().to_string().contains("5.10 connect4"));
    }

    #[test]
    fn hosts_are_known_by_major_and_minor() {
        assert_eq!(host_key("6.18.44-fc-v595\n"), "host-6.18");
    }
}
