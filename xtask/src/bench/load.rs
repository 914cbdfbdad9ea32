//! Running the load, a process of its own, and reading what it says.

use std::{path::Path, process::Command};

use anyhow::Context as _;
use serde_json::Value;

use super::workload::Workload;
use crate::process;

/// What one load took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// Nanoseconds of processor time per operation, the kernel's work for it included.
    pub(crate) processor: f64,
    /// Operations per second of wall time. On a shared machine it says more about the others.
    pub(crate) rate: f64,
    /// Operations with those before the measured ones.
    pub(crate) operations: f64,
}

// === impl Load ===

impl Load {
    /// Runs the load inside the cgroup at `group`.
    pub(crate) fn run(
        tool: &Path,
        group: &Path,
        workload: Workload,
        operations: u32,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(tool);
        command.arg("load").arg(group).args([workload.name(), &operations.to_string()]);
        let output = process::output(&mut command)?;
        Self::parse(&output).with_context(|| format!("the load said `{}`", output.trim()))
    }

    fn parse(output: &str) -> Option<Self> {
        let said: Value = serde_json::from_str(output).ok()?;
        let number = |name: &str| said.get(name)?.as_f64();
        let operations = number("operations")?;
        Some(Self {
            processor: number("processor_ns")? / operations,
            rate: operations / number("wall_ns")? * 1e9,
            operations: operations + number("warm_up")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_load_says_is_divided_by_its_operations() {
        let said =
            r#"{"operations":100,"warm_up":20,"processor_ns":5000,"wall_ns":10000}"#.to_owned();
        let load = Load { processor: 50.0, rate: 1e7, operations: 120.0 };
        assert_eq!(Load::parse(&said), Some(load));
        assert_eq!(Load::parse("{}"), None);
    }
}
