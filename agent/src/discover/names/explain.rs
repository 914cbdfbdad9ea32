//! How a name comes about: the same sources as for the map, each with what it says.

use std::time::Instant;

use plainsight_core::{
    flow::Endpoint,
    identity::{
        self, Kind, Workload,
        explain::{Explanation, Step, Subject},
        outside::is_private,
        path::Place,
    },
};

use super::{Found, Names, Sighting, comm};
use crate::discover::{
    cgroup::Lookup,
    containers::{Answer, Asked, Search},
    process::{self, Process},
};

/// Most names of one cgroup that are listed.
const MOST_GIVEN: usize = 64;

// === impl Names ===

impl Names {
    /// Asks every source about a subject. What was named before keeps its name; this is what would
    /// be found now.
    pub fn explain(&mut self, subject: &Subject, now: Instant) -> Explanation {
        let mut steps = Vec::new();
        let (workload, cgroup) = match subject {
            Subject::Address(ip) => (Some(self.explain_address(*ip, &mut steps)), None),
            Subject::Process(tgid) => self.explain_process(*tgid, &mut steps, now),
            Subject::Path(path) => self.explain_cgroup(None, path, &mut steps, now),
            Subject::Cgroup(id) => match self.cgroups.path(*id, now) {
                Lookup::Found(path) => self.explain_cgroup(Some(*id), &path, &mut steps, now),
                Lookup::Gone | Lookup::Later => {
                    steps.push(Step::new("cgroup", subject.to_string(), None));
                    (None, Some(*id))
                }
            },
        };
        let given = cgroup.map(|id| self.given(id)).unwrap_or_default();
        Explanation { subject: subject.to_string(), steps, workload, given }
    }

    fn explain_address(&self, ip: std::net::IpAddr, steps: &mut Vec<Step>) -> Workload {
        let outside = self.directory.outside();
        let asked = format!("the smallest of {} networks that holds it", outside.rules.len());
        let rule = outside.rules.find(ip);
        steps.push(Step::new(
            "names file",
            asked,
            rule.map(|rule| {
                let owner = rule.owner.as_ref().map(|owner| format!(", owner {owner}"));
                format!("{} is {}{}", rule.network, rule.name, owner.unwrap_or_default())
            }),
        ));
        let range = if ip.is_loopback() {
            "loopback"
        } else if is_private(ip) {
            "a private network"
        } else {
            "outside: as a client without a name it is one of the group internet"
        };
        steps.push(Step::new("address", "its range", Some(range.to_owned())));
        self.directory.at(ip)
    }

    fn explain_process(
        &mut self,
        tgid: u32,
        steps: &mut Vec<Step>,
        now: Instant,
    ) -> (Option<Workload>, Option<u64>) {
        let process = process::read(tgid);
        let described = process.as_ref().map(|process| {
            let exe = process.exe.as_deref().unwrap_or("a file that may not be read");
            format!("{} runs {exe}", process.name)
        });
        steps.push(Step::new("process", format!("/proc/{tgid}"), described));
        let Some(process) = process else { return (None, None) };
        let path = process.cgroups.unified.clone();
        let id = path.as_deref().and_then(|path| self.cgroups.id(path));
        let endpoint = Endpoint { cgroup: id.unwrap_or(0), netns: 0, name: u32::MAX };
        let comm = comm(&process.name).unwrap_or_default();
        let sighting = Sighting { endpoint, tgid, comm, time_ns: u64::MAX };
        let found = self.found(&sighting, Some(&process), path, now);
        (Some(self.explain_found(&found, Some(&process), steps)), id)
    }

    fn explain_cgroup(
        &mut self,
        id: Option<u64>,
        path: &str,
        steps: &mut Vec<Step>,
        now: Instant,
    ) -> (Option<Workload>, Option<u64>) {
        let id = id.or_else(|| self.cgroups.id(path));
        if id.is_none() {
            steps.push(Step::new("cgroup", path, None));
            return (None, None);
        }
        let container = self.containers.find(path, now);
        let found = Found { path: Some(path.to_owned()), container, ..Found::default() };
        let workload = self.explain_found(&found, None, steps);
        let is_known = workload.kind != Kind::Process;
        (is_known.then_some(workload), id)
    }

    fn explain_found(
        &mut self,
        found: &Found,
        process: Option<&Process>,
        steps: &mut Vec<Step>,
    ) -> Workload {
        cgroup("cgroup", found.path.as_deref(), &found.container, steps);
        if process.is_some() {
            let path = found.legacy_path.as_deref();
            cgroup("cgroup v1", path, &found.legacy_container, steps);
        }
        let nobody = Endpoint { cgroup: 0, netns: 0, name: 0 };
        let decided = identity::decide(&found.facts(), &self.host);
        let workload = decided.unwrap_or_else(|| identity::unresolved(&nobody, None));
        if workload.kind == Kind::Unit && workload.namespace.is_none() {
            let origin = self.units.origin(&workload.name);
            let said = origin.map(|(owner, file)| format!("{owner}, by {}", file.display()));
            steps.push(Step::new("unit", format!("X-Owner of {}", workload.name), said));
        }
        self.answered_for(workload)
    }

    /// Each workload once, in order.
    fn given(&self, cgroup: u64) -> Vec<Workload> {
        let ends = self.directory.iter().filter(|(end, _)| end.cgroup == cgroup);
        let mut given: Vec<Workload> = ends.map(|(_, workload)| workload.clone()).collect();
        given.sort_unstable();
        given.dedup();
        given.truncate(MOST_GIVEN);
        given
    }
}

fn cgroup(source: &str, path: Option<&str>, search: &Search, steps: &mut Vec<Step>) {
    let place = path.map(Place::of);
    let said = place.map(|place| place.describe());
    steps.push(Step::new(source, path.unwrap_or("its path"), said));
    steps.extend(search.asked.iter().map(file));
    let is_numbered = place.is_some_and(|place| place.container.is_some());
    if is_numbered && search.asked.is_empty() {
        steps.push(Step::new("runtimes", "files of containerd, Docker, CRI-O and podman", None));
    }
}

fn file(asked: &Asked) -> Step {
    let said = match (asked.answer, &asked.why) {
        (Answer::Named, _) => Some("names the container".to_owned()),
        (Answer::Silent, _) => None,
        (Answer::Refused, why) => {
            Some(format!("refused: {}", why.as_deref().unwrap_or("unusable")))
        }
    };
    Step::new(asked.runtime.name(), asked.file.display().to_string(), said)
}
