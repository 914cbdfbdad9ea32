//! What every measurement needs to know: how much of which load, and whom to start.

use std::path::PathBuf;

use super::{
    Arguments, agent::Agent, cgroup::Groups, floor::Floor, held::Held, load::Load,
    workload::Workload,
};

/// How much is measured.
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    /// Rounds in which programs and the agent's process are measured.
    pub(crate) cost_rounds: u32,
    connections: u32,
    requests: u32,
    datagrams: u32,
    blocks: u32,
}

pub(crate) struct Setting<'a> {
    pub(crate) plan: Plan,
    pub(crate) groups: &'a Groups,
    /// The program that is the load, the floor, and the reader of rings.
    pub(crate) tool: PathBuf,
    agent: PathBuf,
    log: PathBuf,
    /// Where the agent has programs.
    hooks: Vec<&'static str>,
}

/// Who is attached to the load's control group.
pub(crate) enum Attached {
    Floor(Floor),
    Agent(Agent),
}

// === impl Plan ===

impl Plan {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        // About half a second of each workload at each measurement, or a quarter.
        let (divisor, rounds, cost_rounds) = if arguments.quick { (2, 9, 2) } else { (1, 21, 7) };
        Self {
            rounds: arguments.rounds.unwrap_or(rounds),
            cost_rounds,
            connections: arguments.connections.unwrap_or(10_000 / divisor),
            requests: arguments.requests.unwrap_or(50_000 / divisor),
            datagrams: 150_000 / divisor,
            blocks: 40_000 / divisor,
        }
    }

    pub(crate) fn operations(&self, workload: Workload) -> u32 {
        match workload {
            Workload::Connections => self.connections,
            Workload::Requests => self.requests,
            Workload::Udp => self.datagrams,
            Workload::Bulk => self.blocks,
        }
    }
}

// === impl Setting ===

impl<'a> Setting<'a> {
    /// Starts the agent once, to ask the kernel which hooks it uses: the floor lies at the same.
    pub(crate) fn new(
        agent: PathBuf,
        tool: PathBuf,
        log: PathBuf,
        groups: &'a Groups,
        plan: Plan,
    ) -> anyhow::Result<Self> {
        let mut setting = Self { plan, groups, tool, agent, log, hooks: Vec::new() };
        let agent = setting.start_agent()?;
        setting.hooks = Held::by(agent.pid())?.programs.into_keys().collect();
        agent.stop()?;
        Ok(setting)
    }

    pub(crate) fn load(&self, workload: Workload) -> anyhow::Result<Load> {
        Load::run(&self.tool, self.groups.load(), workload, self.plan.operations(workload))
    }

    pub(crate) fn start_agent(&self) -> anyhow::Result<Agent> {
        Agent::start(&self.agent, self.groups, &self.log)
    }

    pub(crate) fn start_floor(&self) -> anyhow::Result<Floor> {
        Floor::start(&self.tool, self.groups.load(), &self.hooks)
    }
}

// === impl Attached ===

impl Attached {
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Floor(floor) => {
                floor.stop();
                Ok(())
            }
            Self::Agent(agent) => agent.stop(),
        }
    }
}
