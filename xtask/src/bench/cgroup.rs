//! Control groups of the benchmark's own: the load's, which alone is watched, and the agent's,
//! where its processor time is counted.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Removed when dropped.
pub(crate) struct Groups {
    /// In the order in which they are removed: a group must be empty of groups.
    load: Group,
    agent: Group,
    _parent: Group,
}

struct Group(PathBuf);

// === impl Groups ===

impl Groups {
    pub(crate) fn create() -> anyhow::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("no mountinfo")?;
        let root = unified_mount(&mounts).context("cgroup2 is mounted nowhere")?;
        let parent = Group::create(root.join(format!("plainsight-bench-{}", std::process::id())))?;
        Ok(Self {
            load: Group::create(parent.0.join("load"))?,
            agent: Group::create(parent.0.join("agent"))?,
            _parent: parent,
        })
    }

    pub(crate) fn load(&self) -> &Path {
        &self.load.0
    }

    pub(crate) fn agent(&self) -> &Path {
        &self.agent.0
    }
}

// === impl Group ===

impl Group {
    fn create(path: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir(&path).with_context(|| format!("could not make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("xtask: {} is left behind: {error}", self.0.display());
        }
    }
}

/// Moves the process `pid` into the group at `path`.
pub(crate) fn place(pid: u32, path: &Path) -> anyhow::Result<()> {
    let members = path.join("cgroup.procs");
    fs::write(&members, pid.to_string())
        .with_context(|| format!("could not write {}", members.display()))
}

/// Microseconds of processor time that the group's processes used, those that ended included.
pub(crate) fn processor_time(path: &Path) -> anyhow::Result<u64> {
    let path = path.join("cpu.stat");
    let text =
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    let found = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok());
    found.with_context(|| format!("no usage in {}", path.display()))
}

/// Where cgroup2 is mounted: hybrid hosts have it elsewhere than pure ones.
fn unified_mount(mountinfo: &str) -> Option<PathBuf> {
    let found = mountinfo.lines().find(|line| {
        line.split_once(" - ").is_some_and(|(_, rest)| rest.split(' ').next() == Some("cgroup2"))
    })?;
    found.split(' ').nth(4).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_on_hybrid_hosts() {
        let mounts = "30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            31 30 0:27 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n\
            32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        assert_eq!(unified_mount(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(unified_mount("30 24 0:26 / / rw - ext4 x rw"), None);
    }
}
