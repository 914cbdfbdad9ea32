//! What container runtimes have written down about their containers, read without asking them.
//!
//! A runtime's socket is worth as much as root, so none is needed here: the runtimes keep state in
//! files, which are read and never written. What such a file says counts only if it speaks of the
//! very cgroup it is asked about; without one a container is known by its id alone.

mod parse;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use plainsight_core::identity::{
    Container,
    path::{self, Place},
};

use super::files::{self, Stamp};

/// Most cgroups whose answer is remembered.
const CAPACITY: usize = 16_384;

/// A file that is not there yet may be there soon.
const RETRY: Duration = Duration::from_secs(1);

/// Namespaces of containerd that are looked into.
const MOST_NAMESPACES: usize = 64;

/// State folders of containerd, its own and those of what brings one along.
const CONTAINERD: [&str; 2] = ["run/containerd", "run/k3s/containerd"];

/// Kinds of containerd's tasks, the newer first.
const TASKS: [&str; 2] = ["io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux"];

/// The namespace of containerd that only Kubernetes makes containers in.
const KUBERNETES: &str = "k8s.io";

const DOCKER: &str = "var/lib/docker/containers";

/// Where podman and CRI-O keep what a container is made of, and what it is while it runs.
const STORAGE: [&str; 2] = ["run/containers/storage", "var/lib/containers/storage"];

/// Folders of each storage driver below those.
const DRIVERS: [&str; 4] =
    ["overlay-containers", "vfs-containers", "btrfs-containers", "zfs-containers"];

/// Lists of containers in each of them.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// State folders of runtimes that are called directly, and the file that each container has there.
const DIRECT: [(Runtime, &str, &str); 2] =
    [(Runtime::Runc, "run/runc", "state.json"), (Runtime::Crun, "run/crun", "status")];

/// Where cgroup hierarchies are mounted, as a runtime has it in its state.
const MOUNTS: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];

/// Who wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// containerd: Kubernetes, nerdctl, ctr.
    Containerd,
    /// Docker.
    Docker,
    /// CRI-O.
    CriO,
    /// podman.
    Podman,
    /// runc, called directly.
    Runc,
    /// crun, called directly.
    Crun,
}

/// What came of asking one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// It names the container.
    Named,
    /// It is there and says nothing of use.
    Silent,
    /// It is there and cannot be used: too large, unreadable, not what it should be, or of another container.
    Refused,
}

/// A file that was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who wrote it.
    pub runtime: Runtime,
    /// Where it is.
    pub file: PathBuf,
    /// What came of it.
    pub answer: Answer,
    /// The reason, where it was refused.
    pub why: Option<String>,
}

/// Everything that was found out about one cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The container, if a file names it.
    pub container: Option<Container>,
    /// The files that were there.
    pub asked: Vec<Asked>,
}

/// What is known of the containers of this host.
#[derive(Debug)]
pub struct Containers {
    root: PathBuf,
    /// Where the hierarchies are mounted.
    mounts: Vec<PathBuf>,
    known: HashMap<String, Known>,
    lists: HashMap<PathBuf, List>,
    answers: BTreeMap<(Runtime, Answer), u64>,
}

#[derive(Debug)]
struct Known {
    search: Arc<Search>,
    at: Instant,
}

/// Names by id, as of when a list was written.
#[derive(Debug)]
struct List {
    stamp: Stamp,
    names: Result<HashMap<String, String>, String>,
}

// === impl Runtime ===

impl Runtime {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Containerd, Self::Docker, Self::CriO, Self::Podman, Self::Runc, Self::Crun];

    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Docker => "docker",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }

    /// The folder by which one knows that it is used on this host.
    fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Containerd => &CONTAINERD,
            Self::Docker => &[DOCKER],
            Self::CriO => &["run/crio", "var/run/crio"],
            Self::Podman => &["var/lib/containers/storage", "run/libpod"],
            Self::Runc => &["run/runc"],
            Self::Crun => &["run/crun"],
        }
    }
}

// === impl Answer ===

impl Answer {
    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Silent => "silent",
            Self::Refused => "refused",
        }
    }
}

// === impl Search ===

impl Search {
    fn add(&mut self, runtime: Runtime, file: PathBuf, said: Result<Option<Container>, String>) {
        let (answer, why) = match said {
            Ok(Some(container)) => {
                self.container = Some(container);
                (Answer::Named, None)
            }
            Ok(None) => (Answer::Silent, None),
            Err(why) => (Answer::Refused, Some(why)),
        };
        self.asked.push(Asked { runtime, file, answer, why });
    }
}

// === impl Containers ===

impl Containers {
    /// The containers of the host whose file system is at `root` and whose cgroup2 hierarchy is at
    /// `cgroups`.
    pub fn new(root: PathBuf, cgroups: &Path) -> Self {
        let usual = MOUNTS.into_iter().map(PathBuf::from);
        Self {
            root,
            mounts: usual.chain([cgroups.to_owned()]).collect(),
            known: HashMap::new(),
            lists: HashMap::new(),
            answers: BTreeMap::new(),
        }
    }

    /// What the runtimes say of the cgroup with this path. A name that was found stays; where there
    /// is none, files are looked for again after a moment.
    pub fn find(&mut self, path: &str, now: Instant) -> Arc<Search> {
        if let Some(known) = self.known.get(path) {
            let is_final = known.search.container.is_some();
            if is_final || now.saturating_duration_since(known.at) < RETRY {
                return Arc::clone(&known.search);
            }
        }
        let search = Arc::new(self.ask(path));
        for Asked { runtime, answer, .. } in &search.asked {
            *self.answers.entry((*runtime, *answer)).or_default() += 1;
        }
        // Those of cgroups that are gone are not told from others. All of them are found again.
        if self.known.len() >= CAPACITY {
            self.known.clear();
        }
        self.known.insert(path.to_owned(), Known { search: Arc::clone(&search), at: now });
        search
    }

    /// How often each runtime's files had which answer.
    pub fn answers(&self) -> &BTreeMap<(Runtime, Answer), u64> {
        &self.answers
    }

    fn ask(&mut self, path: &str) -> Search {
        let place = Place::of(path);
        let mut search = Search::default();
        // Below a user's own systemd the path is that user's to choose, another's id among it.
        if place.user.is_some() {
            return search;
        }
        match place.container {
            Some(id) => self.by_id(id, &place, &mut search),
            None if place.pod.is_none() => self.by_name(path, &mut search),
            None => {}
        }
        search
    }

    /// A container whose id stands in the path.
    fn by_id(&mut self, id: &str, place: &Place<'_>, search: &mut Search) {
        self.containerd(id, search);
        if search.container.is_none() {
            let file = self.root.join(DOCKER).join(id).join("config.v2.json");
            let said = files::read(&file).map(|text| parse::docker(&text?, id, place.pod));
            said.into_iter().for_each(|said| search.add(Runtime::Docker, file.clone(), said));
        }
        if search.container.is_none() {
            self.storage(id, place, search);
        }
    }

    fn containerd(&self, id: &str, search: &mut Search) {
        for folder in CONTAINERD.iter().flat_map(|state| TASKS.map(|tasks| (state, tasks))) {
            let folder = self.root.join(folder.0).join(folder.1);
            for namespace in files::names(&folder, MOST_NAMESPACES) {
                let file = folder.join(&namespace).join(id).join("config.json");
                let Some(text) = files::read(&file) else { continue };
                let is_kubernetes = namespace == KUBERNETES;
                let said = text.and_then(|text| parse::containerd(&text, id, is_kubernetes));
                search.add(Runtime::Containerd, file, said);
                if search.container.is_some() {
                    return;
                }
            }
        }
    }

    /// Of podman and CRI-O, which share a library for what is on disk.
    fn storage(&mut self, id: &str, place: &Place<'_>, search: &mut Search) {
        let folders = STORAGE.iter().flat_map(|state| DRIVERS.map(|driver| (state, driver)));
        let folders: Vec<PathBuf> =
            folders.map(|(state, driver)| self.root.join(state).join(driver)).collect();
        if let Some(uid) = place.pod {
            for folder in &folders {
                let file = folder.join(id).join("userdata/config.json");
                let said = files::read(&file).map(|text| parse::cri_o(&text?, id, uid));
                said.into_iter().for_each(|said| search.add(Runtime::CriO, file.clone(), said));
            }
            return;
        }
        for file in folders.iter().flat_map(|folder| LISTS.map(|list| folder.join(list))) {
            let Some(said) = self.listed(&file, id) else { continue };
            search.add(Runtime::Podman, file, said);
            if search.container.is_some() {
                return;
            }
        }
    }

    /// What a list says of one of its containers. Each is read again only when it was written.
    fn listed(&mut self, file: &Path, id: &str) -> Option<Result<Option<Container>, String>> {
        let stamp = files::stamp(file)?;
        if self.lists.get(file).is_none_or(|list| list.stamp != stamp) {
            let names = files::read_list(file)?.and_then(|text| parse::names(&text));
            self.lists.insert(file.to_owned(), List { stamp, names });
        }
        let names = self.lists.get(file)?.names.as_ref();
        Some(names.map_err(Clone::clone).map(|names| {
            let name = Some(names.get(id)?.clone());
            Some(Container { id: id.to_owned(), name, ..Container::default() })
        }))
    }

    /// A container with a name of its own. Its runtime's state says where its cgroup is: that must
    /// be this one.
    fn by_name(&self, path: &str, search: &mut Search) {
        for (name, path) in path::names(path) {
            for (runtime, folder, state) in DIRECT {
                let file = self.root.join(folder).join(name).join(state);
                let Some(text) = files::read(&file) else { continue };
                let said = text.and_then(|text| match runtime {
                    Runtime::Crun => parse::crun(&text, name, path),
                    _ => parse::runc(&text, name, path, &self.mounts),
                });
                search.add(runtime, file, said);
                if search.container.is_some() {
                    return;
                }
            }
        }
    }
}

/// Which runtimes have a state folder on the host whose file system is at `root`, and whether this
/// process may look into it.
pub fn present(root: &Path) -> Vec<(Runtime, PathBuf, bool)> {
    let folders = Runtime::ALL.into_iter().flat_map(|runtime| {
        let folders = runtime.folders().iter().map(move |folder| root.join(folder));
        folders.map(move |folder| (runtime, folder))
    });
    let there = folders.filter(|(_, folder)| folder.is_dir());
    there.map(|(runtime, folder)| (runtime, folder.clone(), folder.read_dir().is_ok())).collect()
}

#[cfg(test)]
mod tests;
