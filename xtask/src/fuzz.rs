//! `fuzz`: every parser against libFuzzer, for a stated number of executions.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::{
    binaries, object, process,
    summary::{Proof, Summary},
    test,
    workspace::Workspace,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only targets whose name contains this.
    name: Option<String>,
    /// Executions of each target.
    #[arg(long, default_value_t = FULL_RUNS)]
    runs: u64,
}

/// What `prove` asks of each target.
pub(crate) const FULL_RUNS: u64 = 1_000_003;

/// Longest that one execution may take, in seconds: libFuzzer knows no shorter time. It is a bound
/// against inputs that run away on a busy machine, not a measurement.
const SECONDS_PER_RUN: u32 = 1;

/// Most that one allocation may take, in MiB.
const ALLOCATION_MIB: u32 = 4;

/// One line of `fuzz list`: a target and the longest input that is of use to it.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    name: String,
    longest: u64,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let summary = all(workspace, arguments.name.as_deref(), arguments.runs)?;
    Ok(test::close(&summary))
}

/// Runs each target `runs` times; what it did not survive is a failure and stays in `target/fuzz`.
pub(crate) fn all(workspace: &Workspace, name: Option<&str>, runs: u64) -> anyhow::Result<Summary> {
    let object = object::build(workspace)?;
    let fuzz = binaries::fuzz(workspace, &object)?;
    let mut summary = Summary::default();
    for target in targets(&fuzz)? {
        if name.is_some_and(|name| !target.name.contains(name)) {
            continue;
        }
        let title = format!("fuzz: {}", target.name);
        match process::step(&title, || one(workspace, &fuzz, &target, runs)) {
            Ok(()) => summary.passed += 1,
            Err(error) => summary.fail(&format!("{title}: {error:#}")),
        }
        let measured = if summary.failed == 0 { runs.to_string() } else { "failed".into() };
        summary.proofs.push(Proof { what: title, wanted: runs.to_string(), measured });
    }
    Ok(summary)
}

/// Asks the driver what it can do: it and this file never disagree.
fn targets(fuzz: &Path) -> anyhow::Result<Vec<Target>> {
    let text = process::output(Command::new(fuzz).env("PLAINSIGHT_FUZZ", "list"))?;
    let targets: Vec<Target> = text.lines().filter_map(Target::parse).collect();
    if targets.is_empty() {
        bail!("the driver names no targets");
    }
    Ok(targets)
}

fn one(workspace: &Workspace, fuzz: &Path, target: &Target, runs: u64) -> anyhow::Result<()> {
    // libFuzzer writes what it learns into its first folder, and only reads from the second.
    let learned = folder(workspace.target.join("fuzz").join(&target.name))?;
    let kept = workspace.root.join("tests/fuzz/corpus").join(&target.name);
    let found = folder(workspace.target.join("fuzz/found"))?;
    process::run(
        Command::new(fuzz)
            .env("PLAINSIGHT_FUZZ", &target.name)
            .arg(format!("-runs={runs}"))
            .arg(format!("-max_len={}", target.longest))
            .arg(format!("-timeout={SECONDS_PER_RUN}"))
            .arg(format!("-malloc_limit_mb={ALLOCATION_MIB}"))
            .arg(format!("-artifact_prefix={}/{}-", found.display(), target.name))
            .args(["-verbosity=0", "-print_final_stats=1"])
            .args([learned, kept]),
    )
}

fn folder(path: PathBuf) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(&path).with_context(|| format!("could not make {}", path.display()))?;
    Ok(path)
}

// === impl Target ===

impl Target {
    fn parse(line: &str) -> Option<Self> {
        let (name, longest) = line.split_once(' ')?;
        Some(Self { name: name.to_owned(), longest: longest.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_and_a_length() {
        let expect = Target { name: "packet".into(), longest: 256 };
        assert_eq!(Target::parse("packet 256"), Some(expect));
        for line in ["", "packet", "packet many"] {
            assert_eq!(Target::parse(line), None, "{line}");
        }
    }
}
