//! `ci`: everything CI runs, in order of cost, with the time of each step and one closing line.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{
    lint, process, setup,
    summary::Summary,
    test::{self, Options, Tier},
    tidy, vm,
    workspace::Workspace,
};

/// One step's outcome for the table at the end.
struct Step {
    name: &'static str,
    took: Duration,
    said: String,
}

/// Runs all steps, also after one has failed: one run shows everything that is wrong.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let mut total = Summary::default();
    let mut steps = Vec::new();
    let mut check = |name, work: &dyn Fn() -> anyhow::Result<Summary>| {
        let start = Instant::now();
        let said = outcome(name, work(), &mut total);
        steps.push(Step { name, took: start.elapsed(), said });
    };
    check("set-up", &|| setup::ensure_all(workspace).map(|()| Summary::default()));
    check("format", &|| lint::format(workspace).map(|()| Summary::default()));
    check("clippy", &|| lint::clippy(workspace).map(|()| Summary::default()));
    check("tidy", &|| tidy::summary(workspace));
    check("test", &|| test::tiers(workspace, &Tier::All.expand(), &Options::default()));
    check("vm", &|| vm::matrix(workspace));
    for step in &steps {
        process::say(&format!("{:8} {:>8}  {}", step.name, process::seconds(step.took), step.said));
    }
    Ok(test::close_plainly(&total))
}

/// Adds a step's counts to the total; a step without counts that fails is one failure.
fn outcome(name: &str, result: anyhow::Result<Summary>, total: &mut Summary) -> String {
    match result {
        Ok(summary) if summary == Summary::default() => "ok".into(),
        Ok(summary) => {
            let said = summary.to_string();
            total.add(summary);
            said
        }
        Err(error) => {
            total.fail(&format!("{name}: {error:#}"));
            "FAILED".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_one_failure_and_counts_add_up() {
        let mut total = Summary::default();
        assert_eq!(outcome("format", Ok(Summary::default()), &mut total), "ok");
        assert_eq!(outcome("clippy", Err(anyhow::anyhow!("no")), &mut total), "FAILED");
        let passed = Summary { passed: 3, skipped: 1, ..Summary::default() };
        assert_eq!(outcome("test", Ok(passed), &mut total), "3 passed, 0 failed, 1 skipped");
        assert_eq!((total.passed, total.failed, total.skipped), (3, 1, 1));
    }
}
