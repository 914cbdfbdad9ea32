//! Tells the programs which cgroups are a workload as a whole.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{discover::names::Names, kernel::Kernel};

/// A cgroup that the programs do not know yet only has more edges than it needs.
const INTERVAL: Duration = Duration::from_secs(10);

/// What they have been told.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    told: BTreeSet<u64>,
    at: Option<Instant>,
}

// === impl Leaves ===

impl Leaves {
    /// Brings the programs up to date, if it is time.
    pub(super) fn refresh(&mut self, kernel: &mut Kernel, names: &mut Names, now: Instant) {
        if self.at.is_some_and(|at| now.saturating_duration_since(at) < INTERVAL) {
            return;
        }
        self.at = Some(now);
        let leaves = names.leaves(now);
        let gone: Vec<u64> = self.told.difference(&leaves).copied().collect();
        for cgroup in gone {
            kernel.remove_leaf(cgroup);
            self.told.remove(&cgroup);
        }
        for cgroup in leaves {
            if !self.told.contains(&cgroup) && kernel.add_leaf(cgroup) {
                self.told.insert(cgroup);
            }
        }
    }
}
