//! What the agent's process takes: processor time, wake-ups, memory, bytes through its ring.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;

use super::{cgroup, held::Held, load::Load, setting::Setting};
use crate::process;

/// What the agent's process did for one load, per operation of it, beyond what it does at rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Work {
    pub(crate) processor: f64,
    pub(crate) wakeups: f64,
    pub(crate) ring_bytes: f64,
}

/// What the agent takes without a load, and how much memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rest {
    /// Nanoseconds of processor time per second.
    pub(crate) processor: f64,
    pub(crate) wakeups: f64,
    /// Bytes of the process after it became ready, and at most.
    pub(crate) resident: f64,
    pub(crate) most_resident: f64,
    /// Bytes of the kernel's memory that its maps account for.
    pub(crate) maps: f64,
}

/// Counters of the agent's process at one moment.
pub(crate) struct Sample {
    at: Instant,
    processor: f64,
    wakeups: f64,
    ring_bytes: f64,
}

/// Before the agent's work at rest is measured: what it does once at its start is over by then.
const SETTLE: Duration = Duration::from_secs(1);
/// Whole seconds, because the agent works once a second.
const AT_REST: Duration = Duration::from_secs(3);

// === impl Work ===

impl Work {
    pub(crate) fn between(before: &Sample, after: &Sample, rest: &Rest, load: &Load) -> Self {
        let seconds = (after.at - before.at).as_secs_f64();
        let beyond = |before: f64, after: f64, at_rest: f64| {
            (after - before - at_rest * seconds) / load.operations
        };
        Self {
            processor: beyond(before.processor, after.processor, rest.processor),
            wakeups: beyond(before.wakeups, after.wakeups, rest.wakeups),
            ring_bytes: beyond(before.ring_bytes, after.ring_bytes, 0.0),
        }
    }
}

// === impl Rest ===

impl Rest {
    /// Watches the agent for a while, before any load.
    pub(crate) fn measure(setting: &Setting<'_>, pid: u32) -> anyhow::Result<Self> {
        thread::sleep(SETTLE);
        let resident = memory(pid, "VmRSS")?;
        let before = Sample::take(setting, pid)?;
        thread::sleep(AT_REST);
        let after = Sample::take(setting, pid)?;
        let seconds = (after.at - before.at).as_secs_f64();
        Ok(Self {
            processor: (after.processor - before.processor) / seconds,
            wakeups: (after.wakeups - before.wakeups) / seconds,
            resident,
            most_resident: resident,
            maps: Held::by(pid)?.map_bytes() as f64,
        })
    }

    /// Fills in the most memory that there ever was.
    pub(crate) fn look_back(&mut self, pid: u32) -> anyhow::Result<()> {
        self.most_resident = memory(pid, "VmHWM")?;
        Ok(())
    }
}

// === impl Sample ===

impl Sample {
    pub(crate) fn take(setting: &Setting<'_>, pid: u32) -> anyhow::Result<Self> {
        let rings = Held::by(pid)?.rings();
        Ok(Self {
            at: Instant::now(),
            processor: cgroup::processor_time(setting.groups.agent())? as f64 * 1e3,
            wakeups: voluntary_switches(pid)?,
            ring_bytes: ring_bytes(&setting.tool, &rings)?,
        })
    }
}

/// How often threads of the process went to sleep by themselves, hence how often they woke.
fn voluntary_switches(pid: u32) -> anyhow::Result<f64> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder).with_context(|| format!("no {folder}"))?;
    // A thread may end between the listing and the reading.
    let texts =
        tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    Ok(texts.filter_map(|text| field(&text, "voluntary_ctxt_switches")).sum())
}

/// Bytes of a field of the process's status that is given in kibibytes.
fn memory(pid: u32, name: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("no {path}"))?;
    Ok(field(&text, name).with_context(|| format!("no {name} in {path}"))? * 1024.0)
}

fn field(status: &str, name: &str) -> Option<f64> {
    let mut fields = status.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| *key == name)?.1.split_whitespace().next()?.parse().ok()
}

fn ring_bytes(tool: &Path, rings: &[u32]) -> anyhow::Result<f64> {
    let mut command = Command::new(tool);
    command.arg("ring").args(rings.iter().map(u32::to_string));
    let output = process::output(&mut command)?;
    let said: Option<Value> = serde_json::from_str(&output).ok();
    let bytes = said.and_then(|said| said.get("bytes")?.as_f64());
    bytes.with_context(|| format!("the reader of rings said `{}`", output.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_does_at_rest_is_not_the_load_s() {
        let start = Instant::now();
        let sample = |seconds, processor, wakeups| Sample {
            at: start + Duration::from_secs(seconds),
            processor,
            wakeups,
            ring_bytes: processor,
        };
        let rest =
            Rest { processor: 10.0, wakeups: 1.0, resident: 0.0, most_resident: 0.0, maps: 0.0 };
        let load = Load { processor: 0.0, rate: 0.0, operations: 10.0 };
        let work = Work::between(&sample(0, 0.0, 0.0), &sample(2, 70.0, 2.0), &rest, &load);
        assert_eq!(work, Work { processor: 5.0, wakeups: 0.0, ring_bytes: 7.0 });
    }

    #[test]
    fn fields_of_a_status_are_whole_names() {
        let text = "VmRSS:\t  12 kB\nnonvoluntary_ctxt_switches:\t9\nvoluntary_ctxt_switches:\t7\n";
        assert_eq!(field(text, "VmRSS"), Some(12.0));
        assert_eq!(field(text, "voluntary_ctxt_switches"), Some(7.0));
        assert_eq!(field(text, "Vm"), None);
    }
}
