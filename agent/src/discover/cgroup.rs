//! From a cgroup's id to its path, and from a process to its cgroups.
//!
//! The id that the kernel's helpers give is the inode of the cgroup's directory. There is no
//! call that turns it into a path without privileges, so the tree is walked when an id turns up
//! that is not known yet, and at most once a second. A cgroup that is gone by then stays unknown.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// A walk reads each directory of the tree, so unknown ids wait for the next one.
const PAUSE: Duration = Duration::from_secs(1);

/// The cgroup2 tree as it was at the last walk.
#[derive(Debug)]
pub struct Cgroups {
    root: PathBuf,
    capacity: usize,
    paths: HashMap<u64, Arc<str>>,
    walked_at: Option<Instant>,
    refused: u64,
}

/// What is known of a cgroup's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Its path from the root of the hierarchy.
    Found(Arc<str>),
    /// No cgroup has it any more.
    Gone,
    /// It is too soon to walk the tree again.
    Later,
}

/// The paths of one process, as `/proc/PID/cgroup` gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// In the cgroup2 hierarchy.
    pub unified: Option<String>,
    /// In the version 1 hierarchy that only names things (`name=systemd`).
    pub systemd: Option<String>,
}

// === impl Lookup ===

impl Lookup {
    /// The path, if there is one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Found(path) => Some(path),
            Self::Gone | Self::Later => None,
        }
    }
}

// === impl Cgroups ===

impl Cgroups {
    /// A table of the tree below `root`, of at most `capacity` cgroups.
    pub fn new(root: PathBuf, capacity: usize) -> Self {
        Self { root, capacity, paths: HashMap::new(), walked_at: None, refused: 0 }
    }

    /// The path of the cgroup with this id, from the root of the hierarchy.
    pub fn path(&mut self, id: u64, now: Instant) -> Lookup {
        if !self.paths.contains_key(&id) {
            if !self.may_walk(now) {
                return Lookup::Later;
            }
            self.walk(now);
        }
        self.paths.get(&id).cloned().map_or(Lookup::Gone, Lookup::Found)
    }

    /// Every cgroup there is, as of the last walk.
    pub fn all(&mut self, now: Instant) -> impl Iterator<Item = (u64, &str)> {
        if self.may_walk(now) {
            self.walk(now);
        }
        self.paths.iter().map(|(id, path)| (*id, &**path))
    }

    /// How many cgroups are known.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// How many cgroups the last walks passed over because the table was full.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether `path` is the cgroup with this id.
    pub fn is(&self, path: &str, id: u64) -> bool {
        self.id(path) == Some(id)
    }

    /// The id of the cgroup at this path now; none where there is none.
    pub fn id(&self, path: &str) -> Option<u64> {
        // Nobody is led out of the hierarchy.
        if path.split('/').any(|component| component == "..") {
            return None;
        }
        let folder = fs::metadata(self.root.join(path.trim_start_matches('/'))).ok()?;
        folder.is_dir().then(|| folder.ino())
    }

    fn may_walk(&self, now: Instant) -> bool {
        self.walked_at.is_none_or(|at| now.saturating_duration_since(at) >= PAUSE)
    }

    fn walk(&mut self, now: Instant) {
        self.walked_at = Some(now);
        self.paths.clear();
        if let Ok(root) = fs::metadata(&self.root) {
            self.insert(root.ino(), "/".into());
        }
        // A list instead of recursion: the depth of the tree is not ours to choose.
        let mut folders = vec![(self.root.clone(), String::new())];
        while let Some((folder, path)) = folders.pop() {
            for (id, name) in subfolders(&folder) {
                let below = format!("{path}/{name}");
                if self.insert(id, below.as_str().into()) {
                    folders.push((folder.join(name), below));
                }
            }
        }
    }

    fn insert(&mut self, id: u64, path: Arc<str>) -> bool {
        let room = self.paths.len() < self.capacity;
        if room {
            self.paths.insert(id, path);
        } else {
            self.refused += 1;
        }
        room
    }
}

/// Inode and name of each directory in `folder`. One that vanished meanwhile has none.
fn subfolders(folder: &Path) -> Vec<(u64, String)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
    folders.map(|entry| (entry.ino(), entry.file_name().to_string_lossy().into_owned())).collect()
}

/// Reads `/proc/PID/cgroup` (cgroups(7)): lines of `hierarchy:controllers:path`.
pub fn membership(text: &str) -> Membership {
    let mut found = Membership::default();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        match (id, controllers) {
            ("0", "") => found.unified = living(path),
            (_, "name=systemd") => found.systemd = living(path),
            _ => {}
        }
    }
    found
}

/// The path, unless its directory is gone: then the name no longer stands for anything.
fn living(path: &str) -> Option<String> {
    (!path.ends_with(" (deleted)")).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of plain directories: what the walk needs are names and inodes.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("plainsight-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn add(&self, path: &str) -> u64 {
            let path = self.0.join(path);
            fs::create_dir_all(&path).unwrap();
            fs::metadata(path).unwrap().ino()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn ids_lead_to_paths() {
        let tree = Tree::new("paths");
        let service = tree.add("system.slice/nginx.service");
        let mut cgroups = Cgroups::new(tree.0.clone(), 100);
        let now = Instant::now();
        assert_eq!(cgroups.path(service, now).path(), Some("/system.slice/nginx.service"));
        let root = fs::metadata(&tree.0).unwrap().ino();
        assert_eq!(cgroups.path(root, now).path(), Some("/"));
        assert_eq!((cgroups.len(), cgroups.is_empty(), cgroups.refused()), (3, false, 0));
        assert_eq!(cgroups.id("/system.slice/nginx.service"), Some(service));
        assert_eq!((cgroups.id("/gone"), cgroups.id("/system.slice/../..")), (None, None));
    }

    #[test]
    fn a_new_cgroup_is_found_after_the_pause() {
        let tree = Tree::new("pause");
        let mut cgroups = Cgroups::new(tree.0.clone(), 100);
        let start = Instant::now();
        assert_eq!(cgroups.path(u64::MAX, start), Lookup::Gone);
        let new = tree.add("new.scope");
        assert_eq!(cgroups.path(new, start + PAUSE / 2), Lookup::Later, "walked again too soon");
        assert_eq!(cgroups.path(new, start + PAUSE).path(), Some("/new.scope"));
    }

    #[test]
    fn a_cgroup_that_is_gone_is_unknown() {
        let tree = Tree::new("gone");
        let gone = tree.add("gone.scope");
        fs::remove_dir(tree.0.join("gone.scope")).unwrap();
        assert_eq!(Cgroups::new(tree.0.clone(), 100).path(gone, Instant::now()), Lookup::Gone);
    }

    #[test]
    fn the_table_is_capped_and_counts_what_it_refuses() {
        let tree = Tree::new("cap");
        for i in 0..7 {
            tree.add(&format!("{i}.scope"));
        }
        let mut cgroups = Cgroups::new(tree.0.clone(), 5);
        cgroups.path(u64::MAX, Instant::now());
        assert_eq!((cgroups.len(), cgroups.refused()), (5, 3));
    }

    #[test]
    fn both_hierarchies_are_read() {
        let check = |text: &str, unified: Option<&str>, systemd: Option<&str>| {
            let expect = Membership {
                unified: unified.map(str::to_owned),
                systemd: systemd.map(str::to_owned),
            };
            assert_eq!(membership(text), expect, "{text}");
        };
        check("0::/system.slice/a.service\n", Some("/system.slice/a.service"), None);
        check(
            "12:cpu,cpuacct:/x\n1:name=systemd:/system.slice/b.service\n0::/\n",
            Some("/"),
            Some("/system.slice/b.service"),
        );
        check("0::/odd:name with: colons\n", Some("/odd:name with: colons"), None);
        check("0::/user.slice/gone.scope (deleted)\n", None, None);
        check("nonsense\n0:\n", None, None);
        check("", None, None);
    }
}
