//! `lint`: formatting and clippy with warnings as errors, for the host and for BPF.

use std::path::Path;

use crate::{object, process, setup, workspace::Workspace};

/// What clippy looks at on the host. The contract of kernel and user space is linted alone too:
/// built together with the agent it has the features that the agent asks for.
const HOST: &[(&str, &[&str])] = &[
    ("clippy", &["--workspace", "--exclude", "plainsight-ebpf", "--all-targets"]),
    ("clippy: contract", &["--package", "plainsight-ebpf", "--lib", "--tests"]),
];

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    setup::ensure_lint(workspace)?;
    // Clippy runs in any case: one run shows everything there is to mend.
    let formatted = format(workspace);
    clippy(workspace)?;
    formatted
}

pub(crate) fn format(workspace: &Workspace) -> anyhow::Result<()> {
    let mut command = workspace.cargo();
    command.args(["fmt", "--all", "--check"]);
    process::step("format", || process::run(&mut command))
}

pub(crate) fn clippy(workspace: &Workspace) -> anyhow::Result<()> {
    let object = object::build(workspace)?;
    object::build_entry(workspace)?;
    let hosts: Vec<_> =
        HOST.iter().map(|(title, arguments)| host(workspace, &object, title, arguments)).collect();
    let programs = programs(workspace);
    hosts.into_iter().chain([programs]).collect()
}

fn host(
    workspace: &Workspace,
    object: &Path,
    title: &str,
    arguments: &[&str],
) -> anyhow::Result<()> {
    let mut command = workspace.cargo();
    command.args(["clippy", "--locked"]).args(arguments).args(["--", "-D", "warnings"]);
    // With an object given, the agent's build script has nothing to compile.
    command.env("PLAINSIGHT_EBPF_OBJ", object);
    process::step(title, || process::run(&mut command))
}

fn programs(workspace: &Workspace) -> anyhow::Result<()> {
    let toolchain = setup::ensure_toolchain(workspace)?;
    let mut command = toolchain.cargo(workspace, "clippy", object::WITH_ENTRY);
    command.args(["--", "-D", "warnings"]);
    process::step("clippy: kernel programs", || process::run(&mut command))
}
