//! Waiting on conditions: looked at again and again, within a limit.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::report;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a condition may take before its test fails. Virtual machines without hardware
/// support are slower by an order of magnitude.
#[must_use]
pub fn patience() -> Duration {
    Duration::from_secs(if report::is_guest() { 120 } else { 20 })
}

/// What `attempt` gives once it succeeds.
///
/// # Panics
///
/// With the last reason, if it does not within [`patience`].
pub fn until<T>(what: &str, attempt: impl FnMut() -> Result<T, String>) -> T {
    patiently(attempt)
        .unwrap_or_else(|reason| panic!("{what}: not within {:?}: {reason}", patience()))
}

/// The same, and the last reason if it does not.
pub(super) fn patiently<T>(mut attempt: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < patience() => thread::sleep(PAUSE),
            result => return result,
        }
    }
}
