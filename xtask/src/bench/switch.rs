//! The kernel's switch for statistics of programs. They cost two readings of the clock for each
//! run, so they are on only while programs are measured, never while ratios are.

use std::fs;

use anyhow::Context as _;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Statistics are on as long as this lives, and then as they were before.
pub(crate) struct StatisticsOn {
    before: String,
}

// === impl StatisticsOn ===

impl StatisticsOn {
    pub(crate) fn switch() -> anyhow::Result<Self> {
        let before = fs::read_to_string(SWITCH).with_context(|| format!("no {SWITCH}"))?;
        fs::write(SWITCH, "1").with_context(|| format!("could not write {SWITCH}"))?;
        Ok(Self { before })
    }
}

impl Drop for StatisticsOn {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SWITCH, &self.before) {
            eprintln!("xtask: {SWITCH} stays on: {error}");
        }
    }
}
