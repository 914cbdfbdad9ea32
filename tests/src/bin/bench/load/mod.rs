//! The load: one process of one thread that is both ends of its sockets.
//!
//! On loopback the kernel works for both ends in that thread, so the thread's processor time is
//! all that an operation costs, whatever else the machine does meanwhile; and no time is spent on
//! changing from one process to the other.

mod clock;
mod datagrams;
mod place;
mod streams;

use std::io;

use anyhow::bail;
use serde_json::json;

/// A load that is still there after this many seconds ends itself.
const LIMIT_SECONDS: u32 = 300;

/// Operations before the measured ones, which fill caches and settle connections: this share of
/// them, but no fewer than that.
const WARM_UP_SHARE: u32 = 20;
const LEAST_WARM_UP: u32 = 500;

/// Does one operation of a workload.
type Operation = Box<dyn FnMut() -> io::Result<()>>;

/// Prints what the operations took. `warm_up` is how many more there were, which a count of
/// program runs contains as well.
pub(crate) fn run(cgroup: &str, workload: &str, operations: u32) -> anyhow::Result<()> {
    nix::unistd::alarm::set(LIMIT_SECONDS);
    place::take(cgroup)?;
    let mut operation = begin(workload)?;
    let warm_up = (operations / WARM_UP_SHARE).max(LEAST_WARM_UP);
    for _ in 0..warm_up {
        operation()?;
    }
    let before = clock::now()?;
    for _ in 0..operations {
        operation()?;
    }
    let spent = clock::now()?.since(&before);
    Ok(super::say(&json!({
        "operations": operations,
        "warm_up": warm_up,
        "processor_ns": spent.processor.as_nanos() as u64,
        "wall_ns": spent.wall.as_nanos() as u64,
    }))?)
}

fn begin(workload: &str) -> anyhow::Result<Operation> {
    Ok(match workload {
        "connections" => streams::connections()?,
        "requests" => streams::requests()?,
        "bulk" => streams::bulk()?,
        "udp" => datagrams::one_by_one()?,
        other => bail!("there is no workload {other}"),
    })
}
