//! `bench`: what the agent costs the programs it watches, in processor time per operation.
//!
//! A load of one thread runs in a control group of its own, with the agent watching that group and
//! without. Measurements alternate in rounds of three: without, with, without again; the two
//! without give the control, which shows how far the machine's own noise reaches. Afterwards the
//! kernel's statistics tell the time per run of each program.

mod agent;
mod cgroup;
pub(crate) mod load;
mod programs;
mod statistics;

use std::{path::Path, process::ExitCode};

use anyhow::bail;
use clap::Args;

use self::{agent::Agent, cgroup::Group, load::Kind, programs::StatsSwitch, statistics::Ratios};
use crate::{
    binaries::{self, Linkage},
    object, process, setup,
    workspace::Workspace,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Rounds of three measurements each.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(6..))]
    rounds: u32,
    /// Connections per measurement, each with one request and one answer of 64 bytes.
    #[arg(long, default_value_t = 20_000)]
    connections: u32,
    /// Requests per measurement on one connection.
    #[arg(long, default_value_t = 200_000)]
    requests: u32,
}

/// What one measurement is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Without,
    With,
    Control,
}

/// Nanoseconds per operation, one per round.
#[derive(Default)]
struct Series {
    without: Vec<f64>,
    with: Vec<f64>,
    control: Vec<f64>,
}

/// What every measurement needs to know.
struct Setting<'a> {
    agent: &'a Path,
    log: &'a Path,
    group: &'a Group,
    arguments: &'a Arguments,
}

// === impl Condition ===

impl Condition {
    /// The order changes from round to round, so that no condition always comes first.
    fn order(round: u32) -> [Self; 3] {
        match round % 3 {
            0 => [Self::Without, Self::With, Self::Control],
            1 => [Self::With, Self::Control, Self::Without],
            _ => [Self::Control, Self::Without, Self::With],
        }
    }
}

// === impl Series ===

impl Series {
    fn of(&mut self, condition: Condition) -> &mut Vec<f64> {
        match condition {
            Condition::Without => &mut self.without,
            Condition::With => &mut self.with,
            Condition::Control => &mut self.control,
        }
    }
}

// === impl Setting ===

impl Setting<'_> {
    fn measure(&self, kind: Kind) -> anyhow::Result<f64> {
        load::measure(kind, self.operations(kind), self.group.path())
    }

    fn operations(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Connections => self.arguments.connections,
            Kind::Requests => self.arguments.requests,
        }
    }

    fn start_agent(&self) -> anyhow::Result<Agent> {
        Agent::start(self.agent, self.group.path(), self.log)
    }
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !setup::is_root() {
        bail!("the agent loads programs: run as root");
    }
    let object = object::build(workspace)?;
    let agent = binaries::agent(workspace, &object, true, Linkage::Dynamic)?;
    let group = Group::create()?;
    let log = workspace.target.join("bench-agent.log");
    let setting = Setting { agent: &agent, log: &log, group: &group, arguments };
    for kind in [Kind::Connections, Kind::Requests] {
        let series = series(&setting, kind)?;
        report(kind, &series);
    }
    for kind in [Kind::Connections, Kind::Requests] {
        report_programs(&setting, kind)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn series(setting: &Setting<'_>, kind: Kind) -> anyhow::Result<Series> {
    let mut series = Series::default();
    for round in 0..setting.arguments.rounds {
        for condition in Condition::order(round) {
            let agent = match condition {
                Condition::With => Some(setting.start_agent()?),
                Condition::Without | Condition::Control => None,
            };
            let nanoseconds = setting.measure(kind)?;
            agent.map(Agent::stop).transpose()?;
            series.of(condition).push(nanoseconds);
        }
        process::say(&format!("{}: round {}/{}", kind.name(), round + 1, setting.arguments.rounds));
    }
    Ok(series)
}

fn report(kind: Kind, series: &Series) {
    let with = Ratios::of(&series.with, &series.without);
    let control = Ratios::of(&series.control, &series.without);
    process::say(&format!(
        "{}: without {:.0} ns, with {:.0} ns per operation (medians)",
        kind.name(),
        statistics::median(&series.without),
        statistics::median(&series.with),
    ));
    process::say(&format!("  with / without     {with}"));
    process::say(&format!("  control / without  {control}"));
}

/// Time and runs per program. The statistics cost time themselves (two clock reads per run), so
/// they are off while ratios are measured.
fn report_programs(setting: &Setting<'_>, kind: Kind) -> anyhow::Result<()> {
    let agent = setting.start_agent()?;
    let _switch = StatsSwitch::on()?;
    let before = programs::read(agent.pid())?;
    setting.measure(kind)?;
    let after = programs::read(agent.pid())?;
    agent.stop()?;
    process::say(&format!("{}: programs, the statistics' own clock included", kind.name()));
    for line in programs::table(&before, &after, setting.operations(kind) + load::WARM_UP) {
        process::say(&line);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_takes_each_place() {
        for place in 0..3 {
            let seen: Vec<_> = (0..3).map(|round| Condition::order(round)[place]).collect();
            for condition in [Condition::Without, Condition::With, Condition::Control] {
                assert!(seen.contains(&condition), "{seen:?}");
            }
        }
    }
}
