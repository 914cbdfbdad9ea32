//! A control group of the benchmark's own, so that nothing else on the machine is watched.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Removed when dropped.
pub(crate) struct Group(PathBuf);

// === impl Group ===

impl Group {
    pub(crate) fn create() -> anyhow::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("no mountinfo")?;
        let root = unified_mount(&mounts).context("cgroup2 is mounted nowhere")?;
        let path = root.join(format!("plainsight-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("could not make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("xtask: {} is left behind: {error}", self.0.display());
        }
    }
}

/// Moves the calling process into the group at `path`.
pub(crate) fn enter(path: &Path) -> anyhow::Result<()> {
    let members = path.join("cgroup.procs");
    fs::write(&members, std::process::id().to_string())
        .with_context(|| format!("could not write {}", members.display()))
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
