//! When edges are taken out of the kernel.

use std::time::{Duration, Instant};

use plainsight_core::flow::Half;

use super::state::Now;
use crate::{config::KernelConfig, kernel::Kernel};

/// From here on, of 100, the kernel's map is too full to leave idle edges in it.
const FULL: u64 = 75;

/// Then edges without an event for so long are idle, and it is worth the while if they are so many
/// of 100.
const IDLE_WHEN_FULL: Duration = Duration::from_secs(60);
const IDLE_SHARE: u64 = 25;

/// Between two retirements are so many parts of the time for which an idle edge is kept.
const PARTS: u32 = 4;

/// The shortest time between two.
const PAUSE: Duration = Duration::from_secs(10);

/// The rule, and when it was last followed.
#[derive(Debug)]
pub(super) struct Retirement {
    capacity: u64,
    idle: Duration,
    at: Instant,
    is_possible: bool,
}

// === impl Retirement ===

impl Retirement {
    pub(super) fn new(kernel: &Kernel, config: &KernelConfig, now: Instant) -> Self {
        let is_possible = kernel.can_retire();
        if !is_possible {
            tracing::warn!(
                "this kernel cannot say when a program has ended (nohz_full): edges stay in its \
                 map for as long as the agent runs"
            );
        }
        Self { capacity: config.max_edges.into(), idle: config.edge_idle, at: now, is_possible }
    }

    /// Whether to take edges out now; if so, this is taken for the last time.
    pub(super) fn is_due(&mut self, halves: &[Half], now: Now) -> bool {
        let since = now.instant.saturating_duration_since(self.at);
        if !self.is_possible || since < PAUSE.min(self.idle) {
            return false;
        }
        let is_due = self.is_full_of_idle(halves, now)
            || since >= self.idle / PARTS && idle(halves, ago(now, self.idle)) > 0;
        if is_due {
            self.at = now.instant;
        }
        is_due
    }

    /// On the boot-time clock: what was not used since is no longer kept.
    pub(super) fn before(&self, now: Now) -> u64 {
        ago(now, self.idle)
    }

    fn is_full_of_idle(&self, halves: &[Half], now: Now) -> bool {
        let count = halves.len() as u64;
        count * 100 >= self.capacity * FULL
            && idle(halves, ago(now, IDLE_WHEN_FULL)) * 100 >= count * IDLE_SHARE
    }
}

/// How many edges had no event since.
fn idle(halves: &[Half], since_ns: u64) -> u64 {
    halves.iter().filter(|half| half.counters.last_ns < since_ns).count() as u64
}

fn ago(now: Now, time: Duration) -> u64 {
    now.boot_ns.saturating_sub(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
