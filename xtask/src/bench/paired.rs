//! Rounds of measurements under changing conditions, with the kernel's statistics off.

use std::collections::BTreeMap;

use super::{
    load::Load,
    setting::{Attached, Setting},
    workload::Workload,
};
use crate::process;

/// What one measurement is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// Nothing is attached.
    Off,
    Floor,
    Agent,
    /// Nothing is attached either.
    Control,
}

/// All loads of one workload, in the order of rounds.
#[derive(Default)]
pub(crate) struct Series(BTreeMap<Condition, Vec<Load>>);

pub(crate) type ByWorkload = BTreeMap<Workload, Series>;

// === impl Condition ===

impl Condition {
    const ALL: [Self; 4] = [Self::Off, Self::Floor, Self::Agent, Self::Control];

    /// The order changes from round to round, so that each condition is at each place equally
    /// often and has each other one before it as often as after it: every second round goes
    /// backwards.
    fn order(round: u32) -> [Self; 4] {
        let mut order = Self::ALL;
        order.rotate_left(round as usize / 2 % 4);
        if round % 2 == 1 {
            order.reverse();
        }
        order
    }

    fn attach(self, setting: &Setting<'_>) -> anyhow::Result<Option<Attached>> {
        Ok(match self {
            Self::Off | Self::Control => None,
            Self::Floor => Some(Attached::Floor(setting.start_floor()?)),
            Self::Agent => Some(Attached::Agent(setting.start_agent()?)),
        })
    }
}

// === impl Series ===

impl Series {
    /// Nanoseconds of processor time per operation.
    pub(crate) fn processor(&self, condition: Condition) -> Vec<f64> {
        self.of(condition).iter().map(|load| load.processor).collect()
    }

    /// Operations per second of wall time.
    pub(crate) fn rates(&self, condition: Condition) -> Vec<f64> {
        self.of(condition).iter().map(|load| load.rate).collect()
    }

    fn of(&self, condition: Condition) -> &[Load] {
        self.0.get(&condition).map_or(&[], Vec::as_slice)
    }
}

pub(crate) fn run(setting: &Setting<'_>) -> anyhow::Result<ByWorkload> {
    let mut all = ByWorkload::new();
    let rounds = setting.plan.rounds;
    for round in 0..rounds {
        for condition in Condition::order(round) {
            let attached = condition.attach(setting)?;
            for workload in Workload::ALL {
                let load = setting.load(workload)?;
                let series = all.entry(workload).or_default();
                series.0.entry(condition).or_default().push(load);
            }
            attached.map(Attached::stop).transpose()?;
        }
        process::say(&format!("paired: round {}/{rounds}", round + 1));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_takes_each_place_equally_often() {
        for condition in Condition::ALL {
            for place in 0..4 {
                let there = (0..8).filter(|round| Condition::order(*round)[place] == condition);
                assert_eq!(there.count(), 2, "{condition:?} at {place}");
            }
        }
    }
}
