//! Where names come from: what is on this host, and how a running agent fared with it.

use std::path::{Path, PathBuf};

use super::Check;
use crate::{
    discover::containers::{Runtime, present},
    export::prometheus::Metric,
};

/// From this share of ends on, those that came too late are worth a word.
const MANY: f64 = 0.01;

/// The container runtimes of this host, by the folders in which they keep state.
pub(super) fn runtimes() -> Check {
    judge(&present(Path::new("/")))
}

fn judge(present: &[(Runtime, PathBuf, bool)]) -> Check {
    const NAME: &str = "container runtimes";
    let list = |is_open: bool| -> Vec<String> {
        let those = present.iter().filter(|(_, _, open)| *open == is_open);
        those.map(|(runtime, at, _)| format!("{} at {}", runtime.name(), at.display())).collect()
    };
    let (open, closed) = (list(true), list(false));
    if !closed.is_empty() {
        return Check::warning(
            NAME,
            format!("state may not be read: {}", closed.join(", ")),
            "run as root, or give the process CAP_DAC_READ_SEARCH (in a container: mount these \
             folders read-only); else containers are known by their ids",
        );
    }
    if open.is_empty() {
        return Check::ok(NAME, "no state of any; containers would be known by their ids");
    }
    Check::ok(NAME, format!("names are read from files of {}", open.join(", ")))
}

/// How the agent fared with names.
pub(super) fn agent(metrics: &[Metric]) -> Vec<Check> {
    let checks = [ends(metrics), files(metrics), rules(metrics)];
    checks.into_iter().flatten().collect()
}

fn ends(metrics: &[Metric]) -> Option<Check> {
    const NAME: &str = "names";
    let of = |result| labelled(metrics, "plainsight_identities_total", "result", result);
    let (resolved, late) = (of("resolved")?, of("late")?);
    let (unresolved, ambiguous) = (of("unresolved")?, of("ambiguous")?);
    let all = resolved + late + unresolved;
    let found = format!(
        "of {all} ends {resolved} were looked up; {late} were gone before, {unresolved} have \
         nothing to go by, {ambiguous} turned out to be several"
    );
    if (late + unresolved + ambiguous) <= all * MANY {
        return Some(Check::ok(NAME, found));
    }
    let advice = "late ones have the name of their process, which `plainsight explain` shows; \
                  several: let each container or unit have a cgroup2 directory of its own";
    Some(Check::warning(NAME, found, advice))
}

fn files(metrics: &[Metric]) -> Option<Check> {
    const NAME: &str = "runtimes' files";
    let all = metrics.iter().filter(|metric| metric.name == "plainsight_runtime_files_total");
    let said: Vec<String> = all
        .clone()
        .map(|metric| {
            format!("{} {} {}", metric.value, metric.label("runtime"), metric.label("answer"))
        })
        .collect();
    if said.is_empty() {
        return None;
    }
    let is_refused = all.clone().any(|metric| metric.label("answer") == "refused");
    let found = said.join(", ");
    Some(if is_refused {
        let advice = "`plainsight explain` of such a cgroup says which file and why; its container \
                      is known by its id";
        Check::warning(NAME, found, advice)
    } else {
        Check::ok(NAME, found)
    })
}

fn rules(metrics: &[Metric]) -> Option<Check> {
    const NAME: &str = "names file";
    let value = |name| metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value);
    let found = format!("{} networks have a name", value("plainsight_names_rules")?);
    Some(if value("plainsight_names_last_reload_successful")? == 1.0 {
        Check::ok(NAME, found)
    } else {
        let advice =
            "the file is not what is in force: its place and the reason are in the agent's log";
        Check::warning(NAME, found, advice)
    })
}

fn labelled(metrics: &[Metric], name: &str, label: &str, value: &str) -> Option<f64> {
    let found = metrics.iter().find(|metric| metric.name == name && metric.label(label) == value);
    found.map(|metric| metric.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doctor::Outcome, export::prometheus};

    fn checked(text: &str) -> Vec<(String, Outcome, String)> {
        let checks = agent(&prometheus::parse(text).unwrap());
        checks
            .into_iter()
            .map(|check| (check.name.into_owned(), check.outcome, check.found))
            .collect()
    }

    fn identities(late: u64, ambiguous: u64) -> String {
        [("resolved", 997 - late), ("late", late), ("unresolved", 3), ("ambiguous", ambiguous)]
            .map(|(result, n)| format!("plainsight_identities_total{{result=\"{result}\"}} {n}\n"))
            .concat()
    }

    #[test]
    fn names_that_came_late_are_told() {
        let outcome = |late, ambiguous| checked(&identities(late, ambiguous))[0].1;
        assert_eq!(outcome(7, 0), Outcome::Ok);
        assert_eq!(outcome(8, 0), Outcome::Warning);
        assert_eq!(outcome(0, 8), Outcome::Warning);
        let found = &checked(&identities(7, 0))[0].2;
        assert!(
            found.starts_with("of 1000 ends 990 were looked up; 7 were gone before, 3 "),
            "{found}"
        );
        assert_eq!(checked("x 1\n"), [], "another version's agent");
    }

    #[test]
    fn a_file_that_was_refused_is_told() {
        let line = |answer: &str| {
            format!("plainsight_runtime_files_total{{runtime=\"runc\",answer=\"{answer}\"}} 5\n")
        };
        let check = |text: &str, outcome, found: &str| {
            assert_eq!(checked(text), [("runtimes' files".to_owned(), outcome, found.to_owned())]);
        };
        check(&line("named"), Outcome::Ok, "5 runc named");
        check(
            &(line("named") + &line("refused")),
            Outcome::Warning,
            "5 runc named, 5 runc refused",
        );
    }

    #[test]
    fn a_names_file_that_is_not_in_force_is_told() {
        let outcome = |good: u8| {
            let text = format!(
                "plainsight_names_rules 23\nplainsight_names_last_reload_successful {good}\n"
            );
            let checks = checked(&text);
            assert_eq!(checks[0].2, "23 networks have a name");
            checks[0].1
        };
        assert_eq!((outcome(1), outcome(0)), (Outcome::Ok, Outcome::Warning));
    }

    #[test]
    fn runtimes_are_named_with_their_folders() {
        let runc = |open| (Runtime::Runc, PathBuf::from("/run/runc"), open);
        let check = judge(&[runc(true)]);
        assert_eq!(check.found, "names are read from files of runc at /run/runc");
        assert_eq!(judge(&[]).outcome, Outcome::Ok);
        let check = judge(&[(Runtime::Docker, PathBuf::from("/d"), false), runc(true)]);
        assert_eq!(
            (check.outcome, check.found.as_str()),
            (Outcome::Warning, "state may not be read: docker at /d")
        );
    }
}
