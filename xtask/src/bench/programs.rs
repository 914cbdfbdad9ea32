//! The kernel's own statistics of the agent's programs: how often each ran and for how long.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Turns the statistics on, and back to what they were when dropped.
pub(crate) struct StatsSwitch {
    before: String,
}

/// One program, as a file descriptor of the agent tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Program {
    kind: u32,
    tag: String,
    runs: u64,
    nanoseconds: u64,
}

/// Programs by their id in the kernel.
pub(crate) type Programs = BTreeMap<u32, Program>;

// === impl StatsSwitch ===

impl StatsSwitch {
    pub(crate) fn on() -> anyhow::Result<Self> {
        let before = fs::read_to_string(SWITCH).with_context(|| format!("no {SWITCH}"))?;
        fs::write(SWITCH, "1").with_context(|| format!("could not write {SWITCH}"))?;
        Ok(Self { before })
    }
}

impl Drop for StatsSwitch {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SWITCH, &self.before) {
            eprintln!("xtask: {SWITCH} stays on: {error}");
        }
    }
}

/// Every program that the process `pid` holds open.
pub(crate) fn read(pid: u32) -> anyhow::Result<Programs> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(Path::new(&folder)).with_context(|| format!("no {folder}"))?;
    // A descriptor may be closed between the listing and the reading; it held no program of ours.
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    Ok(texts.filter_map(|text| parse(&text)).collect())
}

fn parse(text: &str) -> Option<(u32, Program)> {
    let field = |name: &str| {
        let values = text.lines().filter_map(|line| line.split_once(':'));
        values.filter(|(key, _)| *key == name).map(|(_, value)| value.trim()).next()
    };
    let program = Program {
        kind: field("prog_type")?.parse().ok()?,
        tag: field("prog_tag")?.to_owned(),
        runs: field("run_cnt")?.parse().ok()?,
        nanoseconds: field("run_time_ns")?.parse().ok()?,
    };
    Some((field("prog_id")?.parse().ok()?, program))
}

/// What happened between two readings, per program that ran at all.
pub(crate) fn table(before: &Programs, after: &Programs, operations: u32) -> Vec<String> {
    let mut lines = vec![format!("  {:18} {:16} {:>8} {:>8}", "TYPE", "TAG", "NS/RUN", "RUNS/OP")];
    for (id, program) in after {
        let earlier = before.get(id).cloned().unwrap_or_default();
        let runs = program.runs - earlier.runs;
        if runs == 0 {
            continue;
        }
        let nanoseconds = (program.nanoseconds - earlier.nanoseconds) as f64 / runs as f64;
        let per_operation = runs as f64 / f64::from(operations.max(1));
        lines.push(format!(
            "  {:18} {:16} {nanoseconds:>8.0} {per_operation:>8.2}",
            kind_name(program.kind),
            program.tag,
        ));
    }
    lines
}

/// Names of the kernel's `enum bpf_prog_type`, as far as the agent uses them.
fn kind_name(kind: u32) -> String {
    match kind {
        3 => "sched_cls".into(),
        8 => "cgroup_skb".into(),
        9 => "cgroup_sock".into(),
        13 => "sock_ops".into(),
        18 => "cgroup_sock_addr".into(),
        other => format!("type {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fdinfo(runs: u64, nanoseconds: u64) -> String {
        format!(
            "pos:\t0\nprog_type:\t8\nprog_jited:\t1\nprog_tag:\t0123456789abcdef\nprog_id:\t77\n\
             run_time_ns:\t{nanoseconds}\nrun_cnt:\t{runs}\n"
        )
    }

    #[test]
    fn a_program_is_known_by_its_fields() {
        let (id, program) = parse(&fdinfo(5, 100)).unwrap();
        assert_eq!((id, program.kind, program.runs, program.nanoseconds), (77, 8, 5, 100));
        assert_eq!(parse("pos:\t0\nflags:\t02\n"), None);
    }

    #[test]
    fn the_table_shows_what_happened_in_between() {
        let at = |runs, nanoseconds| parse(&fdinfo(runs, nanoseconds)).into_iter().collect();
        let table = table(&at(10, 1000), &at(50, 3000), 20);
        assert_eq!(table.len(), 2);
        assert!(table[1].ends_with("      50     2.00"), "{table:?}");
    }
}
