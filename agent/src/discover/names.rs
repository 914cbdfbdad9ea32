//! The workload at each local end, found once, as early as can be.
//!
//! A process may be gone, or may have become another program, by the time it is looked up. So what
//! the hook saw counts first, and `/proc` only adds to it where it is of the same process.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use plainsight_core::{
    escape,
    flow::Endpoint,
    identity::{self, Directory, Workload},
};
use plainsight_ebpf::abi::{Comm, name_id};

use super::{
    cgroup::{Cgroups, Lookup},
    process::{self, Process},
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
    directory: Arc<Directory>,
    host: String,
    cluster: Option<String>,
}

// === impl Names ===

impl Names {
    /// Names for ends on `host`, whose cgroup2 hierarchy is at `root`; at most `capacity` of them.
    pub fn new(root: PathBuf, capacity: usize, host: String, cluster: Option<String>) -> Self {
        let cgroups = Cgroups::new(root, MOST_CGROUPS);
        Self { cgroups, directory: Arc::new(Directory::new(capacity)), host, cluster }
    }

    /// All that was learnt. Whoever keeps it sees it as it is now.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// How many cgroups found no room.
    pub fn cgroups_refused(&self) -> u64 {
        self.cgroups.refused()
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
        let named = |path: &str| identity::from_cgroup(path, &self.host);
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
        let host = &self.host;
        let is_whole = |path: &str| identity::from_cgroup(path, host).is_some();
        self.cgroups.all(now).filter(|(_, path)| is_whole(path)).map(|(id, _)| id).collect()
    }

    /// Finds the workload at an end, unless it is known. An end whose cgroup cannot be looked up
    /// yet stays unknown, and is tried again at its next sighting.
    pub fn learn(&mut self, sighting: &Sighting, now: Instant) {
        if self.directory.get(&sighting.endpoint).is_some() {
            return;
        }
        let process = match sighting.tgid {
            0 => None,
            tgid => process::read(tgid).filter(|found| found.had_started(sighting.time_ns)),
        };
        let Some(path) = self.path(sighting, process.as_ref(), now) else { return };
        let workload = self.workload(sighting, process.as_ref(), path.as_deref());
        Arc::make_mut(&mut self.directory).insert(sighting.endpoint, workload);
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

    fn workload(
        &self,
        sighting: &Sighting,
        process: Option<&Process>,
        path: Option<&str>,
    ) -> Workload {
        let legacy = process.and_then(|process| process.cgroups.systemd.as_deref());
        let described = describe(sighting, process);
        let workload = if described.name.is_empty() {
            identity::from_cgroup(path.unwrap_or_default(), &self.host)
                .unwrap_or_else(|| identity::unresolved(&sighting.endpoint, None))
        } else {
            identity::local(path, legacy, &described, &self.host)
        };
        Workload { cluster: self.cluster.clone(), ..workload }
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
