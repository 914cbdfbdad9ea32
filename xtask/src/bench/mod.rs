//! `bench`: what the agent costs the programs it watches, and what it costs itself.
//!
//! A load of one thread runs in a control group of its own. In each round it runs four times: with
//! nothing attached, with empty programs at the agent's hooks (the floor, below which no observer
//! there can come), with the agent, and with nothing again. The two without anything give the
//! control, which shows how far the machine's own noise reaches. Afterwards the kernel's
//! statistics tell what each program takes, and the agent's process what user space takes.

mod agent;
mod cgroup;
mod cost;
mod floor;
mod held;
mod hooks;
mod load;
mod machine;
mod page;
mod paired;
mod report;
mod resources;
mod setting;
mod statistics;
mod switch;
mod table;
mod workload;

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use self::{
    cgroup::Groups,
    setting::{Plan, Setting},
};
use crate::{
    binaries::{self, Linkage},
    object, process, setup,
    workspace::Workspace,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Less load, in about a minute; the intervals are wider.
    #[arg(long)]
    quick: bool,
    /// Rounds of four measurements each.
    #[arg(long, value_parser = clap::value_parser!(u32).range(6..))]
    rounds: Option<u32>,
    /// Connections per measurement, each with one request and one answer of 64 bytes.
    #[arg(long)]
    connections: Option<u32>,
    /// Requests per measurement on one connection.
    #[arg(long)]
    requests: Option<u32>,
    /// Put the tables into docs/bench.md.
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !setup::is_root() {
        bail!("the agent loads programs: run as root");
    }
    let object = object::build(workspace)?;
    let agent = binaries::agent(workspace, &object, true, Linkage::Dynamic)?;
    let tool = binaries::bench_tool(workspace, &object)?;
    let groups = Groups::create()?;
    let log = workspace.target.join("bench-agent.log");
    let plan = Plan::new(arguments);
    let setting = Setting::new(agent, tool, log, &groups, plan)?;
    let load_before = machine::load_average();
    let loads = paired::run(&setting)?;
    let load_after = machine::load_average();
    let costs = cost::run(&setting)?;
    let tables = report::tables(&loads, &costs);
    let head = report::head(&setting.plan, &load_before, &load_after);
    process::say(&head);
    for table in &tables {
        process::say(&table.text());
    }
    if arguments.write {
        page::write(workspace, &head, &tables)?;
    }
    Ok(ExitCode::SUCCESS)
}
