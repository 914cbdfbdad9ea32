//! The floor: what a kernel charges for its hooks, with programs that do nothing at them.
//!
//! No observer at these hooks can cost less. What it costs more is its own doing.

use std::path::Path;

use anyhow::Context as _;
use nix::{
    sys::{
        prctl,
        resource::{RLIM_INFINITY, Resource, setrlimit},
        signal::Signal,
    },
    unistd::pause,
};
use plainsight_tests::harness::Neighbour;
use serde_json::json;

/// Attaches to the cgroup at this path and stays until a signal ends the process, with which the
/// kernel takes everything out. One more signal comes when whoever started it is gone.
pub(crate) fn run(cgroup: &str, hooks: &[&str]) -> anyhow::Result<()> {
    prctl::set_pdeathsig(Signal::SIGTERM).context("asking for the parent's death")?;
    // Before Linux 5.11 programs count as locked memory. Later kernels do not look at the limit,
    // so a refusal shows where it matters: when a program is loaded.
    let _unlimited = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let attach = |hook: &&str| {
        let program = Neighbour::least(Path::new(cgroup), hook);
        program.with_context(|| format!("attaching at {hook} of {cgroup}"))
    };
    let held = hooks.iter().map(attach).collect::<anyhow::Result<Vec<_>>>()?;
    super::say(&json!({ "attached": held.len() }))?;
    loop {
        pause();
    }
}
