//! What test binaries print, added up: libtest's summaries, skips, proofs, instruction counts.

use std::fmt;

use crate::process;

/// Counts and marked lines of one or more test binaries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// `skip: NAME: reason`, so that a reason stands at the end where it is seen.
    pub(crate) skips: Vec<String>,
    pub(crate) proofs: Vec<Proof>,
    pub(crate) instructions: Vec<Instructions>,
}

/// One promise: what was looked at, what was wanted, what was measured.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) measured: String,
}

/// How many instructions the verifier walked through for one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instructions {
    pub(crate) program: String,
    pub(crate) count: u64,
}

// === impl Summary ===

impl Summary {
    /// Takes in one line of a test binary's output.
    pub(crate) fn read(&mut self, line: &str) {
        let line = without_test_name(line);
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.passed += count_before(rest, "passed");
            self.failed += count_before(rest, "failed");
            self.skipped += count_before(rest, "ignored");
        } else if let Some(rest) = line.strip_prefix("skip: ") {
            self.skips.push(rest.to_owned());
        } else if let Some(proof) = line.strip_prefix("prove: ").and_then(Proof::parse) {
            self.proofs.push(proof);
        } else if let Some(found) = line.strip_prefix("insns: ").and_then(Instructions::parse) {
            self.instructions.push(found);
        }
    }

    /// Prints the line and takes it in.
    pub(crate) fn pass_on(&mut self, line: &str) {
        process::say(line);
        self.read(line);
    }

    /// A failure that libtest did not count: a crash, a build error, a limit.
    pub(crate) fn fail(&mut self, reason: &str) {
        process::say(&format!("FAILED: {reason}"));
        self.failed += 1;
    }

    /// Libtest has no word for "skipped at run time" and counts such a test as passed. Called once
    /// per binary run; a test that gives two reasons was still one test.
    pub(crate) fn settle_skips(&mut self) {
        self.skips.sort();
        self.skips.dedup_by(|a, b| test_name(a) == test_name(b));
        let skips = self.skips.len() as u64;
        self.passed = self.passed.saturating_sub(skips);
        self.skipped += skips;
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.skips.extend(other.skips);
        self.proofs.extend(other.proofs);
        self.instructions.extend(other.instructions);
    }

    /// No test at all is a failure: it is how a broken filter or build looks.
    pub(crate) fn ok(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

// === impl Proof ===

impl Proof {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '|').map(|part| part.trim().to_owned());
        Some(Self { what: parts.next()?, wanted: parts.next()?, measured: parts.next()? })
    }
}

// === impl Instructions ===

impl Instructions {
    fn parse(text: &str) -> Option<Self> {
        let (program, count) = text.trim().split_once(' ')?;
        Some(Self { program: program.to_owned(), count: count.trim().parse().ok()? })
    }
}

/// With `--nocapture` libtest writes `test NAME ... ` and the test's first line follows on it.
fn without_test_name(line: &str) -> &str {
    match line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
        Some((_, rest)) => rest,
        None => line,
    }
}

/// The name in `NAME: reason`; a test's own name may hold `::`.
fn test_name(skip: &str) -> &str {
    skip.split_once(": ").map_or(skip, |(name, _)| name)
}

fn count_before(text: &str, word: &str) -> u64 {
    text.split([';', '.'])
        .filter_map(|part| part.trim().strip_suffix(word))
        .find_map(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Summary {
        let mut summary = Summary::default();
        text.lines().for_each(|line| summary.read(line));
        summary.settle_skips();
        summary
    }

    #[test]
    fn closing_lines() {
        let check = |text: &str, expect: &str| assert_eq!(read(text).to_string(), expect, "{text}");
        check("", "0 passed, 0 failed");
        check(
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.02s",
            "12 passed, 0 failed",
        );
        check(
            "test result: FAILED. 2 passed; 1 failed; 4 ignored; 0 measured; 0 filtered out; finished in 1.0s\n\
             test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.0s",
            "7 passed, 1 failed, 4 skipped",
        );
        check(
            "test veth::pair ... skip: veth::pair: no veth here\nok\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.0s",
            "2 passed, 0 failed, 1 skipped",
        );
    }

    #[test]
    fn nothing_run_is_not_a_success() {
        assert!(!read("").ok());
        assert!(!read("test result: ok. 0 passed; 0 failed; 9 ignored; 0 measured").ok());
        assert!(read("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured").ok());
    }

    #[test]
    fn marked_lines_are_found_behind_a_test_name() {
        let summary = read(
            "test a::b ... prove: connections of curl | 23 | 23\n\
             insns: connect4 812\ninsns: nonsense\nprove: only two | parts",
        );
        let proof = Proof {
            what: "connections of curl".into(),
            wanted: "23".into(),
            measured: "23".into(),
        };
        assert_eq!(summary.proofs, [proof]);
        assert_eq!(summary.instructions, [Instructions { program: "connect4".into(), count: 812 }]);
    }
}
