//! What `cargo xtask bench` cannot do itself, because it needs system calls: the load that is
//! measured, the floor it is measured against, and a look into a ring.
//!
//! * `load CGROUP WORKLOAD OPERATIONS`: works in that cgroup, prints one JSON object
//! * `floor CGROUP HOOK…`: attaches an empty program at each hook, says so, and waits to be ended
//! * `ring MAP…`: prints how many bytes were ever put into the ring buffers with these ids

mod floor;
mod load;
mod ring;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::bail;
use serde_json::Value;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["load", cgroup, workload, operations] => load::run(cgroup, workload, operations.parse()?),
        ["floor", cgroup, ref hooks @ ..] if !hooks.is_empty() => floor::run(cgroup, hooks),
        ["ring", ref maps @ ..] => ring::run(maps),
        _ => {
            bail!("no such command: load CGROUP WORKLOAD OPERATIONS, floor CGROUP HOOK…, ring MAP…")
        }
    }
}

/// One line of JSON, written out at once: its reader waits for it.
fn say(value: &Value) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{value}")?;
    output.flush()
}
