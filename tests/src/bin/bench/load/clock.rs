//! The two clocks of a measurement.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment, or the difference of two.
pub(crate) struct Reading {
    /// What this process has run, in the kernel too.
    pub(crate) processor: Duration,
    pub(crate) wall: Duration,
}

// === impl Reading ===

impl Reading {
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            processor: self.processor.saturating_sub(earlier.processor),
            wall: self.wall.saturating_sub(earlier.wall),
        }
    }
}

pub(crate) fn now() -> nix::Result<Reading> {
    Ok(Reading {
        processor: clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into(),
        wall: clock_gettime(ClockId::CLOCK_MONOTONIC)?.into(),
    })
}
