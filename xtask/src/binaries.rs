//! The agent and the test binaries: built by cargo, found through its messages.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::{process, workspace::Workspace};

/// What a static build adds: the same file then runs on this host and on every kernel of the
/// matrix, whatever C library is there.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const FUZZ_FLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
const STATIC_FLAGS: &str = "-C target-feature=+crt-static";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linkage {
    Dynamic,
    Static,
}

/// Builds the agent, optimised or not, around `object`; returns its path.
pub(crate) fn agent(
    workspace: &Workspace,
    object: &Path,
    release: bool,
    linkage: Linkage,
) -> anyhow::Result<PathBuf> {
    let mut command = workspace.cargo();
    command.args(["build", "--locked", "--package", "plainsight", "--bin", "plainsight"]);
    if release {
        command.arg("--release");
    }
    let built = process::step("agent", || build(command, object, linkage))?;
    built.get("plainsight").cloned().context("cargo built no binary `plainsight`")
}

/// Builds the load of `bench`, with the floor and the reader of rings in the same program. It comes
/// from the development build, which the tests share: its own share of an operation is small.
pub(crate) fn bench_tool(workspace: &Workspace, object: &Path) -> anyhow::Result<PathBuf> {
    let mut command = workspace.cargo();
    command.args(["build", "--locked", "--package", "plainsight-tests", "--bin", "bench"]);
    let built = process::step("load", || build(command, object, Linkage::Dynamic))?;
    built.get("bench").cloned().context("cargo built no binary `bench`")
}

/// Builds the fuzz targets with libFuzzer's driver, their coverage counted by the compiler. Only
/// what is built for the target is counted, so build scripts stay as they are.
pub(crate) fn fuzz(workspace: &Workspace, object: &Path) -> anyhow::Result<PathBuf> {
    let mut command = workspace.cargo();
    command.args(["build", "--locked", "--profile", "fuzz", "--target", TARGET]);
    command.args(["--package", "plainsight-fuzz", "--features", "driver", "--bin", "fuzz"]);
    command.env("RUSTFLAGS", FUZZ_FLAGS);
    let built = process::step("fuzz targets", || build(command, object, Linkage::Dynamic))?;
    built.get("fuzz").cloned().context("cargo built no binary `fuzz`")
}

/// Builds the named test targets without running them; returns their paths by name.
pub(crate) fn tests(
    workspace: &Workspace,
    object: &Path,
    names: &[&str],
    linkage: Linkage,
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut command = workspace.cargo();
    command.args(["test", "--locked", "--no-run", "--package", "plainsight-tests"]);
    for name in names {
        command.args(["--test", name]);
    }
    let built = process::step("test binaries", || build(command, object, linkage))?;
    match names.iter().find(|name| !built.contains_key(**name)) {
        Some(missing) => bail!("cargo built no test `{missing}`"),
        None => Ok(built),
    }
}

fn build(
    mut command: Command,
    object: &Path,
    linkage: Linkage,
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    command.env("PLAINSIGHT_EBPF_OBJ", object).stdin(Stdio::null());
    command.arg("--message-format=json-render-diagnostics");
    if linkage == Linkage::Static {
        // With a target named, the flags leave build scripts and macros alone.
        command.args(["--target", TARGET]).env("RUSTFLAGS", STATIC_FLAGS);
    }
    Ok(executables(&process::output(&mut command)?))
}

/// Executables among cargo's messages, by target name.
fn executables(messages: &str) -> BTreeMap<String, PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter_map(|message| {
            let name = message.get("target")?.get("name")?.as_str()?.to_owned();
            Some((name, PathBuf::from(message.get("executable")?.as_str()?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_told_from_libraries_and_noise() {
        let found = executables(
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"plainsight\"},\"executable\":null}\n\
             {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"kernel\"},\"executable\":\"/t/kernel-1\"}\n\
             not json\n{\"reason\":\"build-finished\",\"success\":true}",
        );
        assert_eq!(found, BTreeMap::from([("kernel".into(), "/t/kernel-1".into())]));
    }
}
