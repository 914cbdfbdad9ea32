//! The floor: what a kernel charges for its hooks, with programs that do nothing at them.
//!
//! No observer at these hooks can cost less. What it costs more is its own doing.

use std::{
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::Context as _;
use nix::{
    sys::{
        prctl,
        resource::{RLIM_INFINITY, Resource, setrlimit},
        signal::Signal,
    },
    unistd::pause,
};
use serde_json::json;

use super::{bpf, hook::Hook};

/// Attaches to the cgroup at this path and stays until a signal ends the process, with which the
/// kernel takes everything out. One more signal comes when whoever started it is gone.
pub(crate) fn run(cgroup: &str, hooks: &[&str]) -> anyhow::Result<()> {
    prctl::set_pdeathsig(Signal::SIGTERM).context("asking for the parent's death")?;
    // Before Linux 5.11 programs count as locked memory. Later kernels do not look at the limit,
    // so a refusal shows where it matters: when a program is loaded.
    let _unlimited = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let cgroup = File::open(cgroup).with_context(|| format!("opening {cgroup}"))?;
    let held =
        hooks.iter().map(|name| attach(&cgroup, name)).collect::<anyhow::Result<Vec<_>>>()?;
    super::say(&json!({ "attached": held.len() }))?;
    loop {
        pause();
    }
}

/// The program and its link. The program is held too, for its figures are found through it.
fn attach(cgroup: &File, name: &str) -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let hook = Hook::find(name).with_context(|| format!("there is no hook {name}"))?;
    let program = bpf::load(hook, hook.least_program());
    let program = program.with_context(|| format!("loading for {name}"))?;
    let link = bpf::link(program.as_fd(), cgroup.as_fd(), hook);
    let link = link.with_context(|| format!("attaching at {name}"))?;
    Ok((program, link))
}
