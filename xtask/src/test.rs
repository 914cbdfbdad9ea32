//! `test`: the tiers that need no virtual machine, each at its stated smaller counts.

use std::process::{Command, ExitCode};

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::{
    binaries::{self, Linkage},
    object, process, setup,
    summary::Summary,
    vm::instructions,
    workspace::Workspace,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Which tier; without one, all of them.
    #[arg(value_enum, default_value_t = Tier::All)]
    tier: Tier,
    /// Only tests whose name contains this.
    #[arg(long)]
    name: Option<String>,
    /// Write this host's verified-instruction counts to the checked-in file.
    #[arg(long)]
    bless: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tier {
    Unit,
    Offline,
    Kernel,
    E2e,
    All,
}

/// How the tests are run: what differs between `test` and `prove`.
#[derive(Default)]
pub(crate) struct Options<'a> {
    /// Only tests whose name contains this.
    pub(crate) name: Option<&'a str>,
    /// Full counts instead of the smaller ones that fit CI's time.
    pub(crate) full: bool,
    pub(crate) bless: bool,
    /// Whether tests write the tables that they measure to docs/.
    pub(crate) tables: bool,
}

const UNIT_PACKAGES: &[&str] = &[
    "plainsight-core",
    "plainsight",
    "plainsight-ebpf",
    "plainsight-tests",
    "plainsight-fuzz",
    "xtask",
];

// === impl Tier ===

impl Tier {
    pub(crate) fn expand(self) -> Vec<Self> {
        match self {
            Self::All => vec![Self::Unit, Self::Offline, Self::Kernel, Self::E2e],
            one => vec![one],
        }
    }

    /// Tiers that load programs run alone and in the open: they share one kernel.
    fn needs_kernel(self) -> bool {
        matches!(self, Self::Kernel | Self::E2e)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Offline => "offline",
            Self::Kernel => "kernel",
            Self::E2e => "e2e",
            Self::All => "all",
        }
    }
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let name = arguments.name.as_deref();
    let options = Options { name, bless: arguments.bless, ..Options::default() };
    let summary = tiers(workspace, &arguments.tier.expand(), &options)?;
    Ok(close(&summary))
}

/// The reasons for skips, then the closing line that people and CI look for.
pub(crate) fn close(summary: &Summary) -> ExitCode {
    for skip in &summary.skips {
        process::say(&format!("skipped: {skip}"));
    }
    process::say(&summary.to_string());
    if summary.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Like `close`, but the last line has just the two counts that CI looks for.
pub(crate) fn close_plainly(summary: &Summary) -> ExitCode {
    for skip in &summary.skips {
        process::say(&format!("skipped: {skip}"));
    }
    process::say(&format!("{} passed, {} failed", summary.passed, summary.failed));
    if summary.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs `tiers` one after the other. A tier that fails does not stop the next: one run shows all.
pub(crate) fn tiers(
    workspace: &Workspace,
    tiers: &[Tier],
    options: &Options<'_>,
) -> anyhow::Result<Summary> {
    let needs_kernel = tiers.iter().any(|tier| tier.needs_kernel());
    if needs_kernel && !setup::is_root() {
        bail!("the kernel and e2e tiers load programs: run as root, or `cargo xtask test unit`");
    }
    let object = object::build(workspace)?;
    let mut environment = vec![("PLAINSIGHT_EBPF_OBJ", object.clone())];
    if needs_kernel {
        setup::ensure_tests(options.full)?;
        object::build_entry(workspace)?;
        let agent = binaries::agent(workspace, &object, true, Linkage::Dynamic)?;
        environment.push(("PLAINSIGHT_BIN", agent));
    }
    let mut total = Summary::default();
    for (done, tier) in tiers.iter().enumerate() {
        let mut command = command(workspace, *tier, options);
        for (name, path) in &environment {
            command.env(name, path);
        }
        let title = format!("[{}/{}] tests: {}", done + 1, tiers.len(), tier.name());
        total.add(process::step(&title, || one(&mut command, tier.name()))?);
    }
    instructions::judge_host(&workspace.root, &mut total, options.bless)?;
    Ok(total)
}

fn one(command: &mut Command, name: &str) -> anyhow::Result<Summary> {
    let mut summary = Summary::default();
    let succeeded = process::stream(command, |line| summary.pass_on(line))?;
    if !succeeded && summary.failed == 0 {
        summary.fail(&format!("{name}: cargo or a test binary ended with an error"));
    }
    summary.settle_skips();
    Ok(summary)
}

fn command(workspace: &Workspace, tier: Tier, options: &Options<'_>) -> Command {
    let mut command = workspace.cargo();
    command.args(["test", "--locked", "--no-fail-fast"]);
    if tier == Tier::Unit {
        // The one integration test that needs nothing but the agent's own program.
        command.args(["--lib", "--bins", "--test", "replay"]);
        command.args(UNIT_PACKAGES.iter().flat_map(|package| ["--package", package]));
    } else {
        command.args(["--package", "plainsight-tests", "--test", tier.name()]);
    }
    command.arg("--");
    command.args(options.name);
    if tier.needs_kernel() {
        command.args(["--test-threads=1", "--nocapture"]);
    }
    if options.full {
        command.env("PLAINSIGHT_FULL", "1");
    }
    if options.tables {
        command.env("PLAINSIGHT_TABLES", workspace.root.join("docs"));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stands_for_the_four_tiers_in_order_of_cost() {
        assert_eq!(Tier::All.expand(), [Tier::Unit, Tier::Offline, Tier::Kernel, Tier::E2e]);
        assert_eq!(Tier::Kernel.expand(), [Tier::Kernel]);
    }

    #[test]
    fn only_tiers_that_share_the_kernel_run_alone() {
        let workspace = Workspace { root: ".".into(), target: "target".into() };
        let check = |tier, expect: bool| {
            let command = command(&workspace, tier, &Options::default());
            assert_eq!(command.get_args().any(|word| word == "--test-threads=1"), expect);
        };
        check(Tier::Unit, false);
        check(Tier::Offline, false);
        check(Tier::Kernel, true);
        check(Tier::E2e, true);
    }
}
