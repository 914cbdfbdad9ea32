//! Where the cost arises: what each program takes, and what the agent's process takes.
//!
//! A fixed load runs with the kernel's statistics on, over the floor and over the agent in turn.

use std::{collections::BTreeMap, thread, time::Duration};

use super::{
    held::{Held, Statistics},
    load::Load,
    resources::{Rest, Sample, Work},
    setting::Setting,
    switch::StatisticsOn,
    workload::Workload,
};
use crate::process;

/// What one program did during one load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Runs {
    pub(crate) per_operation: f64,
    /// Nanoseconds of one run, the statistics' own clock included.
    pub(crate) nanoseconds: f64,
}

/// What programs did, by workload and hook: one value per round.
pub(crate) type ByHook = BTreeMap<(Workload, &'static str), Vec<Runs>>;

/// One value per round.
#[derive(Default)]
pub(crate) struct Costs {
    pub(crate) floor: ByHook,
    pub(crate) agent: ByHook,
    pub(crate) work: BTreeMap<Workload, Vec<Work>>,
    pub(crate) rest: Vec<Rest>,
}

/// After a load, until the agent has taken everything that the load left behind.
const AFTER: Duration = Duration::from_secs(2);

pub(crate) fn run(setting: &Setting<'_>) -> anyhow::Result<Costs> {
    let mut costs = Costs::default();
    let rounds = setting.plan.cost_rounds;
    for round in 0..rounds {
        if round % 2 == 0 {
            floor(setting, &mut costs)?;
            agent(setting, &mut costs)?;
        } else {
            agent(setting, &mut costs)?;
            floor(setting, &mut costs)?;
        }
        process::say(&format!("programs: round {}/{rounds}", round + 1));
    }
    Ok(costs)
}

fn floor(setting: &Setting<'_>, costs: &mut Costs) -> anyhow::Result<()> {
    let floor = setting.start_floor()?;
    for workload in Workload::ALL {
        let (_, runs) = programs(setting, workload, floor.pid())?;
        collect(&mut costs.floor, workload, runs);
    }
    floor.stop();
    Ok(())
}

fn agent(setting: &Setting<'_>, costs: &mut Costs) -> anyhow::Result<()> {
    let agent = setting.start_agent()?;
    let pid = agent.pid();
    let mut rest = Rest::measure(setting, pid)?;
    for workload in Workload::ALL {
        let before = Sample::take(setting, pid)?;
        let (load, runs) = programs(setting, workload, pid)?;
        thread::sleep(AFTER);
        let work = Work::between(&before, &Sample::take(setting, pid)?, &rest, &load);
        costs.work.entry(workload).or_default().push(work);
        collect(&mut costs.agent, workload, runs);
    }
    rest.look_back(pid)?;
    costs.rest.push(rest);
    agent.stop()
}

fn collect(into: &mut ByHook, workload: Workload, runs: BTreeMap<&'static str, Runs>) {
    for (hook, runs) in runs {
        into.entry((workload, hook)).or_default().push(runs);
    }
}

/// Runs a load with statistics on; tells of each program that ran at all.
fn programs(
    setting: &Setting<'_>,
    workload: Workload,
    pid: u32,
) -> anyhow::Result<(Load, BTreeMap<&'static str, Runs>)> {
    let _on = StatisticsOn::switch()?;
    let before = Held::by(pid)?.programs;
    let load = setting.load(workload)?;
    let after = Held::by(pid)?.programs;
    let runs = after.into_iter().filter_map(|(hook, after)| {
        let before = before.get(hook).copied().unwrap_or_default();
        Some((hook, between(before, after, load.operations)?))
    });
    Ok((load, runs.collect()))
}

fn between(before: Statistics, after: Statistics, operations: f64) -> Option<Runs> {
    let runs = after.runs.checked_sub(before.runs).filter(|runs| *runs > 0)? as f64;
    let nanoseconds = after.nanoseconds.saturating_sub(before.nanoseconds) as f64 / runs;
    Some(Runs { per_operation: runs / operations, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_that_ran_are_told_of() {
        let at = |runs, nanoseconds| Statistics { runs, nanoseconds };
        let expect = Runs { per_operation: 2.0, nanoseconds: 50.0 };
        assert_eq!(between(at(10, 1000), at(50, 3000), 20.0), Some(expect));
        assert_eq!(between(at(10, 1000), at(10, 1000), 20.0), None);
    }
}
