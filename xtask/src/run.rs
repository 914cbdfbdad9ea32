//! `build`, `run` and `scan`: set up, build, and become the agent.

use std::{os::unix::process::CommandExt as _, process::Command, process::ExitCode};

use anyhow::Context as _;

use crate::{
    binaries::{self, Linkage},
    object,
    workspace::Workspace,
};

pub(crate) fn build(workspace: &Workspace, release: bool) -> anyhow::Result<ExitCode> {
    let object = object::build(workspace)?;
    let agent = binaries::agent(workspace, &object, release, Linkage::Dynamic)?;
    println!("{}\n{}", object.display(), agent.display());
    Ok(ExitCode::SUCCESS)
}

/// Replaces xtask by `plainsight COMMAND`, so that signals and the exit status are the agent's.
pub(crate) fn agent(
    workspace: &Workspace,
    command: &str,
    arguments: &[String],
) -> anyhow::Result<ExitCode> {
    let object = object::build(workspace)?;
    let agent = binaries::agent(workspace, &object, true, Linkage::Dynamic)?;
    if command == "run" {
        println!("== in another terminal: {0} map, {0} observe, {0} doctor", agent.display());
    }
    let error = Command::new(&agent).arg(command).args(arguments).exec();
    Err(error).with_context(|| format!("could not start {}", agent.display()))
}
