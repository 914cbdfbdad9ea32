//! The workload at each local end, found once, as early as can be.
//!
//! A process may be gone, or may have become another program, by the time it is looked up. So what
//! the hook saw counts first, and `/proc` only adds to it where it is of the same process.

mod explain;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use plainsight_core::{
    escape,
    flow::Endpoint,
    identity::{
        self, Cgroup, Directory, Facts, Kind, MatchedBy, Rules, Workload, outside::Outside,
        path::Place,
    },
};
use plainsight_ebpf::abi::{Comm, name_id};

use super::{
    cgroup::{Cgroups, Lookup},
    containers::{Containers, Search},
    older::Offer,
    process::{self, Process},
    sockets::Sockets,
    units::Units,
};

/// Most cgroups that are known at once: about 20 MB of paths.
const MOST_CGROUPS: usize = 131_072;

/// An end of an edge, as the hook saw it first.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// The end.
    pub endpoint: Endpoint,
    /// The process (thread group); 0 where the hook did not know it.
    pub tgid: u32,
    /// The name of the thread that called.
    pub comm: Comm,
    /// When, on the boot-time clock.
    pub time_ns: u64,
}

/// Who is at which end.
#[derive(Debug)]
pub struct Names {
    cgroups: Cgroups,
    containers: Containers,
    units: Units,
    directory: Arc<Directory>,
    host: String,
    cluster: Option<String>,
    /// Cookie of the network namespace of the host itself.
    netns: u64,
    /// Cgroups that hold workloads which another hierarchy tells apart.
    mixed: BTreeSet<u64>,
    outcomes: Outcomes,
}

/// How the ends that were looked up came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Named by what could be looked up.
    pub resolved: u64,
    /// Gone before it could be looked up: named by what the hook saw.
    pub late: u64,
    /// Without anything to name it by.
    pub unresolved: u64,
    /// More than one workload was seen at it, so that it has the name of its process.
    pub ambiguous: u64,
}

/// What every source says of one end.
#[derive(Clone, Debug, Default)]
struct Found {
    path: Option<String>,
    container: Arc<Search>,
    legacy_path: Option<String>,
    legacy_container: Arc<Search>,
    process: Option<identity::Process>,
}

// === impl Found ===

impl Found {
    fn facts(&self) -> Facts<'_> {
        Facts {
            unified: Cgroup {
                path: self.path.as_deref(),
                container: self.container.container.as_ref(),
            },
            legacy: Cgroup {
                path: self.legacy_path.as_deref(),
                container: self.legacy_container.container.as_ref(),
            },
            process: self.process.as_ref().filter(|process| !process.name.is_empty()),
        }
    }
}

// === impl Names ===

impl Names {
    /// Names for ends on `host`, whose cgroup2 hierarchy is at `root`; at most `capacity` of them.
    pub fn new(root: PathBuf, capacity: usize, host: String, cluster: Option<String>) -> Self {
        let mut directory = Directory::new(capacity);
        directory.set_outside(Outside { cluster: cluster.clone(), rules: Rules::default() });
        Self {
            containers: Containers::new("/".into(), &root),
            cgroups: Cgroups::new(root, MOST_CGROUPS),
            units: Units::new("/".into()),
            directory: Arc::new(directory),
            host,
            cluster,
            netns: Sockets::here().map_or(0, |sockets| sockets.netns_cookie()),
            mixed: BTreeSet::new(),
            outcomes: Outcomes::default(),
        }
    }

    /// All that was learnt. Whoever keeps it sees it as it is now.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// How many cgroups found no room.
    pub fn cgroups_refused(&self) -> u64 {
        self.cgroups.refused()
    }

    /// Takes other names for addresses elsewhere.
    pub fn set_rules(&mut self, rules: Rules) {
        let outside = Outside { cluster: self.cluster.clone(), rules };
        Arc::make_mut(&mut self.directory).set_outside(outside);
    }

    /// How the ends that were looked up came out.
    pub fn outcomes(&self) -> Outcomes {
        self.outcomes
    }

    /// What the container runtimes' files said.
    pub fn containers(&self) -> &Containers {
        &self.containers
    }

    /// The host's own name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What tells the connections of the workload with this name from others in the kernel: a
    /// cgroup and the id of a process name, 0 where any will do. A process that is yet to come is
    /// found by its name; what fits it by chance is sorted out by whoever reads.
    pub fn marks(&mut self, workload: &str, now: Instant) -> BTreeSet<(u64, u32)> {
        let by_name = comm(workload).map(|comm| name_id(&comm));
        let (containers, host) = (&mut self.containers, &self.host);
        let mut named = |path: &str| {
            let search = containers.find(path, now);
            let unified = Cgroup { path: Some(path), container: search.container.as_ref() };
            identity::decide(&Facts { unified, ..Facts::default() }, host)
        };
        let tree: BTreeMap<u64, bool> = self
            .cgroups
            .all(now)
            .map(|(id, path)| (id, named(path).is_some_and(|known| known.name == workload)))
            .collect();
        let whole = tree.iter().filter(|(_, is_whole)| **is_whole).map(|(id, _)| (*id, 0));
        let mut marks: BTreeSet<_> = whole.chain(by_name.map(|name| (0, name))).collect();
        // What is left are ends by a name of their own in a cgroup that others share, while that
        // cgroup is there.
        for (end, known) in self.directory.iter() {
            let is_shared = tree.get(&end.cgroup) == Some(&false);
            if known.name == workload && is_shared && Some(end.name) != by_name {
                marks.insert((end.cgroup, end.name));
            }
        }
        marks
    }

    /// Cgroups that are a workload as a whole, whatever processes they have.
    pub fn leaves(&mut self, now: Instant) -> BTreeSet<u64> {
        let mixed = &self.mixed;
        let is_whole = |id: &u64, path: &str| !mixed.contains(id) && Place::of(path).is_workload();
        self.cgroups.all(now).filter(|(id, path)| is_whole(id, path)).map(|(id, _)| id).collect()
    }

    /// Finds the workload at an end, unless it is known. An end whose cgroup cannot be looked up
    /// yet stays unknown, and is tried again at its next sighting.
    pub fn learn(&mut self, sighting: &Sighting, now: Instant) {
        let endpoint = sighting.endpoint;
        let known = self.directory.get(&endpoint).cloned();
        if known.is_some() && !self.mixed.contains(&endpoint.cgroup) {
            return;
        }
        let process = match sighting.tgid {
            0 => None,
            tgid => process::read(tgid).filter(|found| found.had_started(sighting.time_ns)),
        };
        let Some(path) = self.path(sighting, process.as_ref(), now) else { return };
        let found = self.found(sighting, process.as_ref(), path, now);
        let workload = self.workload(sighting, &found);
        match known {
            // Without its process the other hierarchy says nothing, which is no contradiction.
            Some(known) if process.is_some() => self.doubt(sighting, &known, &workload),
            Some(_) => {}
            None => {
                self.count(&found, process.is_some(), &workload);
                Arc::make_mut(&mut self.directory).insert(endpoint, workload);
            }
        }
    }

    /// The workload that listens somewhere: the one that its end has, else the one that would be found.
    pub fn at(&mut self, offer: &Offer, now: Instant) -> Option<Workload> {
        let end = |name| Endpoint { cgroup: offer.cgroup, netns: offer.netns, name };
        let name = name_id(&offer.comm);
        if let Some(heir) = self.directory.heir(&end(name), offer.port) {
            return Some(heir.clone());
        }
        if let Some(known) = [0, name].iter().find_map(|name| self.directory.get(&end(*name))) {
            return Some(known.clone());
        }
        let process = process::read(offer.tgid);
        let sighting =
            Sighting { endpoint: end(name), tgid: offer.tgid, comm: offer.comm, time_ns: u64::MAX };
        let path = self.path(&sighting, process.as_ref(), now)?;
        let found = self.found(&sighting, process.as_ref(), path, now);
        Some(self.workload(&sighting, &found))
    }

    /// Notes who serves where systemd, or another user's own, listens for a service that it hands the socket to.
    pub fn inherit(&mut self, offer: &Offer, now: Instant) {
        let Some(heir) = offer.heir else { return };
        let own = Endpoint { cgroup: offer.cgroup, netns: offer.netns, name: name_id(&offer.comm) };
        let Some(process) = process::read(heir) else { return };
        let path = process.cgroups.unified.clone();
        let id = path.as_deref().and_then(|path| self.cgroups.id(path)).unwrap_or(0);
        let comm = comm(&process.name).unwrap_or_default();
        let endpoint = Endpoint { cgroup: id, netns: offer.netns, name: name_id(&comm) };
        let sighting = Sighting { endpoint, tgid: heir, comm, time_ns: u64::MAX };
        let found = self.found(&sighting, Some(&process), path, now);
        let workload = self.workload(&sighting, &found);
        if self.directory.heir(&own, offer.port) != Some(&workload) {
            Arc::make_mut(&mut self.directory).inherit(own, offer.port, workload);
        }
    }

    /// Takes back a name that is not that of all that happens at this end.
    fn doubt(&mut self, sighting: &Sighting, known: &Workload, workload: &Workload) {
        let is_same = (&known.name, known.kind) == (&workload.name, workload.kind);
        if is_same || known.kind == Kind::Process {
            return;
        }
        self.outcomes.ambiguous += 1;
        let unsure = identity::unresolved(&sighting.endpoint, Some(&sighting.comm));
        let unsure =
            Workload { host: Some(self.host.clone()), cluster: self.cluster.clone(), ..unsure };
        Arc::make_mut(&mut self.directory).replace(sighting.endpoint, unsure);
    }

    fn count(&mut self, found: &Found, is_alive: bool, workload: &Workload) {
        let Outcomes { resolved, late, unresolved, .. } = &mut self.outcomes;
        let outcome = match &found.process {
            _ if workload.kind != Kind::Process => resolved,
            Some(process) if process.name.is_empty() => unresolved,
            _ if is_alive => resolved,
            _ => late,
        };
        *outcome += 1;
    }

    /// The cgroup's path; `Some(None)` where the cgroup is gone, `None` where it is too soon to
    /// say. The process tells sooner than the next walk, if it is still in that cgroup.
    fn path(
        &mut self,
        sighting: &Sighting,
        process: Option<&Process>,
        now: Instant,
    ) -> Option<Option<String>> {
        let id = sighting.endpoint.cgroup;
        let own = process.and_then(|process| process.cgroups.unified.as_deref());
        if let Some(own) = own.filter(|own| self.cgroups.is(own, id)) {
            return Some(Some(own.to_owned()));
        }
        match self.cgroups.path(id, now) {
            Lookup::Found(path) => Some(Some(path.to_string())),
            Lookup::Gone => Some(None),
            Lookup::Later => None,
        }
    }

    fn found(
        &mut self,
        sighting: &Sighting,
        process: Option<&Process>,
        path: Option<String>,
        now: Instant,
    ) -> Found {
        let legacy_path = process.and_then(|process| process.cgroups.systemd.clone());
        let mut container = |path: Option<&String>| {
            path.map(|path| self.containers.find(path, now)).unwrap_or_default()
        };
        Found {
            container: container(path.as_ref()),
            legacy_container: container(legacy_path.as_ref().filter(|_| path != legacy_path)),
            process: Some(describe(sighting, process)),
            path,
            legacy_path,
        }
    }

    fn workload(&mut self, sighting: &Sighting, found: &Found) -> Workload {
        let endpoint = &sighting.endpoint;
        let mut facts = found.facts();
        let is_whole = facts.unified.path.is_some_and(|path| Place::of(path).is_workload());
        if is_whole && endpoint.name == 0 && endpoint.netns == self.netns {
            // All that this cgroup does in the host's own network is one end.
            facts.legacy = Cgroup::default();
        }
        let decided = identity::decide(&facts, &self.host);
        let workload = decided.unwrap_or_else(|| identity::unresolved(endpoint, None));
        let is_legacy = workload.matched_by == MatchedBy::LegacyCgroup;
        if is_legacy && self.mixed.len() < MOST_CGROUPS {
            self.mixed.insert(endpoint.cgroup);
        }
        self.answered_for(workload)
    }

    /// With the cluster, and who answers for it.
    fn answered_for(&mut self, workload: Workload) -> Workload {
        let is_system_unit = workload.kind == Kind::Unit && workload.namespace.is_none();
        let owner = is_system_unit.then(|| self.units.owner(&workload.name)).flatten();
        Workload { cluster: self.cluster.clone(), owner, ..workload }
    }
}

/// The name as the kernel would hold it, if it fits.
pub(super) fn comm(name: &str) -> Option<Comm> {
    let mut comm = Comm::default();
    // The last byte is always NUL.
    let (_, text) = comm.split_last_mut()?;
    text.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    Some(comm)
}

/// The process by the name that stands for all its threads.
fn describe(sighting: &Sighting, process: Option<&Process>) -> identity::Process {
    let seen = escape::comm(&sighting.comm);
    let alive = process.is_some();
    let exe = process.and_then(|process| process.exe.clone());
    let leader = process.map(|process| process.name.as_str()).filter(|leader| *leader != seen);
    // A thread's name gives way to its process's. A name that no thread has any more may be that
    // of the program which ran before an exec, so it stands.
    let name = match leader {
        Some(leader) if process::has_thread(sighting.tgid, &seen) => leader.to_owned(),
        _ => seen,
    };
    identity::Process { name, exe, alive }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use plainsight_core::identity::{Kind, MatchedBy};

    use super::*;

    fn sighting(cgroup: u64, tgid: u32, name: &str, time_ns: u64) -> Sighting {
        let endpoint = Endpoint { cgroup, netns: 0, name: 1 };
        Sighting { endpoint, tgid, comm: comm(name).unwrap(), time_ns }
    }

    fn check(cgroup: u64, tgid: u32, name: &str, time_ns: u64) -> Option<Workload> {
        let mut names = Names::new(std::env::temp_dir(), 7, "host".into(), Some("lab".into()));
        let sighting = sighting(cgroup, tgid, name, time_ns);
        names.learn(&sighting, Instant::now());
        names.directory().get(&sighting.endpoint).cloned()
    }

    #[test]
    fn a_process_that_is_gone_keeps_the_name_the_hook_saw() {
        let workload = check(u64::MAX, u32::MAX, "short-lived", 5).unwrap();
        assert_eq!((workload.name.as_str(), workload.kind), ("short-lived", Kind::Process));
        assert_eq!(workload.cluster.as_deref(), Some("lab"));
    }

    #[test]
    fn a_process_that_started_later_is_another() {
        let workload = check(u64::MAX, std::process::id(), "the-one-before", 0).unwrap();
        assert_eq!(workload.name, "the-one-before");
    }

    #[test]
    fn a_thread_gives_way_to_its_process() {
        let (leader, now) = (process::read(std::process::id()).unwrap().name, u64::MAX);
        let thread = std::thread::Builder::new().name("one-thread".into());
        let workload = thread
            .spawn(move || check(u64::MAX, std::process::id(), "one-thread", now))
            .unwrap()
            .join()
            .unwrap()
            .unwrap();
        assert_eq!(workload.name, leader);
    }

    #[test]
    fn an_unknown_cgroup_without_a_process_is_named_by_its_number() {
        let workload = check(u64::MAX, 0, "", 5).unwrap();
        assert_eq!(workload.name, format!("cgroup/{}", u64::MAX));
    }

    #[test]
    fn a_new_cgroup_waits_for_the_next_walk() {
        let folder = std::env::temp_dir().join(format!("plainsight-names-{}", std::process::id()));
        let unit = folder.join("late.service");
        fs::create_dir_all(&folder).unwrap();
        let mut names = Names::new(folder.clone(), 7, "host".into(), None);
        let start = Instant::now();
        names.learn(&sighting(u64::MAX, 0, "x", 5), start);
        fs::create_dir(&unit).unwrap();
        let late = sighting(fs::metadata(&unit).unwrap().ino(), 0, "x", 5);
        names.learn(&late, start);
        assert_eq!(names.directory().get(&late.endpoint), None, "it was too soon to walk");
        names.learn(&late, start + std::time::Duration::from_secs(1));
        let workload = names.directory().get(&late.endpoint).cloned();
        fs::remove_dir_all(&folder).unwrap();
        let workload = workload.unwrap();
        assert_eq!((workload.kind, workload.matched_by), (Kind::Unit, MatchedBy::Cgroup));
    }
}
