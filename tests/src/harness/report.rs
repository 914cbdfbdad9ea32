//! Lines that xtask reads from a test's output.

use std::{env, fmt::Display};

/// Whether the full counts are asked for, which take longer than CI has.
#[must_use]
pub fn full() -> bool {
    env::var_os("PLAINSIGHT_FULL").is_some_and(|value| value == "1")
}

/// Whether this is a virtual machine without hardware support, ten times slower than its host.
#[must_use]
pub fn is_guest() -> bool {
    env::var_os("PLAINSIGHT_VM").is_some()
}

/// The smaller count, or the full one where that is asked for.
#[must_use]
pub fn count(small: u64, full_count: u64) -> u64 {
    if full() { full_count } else { small }
}

/// States what was looked at, what was wanted and what was measured.
#[expect(clippy::print_stdout, reason = "xtask reads it from the test's output")]
pub fn report(what: &str, wanted: impl Display, measured: impl Display) {
    println!("prove: {what} | {wanted} | {measured}");
}

/// States that a test cannot run here, which is a claim: the reason has to be true.
#[expect(clippy::print_stdout, reason = "xtask reads it from the test's output")]
pub fn skip(test: &str, reason: &str) {
    println!("skip: {test}: {reason}");
}
